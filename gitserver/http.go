package gitserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// HTTP serves every path whose first element is a host name: smart HTTP for
// git, go-import pages for the go command, and for a browser the way to the
// console's page.
//
// Whoever is anonymous gets the same 401 for what is private and for what is
// not mirrored. Not 404: git and the go command keep credentials from .netrc
// and credential helpers to themselves until a 401 asks for them, so a 404
// would lock their owners out of private mirrors; and two different answers
// would tell strangers what exists. Whoever is signed in gets the same 404 for
// both, with a sentence that helps.
type HTTP struct {
	Catalog  Catalog
	Packs    Packs
	Accounts *auth.Accounts
	Policy   auth.Policy
	Site     mirror.Site
	Log      *slog.Logger // nil = discard
	// ModProxy offers the module protocol at <Site.URL>/proxy to the go command,
	// where the site's address allows discovery.
	ModProxy bool
	// Gate bounds the packs made at once; nil = one of its own.
	Gate *Gate
	// Peer is the address a request really comes from; nil = r.RemoteAddr. Set
	// it where trusted proxies stand in front.
	Peer func(r *http.Request) string
	// Idle ends an answer whose client takes nothing for so long; zero = 5 min.
	Idle time.Duration
	// Wait bounds how long a client that cannot be told how a first clone goes
	// waits for it; zero = 5 min.
	Wait time.Duration
	// OnRequest, if set, hears of every request.
	OnRequest Observer
	// Traffic counts what is served as it goes; nil = it is not counted.
	Traffic *mirror.Traffic
	// Front speaks protocol v2; nil = one of its own, with Packs, Gate and Log.
	Front *Front

	once sync.Once
}

func (h *HTTP) init() {
	h.once.Do(func() {
		if h.Log == nil {
			h.Log = slog.New(slog.DiscardHandler)
		}
		if h.Gate == nil {
			h.Gate = &Gate{}
		}
		if h.Idle <= 0 {
			h.Idle = 5 * time.Minute
		}
		if h.Wait <= 0 {
			h.Wait = defaultWait
		}
		if h.Front == nil {
			h.Front = &Front{Packs: h.Packs, Gate: h.Gate, Log: h.Log}
		}
		h.Front.init()
	})
}

// ServeHTTP routes by the path alone. What a query says about the service
// never widens what the path was authorised for (Gogs CVE-2026-52810).
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.init()
	out := &answer{ResponseWriter: w, idle: h.Idle, flow: h.Traffic.Begin("http")}
	command, err := h.route(out, r)
	if err != nil {
		h.fail(out, r, err)
	}
	served := out.flow.End(command, statusOf(err))
	if h.OnRequest != nil {
		h.OnRequest(served)
	}
	if errors.Is(err, errBroken) {
		panic(http.ErrAbortHandler) // the end of the connection is all that is left to say it with
	}
}

func (h *HTTP) route(w *answer, r *http.Request) (command string, err error) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	// No path we serve needs escaping: an escape is there to be read in two ways.
	if strings.Contains(r.URL.EscapedPath(), "%") {
		return "invalid", errPath()
	}
	if repo, ok := strings.CutSuffix(path, "/git-receive-pack"); ok {
		return "receive-pack", h.receivePack(repo)
	}
	if repo, ok := strings.CutSuffix(path, "/git-upload-pack"); ok {
		return h.uploadPack(w, r, repo)
	}
	if repo, ok := strings.CutSuffix(path, "/info/refs"); ok {
		return h.infoRefs(w, r, repo)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "invalid", errMethod("GET")
	}
	switch {
	case r.URL.Query().Get("go-get") == "1":
		return "go-get", h.importPage(w, r, path)
	case strings.Contains(r.Header.Get("Accept"), "text/html"):
		http.Redirect(w, r, "/mirrors/open?path="+url.QueryEscape(path), http.StatusFound)
		return "page", nil
	}
	return "unknown", &mirror.Problem{
		Code: mirror.CodeGitRequest, Kind: mirror.ErrNotFound, What: "there is nothing to read at this URL",
		Why: "git repositories are served by the smart HTTP protocol only", Do: "use git 1.6.6 or newer, or open it in a browser",
	}
}

func (h *HTTP) receivePack(repo string) error {
	if _, err := mirror.ParsePath(repo); err != nil {
		return err
	}
	return errReadOnly()
}

// find authorises reading the repository at a path, and finds it. It may not be
// cloned yet.
func (h *HTTP) find(r *http.Request, text string) (mirror.Repo, auth.Identity, error) {
	path, err := mirror.ParsePath(text)
	if err != nil {
		return mirror.Repo{}, auth.Identity{}, err
	}
	id, err := h.identify(r)
	if err != nil {
		return mirror.Repo{}, id, err
	}
	if err := h.Policy.May(id, auth.Read, false); err != nil {
		return mirror.Repo{}, id, hide(id, string(path), err)
	}
	repo, err := h.Catalog.Admit(auth.With(r.Context(), id), path)
	if err == nil {
		err = h.Policy.Reads(r.Context(), id, repo.Path, repo.Private)
	}
	if err != nil {
		return mirror.Repo{}, id, hide(id, string(path), err)
	}
	return repo, id, nil
}

