package web

import (
	"fmt"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// runView is a run in words.
type runView struct {
	Started time.Time
	Why     string
	Word    string
	Look    string
	Took    string
	Bytes   int64
	Changes string
	Problem *mirror.Problem
}

func viewRun(r mirror.Run) runView {
	v := runView{Started: r.Started, Bytes: r.Bytes, Problem: r.Problem}
	v.Why = map[mirror.Trigger]string{
		mirror.ByAdd: "first clone", mirror.BySchedule: "on schedule", mirror.ByHand: "asked by hand", mirror.ByClient: "a client waited",
	}[r.Trigger]
	switch r.Outcome {
	case mirror.Unchanged:
		v.Word, v.Look = "Nothing new", "good"
	case mirror.Updated:
		v.Word, v.Look = "Updated", "good"
	case mirror.RunFailed:
		v.Word, v.Look = "Failed", "bad"
	case mirror.Interrupted:
		v.Word, v.Look = "Interrupted", "off"
	default:
		v.Word, v.Look = "Running", "busy"
	}
	if !r.Ended.IsZero() {
		v.Took = tookText(r.Ended.Sub(r.Started))
	}
	v.Changes = join(times(r.Created, "new ref"), changed(r.Updated, "moved"), changed(r.Deleted, "dropped upstream"))
	return v
}

func changed(n int, how string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, how)
}

func tookText(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return spanText(d)
}

// eventView is an event in words. Path is set where events of several mirrors
// stand together.
type eventView struct {
	Repo     mirror.ID
	Path     mirror.Path
	At       time.Time
	Title    string
	Code     mirror.Code
	Ref      string
	Old, New string
	Moved    bool
	Text     string
}

func viewEvent(e mirror.Event, path mirror.Path) eventView {
	title := map[mirror.EventKind]string{
		mirror.TagMoved:    "Tag moved by the original",
		mirror.RefRewound:  "Branch rewritten by the original; the old commits are kept",
		mirror.RefDeleted:  "Dropped by the original; kept here",
		mirror.HeadMoved:   "Default branch changed",
		mirror.RefRejected: "Name refused",

		mirror.RefsHeld:     "Held for a decision",
		mirror.RefLeftOut:   "Left out by this mirror's settings; kept here",
		mirror.TagOffBranch: "Warning: the commit of a tag is on no branch",
		mirror.DiskDamaged:  "Our copy was found damaged",
		mirror.DiskMended:   "Our copy was put right",
		mirror.RefLost:      "Lost with the damaged copy",
	}[e.Kind]
	if title == "" {
		title = string(e.Kind)
	}
	return eventView{
		Repo: e.Repo, Path: path, At: e.At, Title: title, Code: e.Code(), Ref: mirror.Ref{Name: e.Ref}.Short(),
		Old: e.Old, New: e.New, Moved: e.Old != "" && e.New != "", Text: e.Text,
	}
}

// barChart is the bytes of the last runs as an SVG, oldest at the left. The
// table of runs below it says the same in words.
type barChart struct {
	Width, Height int
	Bars          []bar
	Label         string
}

type bar struct {
	X, Y, Width, Height int
	Class               string
	Title               string
}

const (
	barWidth    = 10
	barGap      = 4
	chartHeight = 64
)

// chartRuns returns nil when there is nothing to compare.
func chartRuns(runs []mirror.Run) *barChart {
	if len(runs) < 2 {
		return nil
	}
	most, total, failed := int64(1), int64(0), 0
	for _, r := range runs {
		most, total = max(most, r.Bytes), total+r.Bytes
		if r.Outcome == mirror.RunFailed {
			failed++
		}
	}
	c := &barChart{Width: max(len(runs), 24) * (barWidth + barGap), Height: chartHeight}
	c.Label = fmt.Sprintf("%d runs, %s received, %d failed", len(runs), bytesText(total), failed)
	for i, r := range runs {
		b := bar{X: c.Width - (i+1)*(barWidth+barGap), Width: barWidth, Class: "bar", Height: int(r.Bytes * (chartHeight - 6) / most)}
		b.Height = max(b.Height, 3)
		if r.Bytes == 0 {
			b.Class = "flat"
		}
		if r.Outcome == mirror.RunFailed {
			b.Class, b.Height = "bar-bad", max(b.Height, chartHeight/3)
		}
		b.Y = chartHeight - b.Height
		b.Title = fmt.Sprintf("%s: %s, %s", r.Started.UTC().Format("2 Jan 15:04"), viewRun(r).Word, bytesText(r.Bytes))
		c.Bars = append(c.Bars, b)
	}
	return c
}
