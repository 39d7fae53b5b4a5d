package modproxy

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// question is what a request of the module proxy protocol asks for
// (go.dev/ref/mod#goproxy-protocol).
type question struct {
	path string // module path, unescaped
	// kind is "latest", "list", "info", "mod" or "zip".
	kind string
	// version, or a branch or commit for "info", unescaped; empty for the first two.
	version string

	// at is when it was asked, and now what the answer depended on then.
	at  time.Time
	now standing
}

// parseQuestion reads the part of a URL path behind the proxy's root. The error
// is a *mirror.Problem of kind ErrInvalid or ErrNotFound.
func parseQuestion(urlPath string) (question, error) {
	bad := func(kind mirror.Kind, why string) (question, error) {
		return question{}, &mirror.Problem{
			Code: mirror.CodeBadPath, Kind: kind, What: "not a request of the module proxy protocol", Why: why,
			Do: "set GOPROXY to this address and let the go command ask",
		}
	}
	if len(urlPath) > 2*maxPathBytes {
		return bad(mirror.ErrInvalid, "the path is too long")
	}
	var q question
	escaped, rest, ok := strings.Cut(urlPath, "/@v/")
	switch {
	case !ok:
		if escaped, ok = strings.CutSuffix(urlPath, "/@latest"); !ok {
			return bad(mirror.ErrNotFound, "the path has no /@v/ and no /@latest")
		}
		q.kind = "latest"
	case rest == "list":
		q.kind = "list"
	default:
		i := strings.LastIndexByte(rest, '.')
		if i <= 0 {
			return bad(mirror.ErrNotFound, "behind /@v/ it asks for no .info, .mod or .zip")
		}
		q.version, q.kind = rest[:i], rest[i+1:]
		if q.kind != "info" && q.kind != "mod" && q.kind != "zip" {
			return bad(mirror.ErrNotFound, "behind /@v/ it asks for no .info, .mod or .zip")
		}
	}
	var err error
	if q.path, err = module.UnescapePath(escaped); err != nil || len(q.path) > maxPathBytes {
		return bad(mirror.ErrInvalid, "malformed module path")
	}
	if q.version != "" {
		if q.version, err = module.UnescapeVersion(q.version); err != nil {
			return bad(mirror.ErrInvalid, "malformed version")
		}
	}
	canonical := q.version != "" && q.version == module.CanonicalVersion(q.version)
	if !canonical && (q.kind == "mod" || q.kind == "zip") {
		return bad(mirror.ErrNotFound, fmt.Sprintf("%q is not a canonical version; ask for its .info first", show(q.version)))
	}
	if q.version == "latest" || q.version == "upgrade" || q.version == "patch" || q.version == "none" {
		return bad(mirror.ErrNotFound, fmt.Sprintf("%q is a query the go command answers itself, from the list", q.version))
	}
	return q, nil
}

// Bounds of an error text the go command prints (cmd/go/internal/web.HTTPError):
// it stops at the first empty line.
const (
	maxErrorLines = 8
	maxErrorBytes = 648
)

// errorText renders a problem for the go command.
func errorText(p *mirror.Problem) string {
	lines := []string{p.What}
	if p.Code != "" {
		lines[0] = string(p.Code) + ": " + p.What
	}
	for _, s := range []string{p.Why, p.Do} {
		lines = append(lines, strings.Split(s, "\n")...)
	}
	var b strings.Builder
	n := 0
	for _, line := range lines {
		if line = strings.TrimSpace(line); line == "" || n == maxErrorLines {
			continue
		}
		if room := maxErrorBytes - b.Len() - 1; len(line) > room {
			line = strings.ToValidUTF8(line[:max(0, room-len("…"))], "") + "…"
			b.WriteString(line + "\n")
			break
		}
		b.WriteString(line + "\n")
		n++
	}
	return b.String()
}

// statusOf is the table from kinds of failure to status codes. The go command
// goes on to its next proxy after 404 and 410 and stops at anything else.
func statusOf(p *mirror.Problem) int {
	switch p.Kind {
	case mirror.ErrNotFound:
		return http.StatusNotFound
	case mirror.ErrInvalid:
		if p.Code == mirror.CodeModuleBad {
			return http.StatusUnprocessableEntity
		}
		return http.StatusBadRequest
	case mirror.ErrSignIn:
		return http.StatusUnauthorized
	case mirror.ErrDenied:
		return http.StatusForbidden
	case mirror.ErrUpstream, mirror.ErrIntegrity:
		return http.StatusBadGateway
	case mirror.ErrBusy:
		return http.StatusServiceUnavailable
	case mirror.ErrHeld:
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}
