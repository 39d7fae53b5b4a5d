package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// MatchParam guards an edit against overwriting somebody else's.
type MatchParam struct {
	IfMatch string `header:"If-Match" maxLength:"100" doc:"ETag of the thing as it was seen: its version, in quotes; 412 when it has changed since"`
}

// tag is the version If-Match asks for; empty = any.
func (m MatchParam) tag() string {
	text := strings.TrimSpace(m.IfMatch)
	if text == "*" {
		return ""
	}
	return strings.Trim(strings.TrimPrefix(text, "W/"), `"`)
}

// version is tag for things that count their edits; zero = any.
func (m MatchParam) version() (int64, error) {
	text := m.tag()
	if text == "" {
		return 0, nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 1 {
		return 0, &mirror.Problem{Kind: mirror.ErrInvalid, What: "If-Match is not an ETag of such a thing", Do: "send the ETag, or the version in quotes, that came with it"}
	}
	return v, nil
}

// met tells whether the thing still has the version that the caller has seen.
func (m MatchParam) met(ctx context.Context, what string, now int64, differ []Difference) error {
	want, err := m.version()
	if err != nil || want == 0 || want == now {
		return err
	}
	return staleThing(ctx, what, strconv.FormatInt(now, 10), differ)
}

// versionOf is the version of a thing that does not count its edits, made of
// what it is.
func versionOf(fields ...any) string {
	text, err := json.Marshal(fields)
	if err != nil { // cannot be: names, numbers and times
		text = fmt.Append(nil, fields...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func quoted(version string) string { return `"` + version + `"` }

// thing is what an edit is about, as it is now.
type thing struct {
	Name    string // "the rule github.com/acme/*"
	Version string
	Fields  [][2]string // named values, for who comes too late; nil = it has none
}

// edits does an edit if what it is about is still as the caller has seen it.
// yours are the Fields as the edit would have them; nil = it would remove it.
// Edits that go through here take turns, so that nobody comes between the look
// and the edit.
func (s *Server) edits(ctx context.Context, m MatchParam, look func() (thing, error), yours [][2]string, do func() error) error {
	s.editing.Lock()
	defer s.editing.Unlock()
	want := m.tag()
	if want == "" {
		return do()
	}
	now, err := look()
	if err != nil {
		return err
	}
	if want != now.Version {
		var differ []Difference
		if yours != nil {
			differ = diffOf(now.Fields, yours)
		}
		return staleThing(ctx, now.Name, now.Version, differ)
	}
	return do()
}

// staleThing is the answer to an edit of what somebody else edited first.
func staleThing(ctx context.Context, what, version string, differ []Difference) *Problem {
	p := newProblem(ctx, &mirror.Problem{
		Kind: mirror.ErrExists, What: what + " was changed by somebody else meanwhile",
		Why: "it is at version " + version + " now",
		Do:  "look at it as it is now and apply your change again",
	})
	p.Status, p.Differences, p.ETag = http.StatusPreconditionFailed, differ, quoted(version)
	return p
}

// Difference is a field that is not as an edit that came too late would have it.
type Difference struct {
	Field string `json:"field"`
	Now   string `json:"now" doc:"What it is"`
	Yours string `json:"yours" doc:"What the edit says"`
}

func diffOf(now, yours [][2]string) []Difference {
	var out []Difference
	for _, c := range changesOf(now, yours) {
		out = append(out, Difference{Field: c.Field, Now: c.Before, Yours: c.After})
	}
	return out
}

// changesOf is what became of named values, for the audit trail; nil = there was
// or is none.
func changesOf(before, after [][2]string) []auth.Change {
	var out []auth.Change
	for i := range max(len(before), len(after)) {
		var c auth.Change
		if i < len(before) {
			c.Field, c.Before = before[i][0], before[i][1]
		}
		if i < len(after) {
			c.Field, c.After = after[i][0], after[i][1]
		}
		if c.Before != c.After {
			out = append(out, c)
		}
	}
	return out
}

func versionTag(v int64) string { return fmt.Sprintf(`"%d"`, v) }
