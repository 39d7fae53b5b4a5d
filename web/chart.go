package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// chart is a time series as an SVG the server draws: it needs no script, and its
// colours are the style sheet's.
type chart struct {
	Title         string
	Width, Height int
	Lines         []chartLine
	Shades        []chartShade
	Limit         *chartLimit
	X, Y          []chartTick
	Left, Bottom  int // where the axes are
	Right         int
	Rows          []chartRow // the same as a table
}

type chartLine struct {
	Name   string // of the endpoint
	Look   string // class: the colour
	Middle string // path of the medians
	High   string // path of the 95th percentiles
	Dots   []chartDot
}

type chartDot struct{ X, Y string }

// chartShade is a time when another endpoint than the first was in use.
type chartShade struct {
	X, Width string
	Text     string
}

type chartLimit struct {
	Y    string
	Text string
}

type chartTick struct {
	At   string
	Text string
}

// chartRow is a stretch of one endpoint.
type chartRow struct {
	At       time.Time
	Endpoint string
	Figures  UpstreamFigures
}

const (
	tripsWidth  = 960
	tripsHeight = 260
	tripsLeft   = 64
	tripsRight  = 950
	tripsTop    = 12
	tripsBottom = 226
)

// chartSpan is a length of time that can be looked at.
type chartSpan struct {
	Name       string // in the URL
	Words      string
	Span, Step time.Duration
	Tick       time.Duration
	Layout     string
}

func (w *words) chartSpans() []chartSpan {
	return []chartSpan{
		{"24h", w.t("24 hours"), 24 * time.Hour, 15 * time.Minute, 4 * time.Hour, w.t("15:04")},
		{"7d", w.t("7 days"), 7 * 24 * time.Hour, 2 * time.Hour, 24 * time.Hour, w.t("Mon 2 Jan")},
	}
}

// drawChart draws the latencies of a host's endpoints. sums are in the order of
// time, events the newest first.
func (w *words) drawChart(h mirror.HostStatus, sums []mirror.Measured, events []mirror.HostEvent, span chartSpan, now time.Time) chart {
	c := chart{
		Title: w.t("Round trips to {1} in the last {2}", h.Name, span.Words), Width: tripsWidth, Height: tripsHeight,
		Left: tripsLeft, Bottom: tripsBottom, Right: tripsRight,
	}
	from := now.Add(-span.Span)
	x := func(t time.Time) float64 {
		return tripsLeft + (tripsRight-tripsLeft)*min(1, max(0, float64(t.Sub(from))/float64(span.Span)))
	}
	highest := time.Duration(0)
	for _, m := range sums {
		highest = max(highest, m.Spread.Quantile(0.95))
	}
	limit := time.Duration(0)
	for _, e := range h.Roads {
		if e.InUse {
			limit = e.Limit
		}
	}
	if limit > 0 && limit < 4*highest { // else it would squeeze the lines
		highest = max(highest, limit)
	}
	step := niceStep(highest)
	top := step * time.Duration(math.Ceil(float64(max(highest, 1))/float64(step)))
	y := func(d time.Duration) float64 {
		return tripsBottom - (tripsBottom-tripsTop)*min(1, float64(d)/float64(top))
	}
	for at := time.Duration(0); at <= top; at += step {
		c.Y = append(c.Y, chartTick{place(y(at)), latencyText(at)})
	}
	for t := from.Truncate(span.Tick).Add(span.Tick); t.Before(now); t = t.Add(span.Tick) {
		if at := x(t); at > tripsLeft+30 && at < tripsRight-30 {
			c.X = append(c.X, chartTick{place(at), t.UTC().Format(span.Layout)})
		}
	}
	if limit > 0 && limit <= top {
		c.Limit = &chartLimit{place(y(limit)), w.t("slow above {1}", latencyText(limit))}
	}
	for i, e := range h.Roads {
		line := chartLine{Name: e.Name, Look: "c" + strconv.Itoa(i%6+1)}
		var last time.Time
		for _, m := range sums {
			if m.Endpoint != e.Name || m.N == m.Failed {
				continue
			}
			at := m.At.Add(span.Step / 2)
			px, middle, high := place(x(at)), place(y(m.Spread.Quantile(0.5))), place(y(m.Spread.Quantile(0.95)))
			move := "L"
			if last.IsZero() || at.Sub(last) > 3*span.Step { // nothing was measured between
				move = "M"
				line.Dots = append(line.Dots, chartDot{px, middle})
			}
			line.Middle += move + px + " " + middle
			line.High += move + px + " " + high
			last = at
		}
		if line.Middle != "" {
			c.Lines = append(c.Lines, line)
		}
	}
	c.Shades = w.shades(h, events, x)
	for _, m := range slices.Backward(sums) {
		c.Rows = append(c.Rows, chartRow{m.At, m.Endpoint, figuresJSON(m)})
	}
	return c
}

// shades are the times when an endpoint was in use that is not the first.
func (w *words) shades(h mirror.HostStatus, events []mirror.HostEvent, x func(time.Time) float64) []chartShade {
	first := mirror.Host{Endpoints: h.Host.Endpoints}.InUse().Name
	var list []chartShade
	end := x(time.Now())
	add := func(from time.Time, name string) {
		begin := x(from)
		if name != first && end > begin {
			list = append(list, chartShade{place(begin), place(max(1, end-begin)), w.t("{1} in use from {2}", name, w.date(from, "2 Jan 15:04 UTC"))})
		}
		end = begin
	}
	for _, e := range events {
		if e.From != e.To {
			add(e.At, e.To)
		}
	}
	if len(list) == 0 && len(events) == 0 && h.InUse().Name != first {
		add(h.Since, h.InUse().Name)
	}
	return list
}

// niceStep is a distance of four or five lines that reads well: 1, 2 or 5 times
// a power of ten.
func niceStep(highest time.Duration) time.Duration {
	return time.Duration(niceFloat(max(float64(highest)/4, float64(100*time.Microsecond))))
}

func place(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// latencyText is a latency for people: "21 ms", "1.2 s".
func latencyText(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d >= time.Second:
		return strconv.FormatFloat(math.Round(d.Seconds()*100)/100, 'f', -1, 64) + " s"
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	}
	return strconv.FormatFloat(math.Round(float64(d.Microseconds())/100)/10, 'f', -1, 64) + " ms"
}

// sparkline is the path of the medians of a day by the hour, 120 by 24; empty
// when there are fewer than two.
func sparkline(sums []mirror.Measured, now time.Time) string {
	var highest time.Duration
	for _, m := range sums {
		highest = max(highest, m.Spread.Quantile(0.5))
	}
	var b strings.Builder
	n := 0
	for _, m := range sums {
		if m.N == m.Failed || highest == 0 {
			continue
		}
		at := 120 * (1 - min(1, max(0, float64(now.Sub(m.At)-30*time.Minute)/float64(24*time.Hour))))
		move := "L"
		if n == 0 {
			move = "M"
		}
		fmt.Fprintf(&b, "%s%s %s", move, place(at), place(22-20*float64(m.Spread.Quantile(0.5))/float64(highest)))
		n++
	}
	if n < 2 {
		return ""
	}
	return b.String()
}
