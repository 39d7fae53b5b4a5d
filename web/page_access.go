package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type accessPage struct {
	page
	Groups []Group
	Trusts []trustRow
	Wrong  *mirror.Problem
}

type trustRow struct {
	auth.Trust
	Version string
}

func (c *console) access(g *gin.Context) error { return c.renderAccess(g, http.StatusOK, nil) }

func (c *console) renderAccess(g *gin.Context, status int, wrong *mirror.Problem) error {
	p, err := c.page(g, "Access", "/access")
	if err != nil {
		return err
	}
	data := accessPage{page: p, Wrong: wrong}
	if data.Groups, err = c.groupsJSON(g.Request.Context()); err != nil {
		return err
	}
	trusts, err := c.Accounts.Trusts(g.Request.Context())
	if err != nil {
		return err
	}
	data.Trusts = each(trusts, func(t auth.Trust) trustRow { return trustRow{t, trustVersion(t)} })
	return c.render(g, status, "access", data)
}

// accessAgain shows the page with what is wrong, or anew when nothing is.
func (c *console) accessAgain(g *gin.Context, err error) error {
	wrong, err := told(err)
	if err != nil {
		return err
	}
	if wrong != nil {
		return c.renderAccess(g, newProblem(g.Request.Context(), wrong).Status, wrong)
	}
	return c.then(g, nil, "Done. It counts from the next request on.", "/access")
}

func (c *console) addGroup(g *gin.Context) error {
	_, err := c.Accounts.AddGroup(g.Request.Context(), g.PostForm("name"))
	return c.accessAgain(g, err)
}

func (c *console) removeGroup(g *gin.Context) error { return c.withGroup(g, c.Accounts.RemoveGroup) }

func (c *console) withGroup(g *gin.Context, do func(context.Context, auth.Group) error) error {
	return c.accessAgain(g, c.changeGroup(g.Request.Context(), g.Param("group"), formVersion(g), do))
}

func (c *console) addMember(g *gin.Context) error    { return c.withMember(g, c.Accounts.Join) }
func (c *console) removeMember(g *gin.Context) error { return c.withMember(g, c.Accounts.Leave) }

func (c *console) withMember(g *gin.Context, do func(context.Context, auth.Group, auth.User) error) error {
	return c.withGroup(g, func(ctx context.Context, group auth.Group) error {
		user, err := c.anyUser(ctx, strings.TrimSpace(g.PostForm("user")))
		if err != nil {
			return err
		}
		return do(ctx, group, user)
	})
}

func (c *console) addGrant(g *gin.Context) error {
	return c.withGroup(g, func(ctx context.Context, group auth.Group) error {
		_, err := c.Accounts.Grant(ctx, group, g.PostForm("pattern"))
		return err
	})
}

func (c *console) removeGrant(g *gin.Context) error {
	return c.withGroup(g, func(ctx context.Context, group auth.Group) error {
		return c.Accounts.Revoke(ctx, group, g.PostForm("pattern"))
	})
}

func (c *console) addTrust(g *gin.Context) error {
	ctx, claims := g.Request.Context(), map[string]string{}
	for line := range strings.Lines(g.PostForm("claims")) {
		if name, pattern, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			claims[strings.TrimSpace(name)] = strings.TrimSpace(pattern)
		}
	}
	user, err := c.anyUser(ctx, strings.TrimSpace(g.PostForm("user")))
	if err == nil {
		_, err = c.Accounts.AddTrust(ctx, auth.Trust{Name: g.PostForm("name"), Issuer: g.PostForm("issuer"), Audience: c.Site.URL, Claims: claims, User: user.ID})
	}
	return c.accessAgain(g, err)
}

func (c *console) removeTrust(g *gin.Context) error {
	return c.accessAgain(g, c.dropTrust(g.Request.Context(), g.Param("trust"), formVersion(g)))
}

// sessionView is a browser that is signed in.
type sessionView struct {
	auth.SignIn
	Here bool
}

func (c *console) sessionsOf(g *gin.Context) ([]sessionView, error) {
	who := c.identity(g)
	all, err := c.Accounts.SignIns(g.Request.Context(), who.User)
	return each(all, func(s auth.SignIn) sessionView { return sessionView{s, s.ID == who.SignIn} }), err
}

func (c *console) endSession(g *gin.Context) error {
	err := c.Accounts.SignOut(g.Request.Context(), c.identity(g).User, g.Param("session"))
	return c.orTell(g, err, "That browser was signed out.", "/account")
}

func (c *console) endSessions(g *gin.Context) error {
	who := c.identity(g)
	_, err := c.Accounts.SignOutAll(g.Request.Context(), who.User, who.SignIn)
	return c.orTell(g, err, "All other browsers were signed out.", "/account")
}
