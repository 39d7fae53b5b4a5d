package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// ServedModule is what was served of a Go module, ever. Figures are ten seconds
// old at most.
type ServedModule struct {
	Path      string      `json:"path"`
	Source    string      `json:"source,omitempty" doc:"mirror, or the module proxy it was last had of; empty = a module proxy"`
	Mirror    mirror.Path `json:"mirror,omitempty" doc:"Path of the mirror it is made of"`
	Private   bool        `json:"private,omitempty"`
	Versions  int         `json:"versions"`
	Requests  int64       `json:"requests"`
	Hits      int64       `json:"hits" doc:"Of the requests: answered with what was kept"`
	Downloads int64       `json:"downloads" doc:"Of the requests: the zip"`
	Bytes     int64       `json:"bytes" doc:"Sent"`
	FirstUsed time.Time   `json:"first_used"`
	LastUsed  time.Time   `json:"last_used"`
}

// ServedModules are a page of modules.
type ServedModules struct {
	Items      []ServedModule `json:"items"`
	NextCursor string         `json:"next_cursor,omitempty"`
}

// ServedVersion is what was served of a version of a module, ever.
type ServedVersion struct {
	Version   string    `json:"version"`
	Source    string    `json:"source,omitempty"`
	Size      int64     `json:"size,omitempty" doc:"Of the zip; missing = not known"`
	Sum       string    `json:"sum,omitempty" doc:"Of the zip, as go.sum has it"`
	ModSum    string    `json:"mod_sum,omitempty" doc:"Of the go.mod"`
	Proven    bool      `json:"proven,omitempty" doc:"The checksum database vouched for the zip"`
	Kept      bool      `json:"kept,omitempty" doc:"The zip of a module proxy is here"`
	Pinned    bool      `json:"pinned,omitempty" doc:"It is never dropped to make room"`
	Requests  int64     `json:"requests"`
	Hits      int64     `json:"hits"`
	Downloads int64     `json:"downloads"`
	Bytes     int64     `json:"bytes"`
	FirstUsed time.Time `json:"first_used"`
	LastUsed  time.Time `json:"last_used"`
}

