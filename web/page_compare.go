package web

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// comparePage is how two commits of a mirror differ.
type comparePage struct {
	page
	ID       mirror.ID
	Path     mirror.Path
	Old, New string // as they were asked for
	*mirror.Comparison
	Most  int // ahead and behind are counted so far
	Wrong *mirror.Problem
}

func (c *console) compareRefs(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	p, err := c.page(g, c.words(g).t("Differences in {1}", string(repo.Path)), "/mirrors")
	if err != nil {
		return err
	}
	data := comparePage{page: p, ID: repo.ID, Path: repo.Path, Old: strings.TrimSpace(g.Query("old")), New: strings.TrimSpace(g.Query("new")), Most: mirror.MaxCompareCount}
	if data.Old == "" || data.New == "" { // the form, still empty
		return c.render(g, http.StatusOK, "compare", data)
	}
	found, err := c.compare(g.Request.Context(), repo, data.Old, data.New)
	if err != nil {
		if data.Wrong, err = told(err); err != nil {
			return err
		}
		return c.render(g, newProblem(g.Request.Context(), data.Wrong).Status, "compare", data)
	}
	data.Comparison = &found
	return c.render(g, http.StatusOK, "compare", data)
}

// changeWord is what happened to a file.
func (w *words) changeWord(status string) string {
	switch status {
	case "added":
		return w.t("added")
	case "deleted":
		return w.t("deleted")
	case "renamed":
		return w.t("renamed")
	case "type":
		return w.t("other type")
	}
	return w.t("changed")
}
