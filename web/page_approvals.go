package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	approvalsShown = 50
	decidedShown   = 25
	goneShown      = 200
)

type approvalsPage struct {
	page
	Open      []holdView
	MoreOpen  int
	Decided   []holdView
	Older     int64 // id to page behind; zero = these are the oldest
	DecidedAt bool  // not the newest
}

// holdView is an approval for a person. Path is empty on the mirror's own page.
type holdView struct {
	ID       int64
	Repo     mirror.ID
	Path     mirror.Path
	Kind     mirror.HoldKind
	Title    string
	Code     mirror.Code
	Text     string
	Ref      string
	Old, New sideView
	Refs     []string
	More     int // names that are not shown
	Accepted string
	Kept     string
	Opened   time.Time

	Compare string // URL of the difference; empty = there is none to show

	MayDecide bool
	State     stateView
	By        string
	At        time.Time
	Reason    string
}

// sideView is what we have, or what upstream has.
type sideView struct {
	Value   string // object id or URL; empty = nothing
	ID      bool   // it is an object id
	Commit  string // a tag's
	At      time.Time
	Subject string
}

func (c *console) approvals(g *gin.Context) error {
	p, err := c.page(g, "Approvals", "/approvals")
	if err != nil {
		return err
	}
	ctx, w, data := g.Request.Context(), c.words(g), approvalsPage{page: p}
	open, err := c.Store.Holds(ctx, mirror.HoldQuery{State: "open", Limit: approvalsShown})
	if err != nil {
		return err
	}
	paths := map[mirror.ID]mirror.Path{}
	if data.Open, err = c.viewHolds(ctx, w, open, p.MayManage, paths); err != nil {
		return err
	}
	if len(open) == approvalsShown {
		n, err := c.Store.CountHolds(ctx, "")
		if err != nil {
			return err
		}
		data.MoreOpen = n - approvalsShown
	}
	q := mirror.HoldQuery{State: "decided", Limit: decidedShown}
	if before, err := strconv.ParseInt(g.Query("before"), 10, 64); err == nil && before > 0 {
		q.Before, data.DecidedAt = before, true
	}
	decided, err := c.Store.Holds(ctx, q)
	if err != nil {
		return err
	}
	if len(decided) == decidedShown {
		data.Older = decided[decidedShown-1].ID
	}
	if data.Decided, err = c.viewHolds(ctx, w, decided, false, paths); err != nil {
		return err
	}
	return c.render(g, http.StatusOK, "approvals", data)
}

func (c *console) viewHolds(ctx context.Context, w *words, holds []mirror.Hold, mayDecide bool, paths map[mirror.ID]mirror.Path) ([]holdView, error) {
	views := make([]holdView, len(holds))
	for i, h := range holds {
		a, err := c.approval(ctx, h, paths)
		if err != nil {
			return nil, err
		}
		if h.Open() {
			c.commits(ctx, h, &a)
		}
		views[i] = w.viewHold(h, a, mayDecide)
	}
	return views, nil
}

func (w *words) viewHold(h mirror.Hold, a Approval, mayDecide bool) holdView {
	v := holdView{
		ID: h.ID, Repo: h.Repo, Path: a.Path, Kind: h.Kind, Code: a.Code, Text: w.say(h.Text), Ref: mirror.Ref{Name: h.Ref}.Short(),
		Old: viewSide(h.Kind, a.Old, a.OldCommit), New: viewSide(h.Kind, a.New, a.NewCommit),
		Refs: h.Refs, Accepted: w.say(h.Accepted()), Kept: w.say(h.Kept()), Opened: h.Opened,
		MayDecide: mayDecide && h.Open(), By: h.DecidedBy, At: h.DecidedAt, Reason: h.Reason,
	}
	v.Title = map[mirror.HoldKind]string{
		mirror.HoldTag:       w.t("The original moved a tag"),
		mirror.HoldDeletions: w.t("The original dropped many branches and tags"),
		mirror.HoldDefault:   w.t("The original dropped its default branch"),
		mirror.HoldMove:      w.t("The original has moved"),
	}[h.Kind]
	if h.Kind == mirror.HoldTag && h.Old != "" && h.New != "" {
		v.Compare = compareURL(h.Repo, h.Old, h.New)
	}
	if len(v.Refs) > goneShown {
		v.Refs = v.Refs[:goneShown]
	}
	v.More = max(0, h.Count-len(v.Refs))
	switch h.Decision {
	case mirror.Accept:
		v.State = stateView{Word: w.t("Accepted"), Look: "warn"}
	case mirror.Keep:
		v.State = stateView{Word: w.t("Ours kept"), Look: "good"}
	default:
		v.State = stateView{Word: w.t("Waits"), Look: "busy"}
	}
	return v
}

