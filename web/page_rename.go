package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type renamePage struct {
	page
	ID      mirror.ID
	Path    mirror.Path
	Seen    int64 // version of the mirror the form was made of
	To      string
	NoAlias bool
	Held    *mirror.Problem // more people could read it: the form asks whether they may
	Wrong   *mirror.Problem
	Others  []string // paths that lead to the mirror, too
}

func (c *console) renameForm(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	return c.renderRename(g, http.StatusOK, repo, renamePage{Seen: repo.Version, To: string(repo.Path)})
}

func (c *console) renderRename(g *gin.Context, status int, r mirror.Repo, data renamePage) (err error) {
	if data.page, err = c.page(g, c.words(g).t("Rename {1}", string(r.Path)), "/mirrors"); err != nil {
		return err
	}
	aliases, err := c.Store.Aliases(g.Request.Context())
	if err != nil {
		return err
	}
	for _, a := range aliases {
		if a.Repo.Key() == r.Path.Key() {
			data.Others = append(data.Others, a.Prefix)
		}
	}
	data.Narrow, data.ID, data.Path = true, r.ID, r.Path
	return c.render(g, status, "rename", data)
}

func (c *console) rename(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	ctx := g.Request.Context()
	in := RenameMirror{Path: strings.TrimSpace(g.PostForm("path")), NoAlias: g.PostForm("alias") == "", Widen: g.PostForm("widen") != ""}
	renamed, err := c.Server.rename(ctx, repo, in, seenVersion(g))
	if err == nil {
		if lost := renamed.Lost; lost != nil {
			who := strings.Join(lost.Groups, ", ")
			if lost.SignedIn {
				who = c.words(g).t("whoever is signed in and in none of its groups")
			}
			return c.then(g, nil, "{1} is now {2}. These may not read it any more: {3}.", mirrorURL(repo.ID), string(renamed.From), string(renamed.Mirror.Path), who)
		}
		return c.then(g, nil, "{1} is now {2}.", mirrorURL(repo.ID), string(renamed.From), string(renamed.Mirror.Path))
	}
	data := renamePage{Seen: repo.Version, To: in.Path, NoAlias: in.NoAlias}
	status := newProblem(ctx, err).Status
	wrong, err := told(err)
	if err != nil {
		return err
	}
	if errors.Is(wrong, mirror.ErrHeld) {
		data.Held = wrong
	} else {
		data.Wrong = wrong
	}
	return c.renderRename(g, status, repo, data)
}
