package web

import (
	"fmt"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// runView is a run in words.
type runView struct {
	ID      int64
	Started time.Time
	Why     string
	Word    string
	Look    string
	Took    string
	Bytes   int64
	Changes string
	Problem *mirror.Problem
}

func (w *words) viewRun(r mirror.Run) runView {
	v := runView{ID: r.ID, Started: r.Started, Bytes: r.Bytes, Problem: r.Problem}
	v.Why = map[mirror.Trigger]string{
		mirror.ByAdd: w.t("first clone"), mirror.BySchedule: w.t("on schedule"), mirror.ByHand: w.t("asked by hand"), mirror.ByClient: w.t("a client waited"),
	}[r.Trigger]
	switch r.Outcome {
	case mirror.Unchanged:
		v.Word, v.Look = w.t("Nothing new"), "good"
	case mirror.Updated:
		v.Word, v.Look = w.t("Updated"), "good"
	case mirror.RunFailed:
		v.Word, v.Look = w.t("Failed"), "bad"
	case mirror.Interrupted:
		v.Word, v.Look = w.t("Interrupted"), "off"
	default:
		v.Word, v.Look = w.t("Running"), "busy"
	}
	if !r.Ended.IsZero() {
		v.Took = w.took(r.Ended.Sub(r.Started))
	}
	var changes []string
	if r.Created > 0 {
		changes = append(changes, w.n("{1} new refs", r.Created))
	}
	if r.Updated > 0 {
		changes = append(changes, w.t("{1} moved", r.Updated))
	}
	if r.Deleted > 0 {
		changes = append(changes, w.t("{1} dropped upstream", r.Deleted))
	}
	v.Changes = w.join(changes...)
	return v
}

// took is how long something ran.
func (w *words) took(d time.Duration) string {
	if d < time.Second {
		return w.t("{1} ms", d.Milliseconds())
	}
	if d < 10*time.Second {
		return w.t("{1} s", fmt.Sprintf("%.1f", d.Seconds()))
	}
	return w.span(d)
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

func (w *words) viewEvent(e mirror.Event, path mirror.Path) eventView {
	title := map[mirror.EventKind]string{
		mirror.TagMoved:    w.t("Tag moved by the original"),
		mirror.RefRewound:  w.t("Branch rewritten by the original; the old commits are kept"),
		mirror.RefDeleted:  w.t("Dropped by the original; kept here"),
		mirror.HeadMoved:   w.t("Default branch changed"),
		mirror.RefRejected: w.t("Name refused"),

		mirror.RefsHeld:     w.t("Held for a decision"),
		mirror.RefLeftOut:   w.t("Left out by this mirror's settings; kept here"),
		mirror.TagOffBranch: w.t("Warning: the commit of a tag is on no branch"),
		mirror.DiskDamaged:  w.t("Our copy was found damaged"),
		mirror.DiskMended:   w.t("Our copy was put right"),
		mirror.RefLost:      w.t("Lost with the damaged copy"),
	}[e.Kind]
	if title == "" {
		title = string(e.Kind)
	}
	return eventView{
		Repo: e.Repo, Path: path, At: e.At, Title: title, Code: e.Code(), Ref: mirror.Ref{Name: e.Ref}.Short(),
		Old: e.Old, New: e.New, Moved: e.Old != "" && e.New != "", Text: w.say(e.Text),
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
func (w *words) chartRuns(runs []mirror.Run) *barChart {
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
	c.Label = w.t("{1} runs, {2} received, {3} failed", len(runs), bytesText(total), failed)
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
		b.Title = w.t("{1}: {2}, {3}", w.date(r.Started, "2 Jan 15:04"), w.viewRun(r).Word, bytesText(r.Bytes))
		c.Bars = append(c.Bars, b)
	}
	return c
}
