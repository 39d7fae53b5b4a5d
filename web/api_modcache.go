package web

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// ModuleCache is what the server keeps of modules, and what it lets through;
// *modproxy.Handler does.
type ModuleCache interface {
	State() mirror.ModuleCacheState
	// Tell stores what this server served and refused until now.
	Tell(ctx context.Context) error
	Trim(before time.Time, bytes int64) (files int, freed int64)
	// Spare is what Trim would drop now.
	Spare(before time.Time, bytes int64) (files int, freed int64)
	Warm(ctx context.Context, wishes []mirror.ModuleWish) []mirror.ModuleWarmed
	// StartWarming begins a job that does what Warm does; Warmings are the jobs, the
	// newest first.
	StartWarming(ctx context.Context, wishes []mirror.ModuleWish) (mirror.ModuleWarming, error)
	Warmings() []mirror.ModuleWarming
	CancelWarming(id string) error
	// Keeps tells whether the zip of a version that is not made of a mirror is
	// here, and Pinned whether it is never dropped to make room.
	Keeps(module, version string) bool
	Pinned(module, version string) bool
	Pin(ctx context.Context, p mirror.ModulePin) error
	Unpin(ctx context.Context, module, version string) error
	// Accept has the next files of a version be taken for the right ones, though
	// others were seen before.
	Accept(ctx context.Context, module, version string) error
	// ModuleRules are those in force, in their order.
	ModuleRules() []mirror.ModuleRule
	// AddModuleRule stores a rule, as mirror.ModuleStore does; it is in force then.
	AddModuleRule(ctx context.Context, r mirror.ModuleRule, before int64) (mirror.ModuleRule, error)
	RemoveModuleRule(ctx context.Context, id int64) error
	// Explain tells what would happen if the caller asked for a version; empty =
	// the latest.
	Explain(ctx context.Context, module, version string) (mirror.ModuleVerdict, error)
}

// ModuleCacheInfo is what is kept of modules, and how their proxies do.
type ModuleCacheInfo struct {
	Files    int              `json:"files"`
	Bytes    int64            `json:"bytes"`
	MaxBytes int64            `json:"max_bytes" doc:"Trimming begins at 80 % of it; 0 = nothing is kept"`
	Made     int64            `json:"made_bytes" doc:"Bytes of zips that were made of mirrors and can be made again"`
	Pinned   int              `json:"pinned" doc:"Files that are trimmed only when nothing else is left and there is more than max_bytes"`
	PinnedB  int64            `json:"pinned_bytes"`
	Unpinned int64            `json:"unpinned" doc:"Files that were dropped although they are pinned, because more is pinned than is kept"`
	Hits     int64            `json:"hits" doc:"Since the server started, like those below"`
	Misses   int64            `json:"misses"`
	Stale    int64            `json:"stale" doc:"Answers that were too old because nobody could be asked"`
	Trimmed  int64            `json:"trimmed" doc:"Files dropped to make room"`
	Refused  int64            `json:"refused" doc:"Questions that a rule refused"`
	Forged   int64            `json:"forged" doc:"Files that the checksum database contradicted"`
	Proxies  []ModuleProxyNow `json:"proxies" doc:"In the order they are asked in"`
}

// ModuleProxyNow is how a module proxy does.
type ModuleProxyNow struct {
	Name      string               `json:"name" doc:"Its address, or direct or off"`
	Condition mirror.RoadCondition `json:"condition,omitempty" enum:"unknown,healthy,unsteady,slow,failing,off"`
	Active    bool                 `json:"active,omitempty" doc:"Asked first of those with | between"`
	UsualMs   float64              `json:"usual_ms,omitempty" doc:"Latency"`
	LastAt    time.Time            `json:"last_at,omitzero"`
	Error     *mirror.Problem      `json:"error,omitempty" doc:"Why the last question failed"`
	Asked     int64                `json:"asked"`
	Failed    int64                `json:"failed"`
	Bytes     int64                `json:"bytes" doc:"Received"`
}

// TrimModules says what to drop.
type TrimModules struct {
	Bytes    *int64 `json:"bytes,omitempty" minimum:"0" doc:"Drop the longest unused until no more than this is left"`
	UnusedFS int64  `json:"unused_for_s,omitempty" minimum:"0" doc:"Drop what nobody has asked for in so many seconds; 0 = nothing for that reason"`
}

