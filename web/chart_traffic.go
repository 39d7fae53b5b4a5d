package web

import (
	"math"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// trafficSpan is a length of time of traffic that can be looked at.
type trafficSpan struct {
	Name       string // in the URL
	Span, Step time.Duration
	Tick       time.Duration
}

func trafficSpans() []trafficSpan {
	return []trafficSpan{
		{"hour", time.Hour, time.Minute, 10 * time.Minute},
		{"day", 24 * time.Hour, 10 * time.Minute, 4 * time.Hour},
	}
}

// trafficSpanOf is the span of a name, the first when there is none.
func trafficSpanOf(name string) trafficSpan {
	for _, s := range trafficSpans() {
		if s.Name == name {
			return s
		}
	}
	return trafficSpans()[0]
}

// trafficSpan is the length of s in words.
func (w *words) trafficSpan(s trafficSpan) string {
	if s.Span == time.Hour {
		return w.t("hour")
	}
	return w.t("24 hours")
}

// drawTraffic draws the bytes a second that git clients took: a line of HTTP, a
// dashed one of SSH.
func (w *words) drawTraffic(slots []mirror.TrafficSlot, span trafficSpan, now time.Time) chart {
	c := chart{
		Title: w.t("Bytes a second sent to git clients in the last {1}", w.trafficSpan(span)), Width: tripsWidth, Height: tripsHeight,
		Left: tripsLeft, Bottom: tripsBottom, Right: tripsRight,
	}
	from := now.Add(-span.Span)
	x := func(t time.Time) float64 {
		return tripsLeft + (tripsRight-tripsLeft)*min(1, max(0, float64(t.Sub(from))/float64(span.Span)))
	}
	rate := func(bytes int64, at time.Time) float64 { // the last stretch has not ended
		return float64(bytes) / max(1, min(span.Step, now.Sub(at)).Seconds())
	}
	highest := 1000.0 // a chart of nothing has an axis too
	for _, s := range slots {
		highest = max(highest, rate(s.HTTP, s.At), rate(s.SSH, s.At))
	}
	step := niceFloat(highest / 4)
	top := step * math.Ceil(highest/step)
	y := func(v float64) string { return place(tripsBottom - (tripsBottom-tripsTop)*v/top) }
	for at := 0.0; at <= top; at += step {
		c.Y = append(c.Y, chartTick{y(at), bytesText(int64(at)) + "/s"})
	}
	for t := from.Truncate(span.Tick).Add(span.Tick); t.Before(now); t = t.Add(span.Tick) {
		if at := x(t); at > tripsLeft+30 && at < tripsRight-30 {
			c.X = append(c.X, chartTick{place(at), t.UTC().Format("15:04")})
		}
	}
	http, ssh := chartLine{Name: "HTTP", Look: "c1"}, chartLine{Name: "SSH", Look: "c2"}
	for i, s := range slots {
		move := "L"
		if i == 0 {
			move = "M"
		}
		at := place(x(s.At.Add(min(span.Step, now.Sub(s.At)) / 2)))
		http.Middle += move + at + " " + y(rate(s.HTTP, s.At))
		ssh.High += move + at + " " + y(rate(s.SSH, s.At))
	}
	c.Lines = []chartLine{http, ssh}
	return c
}

// niceFloat is the least number of 1, 2 or 5 times a power of ten that is not
// less than want.
func niceFloat(want float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(want)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= want {
			return m * power
		}
	}
	return 10 * power
}