// hide makes what one may not see look like what is not there.
func hide(id auth.Identity, path string, err error) error {
	missing := errors.Is(err, mirror.ErrNotFound) || errors.Is(err, mirror.ErrDenied) || errors.Is(err, mirror.ErrSignIn)
	switch {
	case !missing:
		return err
	case id.Anonymous():
		return &mirror.Problem{
			Code: mirror.CodeSignIn, Kind: mirror.ErrSignIn, What: path + " is not mirrored here, or needs a sign-in to be read",
			Do: "send a token as the password, for example from ~/.netrc; see what is mirrored in the console",
		}
	}
	return mirror.NotMirrored(path)
}

// identify returns who is asking by the Authorization header, and by nothing
// else: tokens in URLs end up in logs, cookies belong to browsers.
func (h *HTTP) identify(r *http.Request) (auth.Identity, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return auth.Identity{}, nil
	}
	if scheme, token, ok := strings.Cut(values[0], " "); ok && strings.EqualFold(scheme, "Bearer") && len(values) == 1 {
		return h.Accounts.TokenFrom(r.Context(), strings.TrimSpace(token), h.peer(r))
	}
	if user, password, ok := r.BasicAuth(); ok && len(values) == 1 {
		return h.Accounts.Basic(r.Context(), user, password, h.peer(r))
	}
	return auth.Identity{}, &mirror.Problem{
		Code: mirror.CodeCredentials, Kind: mirror.ErrSignIn, What: "the Authorization header is not understood",
		Do: "use basic authentication with a token as the password, or a bearer token",
	}
}

func (h *HTTP) peer(r *http.Request) string {
	if h.Peer != nil {
		return h.Peer(r)
	}
	return r.RemoteAddr
}

// principal is whose share of the Gate a request takes.
func principal(id auth.Identity, peer string) string {
	if !id.Anonymous() {
		return "user " + id.User
	}
	return "peer " + peerNet(peer)
}

// peerNet is an IPv4 address, or the /64 an IPv6 address is from.
func peerNet(peer string) string {
	host, _, err := net.SplitHostPort(peer)
	if err != nil {
		host = peer
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr.String()
	}
	p, _ := addr.Prefix(64) // 64 bits always fit IPv6
	return p.String()
}

// fail answers with an error, if nothing was answered yet.
func (h *HTTP) fail(w *answer, r *http.Request, err error) {
	if r.Context().Err() != nil || errors.Is(err, context.Canceled) {
		return // nobody listens
	}
	status := statusCode(err)
	if status == http.StatusInternalServerError {
		h.Log.Error("git request failed", "path", r.URL.Path, "addr", h.peer(r), "err", err)
	}
	if w.begun() {
		return
	}
	head := w.Header()
	switch status {
	case http.StatusUnauthorized:
		head.Set("WWW-Authenticate", `Basic realm="gitmirror"`)
	case http.StatusServiceUnavailable:
		head.Set("Retry-After", "10")
	case http.StatusTooManyRequests:
		head.Set("Retry-After", "60")
	case http.StatusMethodNotAllowed:
		head.Set("Allow", mirror.AsProblem(err).Do)
	}
	noCache(head)
	head.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		io.WriteString(w, sentence(mirror.AsProblem(err)))
	}
}

// statusCode is the one table from error to HTTP status.
func statusCode(err error) int {
	p := mirror.AsProblem(err)
	var refused *requestError
	switch {
	case errors.As(err, &refused):
		return refused.status
	case p.Code == mirror.CodePush:
		return http.StatusForbidden
	case p.Code == mirror.CodeTooMany:
		return http.StatusTooManyRequests
	case errors.Is(err, mirror.ErrNotFound), errors.Is(err, mirror.ErrDenied), p.Code == mirror.CodeBadPath:
		return http.StatusNotFound
	case errors.Is(err, mirror.ErrSignIn):
		return http.StatusUnauthorized
	case errors.Is(err, mirror.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, mirror.ErrBusy), errors.Is(err, mirror.ErrUpstream), errors.Is(err, mirror.ErrHeld), errors.Is(err, mirror.ErrIntegrity):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// requestError is a refusal with a status of its own.
type requestError struct {
	status  int
	problem *mirror.Problem
}

func (e *requestError) Error() string { return e.problem.Error() }
func (e *requestError) Unwrap() error { return e.problem }

func refuse(status int, what, why, do string) error {
	return &requestError{status, &mirror.Problem{Code: mirror.CodeGitRequest, Kind: mirror.ErrInvalid, What: what, Why: why, Do: do}}
}

func errMethod(allowed string) error {
	return refuse(http.StatusMethodNotAllowed, "this URL answers only to "+allowed, "", allowed)
}

func errPath() error {
	return &mirror.Problem{
		Code: mirror.CodeBadPath, Kind: mirror.ErrInvalid, What: "this is not a repository path", Why: "it holds an escaped character",
		Do: "write it as host/owner/name, for example github.com/spf13/cobra",
	}
}

// noCache keeps git's answers out of every cache, as git http-backend does.
func noCache(head http.Header) {
	head.Set("Expires", "Fri, 01 Jan 1980 00:00:00 GMT")
	head.Set("Pragma", "no-cache")
	head.Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
	head.Set("X-Content-Type-Options", "nosniff")
}