// TrimmedModules is what was dropped, or would be.
type TrimmedModules struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// ModuleRefusal is a module that was refused to somebody, once or more often on
// one day.
type ModuleRefusal struct {
	ID      int64                  `json:"id"`
	At      time.Time              `json:"at" doc:"The last time"`
	First   time.Time              `json:"first_at"`
	Times   int                    `json:"times"`
	Kind    mirror.ModuleEventKind `json:"kind" enum:"denied,too-young,vulnerable,forged"`
	Module  string                 `json:"module"`
	Version string                 `json:"version,omitempty"`
	User    string                 `json:"user,omitempty"`
	Address string                 `json:"address,omitempty"`
	From    string                 `json:"from,omitempty" doc:"The module proxy that sent it"`
	Text    string                 `json:"text"`
	SeenBy  string                 `json:"seen_by,omitempty" doc:"Of forged: who said to have seen it"`
	SeenAt  time.Time              `json:"seen_at,omitzero"`
}

// ModuleRefusals are a page of refusals, the newest first.
type ModuleRefusals struct {
	Items      []ModuleRefusal `json:"items"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

func (a *api) modcacheOperations() {
	tags := []string{"modules"}
	register(a, readers, huma.Operation{
		OperationID: "show-module-cache", Method: http.MethodGet, Path: "/modules/cache", Tags: tags,
		Summary: "Show what is kept of modules, and how module proxies do",
	}, a.showModuleCache)
	register(a, managers, huma.Operation{
		OperationID: "trim-module-cache", Method: http.MethodPost, Path: "/modules/cache/trim", Tags: tags,
		Summary: "Drop what is kept of modules", Description: "What is pinned stays. What was made of mirrors goes first.",
	}, a.trimModuleCache)
	register(a, managers, huma.Operation{
		OperationID: "preview-trim", Method: http.MethodPost, Path: "/modules/cache/trim/preview", Tags: tags,
		Summary: "Tell what dropping would drop", Description: "Nothing is dropped.",
	}, a.previewTrim)
	register(a, syncers, huma.Operation{
		OperationID: "warm-module-cache", Method: http.MethodPost, Path: "/modules/cache/warm", Tags: tags,
		Summary: "Have files of modules fetched, or made of mirrors", Description: "As if the caller had asked for them with the go command. What is here already is left as it is. " +
			"Answers when all is done; what takes longer than ten minutes fails, and may be asked for again.",
	}, a.warmModules)
	register(a, managers, huma.Operation{
		OperationID: "list-module-refusals", Method: http.MethodGet, Path: "/modules/refusals", Tags: tags,
		Summary: "List modules that were refused, the last ones first", Description: "The same to the same within a day is one. They are kept for half a year.",
	}, a.listModuleRefusals)
	register(a, managers, huma.Operation{
		OperationID: "see-module-refusal", Method: http.MethodPost, Path: "/modules/refusals/{refusal}/seen", Tags: tags, DefaultStatus: http.StatusOK, Errors: []int{http.StatusNotFound},
		Summary: "Say that a refusal was seen", Description: "Forged files wait on the console until somebody does.",
	}, a.seeModuleRefusal)
}

// tellModules stores what was counted, so that who asks right after a build sees
// it in the answer.
func (s *Server) tellModules(ctx context.Context) error {
	if s.ModuleCache == nil {
		return nil
	}
	return s.ModuleCache.Tell(ctx)
}

func noModules() error {
	return &mirror.Problem{Kind: mirror.ErrNotFound, What: "this server serves no Go modules"}
}

func (a *api) showModuleCache(context.Context, *struct{}) (*answer[ModuleCacheInfo], error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	s := a.ModuleCache.State()
	out := ModuleCacheInfo{
		Files: s.Files, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Made: s.Made, Pinned: s.Pinned, PinnedB: s.PinnedBytes, Unpinned: s.Unpinned, Hits: s.Hits, Misses: s.Misses,
		Stale: s.Stale, Trimmed: s.Trimmed, Refused: s.Refused, Forged: s.Forged, Proxies: []ModuleProxyNow{},
	}
	for _, p := range s.Proxies {
		out.Proxies = append(out.Proxies, ModuleProxyNow{
			Name: p.Name, Condition: p.Condition, Active: p.Active, UsualMs: float64(p.Usual.Microseconds()) / 1000,
			LastAt: p.LastAt, Error: p.Problem, Asked: p.Asked, Failed: p.Failed, Bytes: p.Bytes,
		})
	}
	return &answer[ModuleCacheInfo]{out}, nil
}

func (a *api) trimModuleCache(_ context.Context, in *answer[TrimModules]) (*answer[TrimmedModules], error) {
	return a.trim(in.Body, ModuleCache.Trim)
}

func (a *api) previewTrim(_ context.Context, in *answer[TrimModules]) (*answer[TrimmedModules], error) {
	return a.trim(in.Body, ModuleCache.Spare)
}

func (a *api) trim(in TrimModules, do func(ModuleCache, time.Time, int64) (int, int64)) (*answer[TrimmedModules], error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	before, bytes := time.Time{}, int64(-1)
	if s := in.UnusedFS; s > 0 {
		before = time.Now().Add(-time.Duration(min(s, 1<<32)) * time.Second)
	}
	if in.Bytes != nil {
		bytes = *in.Bytes
	}
	if before.IsZero() && bytes < 0 {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "it is not clear what to drop", Do: "give bytes, unused_for_s, or both"}
	}
	files, freed := do(a.ModuleCache, before, bytes)
	return &answer[TrimmedModules]{TrimmedModules{Files: files, Bytes: freed}}, nil
}

type refusalsRequest struct {
	PageParams
	Kind   string `query:"kind" enum:"denied,too-young,vulnerable,forged" doc:"Only those of this kind"`
	Module string `query:"module" maxLength:"600" doc:"Only those of this module"`
	Unseen bool   `query:"unseen" doc:"Only forged files that nobody has seen"`
}

type refusalsAnswer struct {
	Link string `header:"Link"`
	Body ModuleRefusals
}

func refusalJSON(r mirror.ModuleRefusal) ModuleRefusal {
	return ModuleRefusal{
		ID: r.ID, At: r.At, First: r.First, Times: r.Times, Kind: r.Kind, Module: r.Module, Version: r.Version, User: r.User, Address: r.Address,
		From: r.From, Text: r.Text, SeenBy: r.SeenBy, SeenAt: r.Seen,
	}
}

func (a *api) listModuleRefusals(ctx context.Context, in *refusalsRequest) (*refusalsAnswer, error) {
	q := mirror.RefusalQuery{Kind: mirror.ModuleEventKind(in.Kind), Module: in.Module, Unseen: in.Unseen, Limit: in.Limit}
	var err error
	if q.After, err = afterRefusal(in.Cursor); err != nil {
		return nil, err
	}
	if err := a.tellModules(ctx); err != nil {
		return nil, err
	}
	found, err := a.Store.ModuleRefusals(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &refusalsAnswer{Body: ModuleRefusals{Items: each(found, refusalJSON)}}
	if len(found) == in.Limit {
		out.Body.NextCursor = refusalCursor(found[len(found)-1])
	}
	more := url.Values{"kind": {in.Kind}, "module": {in.Module}}
	if in.Unseen {
		more.Set("unseen", "true")
	}
	out.Link = in.next("/modules/refusals", out.Body.NextCursor, more)
	return out, nil
}

type refusalParam struct {
	Refusal int64 `path:"refusal" minimum:"1" doc:"Id of the refusal"`
}

func (a *api) seeModuleRefusal(ctx context.Context, in *refusalParam) (*answer[ModuleRefusal], error) {
	if err := a.Store.SeeModuleRefusal(ctx, in.Refusal, auth.From(ctx).Name, time.Now()); err != nil {
		return nil, err
	}
	r, err := a.Store.ModuleRefusal(ctx, in.Refusal)
	return &answer[ModuleRefusal]{refusalJSON(r)}, err
}

// WarmModules says what shall be here.
type WarmModules struct {
	Modules []mirror.ModuleWish `json:"modules" minItems:"1" maxItems:"100"`
}

// WarmedModules is what became of it, in the same order.
type WarmedModules struct {
	Items []mirror.ModuleWarmed `json:"items"`
}

// warmWait is how long one question may take; what it has begun goes on.
const warmWait = 10 * time.Minute

func (a *api) warmModules(ctx context.Context, in *answer[WarmModules]) (*answer[WarmedModules], error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	ctx, cancel := context.WithTimeout(ctx, warmWait)
	defer cancel()
	return &answer[WarmedModules]{WarmedModules{Items: a.ModuleCache.Warm(ctx, in.Body.Modules)}}, nil
}
