package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

// KeptRef is a branch or tag that upstream took away or rewrote, as it was.
type KeptRef struct {
	Ref    string         `json:"ref" doc:"What it is called now" example:"refs/gitmirror/kept/20260102T150405Z-deleted/heads/topic"`
	Name   string         `json:"name" doc:"What it was called" example:"refs/heads/topic"`
	Hash   string         `json:"hash"`
	Commit string         `json:"commit" doc:"Of an annotated tag, what it leads to; else the hash"`
	KeptAt time.Time      `json:"kept_at"`
	Why    mirror.KeptWhy `json:"why,omitempty" doc:"deleted, forced, moved, left-out (by the ref policy) or replaced; absent when an older version kept it"`
}

// KeptRefs is a page of them, newest first.
type KeptRefs struct {
	Items      []KeptRef `json:"items"`
	NextCursor string    `json:"next_cursor,omitempty"`
}

// RestoreRef serves a kept ref again.
type RestoreRef struct {
	Ref string `json:"ref" minLength:"1" maxLength:"1000" doc:"A kept ref, or what it was called: then the newest of that name"`
	As  string `json:"as,omitempty" maxLength:"1000" doc:"Name of the branch, or full name; default: refs/heads/restored/NAME"`
}

// PurgedRefs tells what went.
type PurgedRefs struct {
	Purged int `json:"purged" doc:"How many refs are gone"`
}

func (a *api) keptOperations() {
	tags, gone := []string{"kept"}, []int{http.StatusNotFound}
	register(a, readers, huma.Operation{
		OperationID: "list-kept", Method: http.MethodGet, Path: "/mirrors/{mirror}/kept", Tags: tags, Errors: gone,
		Summary: "List what upstream deleted or rewrote, newest first",
	}, a.listKept)
	register(a, managers, huma.Operation{
		OperationID: "restore-kept", Method: http.MethodPost, Path: "/mirrors/{mirror}/kept/restore", Tags: tags, Summary: "Serve a kept ref again, as a branch",
		Description: "Syncs leave it alone until upstream has a ref of that name.", DefaultStatus: http.StatusCreated,
		Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, a.restoreKept)
	register(a, managers, huma.Operation{
		OperationID: "purge-kept", Method: http.MethodDelete, Path: "/mirrors/{mirror}/kept", Tags: tags, Summary: "Forget kept refs, or a restored one",
		Description: "Takes the names away. The objects stay on disk, and whoever may read the mirror and knows an id can fetch them, " +
			"until the repository is pruned.",
		DefaultStatus: http.StatusOK, Errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
	}, a.purgeKept)
}

func keptJSON(k mirror.Kept) KeptRef {
	return KeptRef{Ref: k.Ref.Name, Name: k.Name, Hash: k.Ref.Hash, Commit: k.Ref.Commit(), KeptAt: k.At, Why: k.Why}
}

type listKeptRequest struct {
	MirrorParam
	PageParams
}

type listKeptAnswer struct {
	Link string `header:"Link"`
	Body KeptRefs
}

func (a *api) listKept(ctx context.Context, in *listKeptRequest) (*listKeptAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	kept, err := a.Catalog.Kept(ctx, repo.ID)
	if err != nil {
		return nil, err
	}
	if in.Cursor != "" { // a name; the list goes down
		i := slices.IndexFunc(kept, func(k mirror.Kept) bool { return k.Ref.Name < in.Cursor })
		if i < 0 {
			i = len(kept)
		}
		kept = kept[i:]
	}
	out := &listKeptAnswer{}
	if len(kept) > in.Limit {
		kept = kept[:in.Limit]
		out.Body.NextCursor = kept[in.Limit-1].Ref.Name
	}
	out.Body.Items = each(kept, keptJSON)
	out.Link = in.next("/mirrors/"+string(repo.ID)+"/kept", out.Body.NextCursor, nil)
	return out, nil
}

type restoreRequest struct {
	MirrorParam
	Body RestoreRef
}

func (a *api) restoreKept(ctx context.Context, in *restoreRequest) (*answer[Ref], error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	ref, err := a.Catalog.Restore(ctx, repo.ID, in.Body.Ref, in.Body.As)
	if err != nil {
		return nil, err
	}
	return &answer[Ref]{refJSON(ref)}, nil
}

type purgeRequest struct {
	MirrorParam
	MatchParam
	Ref    string    `query:"ref" maxLength:"1000" doc:"A kept ref, or a restored branch or tag by its full name"`
	Before time.Time `query:"before" doc:"Instead of ref: everything that was kept before"`
}

func (a *api) purgeKept(ctx context.Context, in *purgeRequest) (*answer[PurgedRefs], error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	if err := in.met(ctx, string(repo.Path), repo.Version, nil); err != nil {
		return nil, err
	}
	out := &answer[PurgedRefs]{PurgedRefs{Purged: 1}}
	switch {
	case (in.Ref == "") == in.Before.IsZero():
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "it is not clear what to forget", Do: "give either ref or before"}
	case in.Ref != "":
		_, err = a.Catalog.Purge(ctx, repo.ID, in.Ref)
	default:
		out.Body.Purged, err = a.Catalog.PurgeBefore(ctx, repo.ID, in.Before)
	}
	return out, err
}
