package web

import (
	"strconv"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// progressView is a running sync as pages draw it.
type progressView struct {
	Steps   []step
	Word    string // of the present step: "Receiving"
	Percent int    // -1 = unknown
	Done    int64
	Total   int64
	Bytes   int64
	Rate    int64 // bytes per second
	Started time.Time
}

// step is one element of the strip connect → … → publish.
type step struct {
	Name string
	Look string // "done", "now" or "todo"
	Mark string // read out: "done", "62 %", ""
}

func (w *words) viewProgress(p mirror.Progress) *progressView {
	v := &progressView{
		Percent: p.Percent(), Done: p.Done, Total: p.Total, Bytes: p.Bytes, Rate: p.Rate, Started: p.Started,
	}
	phases := []struct {
		phase      mirror.Phase
		name, word string
	}{
		{mirror.Connecting, w.t("connect"), w.t("Connecting to upstream")},
		{mirror.Negotiating, w.t("negotiate"), w.t("Upstream prepares the objects")},
		{mirror.Receiving, w.t("receive"), w.t("Receiving objects")},
		{mirror.Indexing, w.t("index"), w.t("Indexing objects")},
		{mirror.Verifying, w.t("verify"), w.t("Verifying that all is there")},
		{mirror.Publishing, w.t("publish"), w.t("Publishing")},
	}
	look := "done"
	for _, ph := range phases {
		s := step{Name: ph.name, Look: look}
		if look == "done" {
			s.Mark = w.t("done")
		}
		if ph.phase == p.Phase {
			s.Look, s.Mark, v.Word, look = "now", w.t("running"), ph.word, "todo"
			if v.Percent >= 0 {
				s.Mark = strconv.Itoa(v.Percent) + " %"
			}
		}
		v.Steps = append(v.Steps, s)
	}
	return v
}
