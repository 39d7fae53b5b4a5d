package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// ModuleWarming is a job that has files of modules fetched, or made of mirrors.
type ModuleWarming struct {
	ID      string              `json:"id"`
	By      string              `json:"by"`
	Started time.Time           `json:"started"`
	Ended   time.Time           `json:"ended,omitzero" doc:"Missing = it goes on"`
	State   mirror.WarmingState `json:"state" enum:"running,done,canceled"`
	Total   int                 `json:"total" doc:"Module versions"`
	Done    int                 `json:"done" doc:"Of them: those that were seen to"`
	Kept    int                 `json:"kept" doc:"Of them: here already"`
	Fetched int                 `json:"fetched"`
	Made    int                 `json:"made" doc:"Of mirrors"`
	Failed  int                 `json:"failed"`
	Bytes   int64               `json:"bytes" doc:"Fetched or made for it"`
	// Failures are the first hundred.
	Failures []mirror.ModuleWarmed `json:"failures,omitempty" doc:"The first hundred"`
}

// StartWarming says what shall be here.
type StartWarming struct {
	Modules []mirror.ModuleWish `json:"modules" minItems:"1" maxItems:"20000"`
}

func (a *api) modwarmOperations() {
	tags, gone := []string{"modules"}, []int{http.StatusNotFound}
	register(a, syncers, huma.Operation{
		OperationID: "start-warming", Method: http.MethodPost, Path: "/modules/cache/warmings", Tags: tags, DefaultStatus: http.StatusAccepted, MaxBodyBytes: maxBody,
		Summary: "Have files of modules fetched, or made of mirrors, without waiting for it",
		Description: "As if the caller had asked for them with the go command; it counts as no download. What is here already is left as it is. The job goes on when the caller leaves, " +
			"until it is done, is canceled, or the server ends; begun again it goes on where it was.",
	}, a.startWarming)
	register(a, syncers, huma.Operation{
		OperationID: "list-warmings", Method: http.MethodGet, Path: "/modules/cache/warmings", Tags: tags,
		Summary: "List jobs that have files of modules fetched, the newest first", Description: "Those of the caller, for managers those of all, since this server started; fifty that have ended at most.",
	}, a.listWarmings)
	register(a, syncers, huma.Operation{
		OperationID: "show-warming", Method: http.MethodGet, Path: "/modules/cache/warmings/{warming}", Tags: tags, Errors: gone, Summary: "Show how far such a job is",
	}, a.showWarming)
	register(a, syncers, huma.Operation{
		OperationID: "cancel-warming", Method: http.MethodPost, Path: "/modules/cache/warmings/{warming}/cancel", Tags: tags, DefaultStatus: http.StatusOK, Errors: gone,
		Summary: "Cancel such a job", Description: "What it has fetched stays. One that has ended stays as it is.",
	}, a.cancelWarming)
}

func warmingJSON(w mirror.ModuleWarming) ModuleWarming {
	return ModuleWarming{
		ID: w.ID, By: w.By, Started: w.Started, Ended: w.Ended, State: w.State, Total: w.Total, Done: w.Done(), Kept: w.Kept, Fetched: w.Fetched,
		Made: w.Made, Failed: w.Failed, Bytes: w.Bytes, Failures: w.Failures,
	}
}

// warmings are the jobs the caller may know of.
func (s *Server) warmings(ctx context.Context) []mirror.ModuleWarming {
	if s.ModuleCache == nil {
		return nil
	}
	who := auth.From(ctx)
	var list []mirror.ModuleWarming
	for _, w := range s.ModuleCache.Warmings() {
		if w.By == who.Name || s.Policy.May(who, auth.Manage, false) == nil {
			list = append(list, w)
		}
	}
	return list
}

// warming is a job the caller may know of.
func (s *Server) warming(ctx context.Context, id string) (mirror.ModuleWarming, error) {
	for _, w := range s.warmings(ctx) {
		if w.ID == id {
			return w, nil
		}
	}
	return mirror.ModuleWarming{}, &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no such job", Why: "the server remembers the last ones, until it ends", Do: "begin it again: what is here already is left as it is"}
}

func (a *api) startWarming(ctx context.Context, in *answer[StartWarming]) (*answer[ModuleWarming], error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	w, err := a.ModuleCache.StartWarming(ctx, in.Body.Modules)
	if err != nil {
		return nil, err
	}
	return &answer[ModuleWarming]{warmingJSON(w)}, nil
}

func (a *api) listWarmings(ctx context.Context, in *PageParams) (*listAnswer[ModuleWarming], error) {
	return paged(*in, "/modules/cache/warmings", nil, a.warmings(ctx), true, func(w mirror.ModuleWarming) string {
		return fmt.Sprintf("%020d %s", w.Started.UnixMicro(), w.ID)
	}, warmingJSON)
}

type warmingParam struct {
	Warming string `path:"warming" maxLength:"100" doc:"Id of the job"`
}

func (a *api) showWarming(ctx context.Context, in *warmingParam) (*answer[ModuleWarming], error) {
	w, err := a.warming(ctx, in.Warming)
	if err != nil {
		return nil, err
	}
	return &answer[ModuleWarming]{warmingJSON(w)}, nil
}

func (a *api) cancelWarming(ctx context.Context, in *warmingParam) (*answer[ModuleWarming], error) {
	w, err := a.warming(ctx, in.Warming)
	if err != nil {
		return nil, err
	}
	if err := a.ModuleCache.CancelWarming(w.ID); err != nil {
		return nil, err
	}
	if w, err = a.warming(ctx, w.ID); err != nil {
		return nil, err
	}
	return &answer[ModuleWarming]{warmingJSON(w)}, nil
}
