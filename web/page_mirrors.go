package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// rowsPerPage is small enough to read and to keep live.
const rowsPerPage = 50

type mirrorsPage struct {
	page
	Empty       bool // nothing is mirrored at all
	FirstClones firstClones
	Filters     []link
	Columns     []column
	Search      string
	State       string // of the filter
	Sort        string
	Matching    int // mirrors that search and filter select
	Rows        []mirrorRow
	This        string // of the list as it is shown
	Ended       uint64 // of the syncer, before the rows were read
	Paged       bool   // not the first page
	First, Next string
}

// firstClones is the banner while mirrors are cloned for the first time.
type firstClones struct {
	Ready, All, Left int
	Trouble          bool // some fail, and may have no data yet: not all others are ready
}

// mirrorRow is a mirror in the list.
type mirrorRow struct {
	ID          mirror.ID
	Path        mirror.Path
	MaySync     bool // of who looks: the row can be chosen
	Private     bool
	Paused      bool
	State       stateView
	Busy        bool
	Progress    *progressView
	Problem     *mirror.Problem
	Served      bool
	LastSuccess time.Time
	Age         string
	Stale       bool
	NextSync    time.Time
	Due         bool
	Bytes       int64
	Heads, Tags int
}

func (c *console) row(w *words, r mirror.Repo, now time.Time) mirrorRow {
	s := r.State
	row := mirrorRow{
		ID: r.ID, Path: r.Path, Private: r.Private, Paused: r.Paused, State: w.viewState(r, now), Problem: s.Problem,
		Served: s.Served(), LastSuccess: s.LastSuccess, Age: w.span(now.Sub(s.LastSuccess)), Stale: stale(r, now),
		NextSync: s.NextSync, Due: s.NextSync.Before(now), Bytes: s.Bytes, Heads: s.Heads, Tags: s.Tags,
	}
	if !r.Archived.IsZero() {
		row.Problem = nil // somebody has seen to it
	}
	row.Busy = s.Status == mirror.Cloning || s.Status == mirror.Syncing
	if p, ok := c.Syncer.Progress(r.ID); ok {
		row.showProgress(w, p)
	}
	return row
}

// showProgress draws a run that the stored state may not know of yet.
func (row *mirrorRow) showProgress(w *words, p mirror.Progress) {
	row.Progress, row.Busy, row.Problem = w.viewProgress(p), true, nil
	row.State = w.running(row.Served)
}

// running is the state of a mirror while something is fetched.
func (w *words) running(served bool) stateView {
	if served {
		return stateView{Word: w.status(mirror.Syncing), Look: "busy"}
	}
	return stateView{Word: w.status(mirror.Cloning), Look: "busy"}
}

func (c *console) mirrors(g *gin.Context) error {
	ctx, w, now := g.Request.Context(), c.words(g), time.Now()
	list, err := readListing(g)
	if err != nil {
		return err
	}
	p, err := c.page(g, "Mirrors", "/mirrors")
	if err != nil {
		return err
	}
	ended := c.Syncer.Ended()
	all, err := c.allCounts(g)
	if err != nil {
		return err
	}
	data := mirrorsPage{
		page: p, Search: list.Search, State: list.State, Sort: string(list.Sort), Paged: list.After != "" || list.From > 0,
		FirstClones: viewFirstClones(all), First: list.page("", 0).url(), This: list.url(), Ended: ended,
	}
	data.Empty = data.FirstClones.All == 0
	if data.Filters, err = c.filters(g, w, list, now); err != nil {
		return err
	}
	data.Columns = w.columns(list)
	for _, f := range data.Filters {
		if f.Here {
			data.Matching = f.Count
		}
	}
	q := list.query(now)
	q.Limit = rowsPerPage + 1
	repos, err := c.Store.Repos(ctx, q)
	if err != nil {
		return err
	}
	if len(repos) > rowsPerPage {
		repos = repos[:rowsPerPage]
		data.Next = list.page(repos[rowsPerPage-1].Path, list.From+rowsPerPage).url()
	}
	for _, r := range repos {
		row := c.row(w, r, now)
		row.MaySync = p.MaySync
		data.Rows = append(data.Rows, row)
	}
	return c.render(g, http.StatusOK, "mirrors", data)
}

func viewFirstClones(counts map[mirror.Status]int) firstClones {
	f := firstClones{Left: counts[mirror.Queued] + counts[mirror.Cloning]}
	for _, n := range counts {
		f.All += n
	}
	f.Ready = f.All - f.Left
	f.Trouble = counts[mirror.Failed]+counts[mirror.Retrying] > 0
	return f
}

// openMirror leads from a repository path to its page: people paste clone
// addresses into browsers.
func (c *console) openMirror(g *gin.Context) error {
	path, err := mirror.ParsePath(g.Query("path"))
	if err != nil {
		return err
	}
	repo, err := c.find(g.Request.Context(), path)
	if errors.Is(err, mirror.ErrNotFound) && c.may(g, auth.Manage, true) == nil {
		return &mirror.Problem{
			Code: mirror.CodeNotMirrored, Kind: mirror.ErrNotFound, What: string(path) + " is not mirrored here",
			Do: "choose \"Add mirrors\" on the list of mirrors and paste the address",
		}
	}
	if err != nil {
		return err
	}
	g.Redirect(http.StatusSeeOther, mirrorURL(repo.ID))
	return nil
}

func mirrorURL(id mirror.ID) string { return "/mirrors/" + string(id) }
