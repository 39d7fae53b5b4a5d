package web

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// startPage makes somebody's settings. Everything on it is chosen by its address,
// so that each choice is a link.
type startPage struct {
	page
	Kinds []startGroup
	Modes []link
	Kind  startKind
	Mode  string // of rewrite: "goproxy" or "replace"
	Plain bool   // http: tokens travel in clear

	Token     string // shown this once; empty = none was just made
	TokenName string
	Life      string // choice of tokenLife
	Netrc     []startStep
	Secret    *startStep // of a CI system
	KeyText   string
	Key       *auth.Key // was just added
	SSHConfig *startStep
	HostKey   *startStep

	Settings []startStep
	// Problem is why there are no settings.
	Problem *mirror.Problem
	Tests   []startStep
	Undo    []startStep
	Project []startStep

	Seen seenView

	// What was typed into the form that failed, and why.
	Form  string // "key" or "token"
	Wrong *mirror.Problem
}

// startStep is something to copy, with what to say about it.
type startStep struct {
	ID    string // of the text, on the page
	Title string
	Text  string
	Hint  string
}

type startGroup struct {
	Name  string
	Links []link
}

// startChoice is what the address says.
type startChoice struct {
	Kind, Mode, Token, Key string
}

func choiceOf(query func(string) string) startChoice {
	return startChoice{query("for"), query("mode"), query("token"), query("key")}
}

// url is the page of the choice.
func (s startChoice) url() string {
	q := url.Values{"for": {s.Kind}, "mode": {s.Mode}}
	for name, value := range map[string]string{"token": s.Token, "key": s.Key} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return "/start?" + q.Encode()
}

func (c *console) start(g *gin.Context) error {
	return c.renderStart(g, http.StatusOK, choiceOf(g.Query), startPage{})
}

// renderStart shows the page; data holds the new secret, or what is wrong.
func (c *console) renderStart(g *gin.Context, status int, at startChoice, data startPage) error {
	var err error
	if data.page, err = c.page(g, "Set up my machine", "/start"); err != nil {
		return err
	}
	ctx, w := g.Request.Context(), c.words(g)
	data.Narrow = true
	data.Kind = w.startKind(at.Kind)
	at.Kind = data.Kind.Name
	if at.Mode != "replace" {
		at.Mode = "goproxy"
	}
	data.Mode = at.Mode
	data.Kinds, data.Modes = w.startLinks(at)
	data.Plain = originScheme(c.Site.URL) != "https"
	if data.Life == "" {
		data.Life = data.Kind.Life
	}
	if data.TokenName == "" {
		data.TokenName = w.tokenName(data.Kind, g.Request.UserAgent())
	}
	if data.Seen, err = c.seen(ctx, at); err != nil {
		return err
	}
	if at.Key != "" {
		if data.Key, err = c.ownKey(g, at.Key); err != nil {
			return err
		}
	}
	if err := c.fillStart(ctx, w, &data); err != nil {
		return err
	}
	return c.render(g, status, "start", data)
}

// startToken answers with the page itself, not a redirect, as createToken does.
func (c *console) startToken(g *gin.Context) error {
	at := choiceOf(g.PostForm)
	data := startPage{Form: "token", TokenName: g.PostForm("name"), Life: g.PostForm("expires")}
	t, secret, err := c.Accounts.CreateToken(g.Request.Context(), c.identity(g).User, data.TokenName, auth.ScopeRead, tokenLife(data.Life))
	if err != nil {
		return c.startAgain(g, err, at, data)
	}
	data.Token, data.TokenName, at.Token = secret, t.Name, t.ID
	return c.renderStart(g, http.StatusCreated, at, data)
}

func (c *console) startKey(g *gin.Context) error {
	at := choiceOf(g.PostForm)
	key, err := c.Accounts.AddKey(g.Request.Context(), c.identity(g).User, "", g.PostForm("key"))
	if err != nil { // what was pasted may be a private key: it is not sent back
		return c.startAgain(g, err, at, startPage{Form: "key"})
	}
	at.Key = key.ID
	g.Redirect(http.StatusSeeOther, at.url()+"#ssh")
	return nil
}

func (c *console) startAgain(g *gin.Context, err error, at startChoice, data startPage) error {
	if data.Wrong, err = told(err); err != nil {
		return err
	}
	return c.renderStart(g, newProblem(g.Request.Context(), data.Wrong).Status, at, data)
}