// ServedVersions are a page of versions, the highest first.
type ServedVersions struct {
	Items      []ServedVersion `json:"items"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

// ServedDay is what was served on a day.
type ServedDay struct {
	Day       time.Time `json:"day"`
	Requests  int64     `json:"requests"`
	Downloads int64     `json:"downloads"`
	Bytes     int64     `json:"bytes"`
}

// ServedTotal is what was served of all modules the caller may see.
type ServedTotal struct {
	Modules   int   `json:"modules"`
	Versions  int   `json:"versions"`
	Requests  int64 `json:"requests"`
	Hits      int64 `json:"hits"`
	Downloads int64 `json:"downloads"`
	Bytes     int64 `json:"bytes"`
}

func (a *api) servedOperations() {
	tags, gone := []string{"modules"}, []int{http.StatusNotFound}
	register(a, readers, huma.Operation{
		OperationID: "list-modules", Method: http.MethodGet, Path: "/modules", Tags: tags,
		Summary:     "List the modules that were served, with their figures",
		Description: "Those of private mirrors are left out for who may not read them. Figures are ten seconds old at most.",
	}, a.listModules)
	register(a, readers, huma.Operation{
		OperationID: "show-module-totals", Method: http.MethodGet, Path: "/modules/totals", Tags: tags, Summary: "Sum up what was served",
	}, a.showModuleTotals)
	register(a, readers, huma.Operation{
		OperationID: "show-module", Method: http.MethodGet, Path: "/modules/served/{module}", Tags: tags, Errors: gone, Summary: "Show what was served of a module",
	}, a.showModule)
	register(a, readers, huma.Operation{
		OperationID: "list-module-versions", Method: http.MethodGet, Path: "/modules/served/{module}/versions", Tags: tags, Errors: gone,
		Summary: "List the versions of a module that were served, the highest first",
	}, a.listModuleVersions)
	register(a, readers, huma.Operation{
		OperationID: "list-module-days", Method: http.MethodGet, Path: "/modules/served/{module}/days", Tags: tags, Errors: gone,
		Summary: "List what was served of a module by the day, in the order of time", Description: "Days on which there was nothing are left out.",
	}, a.listModuleDays)
}

// sees tells whether the caller may know of a module.
func (s *Server) sees(ctx context.Context, m mirror.ServedModule) bool {
	return s.Policy.Reads(ctx, auth.From(ctx), m.RepoPath, m.Private) == nil
}

// servedModule is a module the caller may know of, or ErrNotFound.
func (s *Server) servedModule(ctx context.Context, path string) (mirror.ServedModule, error) {
	m, err := s.Store.ServedModule(ctx, path)
	if err == nil && !s.sees(ctx, m) || err != nil && mirror.AsProblem(err).Kind == mirror.ErrNotFound {
		err = &mirror.Problem{Kind: mirror.ErrNotFound, What: "nothing of the module " + strconv.Quote(cut(path)) + " was served here"}
	}
	return m, err
}

func servedJSON(m mirror.ServedModule) ServedModule {
	return ServedModule{
		Path: m.Path, Source: m.Source, Mirror: m.RepoPath, Private: m.Private, Versions: m.Versions, Requests: m.Requests, Hits: m.Hits,
		Downloads: m.Downloads, Bytes: m.Bytes, FirstUsed: m.FirstUsed, LastUsed: m.LastUsed,
	}
}

type listModulesRequest struct {
	PageParams
	Search string `query:"search" maxLength:"200" doc:"Part of the path"`
	Sort   string `query:"sort" enum:"path,downloads,bytes,used" default:"path" doc:"All but path have the greatest first"`
}

type listModulesAnswer struct {
	Link string `header:"Link"`
	Body ServedModules
}

func (a *api) listModules(ctx context.Context, in *listModulesRequest) (*listModulesAnswer, error) {
	q := mirror.ServedQuery{Search: in.Search, Sort: mirror.ModuleSort(in.Sort), Limit: in.Limit}
	var err error
	if q.After, err = afterModule(q.Sort, in.Cursor); err != nil {
		return nil, err
	}
	list, next, err := a.servedPage(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listModulesAnswer{Body: ServedModules{Items: each(list, servedJSON), NextCursor: next}}
	out.Link = in.next("/modules", next, url.Values{"search": {in.Search}, "sort": {in.Sort}})
	return out, nil
}

// servedPage is a page of what the caller may see, and the cursor of the next one.
func (s *Server) servedPage(ctx context.Context, q mirror.ServedQuery) (list []mirror.ServedModule, next string, err error) {
	q.Public = s.Policy.May(auth.From(ctx), auth.Read, true) != nil
	if err := s.tellModules(ctx); err != nil {
		return nil, "", err
	}
	found, err := s.Store.ServedModules(ctx, q)
	if err != nil {
		return nil, "", err
	}
	if len(found) == q.Limit {
		next = moduleCursor(q.Sort, found[len(found)-1])
	}
	return slices.DeleteFunc(found, func(m mirror.ServedModule) bool { return !s.sees(ctx, m) }), next, nil
}

// moduleCursor is where a page ends: the figure it is sorted by, and the path.
func moduleCursor(sort mirror.ModuleSort, m mirror.ServedModule) string {
	figure := int64(0)
	switch sort {
	case mirror.ModulesByDownloads:
		figure = m.Downloads
	case mirror.ModulesByBytes:
		figure = m.Bytes
	case mirror.ModulesByUse:
		figure = m.LastUsed.UnixMicro()
	}
	return strconv.FormatInt(figure, 10) + " " + m.Path
}

// afterModule reads moduleCursor; nil = the first page.
func afterModule(sort mirror.ModuleSort, cursor string) (*mirror.ServedModule, error) {
	if cursor == "" {
		return nil, nil
	}
	text, path, ok := strings.Cut(cursor, " ")
	figure, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || module.CheckImportPath(path) != nil {
		return nil, errCursor()
	}
	m := &mirror.ServedModule{Path: path}
	switch sort {
	case mirror.ModulesByDownloads:
		m.Downloads = figure
	case mirror.ModulesByBytes:
		m.Bytes = figure
	case mirror.ModulesByUse:
		m.LastUsed = time.UnixMicro(figure)
	}
	return m, nil
}

func (a *api) showModuleTotals(ctx context.Context, _ *struct{}) (*answer[ServedTotal], error) {
	sum, err := a.servedTotal(ctx)
	return &answer[ServedTotal]{sum}, err
}

func (s *Server) servedTotal(ctx context.Context) (sum ServedTotal, err error) {
	if err := s.tellModules(ctx); err != nil {
		return sum, err
	}
	totals, err := s.Store.ServedTotals(ctx)
	for _, t := range totals {
		if !s.sees(ctx, mirror.ServedModule{Repo: t.Repo, RepoPath: t.RepoPath, Private: t.Private}) {
			continue
		}
		sum.Modules, sum.Versions = sum.Modules+t.Modules, sum.Versions+t.Versions
		sum.Requests, sum.Hits, sum.Downloads, sum.Bytes = sum.Requests+t.Requests, sum.Hits+t.Hits, sum.Downloads+t.Downloads, sum.Bytes+t.Bytes
	}
	return sum, err
}

// ModuleParam names a module.
type ModuleParam struct {
	Module string `path:"module" maxLength:"600" doc:"Path of the module, with %2F for /"`
}

func (a *api) showModule(ctx context.Context, in *ModuleParam) (*answer[ServedModule], error) {
	m, err := a.servedModule(ctx, in.Module)
	if err != nil {
		return nil, err
	}
	return &answer[ServedModule]{servedJSON(m)}, nil
}

type listModuleVersionsRequest struct {
	ModuleParam
	PageParams
}

type listModuleVersionsAnswer struct {
	Link string `header:"Link"`
	Body ServedVersions
}

func (a *api) listModuleVersions(ctx context.Context, in *listModuleVersionsRequest) (*listModuleVersionsAnswer, error) {
	if _, err := a.servedModule(ctx, in.Module); err != nil {
		return nil, err
	}
	if in.Cursor != "" && !semver.IsValid(in.Cursor) {
		return nil, errCursor()
	}
	list, more, err := a.servedVersions(ctx, in.Module, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listModuleVersionsAnswer{Body: ServedVersions{Items: each(list, a.versionJSON)}}
	if more {
		out.Body.NextCursor = list[len(list)-1].Version
	}
	out.Link = in.next("/modules/served/"+url.PathEscape(in.Module)+"/versions", out.Body.NextCursor, nil)
	return out, nil
}

// servedVersions are versions below one, all when that is empty, the highest first.
func (s *Server) servedVersions(ctx context.Context, path, below string, limit int) (list []mirror.ServedVersion, more bool, err error) {
	list, err = s.Store.ServedVersions(ctx, path, 0)
	if err != nil {
		return nil, false, err
	}
	higher := func(a, b string) int {
		if c := semver.Compare(b, a); c != 0 {
			return c
		}
		return strings.Compare(b, a)
	}
	slices.SortFunc(list, func(a, b mirror.ServedVersion) int { return higher(a.Version, b.Version) })
	if below != "" {
		list = slices.DeleteFunc(list, func(v mirror.ServedVersion) bool { return higher(v.Version, below) <= 0 })
	}
	if len(list) > limit {
		return list[:limit], true, nil
	}
	return list, false, nil
}

func (s *Server) versionJSON(v mirror.ServedVersion) ServedVersion {
	out := ServedVersion{
		Version: v.Version, Source: v.Source, Size: v.Size, Sum: v.Sums.Zip, ModSum: v.Sums.Mod, Proven: v.Proven,
		Requests: v.Requests, Hits: v.Hits, Downloads: v.Downloads, Bytes: v.Bytes, FirstUsed: v.FirstUsed, LastUsed: v.LastUsed,
	}
	if s.ModuleCache != nil {
		out.Kept, out.Pinned = s.ModuleCache.Keeps(v.Module, v.Version), s.ModuleCache.Pinned(v.Module, v.Version)
	}
	return out
}

type listModuleDaysRequest struct {
	ModuleParam
	PageParams
	Days int `query:"days" minimum:"1" maximum:"400" default:"90"`
}

func (a *api) listModuleDays(ctx context.Context, in *listModuleDaysRequest) (*listAnswer[ServedDay], error) {
	if _, err := a.servedModule(ctx, in.Module); err != nil {
		return nil, err
	}
	days, err := a.Store.ServedDays(ctx, in.Module, time.Now().AddDate(0, 0, 1-in.Days))
	if err != nil {
		return nil, err
	}
	return paged(in.PageParams, "/modules/served/"+url.PathEscape(in.Module)+"/days", url.Values{"days": {strconv.Itoa(in.Days)}}, days, false,
		func(d mirror.ServedDay) string { return d.Day.UTC().Format(time.DateOnly) }, func(d mirror.ServedDay) ServedDay { return ServedDay(d) })
}
