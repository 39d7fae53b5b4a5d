package store

import (
	"encoding/json"
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

func problemText(p *mirror.Problem) (*string, error) {
	if p == nil {
		return nil, nil
	}
	text, err := json.Marshal(p)
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
	var p mirror.Problem
	if err := json.Unmarshal([]byte(*text), &p); err != nil {
		return nil, fmt.Errorf("stored problem: %w", err)
	}
	return &p, nil
}

// refPolicyText is "" for the policy most mirrors have.
func refPolicyText(p mirror.RefPolicy) (string, error) {
	text, err := json.Marshal(p)
	if err != nil || string(text) == "{}" {
		return "", err
	}
	return clean(string(text)), nil
}

func parseRefPolicy(text string) (p mirror.RefPolicy, err error) {
	if text != "" {
		err = json.Unmarshal([]byte(text), &p)
	}
	return p, err
}
