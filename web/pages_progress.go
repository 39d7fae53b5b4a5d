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

func viewProgress(p mirror.Progress) *progressView {
	v := &progressView{
		Percent: p.Percent(), Done: p.Done, Total: p.Total, Bytes: p.Bytes, Rate: p.Rate, Started: p.Started,
	}
	phases := []struct {
		phase      mirror.Phase
		name, word string
	}{
		{mirror.Connecting, "connect", "Connecting to upstream"},
		{mirror.Negotiating, "negotiate", "Upstream prepares the objects"},
		{mirror.Receiving, "receive", "Receiving objects"},
		{mirror.Indexing, "index", "Indexing objects"},
		{mirror.Verifying, "verify", "Verifying that all is there"},
		{mirror.Publishing, "publish", "Publishing"},
	}
	look := "done"
	for _, ph := range phases {
		s := step{Name: ph.name, Look: look, Mark: look}
		if ph.phase == p.Phase {
			s.Look, s.Mark, v.Word, look = "now", "running", ph.word, "todo"
			if v.Percent >= 0 {
				s.Mark = strconv.Itoa(v.Percent) + " %"
			}
		}
		if s.Look == "todo" {
			s.Mark = ""
		}
		v.Steps = append(v.Steps, s)
	}
	return v
}
