package web

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type loginPage struct {
	page
	Next  string // where to go afterwards, a path on this server
	Typed string // name
	// Provider is the name of the sign-in provider; empty = there is none.
	Provider string
	Wrong    *mirror.Problem
}

func (c *console) loginForm(g *gin.Context) error {
	if !c.identity(g).Anonymous() {
		g.Redirect(http.StatusSeeOther, localPath(g.Query("next")))
		return nil
	}
	p, err := c.page(g, "Sign in", "")
	if err != nil {
		return err
	}
	return c.render(g, http.StatusOK, "login", loginPage{page: p, Next: localPath(g.Query("next")), Provider: c.provider()})
}

func (c *console) login(g *gin.Context) error {
	next, name := localPath(g.PostForm("next")), g.PostForm("name")
	who, err := c.Accounts.Password(g.Request.Context(), name, g.PostForm("password"), g.RemoteIP())
	if errors.Is(err, mirror.ErrSignIn) || errors.Is(err, mirror.ErrBusy) || errors.Is(err, mirror.ErrDenied) {
		p, failed := c.page(g, "Sign in", "")
		if failed != nil {
			return failed
		}
		p.SignedIn = false
		return c.render(g, newProblem(g.Request.Context(), err).Status, "login",
			loginPage{page: p, Next: next, Provider: c.provider(), Typed: name, Wrong: mirror.AsProblem(err)})
	}
	if err != nil {
		return err
	}
	return c.signInOrCode(g, who.User, next)
}

func (c *console) logout(g *gin.Context) error {
	token := c.sessions.GetString(g.Request.Context(), keyIDToken)
	if err := c.signOut(g); err != nil {
		return err
	}
	if c.OIDC != nil {
		if to := c.OIDC.SignOut(token, c.Site.URL+"/login"); to != "" {
			return c.signOutThere(g, to)
		}
	}
	g.Redirect(http.StatusSeeOther, "/login")
	return nil
}

type leavePage struct {
	page
	Provider, To string
}

// signOutThere takes the browser to the provider. It is a page that leads there, no
// redirect: that would be an answer to a form, whose every further step the content
// policy had to name.
func (c *console) signOutThere(g *gin.Context, to string) error {
	p, err := c.page(g, "Signed out", "")
	if err != nil {
		return err
	}
	p.SignedIn, p.Narrow = false, true
	g.Header("Refresh", "0; url="+to)
	return c.render(g, http.StatusOK, "leave", leavePage{page: p, Provider: c.provider(), To: to})
}
