package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	overviewFailed = 500 // failed mirrors that are looked at for their causes
	overviewShown  = 8   // concerns, and mirrors of a list
)

type overviewPage struct {
	page
	Concerns []concern
	More     int
	Tiles    []tile
	Syncs    *syncChart
	Running  []mirrorRow
	Next     []mirrorRow
	Traffic  Traffic
	Hits     string // of the last hour
	Requests int    // of the last hour
	Sent     int64  // bytes of the last hour
	Disk     *diskView
}

// concern is something that does not mend itself.
type concern struct {
	Look  string // "bad" or "warn"
	Title string
	Text  string // why
	Cure  string // what to do
	Code  mirror.Code
	URL   string
	Go    string // what the link says
	Since time.Time
}

// tile is a number of mirrors in a state.
type tile struct {
	Name string
	N    int
	Look string
	URL  string
	Hint string
}

// overview is the first page: what needs a person stands first.
func (c *console) overview(g *gin.Context) error {
	ctx, w, now := g.Request.Context(), c.words(g), time.Now()
	counts, err := c.allCounts(g)
	if err != nil {
		return err
	}
	if len(counts) == 0 { // nothing to look over: the list says how to begin
		g.Redirect(http.StatusSeeOther, "/mirrors")
		return nil
	}
	data := overviewPage{}
	if data.page, err = c.page(g, "Overview", "/"); err != nil {
		return err
	}
	if data.Disk, err = c.viewDisk(ctx, w); err != nil {
		return err
	}
	late, err := c.Store.CountRepos(ctx, mirror.RepoQuery{Late: now})
	if err != nil {
		return err
	}
	cooldowns, err := c.Store.Cooldowns(ctx, now)
	if err != nil {
		return err
	}
	held, err := c.Store.CountHolds(ctx, "")
	if err != nil {
		return err
	}
	data.Tiles = w.tiles(counts, late, held, len(cooldowns))
	if data.Concerns, err = c.concerns(ctx, w, late, held, data.Disk, now); err != nil {
		return err
	}
	if n := len(data.Concerns); n > overviewShown {
		data.Concerns, data.More = data.Concerns[:overviewShown], n-overviewShown
	}
	runs, err := c.Store.NewestRuns(ctx, nil, syncsRead)
	if err != nil {
		return err
	}
	data.Syncs = w.drawSyncs(runs, now)
	if err := c.readQueue(ctx, w, &data, now); err != nil {
		return err
	}
	c.readTraffic(w, &data, now)
	return c.render(g, http.StatusOK, "overview", data)
}

// readTraffic fills in what clients took in the last hour.
func (c *console) readTraffic(w *words, data *overviewPage, now time.Time) {
	data.Traffic = c.trafficNow(now)
	hits, asked := int64(0), int64(0)
	for _, s := range c.Server.Traffic.Over(time.Hour, time.Minute, now) {
		slot := slotJSON(s)
		data.Requests += slot.Requests
		data.Sent += slot.HTTPBytes + slot.SSHBytes
		hits += int64(slot.Hits + slot.Joins)
		asked += int64(slot.Hits + slot.Joins + slot.Misses)
	}
	if asked > 0 {
		data.Hits = w.t("{1} % of {2}", 100*hits/asked, asked)
	}
}

// readQueue fills in what is being synced, and what is next.
func (c *console) readQueue(ctx context.Context, w *words, data *overviewPage, now time.Time) error {
	for _, status := range []mirror.Status{mirror.Cloning, mirror.Syncing} {
		repos, err := c.Store.Repos(ctx, mirror.RepoQuery{Status: status, Limit: overviewShown - len(data.Running)})
		if err != nil {
			return err
		}
		for _, r := range repos {
			if len(data.Running) < overviewShown {
				data.Running = append(data.Running, c.row(w, r, now))
			}
		}
		if len(data.Running) == overviewShown {
			break
		}
	}
	next, err := c.Store.Repos(ctx, mirror.RepoQuery{Sort: mirror.SortNext, Limit: 2 * overviewShown})
	if err != nil {
		return err
	}
	for _, r := range next {
		if row := c.row(w, r, now); !row.Busy && !row.Paused && len(data.Next) < overviewShown {
			data.Next = append(data.Next, row)
		}
	}
	return nil
}

