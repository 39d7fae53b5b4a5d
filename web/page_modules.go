package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type modulesPage struct {
	page
	Total  ServedTotal
	Kept   *mirror.ModuleCacheState // nil = nothing is
	Forged []mirror.ModuleRefusal   // that nobody has seen
	// Warmings are the jobs that fetch files ahead which the reader may know of.
	Warmings []ModuleWarming
	MayWarm  bool
	Spare    *spareModules // nil = nobody asked
	Search   string
	Sort     string
	Sorts    []link
	Rows     []moduleRow
	First    string // empty on the first page
	Next     string
}

// moduleRow is a module in the list.
type moduleRow struct {
	mirror.ServedModule
	URL  string
	Hits string // of the requests: "83 %"
}

// modules lists what the gateway served.
func (c *console) modules(g *gin.Context) error {
	ctx := g.Request.Context()
	q := mirror.ServedQuery{Search: g.Query("q"), Sort: mirror.ModuleSort(g.Query("sort")), Limit: rowsPerPage}
	if q.Sort == "" {
		q.Sort = mirror.ModulesByUse
	}
	data := modulesPage{Search: q.Search, Sort: string(q.Sort), Sorts: c.words(g).moduleSorts(q)}
	var err error
	if q.After, err = afterModule(q.Sort, g.Query("after")); err != nil {
		return err
	}
	if data.page, err = c.page(g, "Modules", "/modules"); err != nil {
		return err
	}
	if data.Total, err = c.servedTotal(ctx); err != nil {
		return err
	}
	list, next, err := c.servedPage(ctx, q)
	if err != nil {
		return err
	}
	for _, m := range list {
		data.Rows = append(data.Rows, moduleRow{m, moduleURL(m.Path), percentText(m.Hits, m.Requests)})
	}
	if q.After != nil {
		data.First = modulesURL(q, "")
	}
	if next != "" {
		data.Next = modulesURL(q, next)
	}
	if c.ModuleCache != nil {
		state := c.ModuleCache.State()
		data.Kept = &state
		if data.MayManage && g.Query("unused") != "" {
			if data.Spare, err = c.spareModules(g.Query("unused")); err != nil {
				return err
			}
		}
	}
	data.MayWarm = c.ModuleCache != nil && c.WishesOf != nil && c.Policy.May(c.identity(g), auth.Sync, false) == nil
	if data.MayWarm {
		data.Warmings = each(c.warmings(ctx)[:min(len(c.warmings(ctx)), warmingsShown)], warmingJSON)
	}
	if data.MayManage {
		if data.Forged, err = c.Store.ModuleRefusals(ctx, mirror.RefusalQuery{Unseen: true, Limit: 20}); err != nil {
			return err
		}
	}
	return c.render(g, http.StatusOK, "modules", data)
}

func (w *words) moduleSorts(q mirror.ServedQuery) []link {
	var list []link
	for _, s := range []struct {
		sort mirror.ModuleSort
		name string
	}{
		{mirror.ModulesByUse, w.t("last used")}, {mirror.ModulesByDownloads, w.t("downloads")}, {mirror.ModulesByBytes, w.t("bytes sent")}, {mirror.ModulesByPath, w.t("name")},
	} {
		list = append(list, link{Name: s.name, URL: modulesURL(mirror.ServedQuery{Search: q.Search, Sort: s.sort}, ""), Here: s.sort == q.Sort})
	}
	return list
}

// percentText is a part of a whole; empty when there is no whole.
func percentText(part, of int64) string {
	if of == 0 {
		return ""
	}
	return countText(100*part/of) + " %"
}

// modulesURL is the list with the search and order of q, behind a cursor.
func modulesURL(q mirror.ServedQuery, after string) string {
	v := url.Values{"sort": {string(q.Sort)}}
	for key, value := range map[string]string{"q": q.Search, "after": after} {
		if value != "" {
			v.Set(key, value)
		}
	}
	return "/modules?" + v.Encode()
}

// moduleURL is the page of a module.
func moduleURL(path string) string { return (&url.URL{Path: "/modules/of/" + path}).EscapedPath() }

type modulePage struct {
	page
	Module   moduleRow
	Latest   string // to ask for; the highest version that was served
	Versions []ServedVersion
	More     bool // than are shown
	Chart    chart
	Days     []mirror.ServedDay // the newest first
	Pins     []mirror.ModulePin
	Refusals []mirror.ModuleRefusal
}

// How much of a module is on its page.
const (
	versionsShown = 200
	refusalsShown = 20
	daysShown     = 90
)

