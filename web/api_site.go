package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

func (a *api) siteOperations() {
	tags := []string{"site"}
	register(a, anybody, huma.Operation{
		OperationID: "site", Method: http.MethodGet, Path: "/site", Tags: tags, Summary: "Where this mirror is",
	}, a.site)
	register(a, readers, huma.Operation{
		OperationID: "status", Method: http.MethodGet, Path: "/status", Tags: tags, Summary: "How the mirrors are doing, in numbers",
	}, a.status)
}

func (a *api) site(context.Context, *struct{}) (*answer[Site], error) {
	return &answer[Site]{Site{
		URL: a.Site.URL, SSH: a.Site.SSH, Host: a.Site.Host(), Form: a.Site.Form(), Version: a.Version,
	}}, nil
}

func (a *api) status(ctx context.Context, _ *struct{}) (*answer[Status], error) {
	counts, err := a.Store.CountRepos(ctx, mirror.RepoQuery{})
	if err != nil {
		return nil, err
	}
	out := Status{Version: a.Version, ByState: counts, Running: a.Syncer.Busy()}
	for _, n := range counts {
		out.Mirrors += n
	}
	if tick := a.Syncer.LastTick(); tick.Unix() > 0 {
		out.QueueSeen = tick.UTC()
	}
	return &answer[Status]{out}, nil
}
