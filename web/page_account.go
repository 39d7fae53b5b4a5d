package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type accountPage struct {
	page
	Role        auth.Role
	Scopes      []scopeChoice
	Keys        []auth.Key
	Tokens      []tokenView
	Sessions    []sessionView
	HasPassword bool
	Provider    string // of sign-ins, to connect with; empty = there is none
	Elsewhere   []auth.External

	// Secret is a token that was just made: shown this once.
	Secret   *newSecret
	SSHLogin string // what to type to try a key; empty when SSH is off

	// What was typed into the form that failed, and why. Passwords are not sent back.
	Form      string // "key", "token" or "password"
	Wrong     *mirror.Problem
	KeyName   string
	KeyText   string
	TokenName string
}

type scopeChoice struct {
	Scope auth.Scope
	Words string
}

// scope is what a token may do, in a word.
func (w *words) scope(s auth.Scope) string {
	switch s {
	case auth.ScopeRead:
		return w.t("read")
	case auth.ScopeWrite:
		return w.t("write")
	case auth.ScopeAdmin:
		return w.t("admin")
	}
	return string(s)
}

type tokenView struct {
	auth.Token
	Over bool // expired
}

// newSecret is a token with the lines that put it to use.
type newSecret struct {
	Name   string
	Secret string
	Netrc  string
	Login  string
}

func (c *console) account(g *gin.Context) error {
	return c.renderAccount(g, http.StatusOK, accountPage{})
}

func (c *console) renderAccount(g *gin.Context, status int, data accountPage) error {
	var err error
	if data.page, err = c.page(g, "My account", "/account"); err != nil {
		return err
	}
	ctx, who, w := g.Request.Context(), c.identity(g), c.words(g)
	data.Role, data.SSHLogin = who.Role, sshCommand(c.Site)
	data.Scopes = []scopeChoice{{auth.ScopeRead, w.t("Read: clone, build, look at mirrors, ask for a sync")}}
	if data.MayManage {
		data.Scopes = append(data.Scopes,
			scopeChoice{auth.ScopeWrite, w.t("Write: and add, edit and remove mirrors")},
			scopeChoice{auth.ScopeAdmin, w.t("Admin: everything you may do")})
	}
	if data.Keys, err = c.Accounts.Keys(ctx, who.User); err != nil {
		return err
	}
	if data.Sessions, err = c.sessionsOf(g); err != nil {
		return err
	}
	user, err := c.Accounts.User(ctx, who.User)
	if err != nil {
		return err
	}
	data.HasPassword, data.Provider = user.PasswordHash != "", c.provider()
	if data.Elsewhere, err = c.Accounts.Externals(ctx, who.User); err != nil {
		return err
	}
	tokens, err := c.Accounts.Tokens(ctx, who.User)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		data.Tokens = append(data.Tokens, tokenView{t, !t.Expires.IsZero() && t.Expires.Before(time.Now())})
	}
	return c.render(g, status, "account", data)
}

// accountAgain shows the page with what is wrong, or goes back to it when nothing is.
func (c *console) accountAgain(g *gin.Context, err error, message string, data accountPage, args ...any) error {
	if data.Wrong, err = told(err); err != nil {
		return err
	}
	if data.Wrong != nil {
		return c.renderAccount(g, newProblem(g.Request.Context(), data.Wrong).Status, data)
	}
	return c.then(g, nil, message, "/account", args...)
}

func (c *console) addKey(g *gin.Context) error {
	data := accountPage{Form: "key", KeyName: g.PostForm("name"), KeyText: g.PostForm("key")}
	key, err := c.Accounts.AddKey(g.Request.Context(), c.identity(g).User, data.KeyName, data.KeyText)
	if err != nil {
		data.KeyText = "" // it may be a private key
	}
	return c.accountAgain(g, err, "Key {1} added. You can clone over SSH with it now.", data, key.Name)
}

func (c *console) removeKey(g *gin.Context) error {
	err := c.Accounts.RemoveKey(g.Request.Context(), c.identity(g).User, g.Param("key"))
	return c.orTell(g, err, "The key was removed.", "/account")
}

// createToken answers with the page itself, not a redirect: the secret would
// have to wait somewhere for the next request, and it is stored nowhere.
func (c *console) createToken(g *gin.Context) error {
	data := accountPage{Form: "token", TokenName: g.PostForm("name")}
	t, secret, err := c.Accounts.CreateToken(g.Request.Context(), c.identity(g).User, data.TokenName, auth.Scope(g.PostForm("scope")), tokenLife(g.PostForm("expires")))
	if err != nil {
		return c.accountAgain(g, err, "", data)
	}
	return c.renderAccount(g, http.StatusCreated, accountPage{Secret: c.newSecret(c.identity(g).Name, t.Name, secret)})
}

// tokenLife reads the choice of the form; 90 days when there is none.
func tokenLife(choice string) time.Duration {
	const day = 24 * time.Hour
	switch choice {
	case "30d":
		return 30 * day
	case "365d":
		return 365 * day
	case "never":
		return 0
	}
	return 90 * day
}

func (c *console) newSecret(user, name, secret string) *newSecret {
	return &newSecret{
		Name: name, Secret: secret, Netrc: netrcLines(c.Site, user, secret),
		Login: fmt.Sprintf("gitmirror login %s --token-stdin", c.Site.URL),
	}
}

func (c *console) removeToken(g *gin.Context) error {
	err := c.Accounts.RemoveToken(g.Request.Context(), c.identity(g).User, g.Param("token"))
	return c.orTell(g, err, "The token was revoked. Programs that use it are refused from now on.", "/account")
}

func (c *console) changePassword(g *gin.Context) error {
	ctx, who, data := g.Request.Context(), c.identity(g), accountPage{Form: "password"}
	fresh := g.PostForm("new")
	_, err := c.Accounts.Password(ctx, who.Name, g.PostForm("current"), g.RemoteIP())
	if errors.Is(err, mirror.ErrSignIn) {
		err = &mirror.Problem{Kind: mirror.ErrInvalid, What: "the current password is not right", Do: "type it again"}
	}
	if err == nil && fresh != g.PostForm("again") {
		err = &mirror.Problem{Kind: mirror.ErrInvalid, What: "the two new passwords differ", Do: "type both again"}
	}
	if err == nil {
		err = c.Accounts.SetPassword(ctx, who.User, fresh)
	}
	if err == nil { // every session ended with the old password; this one goes on
		err = c.signIn(g, who.User, who.First)
	}
	return c.accountAgain(g, err, "Password changed. Other browsers were signed out.", data)
}
