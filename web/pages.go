package web

import (
	"net/http"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/language"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// console is the part of the server that people see: pages made of templates.
type console struct {
	*Server
	tongues   []*words // the first where no other is wanted
	matcher   language.Matcher
	templates sync.Map // templateKey → func() (*template.Template, error)
}

// pageRoutes mounts the console and sets errorPage.
func (s *Server) pageRoutes(r *gin.Engine) error {
	c, err := newConsole(s)
	if err != nil {
		return err
	}
	s.errorPage = c.errorPage
	do := c.do

	files := r.Group("/static")
	files.GET("/*file", do(c.static))
	files.HEAD("/*file", do(c.static))

	open := r.Group("/", s.bySession)
	open.GET("/login", do(c.loginForm))
	open.POST("/login", do(c.login))
	open.GET("/login/code", do(c.codeForm))
	open.POST("/login/code", do(c.enterCode))
	open.GET("/login/oidc", do(c.beginOIDC))
	open.GET("/login/oidc/callback", do(c.oidcAnswer))
	open.POST("/logout", do(c.logout))
	open.POST("/look", do(c.setLook))

	own := r.Group("/", s.bySession, c.known)
	own.GET("/account/second-factor", do(c.factor))
	own.POST("/account/second-factor", do(c.beginFactor))
	own.POST("/account/second-factor/confirm", do(c.confirmFactor))
	own.POST("/account/second-factor/remove", do(c.dropFactor))

	read := r.Group("/", s.bySession, c.allow(auth.Read))
	read.GET("/", do(c.overview))
	read.GET("/mirrors", do(c.mirrors))
	read.GET("/mirrors/live", do(c.mirrorsLive))
	read.GET("/mirrors/open", do(c.openMirror))
	read.GET("/mirrors/:id", do(c.mirror))
	read.GET("/mirrors/:id/live", do(c.mirrorLive))
	read.GET("/mirrors/:id/refs", do(c.refs))
	read.GET("/mirrors/:id/compare", do(c.compareRefs))
	read.GET("/mirrors/:id/modules", do(c.serves))
	read.GET("/mirrors/:id/runs/:run", do(c.run))
	read.GET("/mirrors/:id/runs/:run/live", do(c.runLive))
	read.GET("/approvals", do(c.approvals))
	read.GET("/upstreams", do(c.upstreams))
	read.GET("/upstreams/:host", do(c.upstreamPage))
	read.GET("/modules", do(c.modules))
	read.GET("/modules/test", do(c.moduleTest))
	read.GET("/modules/of/*module", do(c.module))
	read.GET("/traffic", do(c.traffic))
	read.GET("/start", do(c.start))
	read.GET("/start/seen", do(c.startSeen))
	read.POST("/start/token", do(c.startToken))
	read.POST("/start/key", do(c.startKey))
	read.GET("/account", do(c.account))
	read.POST("/account/password", do(c.changePassword))
	read.POST("/account/keys", do(c.addKey))
	read.POST("/account/keys/:key/remove", do(c.removeKey))
	read.POST("/account/tokens", do(c.createToken))
	read.POST("/account/tokens/:token/remove", do(c.removeToken))
	read.GET("/account/oidc", do(c.linkOIDC))
	read.POST("/account/sessions/remove", do(c.endSessions))
	read.POST("/account/sessions/:session/remove", do(c.endSession))

	sync := r.Group("/", s.bySession, c.allow(auth.Sync))
	sync.POST("/mirrors/:id/sync", do(c.syncMirror))
	sync.POST("/mirrors/bulk/sync", do(c.bulkSync))
	sync.POST("/modules/warm", do(c.warm))
	sync.POST("/modules/warm/cancel", do(c.cancelWarm))

	manage := r.Group("/", s.bySession, c.allow(auth.Manage), s.whileRoom)
	manage.GET("/mirrors/new", do(c.newForm))
	manage.POST("/mirrors/new", do(c.addMirrors))
	manage.GET("/mirrors/new/owner", do(c.ownerForm))
	manage.POST("/mirrors/new/owner", do(c.addOwner))
	manage.POST("/mirrors/bulk", do(c.bulkEdit))
	manage.POST("/mirrors/bulk/remove", do(c.bulkRemove))
	manage.GET("/mirrors/:id/edit", do(c.editForm))
	manage.POST("/mirrors/:id/edit", do(c.edit))
	manage.POST("/mirrors/:id/pause", do(c.pause))
	manage.POST("/mirrors/:id/cancel", do(c.cancelSync))
	manage.POST("/mirrors/:id/resume", do(c.resume))
	manage.POST("/mirrors/:id/archive", do(c.archive))
	manage.POST("/mirrors/:id/check", do(c.checkMirror))
	manage.POST("/mirrors/:id/repair", do(c.repairMirror))
	manage.GET("/mirrors/:id/rename", do(c.renameForm))
	manage.POST("/mirrors/:id/rename", do(c.rename))
	manage.GET("/mirrors/:id/remove", do(c.removeForm))
	manage.POST("/mirrors/:id/remove", do(c.remove))
	manage.POST("/mirrors/:id/restore", do(c.restore))
	manage.POST("/approvals/:approval", do(c.decide))
	manage.POST("/upstreams/:host/probe", do(c.probeUpstream))
	manage.POST("/upstreams/:host/use", do(c.useUpstream))
	manage.POST("/upstreams/:host/up", do(c.raiseEndpoint))
	manage.GET("/upstreams/:host/edit", do(c.upstreamForm))
	manage.POST("/upstreams/:host/edit", do(c.editUpstream))
	manage.GET("/modules/rules", do(c.moduleRules))
	manage.POST("/modules/rules", do(c.addModuleRule))
	manage.POST("/modules/rules/remove", do(c.removeModuleRule))
	manage.POST("/modules/trim", do(c.trimModules))
	manage.POST("/modules/pin", do(c.pinModule))
	manage.POST("/modules/unpin", do(c.unpinModule))
	manage.POST("/modules/refusals/:refusal/seen", do(c.seeRefusal))
	manage.GET("/rules", do(c.rules))
	manage.POST("/rules", do(c.addRule))
	manage.POST("/rules/remove", do(c.removeRule))
	manage.POST("/rules/aliases", do(c.addAlias))
	manage.POST("/rules/aliases/remove", do(c.removeAlias))
	manage.POST("/rules/credentials", do(c.addCredential))
	manage.POST("/rules/credentials/remove", do(c.removeCredential))

	admin := r.Group("/", s.bySession, c.allow(auth.Administer), s.whileRoom)
	admin.GET("/users", do(c.users))
	admin.POST("/users", do(c.addUser))
	admin.POST("/users/:user/role", do(c.setRole))
	admin.POST("/users/:user/password", do(c.resetPassword))
	admin.POST("/users/:user/tokens", do(c.createUserToken))
	admin.POST("/users/:user/disable", do(c.disableUser))
	admin.POST("/users/:user/enable", do(c.enableUser))
	admin.POST("/users/:user/remove", do(c.removeUser))
	admin.GET("/alerts", do(c.alerts))
	admin.POST("/alerts/rules", do(c.saveAlertRuleForm))
	admin.POST("/alerts/rules/remove", do(c.removeAlertRuleForm))
	admin.POST("/alerts/channels", do(c.saveAlertChannelForm))
	admin.POST("/alerts/channels/remove", do(c.removeAlertChannelForm))
	admin.POST("/alerts/channels/test", do(c.testAlertChannelForm))
	admin.POST("/users/:user/second-factor/remove", do(c.resetFactor))
	admin.GET("/access", do(c.access))
	admin.POST("/access/groups", do(c.addGroup))
	admin.POST("/access/groups/:group/remove", do(c.removeGroup))
	admin.POST("/access/groups/:group/members", do(c.addMember))
	admin.POST("/access/groups/:group/members/remove", do(c.removeMember))
	admin.POST("/access/groups/:group/grants", do(c.addGrant))
	admin.POST("/access/groups/:group/grants/remove", do(c.removeGrant))
	admin.POST("/access/trusts", do(c.addTrust))
	admin.POST("/access/trusts/:trust/remove", do(c.removeTrust))
	admin.GET("/audit", do(c.audit))
	admin.GET("/audit/export", do(c.exportAudit))
	admin.GET("/system", do(c.system))
	return nil
}

func newConsole(s *Server) (*console, error) {
	c := &console{Server: s}
	var err error
	if c.tongues, err = loadWords(); err != nil {
		return nil, err
	}
	var tags []language.Tag
	for _, w := range c.tongues {
		tags = append(tags, w.Tag)
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

// do makes a handler of a function that may fail.
func (c *console) do(page func(*gin.Context) error) gin.HandlerFunc {
	return func(g *gin.Context) {
		if err := page(g); err != nil {
			c.fail(g, err)
		}
	}
}

// allow lets only callers through who may do a. It runs before anything is
// looked up, so that a refusal tells nothing about what exists.
func (c *console) allow(a auth.Action) gin.HandlerFunc {
	return func(g *gin.Context) {
		if c.identity(g).Enrol && wantsPage(g.Request) {
			g.Redirect(http.StatusSeeOther, "/account/second-factor")
			g.Abort()
			return
		}
		if err := c.may(g, a, true); err != nil {
			c.fail(g, err)
		}
	}
}

// page is what every page has: the frame around its own struct.
type page struct {
	Title   string
	Narrow  bool // a page to read and fill in, not to scan
	Version string
	Notices []Flash
	Theme   string // "light" or "dark"; empty = the browser decides
	Address string // of this page, to come back to

	SignedIn  bool
	Name      string // of the user
	Nav       []link
	Health    health
	MayManage bool
	MaySync   bool
}

// link is an element of a menu.
type link struct {
	Name  string
	URL   string
	Here  bool
	Count int // of what waits there
}

// health is the pill in the head: the state of all mirrors in a few words.
type health struct {
	Words string
	Look  string // as stateView.Look
	URL   string
	Swap  bool // it replaces the pill of a page that is open
}

// page makes the frame. The title is a text of the catalogue, or a name; here is
// the URL of the menu entry it belongs to.
func (c *console) page(g *gin.Context, title, here string) (page, error) {
	who, w := c.identity(g), c.words(g)
	p := page{
		Title: w.t(title), Version: c.Version, Notices: c.flashes(g), Theme: theme(g.Request), Address: address(g.Request),
		SignedIn: !who.Anonymous(), Name: who.Name,
		MayManage: c.may(g, auth.Manage, true) == nil, MaySync: c.may(g, auth.Sync, true) == nil,
	}
	if !p.SignedIn {
		return p, nil
	}
	add := func(name, url string) { p.Nav = append(p.Nav, link{Name: name, URL: url, Here: url == here}) }
	add(w.t("Overview"), "/")
	add(w.t("Mirrors"), "/mirrors")
	add(w.t("Approvals"), "/approvals")
	held, err := c.Store.CountHolds(g.Request.Context(), "")
	if err != nil {
		return p, err
	}
	p.Nav[len(p.Nav)-1].Count = held
	add(w.t("Upstreams"), "/upstreams")
	add(w.t("Modules"), "/modules")
	if p.MayManage {
		if p.Nav[len(p.Nav)-1].Count, err = c.Store.CountForged(g.Request.Context()); err != nil {
			return p, err
		}
	}
	add(w.t("Traffic"), "/traffic")
	add(w.t("Set up"), "/start")
	if p.MayManage {
		add(w.t("Rules"), "/rules")
	}
	if c.may(g, auth.Administer, true) == nil {
		add(w.t("Users"), "/users")
		add(w.t("Alerts"), "/alerts")
		add(w.t("Access"), "/access")
		add(w.t("Audit"), "/audit")
		add(w.t("System"), "/system")
	}
	counts, err := c.allCounts(g)
	p.Health = w.viewHealth(counts)
	return p, err
}

// allCounts is how many mirrors there are in each state; a page asks once, however
// many of its parts show it.
func (c *console) allCounts(g *gin.Context) (map[mirror.Status]int, error) {
	const key = "counts"
	if known, ok := g.Get(key); ok {
		return known.(map[mirror.Status]int), nil
	}
	counts, err := c.Store.CountRepos(g.Request.Context(), mirror.RepoQuery{})
	if err == nil {
		g.Set(key, counts)
	}
	return counts, err
}

func (w *words) viewHealth(counts map[mirror.Status]int) health {
	all := 0
	for _, n := range counts {
		all += n
	}
	first := counts[mirror.Queued] + counts[mirror.Cloning]
	switch {
	case all == 0:
		return health{Words: w.t("No mirrors yet"), Look: "wait", URL: "/mirrors"}
	case counts[mirror.Failed] > 0:
		return health{Words: w.n("{1} need attention", counts[mirror.Failed]), Look: "bad", URL: "/mirrors?status=failed"}
	case counts[mirror.Retrying] > 0:
		return health{Words: w.t("{1} retrying", counts[mirror.Retrying]), Look: "warn", URL: "/mirrors?status=retrying"}
	case first > 0:
		return health{Words: w.t("{1} of {2} ready", all-first, all), Look: "busy", URL: "/mirrors"}
	}
	return health{Words: w.t("All mirrors healthy"), Look: "good", URL: "/mirrors"}
}

// then ends a form: with the error, or a message on the page it leads to. The
// message is a text of the catalogue; args are its particulars.
func (c *console) then(g *gin.Context, err error, message, to string, args ...any) error {
	if err != nil {
		return err
	}
	c.flash(g, "done", c.words(g).t(message, args...))
	g.Redirect(http.StatusSeeOther, to)
	return nil
}

// orTell is then for forms that are one button: what went wrong is told on the
// page the button is on.
func (c *console) orTell(g *gin.Context, err error, message, to string, args ...any) error {
	if err == nil {
		return c.then(g, nil, message, to, args...)
	}
	auth.NoteProblem(g.Request.Context(), err)
	p := newProblem(g.Request.Context(), err)
	if p.Status == http.StatusNotFound || p.Status >= http.StatusInternalServerError {
		return err
	}
	w := c.words(g)
	text := ""
	for _, part := range []string{p.Title, p.Detail, p.Action} {
		if part != "" {
			text += w.t("{1}. ", sentence(w.say(part)))
		}
	}
	c.flash(g, "problem", strings.TrimSpace(text))
	g.Redirect(http.StatusSeeOther, to)
	return nil
}

// told returns the problem when it is one the person at a form can mend, and
// the error when it is not.
func told(err error) (*mirror.Problem, error) {
	if err == nil {
		return nil, nil
	}
	p := mirror.AsProblem(err)
	if p.Kind == "" {
		return nil, err
	}
	return p, nil
}
