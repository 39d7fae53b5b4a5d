package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

const (
	refsShown   = 50
	runsShown   = 10
	runsCharted = 40
	eventsShown = 20
)

type mirrorPage struct {
	page
	ID          mirror.ID
	Path        mirror.Path
	Upstream    string
	Credential  string
	Private     bool
	Paused      bool
	FollowTags  bool
	Every       time.Duration
	State       stateView
	Progress    *progressView
	Problem     *mirror.Problem
	Gone        *goneView // what can be done about the problem; nil = it is another one
	Same        *sameView // whom else the problem has; nil = it is this repository's own
	Archived    time.Time
	Served      bool
	Stale       bool
	Age         string
	LastAttempt time.Time
	LastSuccess time.Time
	NextSync    time.Time
	NextWhy     string
	Due         bool
	LastChange  time.Time
	Head        string
	Heads, Tags int
	Bytes       int64
	Created     time.Time
	Seen        string // version of the state this page shows, for the event stream

	CloneHTTP, CloneSSH, GoPath string

	RefSearch string
	Refs      []refView
	RefsTotal int

	Size *sizeChart // nil before there are two days of it

	Chart     *barChart
	Runs      []runView
	RunsPaged bool  // not the newest
	OlderRuns int64 // id to page behind; zero = these are the oldest

	Events []eventView

	Held      []holdView
	Kept      []keptView
	KeptTotal int

	Refspec mirror.RefPolicy
	OnDisk  *upkeepView // nil before the first clone
}

type refView struct {
	Name   string
	Kind   string // "branch", "tag", "pull request"
	Ours   bool   // restored or kept here, whatever the original has
	Hash   string
	IsHead bool
}

func (c *console) repo(g *gin.Context) (mirror.Repo, error) {
	id, err := mirror.ParseID(g.Param("id"))
	if err != nil {
		return mirror.Repo{}, err
	}
	repo, err := c.Store.RepoByID(g.Request.Context(), id)
	if errors.Is(err, mirror.ErrNotFound) {
		return mirror.Repo{}, &mirror.Problem{
			Kind: mirror.ErrNotFound, What: "there is no such mirror", Why: "it was removed, or the address is mistyped",
			Do: "look for it in the list of mirrors",
		}
	}
	if err == nil {
		auth.Note(g.Request.Context(), "mirror "+string(repo.Path))
	}
	return repo, err
}

func (c *console) mirror(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	w := c.words(g)
	p, err := c.page(g, string(repo.Path), "/mirrors")
	if err != nil {
		return err
	}
	ctx, data := g.Request.Context(), c.viewMirror(w, p, repo)
	data.RefSearch = strings.TrimSpace(g.Query("ref"))
	if err := c.readRefs(ctx, w, repo, &data); err != nil {
		return err
	}
	data.viewGone(repo)
	if err := c.viewSame(ctx, repo, &data); err != nil {
		return err
	}
	if err := c.readRuns(g, repo.ID, &data); err != nil {
		return err
	}
	if data.Served {
		if data.OnDisk, err = c.viewUpkeep(ctx, w, repo.ID); err != nil {
			return err
		}
	}
	sizes, err := c.Store.Sizes(ctx, repo.ID, time.Now().Add(-sizesShown))
	if err != nil {
		return err
	}
	data.Size = w.drawSize(sizes, time.Now())
	events, err := c.Store.Events(ctx, repo.ID, 0, eventsShown)
	if err != nil {
		return err
	}
	for _, e := range events {
		data.Events = append(data.Events, w.viewEvent(e, ""))
	}
	return c.render(g, http.StatusOK, "mirror", data)
}

func (c *console) viewMirror(w *words, p page, r mirror.Repo) mirrorPage {
	s, now := r.State, time.Now()
	data := mirrorPage{
		page: p, ID: r.ID, Path: r.Path, Upstream: r.Upstream.String(), Credential: r.Credential,
		Private: r.Private, Paused: r.Paused, FollowTags: r.Tags == mirror.FollowTags, Every: r.Interval,
		State: w.viewState(r, now), Problem: s.Problem, Archived: r.Archived, Served: s.Served(), Stale: stale(r, now),
		Age: w.span(now.Sub(s.LastSuccess)), LastAttempt: s.LastAttempt, LastSuccess: s.LastSuccess,
		NextSync: s.NextSync, NextWhy: w.say(c.Syncer.Explain(r)), Due: s.NextSync.Before(now), LastChange: s.LastChange,
		Head: strings.TrimPrefix(s.Head, "refs/heads/"), Heads: s.Heads, Tags: s.Tags, Bytes: s.Bytes,
		Created: r.Created, Seen: seen(r), Refspec: r.Refs,
		CloneHTTP: "git clone " + c.Site.URL + "/" + string(r.Path) + ".git",
		GoPath:    goPath(c.Site, r.Path),
	}
	if c.Site.SSH != "" {
		data.CloneSSH = "git clone " + c.Site.SSH + "/" + string(r.Path) + ".git"
	}
	if p, ok := c.Syncer.Progress(r.ID); ok {
		data.Progress = w.viewProgress(p)
		data.State = w.running(data.Served)
	}
	return data
}