func viewSide(kind mirror.HoldKind, value string, commit *ApprovalCommit) sideView {
	v := sideView{Value: value, ID: kind != mirror.HoldMove}
	if commit != nil {
		v.At, v.Subject = commit.At, commit.Subject
		if commit.Hash != value {
			v.Commit = commit.Hash
		}
	}
	return v
}

// decide answers both buttons of an approval.
func (c *console) decide(g *gin.Context) error {
	id, err := strconv.ParseInt(g.Param("approval"), 10, 64)
	if err != nil {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no such approval"}
	}
	ctx := g.Request.Context()
	h, err := c.Store.Hold(ctx, id)
	if err != nil {
		return err
	}
	back := "/approvals"
	if g.PostForm("from") == "mirror" {
		back = mirrorURL(h.Repo)
	}
	d := mirror.Decision(g.PostForm("decision"))
	_, err = c.Catalog.Decide(ctx, id, d, c.identity(g).Name, g.PostForm("reason"))
	message := "Ours is kept. Clients notice nothing."
	if d == mirror.Accept {
		message = "Accepted. A sync begins now and does as the original did; what goes is kept."
	}
	return c.orTell(g, err, message, back)
}

// keptView is a kept ref on its mirror's page.
type keptView struct {
	Ref    string
	Name   string
	Commit string
	At     time.Time
	Why    string
}

const keptShown = 20

// readHeld fills in what of a mirror waits for a decision, and what was kept.
func (c *console) readHeld(ctx context.Context, w *words, repo mirror.Repo, listing mirror.Listing, data *mirrorPage) error {
	open, err := c.Store.Holds(ctx, mirror.HoldQuery{Repo: repo.ID, State: "open", Limit: approvalsShown})
	if err != nil {
		return err
	}
	if data.Held, err = c.viewHolds(ctx, w, open, data.MayManage, map[mirror.ID]mirror.Path{repo.ID: ""}); err != nil {
		return err
	}
	kept := listing.Kept()
	data.KeptTotal = len(kept)
	for _, k := range kept[:min(len(kept), keptShown)] {
		data.Kept = append(data.Kept, keptView{
			Ref: k.Ref.Name, Name: strings.TrimPrefix(k.Name, "refs/"), Commit: k.Ref.Commit(), At: k.At, Why: w.kept(k.Why),
		})
	}
	return nil
}

// kept is why a ref is kept, in words.
func (w *words) kept(why mirror.KeptWhy) string {
	switch why {
	case mirror.KeptDeleted:
		return w.t("dropped by the original")
	case mirror.KeptForced:
		return w.t("rewritten by the original")
	case mirror.KeptMoved:
		return w.t("tag moved by the original")
	case mirror.KeptLeftOut:
		return w.t("left out by this mirror's settings")
	case mirror.KeptReplaced:
		return w.t("restored here, then wanted by the original")
	}
	return w.t("taken away by the original")
}

func (c *console) restore(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	ref, err := c.Catalog.Restore(g.Request.Context(), repo.ID, g.PostForm("ref"), g.PostForm("as"))
	return c.orTell(g, err, "Served again as {1}. Syncs leave it alone.", mirrorURL(repo.ID), ref.Short())
}
