package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Approval is a change of upstream that is not made until a person says so.
type Approval struct {
	ID     int64           `json:"id"`
	Mirror mirror.ID       `json:"mirror"`
	Path   mirror.Path     `json:"path" example:"github.com/spf13/cobra"`
	Kind   mirror.HoldKind `json:"kind" enum:"tag-moved,mass-deletion,default-branch-gone,moved"`
	Code   mirror.Code     `json:"code" example:"E1401" doc:"Entry of the error catalogue that explains the kind"`
	Ref    string          `json:"ref,omitempty" example:"refs/tags/v1.9.1"`
	Old    string          `json:"old,omitempty" doc:"What is served: an object id, or a URL when the repository moved"`
	New    string          `json:"new,omitempty" doc:"What upstream has: an object id, or a URL"`
	Refs   []string        `json:"refs,omitempty" doc:"What would go, at most 1,000 names"`
	Count  int             `json:"count,omitempty" doc:"How many would go"`
	Text   string          `json:"text" doc:"What happened"`
	// OldCommit and NewCommit are there when one approval is asked for.
	OldCommit *ApprovalCommit `json:"old_commit,omitempty"`
	NewCommit *ApprovalCommit `json:"new_commit,omitempty"`

	IfAccepted string    `json:"if_accepted" doc:"What follows from accepting, in words"`
	IfKept     string    `json:"if_kept" doc:"What follows from keeping ours, in words"`
	OpenedAt   time.Time `json:"opened_at"`

	State     string          `json:"state" enum:"open,accepted,kept,withdrawn"`
	Decision  mirror.Decision `json:"decision,omitempty" enum:"accept,keep"`
	DecidedBy string          `json:"decided_by,omitempty"`
	DecidedAt time.Time       `json:"decided_at,omitzero"`
	Reason    string          `json:"reason,omitempty"`
	SettledAt time.Time       `json:"settled_at,omitzero" doc:"When the decision was carried out, or upstream took its change back"`
}

// ApprovalCommit is a commit, for somebody to recognise.
type ApprovalCommit struct {
	Hash    string    `json:"hash"`
	At      time.Time `json:"at"`
	Subject string    `json:"subject"`
}

// Approvals is a page of them, newest first.
type Approvals struct {
	Items      []Approval `json:"items"`
	NextCursor string     `json:"next_cursor,omitempty"`
}

// Decide is what a person says to an approval.
type Decide struct {
	Decision string `json:"decision" enum:"accept,keep" doc:"accept: do as upstream did; keep: go on serving what is here"`
	Reason   string `json:"reason,omitempty" maxLength:"1000" doc:"Why, for those who ask later"`
}

