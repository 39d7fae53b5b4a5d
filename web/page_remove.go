package web

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type removePage struct {
	page
	ID          mirror.ID
	Path        mirror.Path
	Upstream    string
	Served      bool
	Bytes       int64
	Heads, Tags int
	Typed       string
	Wrong       *mirror.Problem
}

func (c *console) removeForm(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	return c.renderRemove(g, http.StatusOK, repo, "", nil)
}

func (c *console) renderRemove(g *gin.Context, status int, r mirror.Repo, typed string, wrong *mirror.Problem) error {
	p, err := c.page(g, c.words(g).t("Remove {1}", string(r.Path)), "/mirrors")
	if err != nil {
		return err
	}
	p.Narrow = true
	return c.render(g, status, "remove", removePage{
		page: p, ID: r.ID, Path: r.Path, Upstream: r.Upstream.String(), Served: r.State.Served(), Bytes: r.State.Bytes,
		Heads: r.State.Heads, Tags: r.State.Tags, Typed: typed, Wrong: wrong,
	})
}

func (c *console) remove(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	if typed := strings.TrimSpace(g.PostForm("path")); typed != string(repo.Path) {
		return c.renderRemove(g, http.StatusUnprocessableEntity, repo, typed, &mirror.Problem{
			Kind: mirror.ErrInvalid, What: "the name you typed is not the name of this mirror", Do: "type " + string(repo.Path) + " to remove it",
		})
	}
	return c.then(g, c.Catalog.Remove(g.Request.Context(), repo.ID), "{1} was removed.", "/mirrors", string(repo.Path))
}