// ownKey is a key of the caller; nil when it is somebody else's, or gone.
func (c *console) ownKey(g *gin.Context, id string) (*auth.Key, error) {
	keys, err := c.Accounts.Keys(g.Request.Context(), c.identity(g).User)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.ID == id {
			return &k, nil
		}
	}
	return nil, nil
}

// fillStart writes what the page has for the choice.
func (c *console) fillStart(ctx context.Context, w *words, data *startPage) error {
	token := data.Token
	if token == "" {
		token = "YOUR_TOKEN"
	}
	data.Netrc, data.Secret = w.signInSteps(c.Site, data.Kind, data.Name, token)
	data.SSHConfig, data.HostKey = w.sshSteps(c.Site, c.HostKey, data.Key)
	var err error
	if data.Settings, err = c.settingSteps(w, data.Kind, data.Mode); err != nil {
		if data.Problem, err = told(err); err != nil {
			return err
		}
	}
	example, err := c.startExample(ctx)
	if err != nil {
		return err
	}
	data.Tests = w.testSteps(c.Site, data.Kind, example)
	data.Project = w.projectSteps(c.Site, data.Kind, data.Mode, example)
	data.Undo = w.undoSteps(c.Site, data.Kind, data.Mode)
	return nil
}

// startExample is what of this server the lines name, so that they really work.
type startExample struct {
	Path   mirror.Path // one that wants a sign-in where there is one: it proves more
	Module string      // empty = none is known
}

func (c *console) startExample(ctx context.Context) (startExample, error) {
	ready, err := c.Store.Repos(ctx, mirror.RepoQuery{Status: mirror.Ready, Limit: 100})
	if err != nil || len(ready) == 0 {
		return startExample{Path: "github.com/spf13/cobra"}, err
	}
	out := startExample{Path: ready[0].Path}
	for _, r := range ready {
		if r.Private {
			out.Path = r.Path
			break
		}
	}
	for _, r := range ready {
		if r.Path == out.Path {
			out.Module = c.moduleOf(ctx, r)
		}
	}
	return out, nil
}

// declared is the line of a go.mod that says what module it is. The path gets into
// a line for a shell: others than these characters are not wanted.
var declared = regexp.MustCompile(`(?m)^module[ \t]+([A-Za-z0-9._~/-]+)[ \t]*\r?$`)

// moduleOf is the module at the root of a mirror whose path leads there; empty
// when there is none, or it cannot be read now: it is an example only.
func (c *console) moduleOf(ctx context.Context, r mirror.Repo) string {
	listing, err := c.Reader.Refs(ctx, r.ID)
	if err != nil {
		return ""
	}
	head, ok := listing.Ref(listing.Head)
	if !ok {
		return ""
	}
	tree, err := c.Reader.Tree(ctx, r.ID, head.Commit())
	if err != nil {
		return ""
	}
	f, err := tree.Open("go.mod")
	if errors.Is(err, fs.ErrNotExist) { // the go command makes one up
		if code, err := fs.Glob(tree, "*.go"); err == nil && len(code) > 0 {
			return string(r.Path)
		}
	}
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	found := declared.FindSubmatch(text)
	if err != nil || found == nil {
		return ""
	}
	if path := string(found[1]); path == string(r.Path) || strings.HasPrefix(path, string(r.Path)+"/v") {
		return path
	}
	return ""
}

// settingSteps are the lines of "gitmirror env" for the kind.
func (c *console) settingSteps(w *words, kind startKind, mode string) ([]startStep, error) {
	if c.SetUp == nil {
		return []startStep{{ID: "env", Text: "gitmirror env --mode " + mode + " --format " + kind.Formats[0]}}, nil
	}
	var steps []startStep
	for _, format := range kind.Formats {
		text, err := c.SetUp(mode, format)
		if err != nil {
			return nil, err
		}
		step := w.formatStep(kind, format)
		step.ID, step.Text = "env-"+format, strings.TrimSuffix(text, "\n")
		steps = append(steps, step)
	}
	return steps, nil
}

// startSeen is the part of the page that says who was here; it asks for itself
// again until everything that is waited for was seen.
func (c *console) startSeen(g *gin.Context) error {
	at := choiceOf(g.Query)
	if g.GetHeader("HX-Request") == "" {
		g.Redirect(http.StatusSeeOther, at.url()+"#seen")
		return nil
	}
	data, err := c.seen(g.Request.Context(), at)
	if err != nil {
		return err
	}
	out, err := c.execute(c.words(g), "start", "seen", data)
	if err != nil {
		return err
	}
	g.Data(http.StatusOK, "text/html; charset=utf-8", out)
	return nil
}
