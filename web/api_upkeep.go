package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

// Upkeep is how the copy of a mirror on the server's disk is.
type Upkeep struct {
	Condition  mirror.Condition `json:"condition" enum:"fine,degraded" doc:"degraded: something is missing or damaged; what is left is served, and it is repaired by itself"`
	TidiedAt   time.Time        `json:"tidied_at,omitzero" doc:"Packs rolled up, indexes written"`
	RepackedAt time.Time        `json:"repacked_at,omitzero" doc:"Everything packed anew"`
	CheckedAt  time.Time        `json:"checked_at,omitzero" doc:"Everything that refs lead to was found to be there"`
	VerifiedAt time.Time        `json:"verified_at,omitzero" doc:"Every object was read and compared with its hash"`
	NextAt     time.Time        `json:"next_at,omitzero" doc:"When it is looked at next"`
	Error      *mirror.Problem  `json:"error,omitempty" doc:"What is wrong while it is degraded"`
	Failures   int              `json:"failures" doc:"Repairs in a row that did not help"`
	Job        mirror.Job       `json:"job,omitempty" enum:"tidy,check,verify,repair" doc:"What is being done, or waits to be"`
	Waits      bool             `json:"waits,omitempty" doc:"The job waits for its turn"`
}

// StartUpkeep asks for a job.
type StartUpkeep struct {
	Job string `json:"job" enum:"tidy,check,verify,repair" doc:"check: is everything there? verify: and is it what it was? repair: clone it anew"`
}

func (a *api) upkeepOperations() {
	tags := []string{"mirrors"}
	register(a, readers, huma.Operation{
		OperationID: "show-upkeep", Method: http.MethodGet, Path: "/mirrors/{mirror}/upkeep", Tags: tags, Summary: "Show how the copy on disk is",
		Errors: []int{http.StatusNotFound},
	}, a.showUpkeep)
	register(a, managers, also(huma.Operation{
		OperationID: "start-upkeep", Method: http.MethodPost, Path: "/mirrors/{mirror}/upkeep", Tags: tags, Summary: "Tidy, check or repair the copy on disk now",
		Description: "202: it is done as soon as a place is free. With wait_s, 200 when it ended in that time, " +
			"with an error when it failed. A check that finds damage repairs it.",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusNotFound},
	}, http.StatusOK), a.startUpkeep)
}

type upkeepAnswer struct {
	Status int
	Body   Upkeep
}

func (a *api) showUpkeep(ctx context.Context, in *MirrorParam) (*upkeepAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	body, err := a.upkeepJSON(ctx, repo.ID)
	return &upkeepAnswer{Status: http.StatusOK, Body: body}, err
}

type startUpkeepRequest struct {
	MirrorParam
	WaitS int `query:"wait_s" minimum:"0" maximum:"60" doc:"Seconds to wait for the end"`
	Body  StartUpkeep
}

func (a *api) startUpkeep(ctx context.Context, in *startUpkeepRequest) (*upkeepAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	out := &upkeepAnswer{Status: http.StatusAccepted}
	if in.WaitS == 0 {
		err = a.Upkeep.Ask(ctx, repo.ID, mirror.Job(in.Body.Job))
	} else {
		wait, cancel := context.WithTimeout(ctx, time.Duration(in.WaitS)*time.Second)
		defer cancel()
		_, err = a.Upkeep.Do(wait, repo.ID, mirror.Job(in.Body.Job))
		if err == nil {
			out.Status = http.StatusOK
		} else if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = nil // it goes on
		}
	}
	if err != nil {
		return nil, err
	}
	out.Body, err = a.upkeepJSON(ctx, repo.ID)
	return out, err
}

// upkeepJSON is what is known of a repository; before its first visit that it is
// fine, as it came.
func (s *Server) upkeepJSON(ctx context.Context, id mirror.ID) (Upkeep, error) {
	out := Upkeep{Condition: mirror.Fine}
	is, err := s.Upkeep.Store.Upkept(ctx, id)
	if err == nil {
		out = Upkeep{
			Condition: is.Condition, TidiedAt: is.Tidied, RepackedAt: is.Repacked, CheckedAt: is.Checked, VerifiedAt: is.Verified,
			NextAt: is.Due, Error: is.Problem, Failures: is.Failures,
		}
	} else if !errors.Is(err, mirror.ErrNotFound) {
		return Upkeep{}, err
	}
	out.Job, out.Waits, _ = s.Upkeep.Running(id)
	return out, nil
}