func (c *console) module(g *gin.Context) error {
	ctx, now := g.Request.Context(), time.Now()
	m, err := c.servedModule(ctx, strings.TrimPrefix(g.Param("module"), "/"))
	if err != nil {
		return err
	}
	data := modulePage{Module: moduleRow{m, moduleURL(m.Path), percentText(m.Hits, m.Requests)}}
	if data.page, err = c.page(g, m.Path, "/modules"); err != nil {
		return err
	}
	versions, more, err := c.servedVersions(ctx, m.Path, "", versionsShown)
	if err != nil {
		return err
	}
	data.Versions, data.More = each(versions, c.versionJSON), more
	if len(versions) > 0 {
		data.Latest = versions[0].Version
	}
	days, err := c.Store.ServedDays(ctx, m.Path, now.AddDate(0, 0, 1-daysShown))
	if err != nil {
		return err
	}
	data.Chart = c.words(g).drawDownloads(days, now)
	for i := len(days) - 1; i >= 0; i-- {
		data.Days = append(data.Days, days[i])
	}
	if data.Pins, err = c.Store.ModulePins(ctx, mirror.PinQuery{Now: now, Module: m.Path, Limit: versionsShown}); err != nil {
		return err
	}
	if data.MayManage {
		if data.Refusals, err = c.Store.ModuleRefusals(ctx, mirror.RefusalQuery{Module: m.Path, Limit: refusalsShown}); err != nil {
			return err
		}
	}
	return c.render(g, http.StatusOK, "module", data)
}

// spareModules is what nobody used for some days.
type spareModules struct {
	Days  int
	Files int
	Bytes int64
}

func (c *console) spareModules(days string) (*spareModules, error) {
	n, err := daysOf(days)
	if err != nil {
		return nil, err
	}
	files, bytes := c.ModuleCache.Spare(time.Now().AddDate(0, 0, -n), -1)
	return &spareModules{n, files, bytes}, nil
}

// daysOf reads a number of days.
func daysOf(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 1 || n > 36500 {
		return 0, &mirror.Problem{Kind: mirror.ErrInvalid, What: "this is no number of days", Do: "give one from 1 on"}
	}
	return n, nil
}

// trimModules drops what nobody used for some days.
func (c *console) trimModules(g *gin.Context) error {
	if c.ModuleCache == nil {
		return noModules()
	}
	n, err := daysOf(g.PostForm("unused"))
	if err != nil {
		return err
	}
	files, bytes := c.ModuleCache.Trim(time.Now().AddDate(0, 0, -n), -1)
	return c.then(g, nil, "Dropped: {1} files, {2}.", "/modules#trim", countText(files), bytesText(bytes))
}

// warmingsShown is how many jobs are on the list of modules.
const warmingsShown = 5

// warm has the server fetch what a pasted go.sum, go.mod or list names.
func (c *console) warm(g *gin.Context) error {
	if c.ModuleCache == nil || c.WishesOf == nil {
		return noModules()
	}
	wishes, err := c.WishesOf(g.PostForm("text"))
	if err == nil {
		_, err = c.ModuleCache.StartWarming(g.Request.Context(), wishes)
	}
	return c.orTell(g, err, "{1} module versions are being fetched; you need not wait.", "/modules#warm", countText(int64(len(wishes))))
}

func (c *console) cancelWarm(g *gin.Context) error {
	w, err := c.warming(g.Request.Context(), g.PostForm("job"))
	if err != nil {
		return err
	}
	return c.orTell(g, c.ModuleCache.CancelWarming(w.ID), "Canceled; what was fetched stays.", "/modules#warm")
}

func (c *console) pinModule(g *gin.Context) error {
	if c.ModuleCache == nil {
		return noModules()
	}
	p := mirror.ModulePin{
		Module: strings.TrimSpace(g.PostForm("module")), Version: strings.TrimSpace(g.PostForm("version")),
		Reason: strings.TrimSpace(g.PostForm("reason")), By: c.identity(g).Name,
	}
	err := c.ModuleCache.Pin(g.Request.Context(), p)
	return c.orTell(g, err, "{1} is never dropped to make room.", moduleURL(p.Module), pinName(p.Module, p.Version))
}

func (c *console) unpinModule(g *gin.Context) error {
	if c.ModuleCache == nil {
		return noModules()
	}
	module, version := g.PostForm("module"), g.PostForm("version")
	err := c.ModuleCache.Unpin(g.Request.Context(), module, version)
	return c.orTell(g, err, "{1} is not pinned any more.", moduleURL(module), pinName(module, version))
}

func pinName(module, version string) string {
	if version == "" {
		return module
	}
	return module + "@" + version
}

// seeRefusal takes a forged file off the list of what needs a person.
func (c *console) seeRefusal(g *gin.Context) error {
	r, err := c.refusal(g)
	if err != nil {
		return err
	}
	err = c.Store.SeeModuleRefusal(g.Request.Context(), r.ID, c.identity(g).Name, time.Now())
	return c.orTell(g, err, "{1} was seen.", "/modules", pinName(r.Module, r.Version))
}
