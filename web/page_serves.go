package web

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// servesPage is which Go modules a mirror serves.
type servesPage struct {
	page
	ID   mirror.ID
	Path mirror.Path

	Modules []servedRow
	Partial bool
}

// servedRow is a module with its page; that is there once somebody has asked for it.
type servedRow struct {
	mirror.RepoModule
	URL string
}

func (c *console) serves(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	p, err := c.page(g, c.words(g).t("Go modules of {1}", string(repo.Path)), "/mirrors")
	if err != nil {
		return err
	}
	found, err := c.modulesIn(g.Request.Context(), repo)
	if err != nil {
		return err
	}
	data := servesPage{page: p, ID: repo.ID, Path: repo.Path, Partial: found.Partial}
	for _, m := range found.Modules {
		row := servedRow{RepoModule: m}
		switch _, err := c.servedModule(g.Request.Context(), m.Path); {
		case err == nil:
			row.URL = moduleURL(m.Path)
		case !errors.Is(err, mirror.ErrNotFound):
			return err
		}
		data.Modules = append(data.Modules, row)
	}
	return c.render(g, http.StatusOK, "serves", data)
}

// modulesIn are the modules of a mirror, and those of aliases the caller may see.
func (s *Server) modulesIn(ctx context.Context, repo mirror.Repo) (mirror.RepoModules, error) {
	if s.ModulesIn == nil {
		return mirror.RepoModules{}, nil
	}
	aliases, err := s.Store.Aliases(ctx)
	if err != nil {
		return mirror.RepoModules{}, err
	}
	aliases = slices.DeleteFunc(slices.Clone(aliases), func(a mirror.Alias) bool { return a.Repo != repo.Path })
	return s.ModulesIn(ctx, repo, aliases)
}
