package web

import (
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// syncsRead is how many of the newest runs a timeline is made of.
const syncsRead = 1000

// syncSlot is what ended, or goes on, in a stretch of time.
type syncSlot struct {
	At                     time.Time
	Updated, Same, Failed  int
	Bars                   []bar // from the bottom up
	Title                  string
	Interrupted, Unsettled int
}

func (s syncSlot) all() int { return s.Updated + s.Same + s.Failed + s.Interrupted + s.Unsettled }

// syncChart is the runs of all mirrors by time as an SVG.
type syncChart struct {
	Title         string
	Span          string // in words
	Width, Height int
	Left, Right   int
	Bottom        int
	X, Y          []chartTick
	Slots         []syncSlot // the oldest first
	Total         syncSlot
	Most          int
}

const (
	syncsHeight = 170
	syncsBottom = 140
)

// drawSyncs draws the newest runs, newest first. Where there are more than were
// read, it draws a shorter time.
func (w *words) drawSyncs(runs []mirror.Run, now time.Time) *syncChart {
	span, step, tick, words := 24*time.Hour, 30*time.Minute, 4*time.Hour, w.t("24 hours")
	if len(runs) == syncsRead {
		switch covered := now.Sub(runs[len(runs)-1].Started); {
		case covered < 6*time.Hour:
			span, step, tick, words = time.Hour, 2*time.Minute, 10*time.Minute, w.t("hour")
		case covered < 24*time.Hour:
			span, step, tick, words = 6*time.Hour, 10*time.Minute, time.Hour, w.t("6 hours")
		}
	}
	from := now.Add(-span).Truncate(step).Add(step)
	c := &syncChart{Span: words, Width: tripsWidth, Height: syncsHeight, Left: 40, Right: tripsRight, Bottom: syncsBottom}
	c.Slots = make([]syncSlot, int(span/step))
	for i := range c.Slots {
		c.Slots[i].At = from.Add(time.Duration(i) * step)
	}
	for _, r := range runs {
		i := int(r.Started.Sub(from) / step)
		if r.Started.Before(from) || i >= len(c.Slots) {
			continue
		}
		c.Slots[i].count(r.Outcome)
		c.Total.count(r.Outcome)
	}
	for _, s := range c.Slots {
		c.Most = max(c.Most, s.all())
	}
	c.Title = w.t("Syncs of the last {1}: {2} brought something new, {3} did not, {4} failed", words, c.Total.Updated, c.Total.Same, c.Total.Failed)
	c.draw(w, now, span, tick)
	return c
}

func (s *syncSlot) count(o mirror.Outcome) {
	switch o {
	case mirror.Updated:
		s.Updated++
	case mirror.Unchanged:
		s.Same++
	case mirror.RunFailed:
		s.Failed++
	case mirror.Interrupted:
		s.Interrupted++
	default:
		s.Unsettled++
	}
}

// draw places bars and ticks.
func (c *syncChart) draw(w *words, now time.Time, span, tick time.Duration) {
	const top = 12
	step := max(1, int(niceFloat(float64(max(c.Most, 1))/4)))
	most := (max(c.Most, 1) + step - 1) / step * step
	height := func(n int) int { return n * (syncsBottom - top) / most }
	for n := 0; n <= most; n += step {
		c.Y = append(c.Y, chartTick{At: place(float64(syncsBottom - height(n))), Text: countText(n)})
	}
	from, wide := now.Add(-span), c.Right-c.Left
	for t := from.Truncate(tick).Add(tick); t.Before(now); t = t.Add(tick) {
		if at := float64(c.Left) + float64(wide)*float64(t.Sub(from))/float64(span); at > float64(c.Left)+20 && at < float64(c.Right)-20 {
			c.X = append(c.X, chartTick{At: place(at), Text: w.date(t, "15:04")})
		}
	}
	for i := range c.Slots {
		s := &c.Slots[i]
		x, next := c.Left+wide*i/len(c.Slots), c.Left+wide*(i+1)/len(c.Slots)
		y := syncsBottom
		for _, part := range []struct {
			n    int
			look string
		}{{s.Failed, "bad"}, {s.Updated, "new"}, {s.Same + s.Interrupted + s.Unsettled, "same"}} {
			if part.n > 0 {
				h := max(2, height(part.n))
				y -= h
				s.Bars = append(s.Bars, bar{X: x + 1, Y: y, Width: next - x - 2, Height: h, Class: part.look})
			}
		}
		s.Title = w.t("{1}: {2} new, {3} unchanged, {4} failed", w.date(s.At, "15:04"), s.Updated, s.Same, s.Failed)
	}
}