func (a *api) approvalOperations() {
	tags, gone := []string{"approvals"}, []int{http.StatusNotFound}
	register(a, readers, huma.Operation{
		OperationID: "list-approvals", Method: http.MethodGet, Path: "/approvals", Tags: tags, Errors: gone,
		Summary: "List changes of upstream that wait for a person, newest first",
	}, a.listApprovals)
	register(a, readers, huma.Operation{
		OperationID: "show-approval", Method: http.MethodGet, Path: "/approvals/{approval}", Tags: tags, Errors: gone, Summary: "Show an approval, with its commits",
	}, a.showApproval)
	register(a, managers, huma.Operation{
		OperationID: "decide-approval", Method: http.MethodPost, Path: "/approvals/{approval}", Tags: tags, Summary: "Accept upstream's change, or keep ours",
		Description: "The next sync, which is asked for at once, carries it out. The same decision twice is one; another one than " +
			"before, or one on what upstream has taken back, is answered with 409.",
		DefaultStatus: http.StatusOK, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, a.decideApproval)
}

func approvalJSON(h mirror.Hold, path mirror.Path) Approval {
	return Approval{
		ID: h.ID, Mirror: h.Repo, Path: path, Kind: h.Kind, Code: h.Kind.Code(), Ref: h.Ref, Old: h.Old, New: h.New,
		Refs: h.Refs, Count: h.Count, Text: h.Text, IfAccepted: h.Accepted(), IfKept: h.Kept(), OpenedAt: h.Opened.UTC(),
		State: h.State(), Decision: h.Decision, DecidedBy: h.DecidedBy, DecidedAt: h.DecidedAt.UTC(), Reason: h.Reason, SettledAt: h.Settled.UTC(),
	}
}

// approval adds the path, and leaves out the digest that stands for many names.
func (s *Server) approval(ctx context.Context, h mirror.Hold, paths map[mirror.ID]mirror.Path) (Approval, error) {
	path, known := paths[h.Repo]
	if !known {
		repo, err := s.Store.RepoByID(ctx, h.Repo)
		if err != nil && !errors.Is(err, mirror.ErrNotFound) { // removed meanwhile
			return Approval{}, err
		}
		path = repo.Path
		paths[h.Repo] = path
	}
	out := approvalJSON(h, path)
	if h.Kind == mirror.HoldDeletions {
		out.New = ""
	}
	return out, nil
}

// commits looks at what a tag or branch was and would be. What cannot be read
// is left out.
func (s *Server) commits(ctx context.Context, h mirror.Hold, out *Approval) {
	if h.Kind != mirror.HoldTag && h.Kind != mirror.HoldDefault {
		return
	}
	out.OldCommit, out.NewCommit = s.commit(ctx, h.Repo, h.Old), s.commit(ctx, h.Repo, h.New)
}

func (s *Server) commit(ctx context.Context, id mirror.ID, hash string) *ApprovalCommit {
	if hash == "" {
		return nil
	}
	c, err := s.Reader.Commit(ctx, id, hash)
	if err != nil {
		return nil
	}
	subject, err := s.Reader.Subject(ctx, id, c.Hash)
	if err != nil {
		return nil
	}
	return &ApprovalCommit{Hash: c.Hash, At: c.Time, Subject: subject}
}

type listApprovalsRequest struct {
	PageParams
	State  string `query:"state" enum:"open,decided,all" default:"open"`
	Mirror string `query:"mirror" maxLength:"600" doc:"Id or path of the mirror"`
}

type listApprovalsAnswer struct {
	Link string `header:"Link"`
	Body Approvals
}

func (a *api) listApprovals(ctx context.Context, in *listApprovalsRequest) (*listApprovalsAnswer, error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	q := mirror.HoldQuery{State: in.State, Before: before, Limit: in.Limit}
	if in.Mirror != "" {
		repo, err := a.repo(ctx, in.Mirror)
		if err != nil {
			return nil, err
		}
		q.Repo = repo.ID
	}
	holds, err := a.Store.Holds(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listApprovalsAnswer{Body: Approvals{Items: make([]Approval, len(holds))}}
	paths := map[mirror.ID]mirror.Path{}
	for i, h := range holds {
		if out.Body.Items[i], err = a.approval(ctx, h, paths); err != nil {
			return nil, err
		}
	}
	if len(holds) == in.Limit {
		out.Body.NextCursor = strconv.FormatInt(holds[len(holds)-1].ID, 10)
	}
	out.Link = in.next("/approvals", out.Body.NextCursor, url.Values{"state": {in.State}, "mirror": {in.Mirror}})
	return out, nil
}

// ApprovalParam names an approval.
type ApprovalParam struct {
	Approval int64 `path:"approval" minimum:"1" doc:"Id of the approval"`
}

func (a *api) showApproval(ctx context.Context, in *ApprovalParam) (*answer[Approval], error) {
	h, err := a.Store.Hold(ctx, in.Approval)
	if err != nil {
		return nil, err
	}
	return a.shown(ctx, h)
}

func (a *api) shown(ctx context.Context, h mirror.Hold) (*answer[Approval], error) {
	out, err := a.approval(ctx, h, map[mirror.ID]mirror.Path{})
	if err != nil {
		return nil, err
	}
	a.commits(ctx, h, &out)
	return &answer[Approval]{out}, nil
}

type decideRequest struct {
	ApprovalParam
	Body Decide
}

func (a *api) decideApproval(ctx context.Context, in *decideRequest) (*answer[Approval], error) {
	if _, err := a.Store.Hold(ctx, in.Approval); err != nil {
		return nil, err
	}
	h, err := a.Catalog.Decide(ctx, in.Approval, mirror.Decision(in.Body.Decision), auth.From(ctx).Name, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return a.shown(ctx, h)
}