// goPath is the module path under which go finds the repository here: the
// right side of a replacement, without a version and, from v2 on, without /vN.
// It has no port; "gitmirror env" prints the settings that lead to one.
func goPath(site mirror.Site, path mirror.Path) string {
	target := site.Root() + "/" + string(path)
	if site.Form() == mirror.DotGit {
		target += ".git"
	}
	return target
}

// seen changes whenever a run ends, even one that was stopped, or an edit is made.
func seen(r mirror.Repo) string {
	return strings.Join([]string{string(r.State.Status), r.State.LastAttempt.UTC().Format("20060102T150405.000000"), r.Updated.UTC().Format("20060102T150405.000000")}, "-")
}

func (c *console) readRefs(ctx context.Context, w *words, repo mirror.Repo, data *mirrorPage) error {
	if !data.Served {
		return c.readHeld(ctx, w, repo, mirror.Listing{}, data)
	}
	listing, err := c.Reader.Refs(ctx, repo.ID)
	if errors.Is(err, mirror.ErrNotFound) {
		listing, err = mirror.Listing{}, nil
	}
	if err == nil {
		err = c.readHeld(ctx, w, repo, listing, data)
	}
	if err != nil {
		return err
	}
	search := strings.ToLower(data.RefSearch)
	for _, r := range listing.Refs {
		if !strings.Contains(strings.ToLower(r.Name), search) || strings.HasPrefix(r.Name, "refs/gitmirror/") {
			continue // what is kept has a list of its own
		}
		data.RefsTotal++
		if len(data.Refs) == refsShown {
			continue
		}
		v := refView{Name: r.Short(), Hash: r.Commit(), Kind: w.t("branch"), IsHead: r.Name == listing.Head}
		switch {
		case r.IsTag():
			v.Kind = w.t("tag")
		case mirror.IsPull(r.Name):
			v.Kind, v.Name = w.t("pull request"), strings.TrimPrefix(r.Name, "refs/")
		}
		v.Ours = listing.Ours(r.Name)
		data.Refs = append(data.Refs, v)
	}
	return nil
}

// readRuns fills the chart with the newest runs, and the table with those the
// address asks for.
func (c *console) readRuns(g *gin.Context, id mirror.ID, data *mirrorPage) error {
	ctx := g.Request.Context()
	newest, err := c.Store.Runs(ctx, id, 0, runsCharted)
	if err != nil {
		return err
	}
	w := c.words(g)
	data.Chart = w.chartRuns(newest)
	runs := newest
	if before, err := strconv.ParseInt(g.Query("before"), 10, 64); err == nil && before > 0 {
		data.RunsPaged = true
		if runs, err = c.Store.Runs(ctx, id, before, runsShown+1); err != nil {
			return err
		}
	}
	if len(runs) > runsShown {
		runs = runs[:runsShown]
		data.OlderRuns = runs[runsShown-1].ID
	}
	for _, r := range runs {
		data.Runs = append(data.Runs, w.viewRun(r))
	}
	return nil
}

func (c *console) syncMirror(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	_, err = c.Syncer.Ask(g.Request.Context(), repo.ID, mirror.ByHand)
	return c.orTell(g, err, "Sync asked for.", mirrorURL(repo.ID))
}

func (c *console) pause(g *gin.Context) error {
	return c.setPaused(g, true, "Paused. The mirror is still served; it is no longer synced until you resume it.")
}

func (c *console) resume(g *gin.Context) error {
	return c.setPaused(g, false, "Resumed. A sync begins now.")
}

func (c *console) cancelSync(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	_, err = c.Catalog.Cancel(g.Request.Context(), repo.ID)
	return c.orTell(g, err, "Cancelled, and paused. Resume begins anew.", mirrorURL(repo.ID))
}

func (c *console) setPaused(g *gin.Context, paused bool, message string) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	_, err = c.Catalog.Edit(g.Request.Context(), repo.ID, mirror.Edit{Paused: &paused})
	return c.orTell(g, err, message, mirrorURL(repo.ID))
}
