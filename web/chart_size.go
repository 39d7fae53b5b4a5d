package web

import (
	"math"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// sizesShown is how far back the chart of a mirror's size goes.
const sizesShown = 365 * 24 * time.Hour

// sizeChart is a mirror's size by the day, as a drawing and as a table.
type sizeChart struct {
	chart
	Samples []mirror.SizeSample // the newest first
}

// drawSize draws how large a mirror was, the oldest sample first: a step at each;
// between two of them nothing came. Nil when there are fewer than two.
func (w *words) drawSize(samples []mirror.SizeSample, now time.Time) *sizeChart {
	if len(samples) < 2 {
		return nil
	}
	const day = 24 * time.Hour
	last := now.UTC().Truncate(day)
	first := samples[0].Day
	if least := last.Add(-14 * day); first.After(least) {
		first = least
	}
	days := int(last.Sub(first)/day) + 1
	c := &sizeChart{chart: chart{
		Title: w.t("Size on disk in the last {1} days", days), Width: tripsWidth, Height: tripsHeight,
		Left: tripsLeft, Bottom: tripsBottom, Right: tripsRight,
	}}
	x := func(t time.Time) float64 {
		return tripsLeft + (tripsRight-tripsLeft)*min(1, max(0, float64(t.Sub(first))/float64(last.Sub(first))))
	}
	highest := 1000.0
	for _, s := range samples {
		highest = max(highest, float64(s.Bytes))
	}
	step := niceFloat(highest / 4)
	top := step * math.Ceil(highest/step)
	y := func(v float64) string { return place(tripsBottom - (tripsBottom-tripsTop)*v/top) }
	for at := 0.0; at <= top; at += step {
		c.Y = append(c.Y, chartTick{y(at), bytesText(int64(at))})
	}
	tick := day * time.Duration(max(1, days/8))
	for t := first.Add(tick); t.Before(last); t = t.Add(tick) {
		if at := x(t); at > tripsLeft+30 && at < tripsRight-30 {
			c.X = append(c.X, chartTick{place(at), w.date(t, "2 Jan")})
		}
	}
	line := chartLine{Name: w.t("Size"), Look: "c1"}
	for i, s := range samples {
		at, height := place(x(s.Day)), y(float64(s.Bytes))
		if i == 0 {
			line.Middle += "M" + at + " " + height
		} else {
			line.Middle += "H" + at + "V" + height
		}
		c.Samples = append([]mirror.SizeSample{s}, c.Samples...)
	}
	line.Middle += "H" + place(x(last))
	c.Lines = []chartLine{line}
	return c
}
