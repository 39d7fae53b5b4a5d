package web

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// listing is which mirrors a list shows, as its address has it.
type listing struct {
	Search string
	State  string // a mirror.Status, "late" or "held"; empty = any
	Sort   mirror.RepoSort
	After  mirror.Path // in the order of paths
	From   int         // in the others
}

// States of a filter that are no mirror.Status.
const (
	lateState = "late"
	heldState = "held"
)

// maxFrom bounds how far one can page by numbers.
const maxFrom = 1_000_000

// readListing reads the address, or the form that carries its parts.
func readListing(g *gin.Context) (listing, error) {
	value := func(key string) string {
		if text := g.Query(key); text != "" {
			return text
		}
		return g.PostForm(key)
	}
	l := listing{Search: value("q"), State: value("status"), Sort: mirror.RepoSort(value("sort"))}
	if after := g.Query("after"); after != "" {
		path, err := mirror.ParsePath(after)
		if err != nil {
			return l, err
		}
		l.After = path
	}
	if from, err := strconv.Atoi(g.Query("from")); err == nil {
		l.From = min(max(0, from), maxFrom)
	}
	return l, nil
}

// query is what to ask the store for.
func (l listing) query(now time.Time) mirror.RepoQuery {
	q := mirror.RepoQuery{Search: l.Search, Sort: l.Sort}
	if l.Sort == mirror.SortPath {
		q.After = l.After
	} else {
		q.Offset = l.From
	}
	switch l.State {
	case lateState:
		q.Late = now
	case heldState:
		q.Held = true
	default:
		q.Status = mirror.Status(l.State)
	}
	return q
}

// page is the list behind a path, or from a number, whichever its order pages by.
func (l listing) page(after mirror.Path, from int) listing {
	l.After, l.From = "", 0
	if l.Sort == mirror.SortPath {
		l.After = after
	} else {
		l.From = from
	}
	return l
}

func (l listing) url() string {
	v := url.Values{}
	for key, value := range map[string]string{"q": l.Search, "status": l.State, "sort": string(l.Sort), "after": string(l.After)} {
		if value != "" {
			v.Set(key, value)
		}
	}
	if l.From > 0 {
		v.Set("from", strconv.Itoa(l.From))
	}
	if len(v) == 0 {
		return "/mirrors"
	}
	return "/mirrors?" + v.Encode()
}

// filters are links to the states that occur, and the one that is chosen.
func (c *console) filters(g *gin.Context, w *words, l listing, now time.Time) ([]link, error) {
	ctx := g.Request.Context()
	counts, err := c.allCounts(g)
	if err == nil && l.Search != "" {
		counts, err = c.Store.CountRepos(ctx, mirror.RepoQuery{Search: l.Search})
	}
	if err != nil {
		return nil, err
	}
	late, err := c.count(ctx, mirror.RepoQuery{Search: l.Search, Late: now})
	if err != nil {
		return nil, err
	}
	held, err := c.count(ctx, mirror.RepoQuery{Search: l.Search, Held: true})
	if err != nil {
		return nil, err
	}
	list := []link{{}}
	all := 0
	add := func(state, name string, n int) {
		if n > 0 || l.State == state {
			list = append(list, link{Name: name, URL: listing{Search: l.Search, State: state, Sort: l.Sort}.url(), Here: l.State == state, Count: n})
		}
	}
	for _, s := range []mirror.Status{mirror.Failed, mirror.Retrying} {
		add(string(s), w.status(s), counts[s])
	}
	add(lateState, w.t("Late"), late)
	add(heldState, w.t("Held"), held)
	for _, s := range []mirror.Status{mirror.Queued, mirror.Cloning, mirror.Syncing, mirror.Ready, mirror.Paused} {
		add(string(s), w.status(s), counts[s])
	}
	for _, n := range counts {
		all += n
	}
	list[0] = link{Name: w.t("All"), URL: listing{Search: l.Search, Sort: l.Sort}.url(), Here: l.State == "", Count: all}
	return list, nil
}

func (c *console) count(ctx context.Context, q mirror.RepoQuery) (int, error) {
	counts, err := c.Store.CountRepos(ctx, q)
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum, err
}

// column is the head of a column; URL sorts by it.
type column struct {
	Name   string
	URL    string
	Here   bool   // the list is in this order
	Order  string // "ascending" or "descending", of the column's own values
	Number bool
}

func (w *words) columns(l listing) []column {
	by := func(name string, s mirror.RepoSort, order string) column {
		return column{Name: name, URL: listing{Search: l.Search, State: l.State, Sort: s}.url(), Here: l.Sort == s, Order: order}
	}
	list := []column{
		by(w.t("Mirror"), mirror.SortPath, "ascending"), by(w.t("State"), mirror.SortFailures, "descending"),
		by(w.t("Data age"), mirror.SortAge, "descending"), by(w.t("Next sync"), mirror.SortNext, "ascending"),
		by(w.t("Size"), mirror.SortSize, "descending"), {Name: w.t("Branches / tags")},
	}
	list[4].Number, list[5].Number = true, true
	return list
}
