package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

func (a *api) historyOperations() {
	tags, gone := []string{"history"}, []int{http.StatusNotFound}
	register(a, readers, huma.Operation{
		OperationID: "list-runs", Method: http.MethodGet, Path: "/mirrors/{mirror}/runs", Tags: tags, Errors: gone, Summary: "List syncs, newest first",
	}, a.listRuns)
	register(a, readers, huma.Operation{
		OperationID: "list-refs", Method: http.MethodGet, Path: "/mirrors/{mirror}/refs", Tags: tags, Errors: gone, Summary: "List refs by name",
	}, a.listRefs)
	a.compareOperations()
	a.servesOperations()
	register(a, readers, huma.Operation{
		OperationID: "list-sizes", Method: http.MethodGet, Path: "/mirrors/{mirror}/sizes", Tags: tags, Errors: gone,
		Summary:     "List how large a mirror was, oldest first",
		Description: "A sample for each day with a sync that went well, for 400 days. On days between two samples nothing came.",
	}, a.listSizes)
	register(a, readers, huma.Operation{
		OperationID: "list-log", Method: http.MethodGet, Path: "/mirrors/{mirror}/log", Tags: tags, Errors: gone,
		Summary: "List what upstream did to refs: moved tags, forced and deleted branches",
	}, a.listLog)
}

type listRunsRequest struct {
	MirrorParam
	PageParams
	After int64 `query:"after" minimum:"0" doc:"Only runs with a higher id"`
}

type listRunsAnswer struct {
	Link string `header:"Link"`
	Body Runs
}

func (a *api) listRuns(ctx context.Context, in *listRunsRequest) (*listRunsAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	runs, err := a.Store.Runs(ctx, repo.ID, before, in.Limit)
	if err != nil {
		return nil, err
	}
	more := len(runs) == in.Limit
	for i, r := range runs {
		if r.ID <= in.After {
			runs, more = runs[:i], false
			break
		}
	}
	out := &listRunsAnswer{Body: Runs{Items: each(runs, runJSON)}}
	if more {
		out.Body.NextCursor = strconv.FormatInt(runs[len(runs)-1].ID, 10)
	}
	out.Link = in.next("/mirrors/"+string(repo.ID)+"/runs", out.Body.NextCursor, nil)
	return out, nil
}

type listLogAnswer struct {
	Link string `header:"Link"`
	Body Events
}

type listLogRequest struct {
	MirrorParam
	PageParams
}

func (a *api) listLog(ctx context.Context, in *listLogRequest) (*listLogAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	events, err := a.Store.Events(ctx, repo.ID, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listLogAnswer{Body: Events{Items: each(events, eventJSON)}}
	if len(events) == in.Limit {
		out.Body.NextCursor = strconv.FormatInt(events[len(events)-1].ID, 10)
	}
	out.Link = in.next("/mirrors/"+string(repo.ID)+"/log", out.Body.NextCursor, nil)
	return out, nil
}

type listRefsRequest struct {
	MirrorParam
	PageParams
	Kind   string `query:"kind" enum:"branch,tag,pull,kept,held,other"`
	Search string `query:"search" maxLength:"300" doc:"Part of the name"`
}

type listRefsAnswer struct {
	Link string `header:"Link"`
	Body Refs
}

func (a *api) listRefs(ctx context.Context, in *listRefsRequest) (*listRefsAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	out := &listRefsAnswer{Body: Refs{Items: []Ref{}}}
	listing, err := a.Reader.Refs(ctx, repo.ID)
	if errors.Is(err, mirror.ErrNotFound) {
		return out, nil // not cloned yet
	}
	if err != nil {
		return nil, err
	}
	out.Body.Head = listing.Head
	for _, r := range listing.Refs { // sorted by name
		ref := refJSON(r)
		if r.Name <= in.Cursor || in.Kind != "" && ref.Kind != in.Kind || !strings.Contains(r.Name, in.Search) {
			continue
		}
		if len(out.Body.Items) == in.Limit {
			out.Body.NextCursor = out.Body.Items[in.Limit-1].Name
			break
		}
		out.Body.Items = append(out.Body.Items, ref)
	}
	out.Link = in.next("/mirrors/"+string(repo.ID)+"/refs", out.Body.NextCursor, url.Values{"kind": {in.Kind}, "search": {in.Search}})
	return out, nil
}

// Sizes is how large a mirror was.
type Sizes struct {
	Items      []SizeSample `json:"items"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

// SizeSample is how large a mirror was after the last sync of a day.
type SizeSample struct {
	Day   string `json:"day" format:"date" doc:"In UTC" example:"2026-01-31"`
	Bytes int64  `json:"bytes" doc:"On disk"`
	Refs  int    `json:"refs" doc:"Branches and tags"`
}

type listSizesRequest struct {
	MirrorParam
	PageParams
}

type listSizesAnswer struct {
	Link string `header:"Link"`
	Body Sizes
}

func (a *api) listSizes(ctx context.Context, in *listSizesRequest) (*listSizesAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	list, err := a.Store.Sizes(ctx, repo.ID, time.Now().Add(-mirror.SizesKept))
	if err != nil {
		return nil, err
	}
	day := func(s mirror.SizeSample) string { return s.Day.Format(time.DateOnly) }
	page, err := paged(in.PageParams, "/mirrors/"+string(repo.ID)+"/sizes", nil, list, false, day, func(s mirror.SizeSample) SizeSample {
		return SizeSample{Day: day(s), Bytes: s.Bytes, Refs: s.Refs}
	})
	if err != nil {
		return nil, err
	}
	return &listSizesAnswer{Link: page.Link, Body: Sizes{Items: page.Body.Items, NextCursor: page.Body.NextCursor}}, nil
}
