package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// maxPreviewBody holds mirror.MaxBulk lines of ordinary length.
const maxPreviewBody = 4 << 20

// PreviewMirrors is the body of POST /mirrors/preview.
type PreviewMirrors struct {
	Mirrors []NewMirror `json:"mirrors" minItems:"1" maxItems:"10000"`
}

// MirrorsPreview says what adding them would do, a repository at a time.
type MirrorsPreview struct {
	Items      []PlannedMirror `json:"items" doc:"Repositories, in the order in which they are first asked for"`
	Asked      int             `json:"asked" doc:"How many were asked for"`
	New        int             `json:"new"`
	Present    int             `json:"present"`
	Impossible int             `json:"impossible"`
}

// PlannedMirror is one repository of a preview.
type PlannedMirror struct {
	Asked    []string         `json:"asked" doc:"What leads to it; several modules may live in one repository"`
	State    mirror.PlanState `json:"state" enum:"new,present,impossible"`
	Path     mirror.Path      `json:"path,omitempty" example:"github.com/golang/mod"`
	Upstream string           `json:"upstream,omitempty"`
	Prefixes []string         `json:"prefixes,omitempty" doc:"Import prefixes that lead to it, where they are not its path"`
	Mirror   mirror.ID        `json:"mirror,omitempty" doc:"When it is present"`
	Error    *mirror.Problem  `json:"error,omitempty" doc:"Why it is impossible, and what to do"`
}

func (a *api) previewOperations() {
	register(a, managers, huma.Operation{
		OperationID: "preview-mirrors", Method: http.MethodPost, Path: "/mirrors/preview", Tags: []string{"mirrors"},
		Summary: "Tell what adding mirrors would do",
		Description: "Changes nothing. Every module leads to its repository: by mirrors and aliases, by the well-known paths, " +
			"or by what its host says to ?go-get=1.",
		DefaultStatus: http.StatusOK, MaxBodyBytes: maxPreviewBody,
	}, a.previewMirrors)
}

func (a *api) previewMirrors(ctx context.Context, in *answer[PreviewMirrors]) (*answer[MirrorsPreview], error) {
	list := make([]mirror.NewMirror, len(in.Body.Mirrors))
	for i, n := range in.Body.Mirrors {
		list[i] = a.asked(n)
	}
	plan, err := a.Catalog.PlanAll(ctx, list, nil)
	if err != nil {
		return nil, err
	}
	return &answer[MirrorsPreview]{a.previewJSON(ctx, plan)}, nil
}

func (a *api) previewJSON(ctx context.Context, plan mirror.Plan) MirrorsPreview {
	out := MirrorsPreview{
		Items: make([]PlannedMirror, len(plan.Items)), Asked: plan.Asked,
		New: plan.New, Present: plan.Present, Impossible: plan.Impossible,
	}
	for i, p := range plan.Items {
		item := PlannedMirror{Asked: each(p.Asked, cut), State: p.State, Prefixes: p.Prefixes}
		switch p.State {
		case mirror.PlanImpossible:
			item.Error = a.cause(ctx, p.Err, "/mirrors/preview")
		default:
			item.Path, item.Upstream = p.Repo.Path, p.Repo.Upstream.String()
			if p.State == mirror.PlanPresent {
				item.Mirror = p.Repo.ID
			}
		}
		out.Items[i] = item
	}
	return out
}

// mayHave tells whether the caller may have a mirror at a path. Where they may not
// read private ones the answer is the same whether there is one or not; what is
// public there they know of anyway.
func (s *Server) mayHave(ctx context.Context, path mirror.Path) error {
	denied := s.Policy.Reads(ctx, auth.From(ctx), path, true)
	if denied == nil {
		return nil
	}
	if _, err := s.Store.Repo(ctx, path); err == nil {
		return nil
	}
	return denied
}

// asked is a NewMirror as the domain has it.
func (s *Server) asked(n NewMirror) mirror.NewMirror {
	m := mirror.NewMirror{
		Text: n.PathOrURL, Module: n.Module, Upstream: n.Upstream, Interval: time.Duration(n.IntervalS) * time.Second,
		Credential: n.Credential, Private: n.Private, Tags: mirror.TagPolicy(n.Tags), May: s.mayHave,
	}
	if n.Refs != nil {
		m.Refs = *n.Refs
	}
	return m
}
