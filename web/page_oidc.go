package web

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Keys of a session on its way to a sign-in provider and back.
const (
	keyAttempt     = "oidc"       // []byte: JSON of auth.Attempt
	keyAttemptNext = "oidc-next"  // string: where to go afterwards
	keyAttemptLink = "oidc-link"  // string: id of the user who connects an account; empty = it is a sign-in
	keyIDToken     = "oidc-token" // string: for signing out there
)

// beginOIDC sends the browser to the provider. It is a link and no form: the
// content policy lets forms lead nowhere but here.
func (c *console) beginOIDC(g *gin.Context) error { return c.toProvider(g, "") }

// linkOIDC does so to connect the account that is signed in.
func (c *console) linkOIDC(g *gin.Context) error { return c.toProvider(g, c.identity(g).User) }

func (c *console) toProvider(g *gin.Context, link string) error {
	if c.OIDC == nil {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no sign-in provider"}
	}
	ctx := g.Request.Context()
	to, attempt, err := c.OIDC.Begin(ctx)
	if err != nil && link == "" {
		return c.refusedOIDC(g, err, localPath(g.Query("next")))
	}
	if err != nil {
		return err
	}
	kept, err := json.Marshal(attempt)
	if err != nil {
		return err
	}
	c.sessions.Put(ctx, keyAttempt, kept)
	c.sessions.Put(ctx, keyAttemptNext, localPath(g.Query("next")))
	c.sessions.Put(ctx, keyAttemptLink, link)
	g.Redirect(http.StatusSeeOther, to)
	return nil
}

// oidcAnswer is where the provider sends the browser back to.
func (c *console) oidcAnswer(g *gin.Context) error {
	if c.OIDC == nil {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no sign-in provider"}
	}
	ctx := g.Request.Context()
	var attempt auth.Attempt
	kept := c.sessions.GetBytes(ctx, keyAttempt)
	next, link := localPath(c.sessions.GetString(ctx, keyAttemptNext)), c.sessions.GetString(ctx, keyAttemptLink)
	for _, key := range []string{keyAttempt, keyAttemptNext, keyAttemptLink} {
		c.sessions.Remove(ctx, key) // an attempt is for one answer
	}
	if len(kept) > 0 {
		if err := json.Unmarshal(kept, &attempt); err != nil {
			return err
		}
	}
	signed, err := c.OIDC.Verify(ctx, attempt, g.Request.URL.Query())
	if err != nil {
		return c.refusedOIDC(g, err, next)
	}
	if link != "" {
		if link != c.identity(g).User {
			return c.refusedOIDC(g, &mirror.Problem{Kind: mirror.ErrSignIn, What: "you were signed out meanwhile", Do: "sign in, and connect the account again"}, next)
		}
		_, err := c.Accounts.Link(ctx, link, c.OIDC.Issuer, signed.Subject, signed.Email)
		return c.orTell(g, err, "Connected. You can sign in with it from now on.", "/account")
	}
	user, err := c.OIDC.SignIn(ctx, signed)
	if err != nil {
		return c.refusedOIDC(g, err, next)
	}
	if err := c.signIn(g, user.ID, auth.ByOIDC); err != nil {
		return err
	}
	c.sessions.Put(ctx, keyIDToken, signed.Token)
	g.Redirect(http.StatusSeeOther, next)
	return nil
}

// refusedOIDC shows the sign-in page with the reason; it leads to next as before.
func (c *console) refusedOIDC(g *gin.Context, err error, next string) error {
	wrong, err := told(err)
	if err != nil {
		return err
	}
	c.Log.Info("sign-in refused", "user", "", "addr", g.RemoteIP(), "why", wrong.What+": "+wrong.Why)
	p, err := c.page(g, "Sign in", "")
	if err != nil {
		return err
	}
	p.SignedIn, p.Address = false, "/login?"+url.Values{"next": {next}}.Encode() // an answer counts once
	return c.render(g, newProblem(g.Request.Context(), wrong).Status, "login", loginPage{page: p, Next: next, Provider: c.provider(), Wrong: wrong})
}

// provider is the name of the sign-in provider; empty = there is none.
func (s *Server) provider() string {
	if s.OIDC == nil {
		return ""
	}
	return s.OIDC.Name
}
