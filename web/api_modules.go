package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

func (a *api) moduleOperations() {
	tags := []string{"modules"}
	register(a, readers, huma.Operation{
		OperationID: "resolve-modules", Method: http.MethodPost, Path: "/modules/resolve", Tags: tags,
		Summary: "What a Go project needs to build from the mirror: replacements and their go.sum hashes",
		Description: "One answer per module, in the same order; one that has no replacement says why in its problem. " +
			"With graph, answers about further modules follow that the go command will read, too. " +
			"The first question about a version reads its files and may take seconds.",
		MaxBodyBytes: 4 << 20,
	}, a.resolveModules)
	register(a, readers, huma.Operation{
		OperationID: "locate-modules", Method: http.MethodPost, Path: "/modules/locate", Tags: tags,
		Summary: "Which repositories to mirror for a list of module paths", MaxBodyBytes: 4 << 20,
	}, a.locateModules)
}

func (a *api) resolveModules(ctx context.Context, in *answer[ResolveModules]) (*answer[ResolvedModules], error) {
	if a.Modules == nil {
		return nil, &mirror.Problem{Kind: mirror.ErrNotFound, What: "this server serves no Go modules"}
	}
	resolve := a.Modules.Resolve
	if in.Body.Graph {
		resolve = a.Modules.ResolveGraph
	}
	answers, err := resolve(ctx, in.Body.Modules)
	if err != nil {
		return nil, err
	}
	return &answer[ResolvedModules]{ResolvedModules{Answers: answers}}, nil
}

func (a *api) locateModules(ctx context.Context, in *answer[LocateModules]) (*answer[LocatedModules], error) {
	out := LocatedModules{Items: make([]LocatedModule, len(in.Body.Modules))}
	for i, module := range in.Body.Modules {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out.Items[i] = a.locate(ctx, module)
	}
	return &answer[LocatedModules]{out}, nil
}

func (a *api) locate(ctx context.Context, module string) LocatedModule {
	item := LocatedModule{Module: cut(module)}
	loc, err := a.Catalog.Locate(ctx, module)
	if err != nil {
		item.Error = a.cause(ctx, err, "/modules/locate")
		return item
	}
	if err := a.mayHave(ctx, loc.Path); err != nil {
		item.Error = a.cause(ctx, err, "/modules/locate")
		return item
	}
	item.Path, item.Upstream = loc.Path, loc.Upstream.String()
	switch _, err := a.Store.Repo(ctx, loc.Path); {
	case err == nil:
		item.Mirrored = true
	case !errors.Is(err, mirror.ErrNotFound):
		item.Error = a.cause(ctx, err, "/modules/locate")
	}
	return item
}
