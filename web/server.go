package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Server is the console and the JSON API. All fields but Traffic, Packs, Headroom,
// SetUp, HostKey, Comparer, ModulesIn, Settings, Answers, Rate, Alerts, Trail, Done, Beat and Log are needed.
type Server struct {
	Catalog  *mirror.Catalog
	Syncer   *mirror.Syncer
	Roads    *mirror.Roads
	Upkeep   *mirror.Upkeep
	Store    mirror.Store
	Reader   mirror.Reader
	Comparer mirror.Comparer // nil = commits are not compared
	Accounts *auth.Accounts
	OIDC     *auth.OIDC // nil = nobody signs in with a provider
	CI       *auth.CI   // nil = no CI job is trusted
	Policy   auth.Policy
	Sessions scs.Store // scs.CtxStore is used when it is one
	Modules  Modules
	// ModuleCache is what is kept of modules; nil = there are none.
	ModuleCache ModuleCache
	// ModulesIn lists the Go modules that a mirror serves; nil = nobody knows.
	ModulesIn func(ctx context.Context, repo mirror.Repo, aliases []mirror.Alias) (mirror.RepoModules, error)
	// ModulesOf reads the text of a go.mod or go.sum: the paths of the modules it
	// requires. known is false when it is neither; nil = no text is.
	ModulesOf func(text string) (paths []string, known bool, err error)
	// WishesOf reads the module versions that a go.sum, a go.mod or a list names;
	// nil = no text is read.
	WishesOf func(text string) ([]mirror.ModuleWish, error)
	Site     mirror.Site
	// SetUp writes the settings with which a machine uses the mirror, as "gitmirror
	// env --mode MODE --format FORMAT" prints them to somebody who has set nothing
	// yet; nil = nobody can.
	SetUp func(mode, format string) (string, error)
	// HostKey is what SSH clients know the server by, as known_hosts has it behind
	// the name; empty = SSH is off.
	HostKey string
	Version string
	// Traffic is what git clients take; nil = it is not counted.
	Traffic *mirror.Traffic
	// Packs is how many packs are being made for git clients, and how many clients
	// wait for their turn; nil = not known.
	Packs func() (made, queued int)
	// Headroom is the room on the disk; nil = it has no limits.
	Headroom *mirror.Headroom
	// Settings are the effective ones for the System page, secrets already masked.
	Settings []Setting
	// Answers are for requests with an Idempotency-Key; nil = keys are ignored.
	Answers *Answers
	// Rate is how many requests a second of one caller the API answers for long; ten
	// times as many may come at once. Zero = any number.
	Rate int
	// Alerts tells people what is wrong; nil = nobody is told.
	Alerts *mirror.Alerts
	// Trail is where what people do is written down; nil = nowhere.
	Trail *auth.Trail
	// Done ends the event streams when it is closed, so that a server that shuts
	// down does not wait for browsers. Nil = they end with their connections.
	Done <-chan struct{}
	// Beat is how often a quiet event stream of the API says that it is there and
	// its reader's rights are checked again; zero = 15 s.
	Beat time.Duration
	Log  *slog.Logger // nil = slog.Default()

	sessions *scs.SessionManager
	origins  *http.CrossOriginProtection
	streams  chan struct{} // one place per open event stream
	rates    *rates        // nil = no limit
	editing  *sync.Mutex   // see edits
	// operations are the ids of the API's, by "METHOD /route".
	operations map[string]string
	assets     assets
	// errorPage renders a problem for a person; pageRoutes sets it.
	errorPage func(c *gin.Context, status int, p Problem)
}

// Modules answers questions about module versions (modproxy.Repos does).
type Modules interface {
	// Resolve gives one answer per query, in the same order.
	Resolve(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error)
	ResolveGraph(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error)
}

// Setting is one effective setting and where it is from.
type Setting struct {
	Key    string
	Value  string
	Origin string // "default", "file", "environment", "flag"
}

// Handler returns everything this package serves: /api/…, /login, the console
// and /static. It does not change s, so that it can be called twice.
func (s *Server) Handler() (http.Handler, error) {
	h := *s
	if h.Log == nil {
		h.Log = slog.Default()
	}
	h.Store = sighted{h.Store, h.Policy}
	h.sessions = h.newSessions()
	h.streams, h.editing = make(chan struct{}, maxStreams), &sync.Mutex{}
	var err error
	if h.rates, err = newRates(h.Rate); err != nil {
		return nil, err
	}
	h.origins = http.NewCrossOriginProtection()
	if h.Site.URL != "" {
		// Behind a proxy that rewrites Host, Origin names the public address.
		if err := h.origins.AddTrustedOrigin(originOf(h.Site.URL)); err != nil {
			return nil, fmt.Errorf("public URL %q: %w", h.Site.URL, err)
		}
	}
	engine, err := h.engine()
	if err != nil {
		return nil, err
	}
	return h.frame(h.withSession(engine)), nil
}

func (s *Server) engine() (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode) // gin's, for the process: its debug mode prints every route to stdout
	r := gin.New()
	// gin trusts X-Forwarded-For of anybody by default; throttling and the audit
	// must see the real peer.
	if err := r.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	// "github.com%2Fspf13%2Fcobra" is one element. gin would unescape it as a
	// query, where "+" is a space, so unescape does it.
	r.UseEscapedPath = true
	r.UnescapePathValues = false
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	s.operations = map[string]string{}
	r.Use(s.logRequest, s.audited, s.recoverPanic, s.sameOrigin, s.limitBody, unescape)
	if err := s.routes(r); err != nil {
		return nil, err
	}
	return r, nil
}

// routes is the map of the site.
func (s *Server) routes(r *gin.Engine) error {
	r.NoRoute(func(c *gin.Context) {
		s.fail(c, &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is nothing at this address"})
	})
	r.NoMethod(s.noMethod)
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return err
	}
	s.apiRoutes(r)
	return s.pageRoutes(r)
}
