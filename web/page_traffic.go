package web

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// topMirrors is how many mirrors the page and the API name.
const topMirrors = 20

type trafficPage struct {
	page
	Now   Traffic
	Hits  string // of the questions to the cache in the span: "83 %"
	Chart chart
	Spans []link
	Words string // of the span
	Step  string
	Slots []TrafficSlot // the newest first; the empty ones left out
	Top   []mirror.RepoTraffic
}

func (c *console) traffic(g *gin.Context) error {
	w, now := c.words(g), time.Now()
	span := trafficSpanOf(g.Query("span"))
	data := trafficPage{Words: w.trafficSpan(span), Step: w.t("minute"), Now: c.trafficNow(now)}
	var err error
	if data.Top, err = c.topTraffic(g.Request.Context(), c.Traffic.Top(topMirrors, now)); err != nil {
		return err
	}
	if data.page, err = c.page(g, "Traffic", "/traffic"); err != nil {
		return err
	}
	if span.Step > time.Minute {
		data.Step = w.t("10 minutes")
	}
	for _, s := range trafficSpans() {
		data.Spans = append(data.Spans, link{Name: w.trafficSpan(s), URL: "?span=" + s.Name, Here: s.Name == span.Name})
	}
	slots := c.Traffic.Over(span.Span, span.Step, now)
	data.Chart = w.drawTraffic(slots, span, now)
	var all TrafficSlot
	for i := len(slots) - 1; i >= 0; i-- {
		s := slotJSON(slots[i])
		all.Hits += s.Hits
		all.Joins += s.Joins
		all.Misses += s.Misses
		all.Clones += s.Clones
		all.Requests += s.Requests
		if s.HTTPBytes+s.SSHBytes > 0 || s.Requests > 0 {
			data.Slots = append(data.Slots, s)
		}
	}
	if asked := all.Hits + all.Joins + all.Misses; asked > 0 {
		data.Hits = w.t("{1} % of {2}", 100*(all.Hits+all.Joins)/asked, asked)
	}
	data.Now.Clones, data.Now.Ended = all.Clones, all.Requests
	return c.render(g, http.StatusOK, "traffic", data)
}
