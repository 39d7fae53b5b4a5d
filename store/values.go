package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gitmirror/gitmirror/mirror"
)

// micros is t as it is stored; nil for the zero time.
func micros(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

// moment is the time that micros stored.
func moment(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return time.UnixMicro(*us).UTC()
}

// clean makes text of a peer or a tool storable: PostgreSQL refuses bytes that
// are not UTF-8, and NUL.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// storable tells whether a row could hold s; looking for anything else is
// finding nothing.
func storable(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// foldName is equal for names that differ only by case, as far as one rune maps to one.
func foldName(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// problemJSON is a Problem as it is stored: with the name of its kind, since an
// error value does not survive JSON.
type problemJSON struct {
	Kind string `json:"kind,omitempty"`
	mirror.Problem
}

// kindNames are in the database for good: add to them, never rename.
func kindNames() map[string]error {
	return map[string]error{
		"not-found": mirror.ErrNotFound,
		"invalid":   mirror.ErrInvalid,
		"exists":    mirror.ErrExists,
		"denied":    mirror.ErrDenied,
		"sign-in":   mirror.ErrSignIn,
		"upstream":  mirror.ErrUpstream,
		"held":      mirror.ErrHeld,
		"integrity": mirror.ErrIntegrity,
		"busy":      mirror.ErrBusy,
	}
}

func problemText(p *mirror.Problem) (*string, error) {
	if p == nil {
		return nil, nil
	}
	stored := problemJSON{Problem: *p}
	for name, kind := range kindNames() {
		if errors.Is(p.Kind, kind) {
			stored.Kind = name
		}
	}
	text, err := json.Marshal(stored)
	if err != nil {
		return nil, err
	}
	s := string(text)
	return &s, nil
}

func parseProblem(text *string) (*mirror.Problem, error) {
	if text == nil {
		return nil, nil
	}
	var stored problemJSON
	if err := json.Unmarshal([]byte(*text), &stored); err != nil {
		return nil, fmt.Errorf("stored problem: %w", err)
	}
	stored.Problem.Kind = kindNames()[stored.Kind]
	return &stored.Problem, nil
}
