package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// MirrorParam names the mirror an operation is about.
type MirrorParam struct {
	Mirror string `path:"mirror" maxLength:"600" doc:"Id, or path with its slashes escaped: github.com%2Fspf13%2Fcobra"`
}

type mirrorAnswer struct {
	ETag string `header:"ETag"`
	Body Mirror
}

func (a *api) mirrorOperations() {
	tags := []string{"mirrors"}
	register(a, readers, huma.Operation{
		OperationID: "list-mirrors", Method: http.MethodGet, Path: "/mirrors", Tags: tags, Summary: "List mirrors by path",
	}, a.listMirrors)
	register(a, managers, also(huma.Operation{
		OperationID: "add-mirrors", Method: http.MethodPost, Path: "/mirrors", Tags: tags, Summary: "Mirror a repository, or several",
		Description: "One is answered with 201, or 200 when it was mirrored before. Several in `mirrors` are answered " +
			"with 200 and an error in the place of each that cannot be. The first clone begins at once; " +
			"the answer does not wait for it.",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict},
	}, http.StatusOK), a.addMirrors)
	register(a, readers, huma.Operation{
		OperationID: "show-mirror", Method: http.MethodGet, Path: "/mirrors/{mirror}", Tags: tags, Summary: "Show a mirror",
		Errors: []int{http.StatusNotFound},
	}, a.showMirror)
	register(a, managers, huma.Operation{
		OperationID: "edit-mirror", Method: http.MethodPatch, Path: "/mirrors/{mirror}", Tags: tags, Summary: "Change, pause, archive or resume a mirror",
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, a.editMirror)
	register(a, managers, huma.Operation{
		OperationID: "remove-mirror", Method: http.MethodDelete, Path: "/mirrors/{mirror}", Tags: tags, Summary: "Stop mirroring and delete what we have",
		Errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
	}, a.removeMirror)
	register(a, syncers, also(huma.Operation{
		OperationID: "sync-mirror", Method: http.MethodPost, Path: "/mirrors/{mirror}/sync", Tags: tags, Summary: "Sync now",
		Description: "202: the sync is queued; watch it with GET /events?mirror=… or GET /mirrors/{mirror}/runs?after=last_run. " +
			"With wait_s, 200 and the run when it ended in that time; look at its outcome.",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusNotFound},
	}, http.StatusOK), a.syncMirror)
	register(a, managers, huma.Operation{
		OperationID: "cancel-sync", Method: http.MethodPost, Path: "/mirrors/{mirror}/cancel", Tags: tags, Summary: "Stop the sync that goes on, and pause",
		Description:   "The mirror is paused, or it would be synced again at once. What is served stays as it was. A sync that another server on the same database does goes on to its end.",
		DefaultStatus: http.StatusOK, Errors: []int{http.StatusNotFound},
	}, a.cancelSync)
}

type listMirrorsRequest struct {
	PageParams
	Search string `query:"search" maxLength:"500" doc:"Part of the path, in any letter case"`
	State  string `query:"state" enum:"queued,cloning,ready,syncing,retrying,failed,paused"`
}

type listMirrorsAnswer struct {
	Link string `header:"Link"`
	Body Mirrors
}

