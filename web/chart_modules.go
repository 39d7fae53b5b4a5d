package web

import (
	"math"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// drawDownloads draws downloads by the day, of the last daysShown: a line of
// downloads, a dashed one of all requests.
func (w *words) drawDownloads(days []mirror.ServedDay, now time.Time) chart {
	c := chart{
		Title: w.t("Downloads by the day in the last {1} days", daysShown), Width: tripsWidth, Height: tripsHeight,
		Left: tripsLeft, Bottom: tripsBottom, Right: tripsRight,
	}
	const day = 24 * time.Hour
	last := now.UTC().Truncate(day)
	first := last.Add(-(daysShown - 1) * day)
	x := func(t time.Time) float64 {
		return tripsLeft + (tripsRight-tripsLeft)*min(1, max(0, float64(t.Sub(first))/float64(last.Sub(first))))
	}
	of := map[time.Time]mirror.ServedDay{}
	highest := 4.0 // a chart of nothing has an axis too
	for _, d := range days {
		of[d.Day] = d
		highest = max(highest, float64(d.Downloads), float64(d.Requests))
	}
	step := niceFloat(highest / 4)
	top := step * math.Ceil(highest/step)
	y := func(n int64) string { return place(tripsBottom - (tripsBottom-tripsTop)*float64(n)/top) }
	for at := 0.0; at <= top; at += step {
		c.Y = append(c.Y, chartTick{y(int64(at)), countText(int64(at))})
	}
	for t := first.Add(7 * day); t.Before(last); t = t.Add(14 * day) {
		c.X = append(c.X, chartTick{place(x(t)), w.date(t, "2 Jan")})
	}
	downloads, requests := chartLine{Name: w.t("Downloads"), Look: "c1"}, chartLine{Name: w.t("Requests"), Look: "c2"}
	move := "M"
	for t := first; !t.After(last); t = t.Add(day) {
		at := place(x(t))
		downloads.Middle += move + at + " " + y(of[t].Downloads)
		requests.High += move + at + " " + y(of[t].Requests)
		move = "L"
	}
	c.Lines = []chartLine{downloads, requests}
	return c
}
