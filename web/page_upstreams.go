package web

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type upstreamsPage struct {
	page
	Hosts []hostView
}

// hostView is a row of the list of hosts: the endpoint in use stands for it.
type hostView struct {
	mirror.HostStatus
	Road  roadView
	Spark string
}

// roadView is an endpoint as pages show it.
type roadView struct {
	mirror.EndpointStatus
	Look    string
	Address string
	State   stateView
	Figures UpstreamFigures
}

func (w *words) viewRoad(host string, e mirror.EndpointStatus, place int) roadView {
	v := roadView{EndpointStatus: e, Address: e.URL, Figures: figuresJSON(e.Day), State: w.viewCondition(e)}
	if e.URL == "" {
		v.Address = host
	}
	v.Look = "c" + string(rune('1'+place%6))
	return v
}

func (w *words) viewCondition(e mirror.EndpointStatus) stateView {
	problem := string(e.Last.Problem)
	switch e.Condition {
	case mirror.Healthy:
		return stateView{w.t("Healthy"), "good", ""}
	case mirror.Unsteady:
		return stateView{w.t("Unsteady"), "warn", w.join(problem, w.t("the last sample was bad"))}
	case mirror.Slow:
		return stateView{w.t("Slow"), "warn", w.t("last {1}", latencyText(e.Last.Latency()))}
	case mirror.Failing:
		return stateView{w.t("Failing"), "bad", problem}
	case mirror.SwitchedOff:
		return stateView{w.t("Off"), "off", w.t("not used")}
	}
	return stateView{w.t("Not measured"), "wait", ""}
}

func (c *console) upstreams(g *gin.Context) error {
	data := upstreamsPage{}
	var err error
	if data.page, err = c.page(g, "Upstreams", "/upstreams"); err != nil {
		return err
	}
	ctx, w := g.Request.Context(), c.words(g)
	all, err := c.Roads.Status(ctx, "")
	if err != nil {
		return err
	}
	now := time.Now()
	hours, err := c.Roads.Measured(ctx, mirror.MeasuredQuery{Since: now.Add(-24 * time.Hour), Step: time.Hour})
	if err != nil {
		return err
	}
	of := map[[2]string][]mirror.Measured{}
	for _, m := range hours {
		key := [2]string{m.Host, m.Endpoint}
		of[key] = append(of[key], m)
	}
	for _, h := range all {
		v := hostView{HostStatus: h}
		for i, e := range h.Roads {
			if e.InUse {
				v.Road = w.viewRoad(h.Name, e, i)
				v.Spark = sparkline(of[[2]string{h.Name, e.Name}], now)
			}
		}
		data.Hosts = append(data.Hosts, v)
	}
	return c.render(g, http.StatusOK, "upstreams", data)
}

type upstreamData struct {
	page
	Host   mirror.HostStatus
	Roads  []roadView
	Away   bool // another endpoint than the first enabled one is in use
	First  string
	Chart  chart
	Spans  []link
	Events []mirror.HostEvent
	Phases *phaseChart // of the endpoint in use; nil = nothing was measured
	Cool   []coolingView
}

func (c *console) upstreamPage(g *gin.Context) error {
	ctx, w := g.Request.Context(), c.words(g)
	h, err := c.upstream(ctx, g.Param("host"))
	if err != nil {
		return err
	}
	data := upstreamData{Host: h}
	if data.page, err = c.page(g, h.Name, "/upstreams"); err != nil {
		return err
	}
	for i, e := range h.Roads {
		data.Roads = append(data.Roads, w.viewRoad(h.Name, e, i))
	}
	data.First = mirror.Host{Endpoints: h.Host.Endpoints}.InUse().Name
	data.Away = h.InUse().Name != data.First
	span := w.chartSpans()[0]
	for _, s := range w.chartSpans() {
		if s.Name == g.Query("span") {
			span = s
		}
	}
	for _, s := range w.chartSpans() {
		data.Spans = append(data.Spans, link{Name: s.Words, URL: "?span=" + s.Name, Here: s.Name == span.Name})
	}
	now := time.Now()
	sums, err := c.Roads.Measured(ctx, mirror.MeasuredQuery{Host: h.Name, Since: now.Add(-span.Span).Truncate(span.Step), Step: span.Step})
	if err != nil {
		return err
	}
	if data.Events, err = c.Store.HostEvents(ctx, h.Name, 0, 200); err != nil {
		return err
	}
	data.Chart = w.drawChart(h, sums, data.Events, span, now)
	data.Phases = w.drawPhases(h.InUse().Name, sums, span, now)
	if data.Cool, err = c.cooling(ctx, w, h.Name, now); err != nil {
		return err
	}
	data.Events = data.Events[:min(len(data.Events), 30)]
	return c.render(g, http.StatusOK, "upstream", data)
}

func upstreamURL(host string) string { return "/upstreams/" + host }

// probeUpstream measures, and shows what it found.
func (c *console) probeUpstream(g *gin.Context) error {
	host := g.Param("host")
	samples, err := c.Roads.Probe(g.Request.Context(), host)
	if err != nil {
		return c.orTell(g, err, "", upstreamURL(host))
	}
	failed := 0
	for _, s := range samples {
		if s.Problem != "" {
			failed++
		}
	}
	w := c.words(g)
	if failed > 0 {
		return c.then(g, nil, "{1}, {2}.", upstreamURL(host), w.n("{1} endpoints measured just now", len(samples)), w.failures(failed))
	}
	return c.then(g, nil, "{1}.", upstreamURL(host), w.n("{1} endpoints measured just now", len(samples)))
}

// useUpstream pins an endpoint, or leaves it to the rule again.
func (c *console) useUpstream(g *gin.Context) error {
	host := g.Param("host")
	pin := time.Duration(0)
	if text := g.PostForm("for"); text != "" {
		var err error
		if pin, err = time.ParseDuration(text); err != nil {
			return &mirror.Problem{Kind: mirror.ErrInvalid, What: "the time to pin it for is not a length of time", Do: "choose one of the list"}
		}
	}
	h, err := c.Roads.Use(g.Request.Context(), host, g.PostForm("endpoint"), pin, auth.From(g.Request.Context()).Name)
	if h.Pinned {
		return c.orTell(g, err, "Syncs reach {1} by {2} now.", upstreamURL(host), host, h.InUse().Name)
	}
	return c.orTell(g, err, "The rule decides again which endpoint of {1} is used.", upstreamURL(host), host)
}