func (a *api) listMirrors(ctx context.Context, in *listMirrorsRequest) (*listMirrorsAnswer, error) {
	after, err := in.behind()
	if err != nil {
		return nil, err
	}
	repos, err := a.Store.Repos(ctx, mirror.RepoQuery{
		Search: in.Search, Status: mirror.Status(in.State), After: after, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := &listMirrorsAnswer{Body: Mirrors{Items: each(repos, a.mirrorJSON)}}
	if len(repos) == in.Limit {
		out.Body.NextCursor = string(repos[len(repos)-1].Path)
	}
	out.Link = in.next("/mirrors", out.Body.NextCursor, url.Values{"search": {in.Search}, "state": {in.State}})
	return out, nil
}

type addMirrorsRequest struct{ Body AddMirrors }

type addMirrorsAnswer struct {
	Status   int
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     AddedMirrors
}

func (a *api) addMirrors(ctx context.Context, in *addMirrorsRequest) (*addMirrorsAnswer, error) {
	b := in.Body
	one := NewMirror{PathOrURL: b.PathOrURL, Upstream: b.Upstream, IntervalS: b.IntervalS, Credential: b.Credential, Private: b.Private, Tags: b.Tags, Refs: b.Refs}
	if len(b.Mirrors) > 0 {
		if one != (NewMirror{}) {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the request has both mirrors and the fields of a single one", Do: "use one of them"}
		}
		return a.addSeveral(ctx, b.Mirrors)
	}
	repo, existed, err := a.add(ctx, one)
	if err != nil {
		return nil, err
	}
	m := a.mirrorJSON(repo)
	out := &addMirrorsAnswer{
		Status: http.StatusCreated, Location: apiPrefix + "/mirrors/" + string(repo.ID), ETag: etag(repo),
		Body: AddedMirrors{Items: []AddedMirror{{Mirror: &m, Existed: existed}}},
	}
	if existed {
		out.Status = http.StatusOK
	}
	return out, nil
}

func (a *api) addSeveral(ctx context.Context, list []NewMirror) (*addMirrorsAnswer, error) {
	out := &addMirrorsAnswer{Status: http.StatusOK, Body: AddedMirrors{Items: make([]AddedMirror, len(list))}}
	// Hosts of import paths are asked side by side; each addition then finds the answer.
	if _, err := a.Catalog.PlanAll(ctx, each(list, a.asked), nil); err != nil {
		return nil, err
	}
	for i, n := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		item := &out.Body.Items[i]
		repo, existed, err := a.add(ctx, n)
		if err != nil {
			item.Error = a.cause(ctx, err, "/mirrors")
			continue
		}
		m := a.mirrorJSON(repo)
		item.Mirror, item.Existed = &m, existed
	}
	return out, nil
}

func (a *api) add(ctx context.Context, n NewMirror) (mirror.Repo, bool, error) {
	if n.PathOrURL == "" {
		return mirror.Repo{}, false, &mirror.Problem{
			Code: mirror.CodeBadURL, Kind: mirror.ErrInvalid, What: "path_or_url is empty", Do: "give the repository, for example github.com/spf13/cobra",
		}
	}
	repo, existed, err := a.Catalog.Add(ctx, a.asked(n))
	if err == nil {
		err = a.Policy.Reads(ctx, auth.From(ctx), repo.Path, repo.Private)
	}
	return repo, existed, err
}

func (a *api) showMirror(ctx context.Context, in *MirrorParam) (*mirrorAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	out := &mirrorAnswer{ETag: etag(repo), Body: a.mirrorJSON(repo)}
	out.Body.NextWhy = a.Syncer.Explain(repo)
	if repo.State.Served() {
		upkeep, err := a.upkeepJSON(ctx, repo.ID)
		if err != nil {
			return nil, err
		}
		out.Body.Upkeep = &upkeep
	}
	return out, nil
}

type editMirrorRequest struct {
	MirrorParam
	MatchParam
	Body EditMirror
}

func (a *api) editMirror(ctx context.Context, in *editMirrorRequest) (*mirrorAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	b := in.Body
	edit := mirror.Edit{Version: version, Upstream: b.Upstream, Credential: b.Credential, Private: b.Private, Paused: b.Paused, Archived: b.Archived}
	if b.IntervalS != nil {
		every := time.Duration(*b.IntervalS) * time.Second
		edit.Interval = &every
	}
	if b.Tags != nil {
		policy := mirror.TagPolicy(*b.Tags)
		edit.Tags = &policy
	}
	edit.Refs = b.Refs
	edited, err := a.Catalog.Edit(ctx, repo.ID, edit)
	if errors.Is(err, mirror.ErrExists) && version != 0 {
		now, seeErr := a.Store.RepoByID(ctx, repo.ID)
		if seeErr != nil {
			return nil, seeErr
		}
		if now.Version != version {
			return nil, staleEdit(ctx, now, b)
		}
	}
	if err != nil {
		return nil, err
	}
	return &mirrorAnswer{ETag: etag(edited), Body: a.mirrorJSON(edited)}, nil
}

type removeMirrorRequest struct {
	MirrorParam
	MatchParam
}

func (a *api) removeMirror(ctx context.Context, in *removeMirrorRequest) (*struct{}, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	if version != 0 && version != repo.Version {
		return nil, staleEdit(ctx, repo, EditMirror{})
	}
	return nil, a.Catalog.Remove(ctx, repo.ID)
}

type syncMirrorRequest struct {
	MirrorParam
	WaitS int `query:"wait_s" minimum:"0" maximum:"60" doc:"Seconds to wait for the end of the sync"`
}

type syncMirrorAnswer struct {
	Status int
	Body   Synced
}

func (a *api) syncMirror(ctx context.Context, in *syncMirrorRequest) (*syncMirrorAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	out := &syncMirrorAnswer{Status: http.StatusAccepted}
	if out.Body.LastRun, err = a.Syncer.Ask(ctx, repo.ID, mirror.ByHand); err != nil {
		return nil, err
	}
	if in.WaitS > 0 {
		if err := a.awaitSync(ctx, repo.ID, time.Duration(in.WaitS)*time.Second, out); err != nil {
			return nil, err
		}
	}
	if repo, err = a.Store.RepoByID(ctx, repo.ID); err != nil {
		return nil, err
	}
	out.Body.Mirror = a.mirrorJSON(repo)
	return out, nil
}

func (a *api) cancelSync(ctx context.Context, in *MirrorParam) (*mirrorAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	if repo, err = a.Catalog.Cancel(ctx, repo.ID); err != nil {
		return nil, err
	}
	return &mirrorAnswer{ETag: etag(repo), Body: a.mirrorJSON(repo)}, nil
}

// awaitSync puts the run into the answer when it ends in time; not ending in
// time is no error.
func (a *api) awaitSync(ctx context.Context, id mirror.ID, limit time.Duration, out *syncMirrorAnswer) error {
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	run, err := a.Syncer.Await(wait, id, out.Body.LastRun)
	if err != nil {
		if wait.Err() != nil && ctx.Err() == nil {
			return nil
		}
		return err
	}
	r := runJSON(run)
	out.Status, out.Body.Run = http.StatusOK, &r
	return nil
}

func etag(r mirror.Repo) string { return `"` + strconv.FormatInt(r.Version, 10) + `"` }

// staleEdit says how the mirror is now where the edit has it otherwise.
func staleEdit(ctx context.Context, now mirror.Repo, edit EditMirror) *Problem {
	var differ []Difference
	compare := func(field, is string, asked bool, yours string) {
		if asked && is != yours {
			differ = append(differ, Difference{field, is, yours})
		}
	}
	text := func(s *string) (bool, string) { return s != nil, deref(s) }
	asked, yours := text(edit.Upstream)
	compare("upstream", now.Upstream.String(), asked, yours)
	asked, yours = text(edit.Credential)
	compare("credential", now.Credential, asked, yours)
	asked, yours = text(edit.Tags)
	compare("tags", string(now.Tags), asked, yours)
	compare("private", strconv.FormatBool(now.Private), edit.Private != nil, strconv.FormatBool(deref(edit.Private)))
	compare("paused", strconv.FormatBool(now.Paused), edit.Paused != nil, strconv.FormatBool(deref(edit.Paused)))
	compare("archived", strconv.FormatBool(!now.Archived.IsZero()), edit.Archived != nil, strconv.FormatBool(deref(edit.Archived)))
	compare("interval_s", strconv.FormatInt(int64(now.Interval/time.Second), 10), edit.IntervalS != nil, strconv.FormatInt(deref(edit.IntervalS), 10))
	if edit.Refs != nil && !edit.Refs.Equal(now.Refs) {
		differ = append(differ, Difference{"refs", fmt.Sprintf("%+v", now.Refs), fmt.Sprintf("%+v", *edit.Refs)})
	}
	return staleThing(ctx, string(now.Path), strconv.FormatInt(now.Version, 10), differ)
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
