package modproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Root is the URL path the Handler is mounted at.
const Root = "/proxy/"

// Accounts knows who a name and password belong to; *auth.Accounts does.
type Accounts interface {
	Basic(ctx context.Context, user, password, peer string) (auth.Identity, error)
}

// Handler serves the module proxy protocol below Root, for GOPROXY and for
// go-import pages with vcs "mod" (LAWS 22).
type Handler struct {
	Repos *Repos
	// Accounts checks HTTP basic credentials. Without it only who the context
	// says (auth.From) counts.
	Accounts Accounts
	Policy   auth.Policy
	// SumDB is the checksum database below Root + "sumdb/"; nil = none.
	SumDB *SumDB
	Log   *slog.Logger

	zips flights
}

// What caches may do with an answer: a version never changes, the rest does.
const (
	foreverSeconds = 365 * 24 * 60 * 60
	briefSeconds   = 60
)

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.serve(w, r); err != nil {
		h.fail(w, r, err)
	}
}

// serve answers, or returns why not before anything is written.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return nil
	}
	w.Header().Set("Vary", "Authorization")
	ctx, err := h.identify(r)
	if err != nil {
		return err
	}
	id := auth.From(ctx)
	if err := h.Policy.May(id, auth.Read, false); err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(r.URL.Path, Root)
	if !ok {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "not below " + Root}
	}
	if question, ok := strings.CutPrefix(rest, "sumdb/"); ok && h.SumDB != nil {
		return h.serveSum(ctx, w, r, question)
	}
	q, err := parseQuestion(rest)
	if err != nil {
		return err
	}
	m, err := h.Repos.Module(ctx, q.path)
	if err != nil {
		return err
	}
	if h.Policy.May(id, auth.Read, m.Repo.Private) != nil {
		return notMirrored(h.Repos.withoutHost(q.path)) // as if it were not there
	}
	return h.answer(ctx, w, r, q, m)
}

func (h *Handler) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, q question, m *Module) error {
	public := !m.Repo.Private && h.Policy.AnonymousRead
	switch q.kind {
	case "list":
		list, err := m.Versions(ctx)
		if err != nil {
			return err
		}
		body := strings.Join(list, "\n")
		if body != "" {
			body += "\n"
		}
		return serveBytes(w, r, "text/plain; charset=utf-8", []byte(body), cacheControl(public, briefSeconds))
	case "latest", "info":
		query := q.version
		if q.kind == "latest" {
			query = "latest"
		}
		info, err := m.Stat(ctx, query)
		if err != nil {
			return err
		}
		body, err := json.Marshal(info)
		if err != nil {
			return err
		}
		seconds := briefSeconds
		if info.Version == q.version {
			seconds = foreverSeconds
		}
		return serveBytes(w, r, "application/json", body, cacheControl(public, seconds))
	case "mod":
		text, err := m.GoMod(ctx, q.version)
		if err != nil {
			return err
		}
		return serveBytes(w, r, "text/plain; charset=utf-8", text, cacheControl(public, foreverSeconds))
	}
	return h.serveZip(ctx, w, r, q, m, cacheControl(public, foreverSeconds))
}

// serveZip builds the zip in a temporary file, once for all who ask meanwhile.
func (h *Handler) serveZip(ctx context.Context, w http.ResponseWriter, r *http.Request, q question, m *Module, cache string) error {
	key := string(m.Repo.ID) + " " + q.path + "@" + q.version
	z, err := h.zips.join(ctx, key, h.Repos.Temp, func(ctx context.Context, z *zipFile) (err error) {
		z.hash, err = m.Zip(ctx, q.version, z.file)
		return err
	})
	if err != nil {
		return err
	}
	defer z.leave()
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("ETag", `"`+z.hash+`"`)
	http.ServeContent(w, r, "", time.Time{}, z.reader())
	return nil
}

func cacheControl(public bool, seconds int) string {
	s := fmt.Sprintf("max-age=%d", seconds)
	if seconds == foreverSeconds {
		s += ", immutable"
	}
	if public {
		return "public, " + s
	}
	return "private, " + s
}

func serveBytes(w http.ResponseWriter, r *http.Request, contentType string, body []byte, cache string) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(body)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// identify puts who is asking into the context. Wrong credentials are refused,
// not taken for none.
func (h *Handler) identify(r *http.Request) (context.Context, error) {
	user, password, ok := r.BasicAuth()
	if !ok || h.Accounts == nil {
		return r.Context(), nil
	}
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		peer = r.RemoteAddr
	}
	id, err := h.Accounts.Basic(r.Context(), user, password, peer)
	if err != nil {
		return nil, err
	}
	return auth.With(r.Context(), id), nil
}

// fail writes the reason as text/plain: the go command shows it to its user.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if canceled(err) && r.Context().Err() != nil {
		return // nobody listens
	}
	p := mirror.AsProblem(err)
	status := statusOf(p)
	if errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusServiceUnavailable
	}
	if status == http.StatusInternalServerError && h.Log != nil {
		h.Log.ErrorContext(r.Context(), "serve module", "url", r.URL.Path, "err", err)
	}
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="gitmirror", charset="UTF-8"`)
	case http.StatusServiceUnavailable, http.StatusBadGateway:
		w.Header().Set("Retry-After", "10")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprint(w, errorText(p))
	}
}
