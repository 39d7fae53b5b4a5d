package modproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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
	// Changes counts changes of the Catalog's by this process: while it is the
	// same, where a module is is looked up once in a second. nil = for each request.
	Changes func() uint64
	// SumDB is the checksum database below Root + "sumdb/"; nil = none.
	SumDB *SumDB
	// Proxies are asked for what is not mirrored; nil = nobody is.
	Proxies *Proxies
	// Store keeps what they sent, and zips that were made; nil = nothing is kept.
	Store *Store
	// Verify says what becomes of files of proxies that SumDB cannot vouch for;
	// empty = VerifyKnown. About modules that match NoSum, patterns as GONOSUMDB
	// has them, it is never asked.
	Verify Verify
	NoSum  string
	// Seen remembers what hash a file of a proxy had when it was first seen, of files
	// that SumDB does not vouch for; nil = nobody does.
	Seen SeenStore
	// Misses is how many questions in vain somebody may cost the Proxies and SumDB at
	// once, and then one a second; zero = any number.
	Misses int
	// Ahead has files fetched that clients are about to ask for, while Proxies are
	// far away and Run runs.
	Ahead bool
	// Rules are those of the administrator; nil = there are none.
	Rules *RuleBook
	// OnEvent is told of refusals; may be nil.
	OnEvent func(mirror.ModuleEvent)
	// OnReply is told of every file that is served: "list", "latest", "info", "mod"
	// or "zip", and how it was come by: "git", "hit", "miss" or "stale"; may be nil.
	OnReply func(file, from string)
	// Usage counts what is served, refused and needed; nil = nothing is counted.
	Usage *Usage
	// Served are the figures that @stats tells; nil = there are none.
	Served ServedStore
	// Pins are what is never dropped; nil = what rules pin.
	Pins *Pins
	Log  *slog.Logger

	zips    flights
	warming warmings
	once    sync.Once
	proxied *proxyState
}

// What caches may do with an answer: a version never changes, the rest does.
const (
	foreverSeconds = 365 * 24 * 60 * 60
	briefSeconds   = 60
)

// Tell stores what was served and refused until now; Run does so every ten
// seconds.
func (h *Handler) Tell(ctx context.Context) error { return h.Usage.Tell(ctx) }

// Run measures the proxies and keeps the rules up to date until ctx ends, and
// then ends the transfers that go on.
func (h *Handler) Run(ctx context.Context) error {
	defer h.state().fills.close()
	run, ctx := errgroup.WithContext(ctx)
	if h.Ahead {
		h.state().ahead.start(ctx)
		defer h.state().ahead.stop()
	}
	if h.Proxies != nil {
		run.Go(func() error { return h.Proxies.Run(ctx) })
	}
	if h.Rules != nil {
		run.Go(func() error { return h.Rules.Run(ctx) })
	}
	if h.Usage != nil {
		run.Go(func() error { return h.Usage.Run(ctx) })
	}
	if h.Pins != nil {
		run.Go(func() error { return h.Pins.Run(ctx) })
	}
	run.Go(func() error { return h.runWarmings(ctx) })
	if h.Seen != nil && h.Store != nil {
		run.Go(func() error { return h.hashUnhashed(ctx) })
	}
	return run.Wait()
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.serveHot(w, r) {
		return
	}
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
	ctx = context.WithValue(ctx, askerKey{}, asker(ctx, r.RemoteAddr))
	id := auth.From(ctx)
	if err := h.Policy.May(id, auth.Read, false); err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(r.URL.Path, Root)
	if !ok {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "not below " + Root}
	}
	if rest == "healthz" { // where people look for it who know other proxies
		return serveBytes(w, r, "text/plain; charset=utf-8", []byte("ok\n"), "no-store")
	}
	if rest == "@stats" {
		return h.serveStats(ctx, w, r)
	}
	if question, ok := strings.CutPrefix(rest, "sumdb/"); ok && h.SumDB != nil {
		return h.serveSum(ctx, w, r, question)
	}
	q, err := parseQuestion(rest)
	if err != nil {
		return err
	}
	return h.answer(ctx, w, r, q)
}

func cacheControl(public bool, seconds int) string {
	s := "max-age=" + strconv.Itoa(seconds)
	if seconds == foreverSeconds {
		s += ", immutable"
	}
	if public {
		return "public, " + s
	}
	return "private, " + s
}

func serveBytes(w http.ResponseWriter, r *http.Request, contentType string, body []byte, cache string) error {
	sum := sha256.Sum256(body)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// identify puts who is asking into the context. Wrong credentials are refused,
// not taken for none.
func (h *Handler) identify(r *http.Request) (context.Context, error) {
	user, password, ok := r.BasicAuth()
	if scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " "); found && strings.EqualFold(scheme, "Bearer") {
		user, password, ok = "token", strings.TrimSpace(token), true // GOAUTH can send it so
	}
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
		w.Header().Set("Retry-After", itoa(max(10, int64(time.Until(p.RetryAfter).Seconds()))))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprint(w, errorText(p))
	}
}