// tiles are the states of all mirrors at a glance.
func (w *words) tiles(counts, late map[mirror.Status]int, held, cooldowns int) []tile {
	allLate := 0
	for _, n := range late {
		allLate += n
	}
	fresh := counts[mirror.Ready] + counts[mirror.Syncing] - late[mirror.Ready] - late[mirror.Syncing]
	look := func(n int, look string) string {
		if n == 0 {
			return "off"
		}
		return look
	}
	return []tile{
		{Name: w.t("Fresh"), N: fresh, Look: look(fresh, "good"), URL: "/mirrors?status=ready", Hint: w.t("in step with their originals")},
		{Name: w.t("Late"), N: allLate, Look: look(allLate, "warn"), URL: "/mirrors?status=late", Hint: w.t("data older than three intervals")},
		{Name: w.t("Retrying"), N: counts[mirror.Retrying], Look: look(counts[mirror.Retrying], "warn"), URL: "/mirrors?status=retrying", Hint: w.t("failed, tried again by themselves")},
		{Name: w.t("Needs attention"), N: counts[mirror.Failed], Look: look(counts[mirror.Failed], "bad"), URL: "/mirrors?status=failed", Hint: w.t("only a person can mend it")},
		{Name: w.t("Held"), N: held, Look: look(held, "busy"), URL: "/approvals", Hint: w.t("changes that wait for a decision")},
		{Name: w.t("Throttled"), N: cooldowns, Look: look(cooldowns, "warn"), URL: "/upstreams", Hint: w.t("upstreams that are left alone for a while")},
		{Name: w.t("First clones"), N: counts[mirror.Queued] + counts[mirror.Cloning], Look: look(counts[mirror.Queued]+counts[mirror.Cloning], "busy"), URL: "/mirrors?status=queued", Hint: w.t("not complete yet")},
		{Name: w.t("Paused"), N: counts[mirror.Paused], Look: "off", URL: "/mirrors?status=paused", Hint: w.t("served, not synced")},
	}
}

// concerns lists what does not mend itself, the worst first.
func (c *console) concerns(ctx context.Context, w *words, late map[mirror.Status]int, held int, disk *diskView, now time.Time) ([]concern, error) {
	var list []concern
	if tick := c.Syncer.LastTick(); now.Sub(tick) > tickLate && c.Syncer.Busy() == 0 {
		list = append(list, concern{
			Look: "bad", Title: w.t("Nothing is being synced"), Text: w.t("The scheduler has not looked at the queue for a while."),
			Cure: w.t("Look into the log of the server, and restart it."), URL: "/system", Go: w.t("System"),
		})
	}
	if disk != nil && disk.State.Look != "good" {
		list = append(list, concern{Look: disk.State.Look, Title: w.t("The disk: {1}", disk.State.Word), Text: disk.State.Detail, URL: "/system#disk", Go: w.t("System")})
	}
	if disk != nil && disk.Degraded > 0 {
		list = append(list, concern{
			Look: "bad", Title: w.n("{1} mirrors are damaged on the disk", disk.Degraded),
			Text: w.t("What is left is served. It is repaired from the original by itself."), URL: "/system", Go: w.t("System"),
		})
	}
	if held > 0 {
		list = append(list, concern{
			Look: "warn", Title: w.n("{1} changes wait for a decision", held), URL: "/approvals", Go: w.t("Decide"),
			Text: w.t("Originals moved tags or dropped what builds may need. Everybody gets what was there before."),
		})
	}
	failed, err := c.Store.Repos(ctx, mirror.RepoQuery{Status: mirror.Failed, Limit: overviewFailed})
	if err != nil {
		return nil, err
	}
	list = append(list, w.causes(failed)...)
	roads, err := c.Roads.Status(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, h := range roads {
		for _, e := range h.Roads {
			if e.InUse && e.Condition == mirror.Failing {
				list = append(list, concern{
					Look: "bad", Title: w.t("{1} cannot be reached by {2}", h.Name, e.Name), Code: e.Last.Problem,
					Cure: w.t("Probe it, or give the host another endpoint."), URL: upstreamURL(h.Name), Go: w.t("Look"),
				})
			}
		}
	}
	if n := late[mirror.Ready] + late[mirror.Syncing]; n > 0 {
		list = append(list, concern{
			Look: "warn", Title: w.n("{1} mirrors are late", n), Text: w.t("Their data are older than three intervals, though no attempt failed."),
			Cure: w.t("Wait if many syncs are running; else ask for one by hand."), URL: "/mirrors?status=late", Go: w.t("Look"),
		})
	}
	return list, nil
}

// causes joins mirrors that fail for the same reason: it is one trouble, however
// many mirrors have it.
func (w *words) causes(failed []mirror.Repo) []concern {
	type cause struct {
		code mirror.Code
		host string
	}
	var order []cause
	of := map[cause][]mirror.Repo{}
	for _, r := range failed {
		k := cause{host: r.Upstream.Host}
		if r.State.Problem != nil {
			k.code = r.State.Problem.Code
		}
		if of[k] == nil {
			order = append(order, k)
		}
		of[k] = append(of[k], r)
	}
	slices.SortStableFunc(order, func(a, b cause) int { return cmp.Compare(len(of[b]), len(of[a])) })
	var list []concern
	for _, k := range order {
		repos := of[k]
		one := concern{Look: "bad", Code: k.code, URL: mirrorURL(repos[0].ID), Go: w.t("Look"), Title: string(repos[0].Path), Since: repos[0].State.LastSuccess}
		if p := w.problem(repos[0].State.Problem); p != nil {
			one.Text, one.Cure = sentence(p.What), sentence(p.Do)
		}
		if len(repos) > 1 {
			one.Title, one.Since = w.t("{1} mirrors of {2}, {3} first", len(repos), k.host, string(repos[0].Path)), time.Time{}
			one.URL = "/mirrors?status=failed&q=" + url.QueryEscape(k.host)
		}
		list = append(list, one)
	}
	return list
}
