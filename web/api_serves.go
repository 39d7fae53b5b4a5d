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
	Items   []MirrorModule `json:"items"`
	Partial bool           `json:"partial,omitempty" doc:"There may be more: looking for them would have taken too long"`
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

func (a *api) listMirrorModules(ctx context.Context, in *MirrorParam) (*answer[MirrorModules], error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	found, err := a.modulesIn(ctx, repo)
	if err != nil {
		return nil, err
	}
	return &answer[MirrorModules]{MirrorModules{Partial: found.Partial, Items: each(found.Modules, func(m mirror.RepoModule) MirrorModule {
		return MirrorModule{Path: m.Path, Dir: m.Dir, Version: m.Version, At: m.At.UTC(), Versions: m.Versions, Declares: m.Declares, Use: m.Use()}
	})}}, nil
}
