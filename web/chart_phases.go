package web

import (
	"math"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// phaseChart is where the time of a round trip goes: a bar for each stretch of
// time, of the mean of each phase.
type phaseChart struct {
	Title         string
	Width, Height int
	Left, Right   int
	Bottom        int
	X, Y          []chartTick
	Groups        []phaseGroup
}

type phaseGroup struct {
	Bars  []bar
	Title string
}

// drawPhases draws the phases of one endpoint; nil when nothing was measured. sums
// are in the order of time.
func (w *words) drawPhases(endpoint string, sums []mirror.Measured, span chartSpan, now time.Time) *phaseChart {
	c := &phaseChart{Title: w.t("Phases of a round trip by {1} in the last {2}", endpoint, span.Words), Width: tripsWidth, Height: tripsHeight, Left: tripsLeft, Right: tripsRight, Bottom: tripsBottom}
	highest := time.Duration(0)
	for _, m := range sums {
		if m.Endpoint != endpoint {
			continue
		}
		t := m.Means()
		highest = max(highest, t.DNS+t.Connect+t.TLS+t.FirstByte)
	}
	if highest == 0 {
		return nil
	}
	step := niceStep(highest)
	top := step * time.Duration(math.Ceil(float64(highest)/float64(step)))
	height := func(d time.Duration) int {
		return int(math.Round((tripsBottom - tripsTop) * float64(d) / float64(top)))
	}
	for at := time.Duration(0); at <= top; at += step {
		c.Y = append(c.Y, chartTick{place(float64(tripsBottom - height(at))), latencyText(at)})
	}
	from, wide := now.Add(-span.Span), float64(tripsRight-tripsLeft)
	for t := from.Truncate(span.Tick).Add(span.Tick); t.Before(now); t = t.Add(span.Tick) {
		if at := tripsLeft + wide*float64(t.Sub(from))/float64(span.Span); at > tripsLeft+30 && at < tripsRight-30 {
			c.X = append(c.X, chartTick{place(at), t.UTC().Format(span.Layout)})
		}
	}
	width := max(2, int(wide*float64(span.Step)/float64(span.Span))-1)
	for _, m := range sums {
		trip := m.Means()
		if m.Endpoint != endpoint || trip == (mirror.Trip{}) || m.At.Before(from) {
			continue
		}
		g := phaseGroup{Title: w.t("{1}: name {2}, connect {3}, TLS {4}, first byte {5}", w.date(m.At, "2 Jan 15:04"),
			latencyText(trip.DNS), latencyText(trip.Connect), latencyText(trip.TLS), latencyText(trip.FirstByte))}
		x, y := tripsLeft+int(wide*float64(m.At.Sub(from))/float64(span.Span)), tripsBottom
		for i, d := range []time.Duration{trip.DNS, trip.Connect, trip.TLS, trip.FirstByte} {
			if h := height(d); h > 0 {
				y -= h
				g.Bars = append(g.Bars, bar{X: x, Y: y, Width: width, Height: h, Class: "p" + string(rune('1'+i))})
			}
		}
		c.Groups = append(c.Groups, g)
	}
	if c.Groups == nil {
		return nil
	}
	return c
}
