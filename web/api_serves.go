package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

// MirrorModules are the Go modules that a mirror serves.
type MirrorModules struct {
	Items      []MirrorModule `json:"items"`
	NextCursor string         `json:"next_cursor,omitempty"`
	Partial    bool           `json:"partial,omitempty" doc:"There may be more: looking for them would have taken too long"`
}

// MirrorModule is a Go module of a mirror.
type MirrorModule struct {
	Path     string    `json:"path" example:"golang.org/x/mod"`
	Dir      string    `json:"dir,omitempty" doc:"In the repository; absent = its root"`
	Version  string    `json:"version" doc:"The newest; a pseudo-version where nothing is tagged" example:"v0.14.0"`
	At       time.Time `json:"at" doc:"When its commit was made"`
	Versions int       `json:"versions" doc:"Tagged ones"`
	Declares string    `json:"declares,omitempty" doc:"The path in its go.mod where that is another one: of use with a replace directive only"`
	Use      string    `json:"use" doc:"The command that puts it into a project" example:"go get golang.org/x/mod@v0.14.0"`
}

func (a *api) servesOperations() {
	register(a, readers, huma.Operation{
		OperationID: "list-mirror-modules", Method: http.MethodGet, Path: "/mirrors/{mirror}/modules", Tags: []string{"mirrors"}, Errors: []int{http.StatusNotFound},
		Summary:     "List the Go modules that a mirror serves",
		Description: "What the go.mod files of its newest commit and of the newest version of each major version declare, and the paths of aliases.",
	}, a.listMirrorModules)
}

type listMirrorModulesRequest struct {
	MirrorParam
	PageParams
}

type listMirrorModulesAnswer struct {
	Link string `header:"Link"`
	Body MirrorModules
}

func (a *api) listMirrorModules(ctx context.Context, in *listMirrorModulesRequest) (*listMirrorModulesAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	found, err := a.modulesIn(ctx, repo)
	if err != nil {
		return nil, err
	}
	key := func(m mirror.RepoModule) string { return m.Path + " " + m.Version + " " + m.Dir }
	page, err := paged(in.PageParams, "/mirrors/"+string(repo.ID)+"/modules", nil, found.Modules, false, key, func(m mirror.RepoModule) MirrorModule {
		return MirrorModule{Path: m.Path, Dir: m.Dir, Version: m.Version, At: m.At.UTC(), Versions: m.Versions, Declares: m.Declares, Use: m.Use()}
	})
	if err != nil {
		return nil, err
	}
	return &listMirrorModulesAnswer{Link: page.Link, Body: MirrorModules{Partial: found.Partial, Items: page.Body.Items, NextCursor: page.Body.NextCursor}}, nil
}
