package modproxy_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// TestWarmings has a job go on when who began it has left, and one canceled; what
// was fetched for it is no download.
func TestWarmings(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	w.behind(t, p.url)
	w.handler.Usage, w.handler.Served = &modproxy.Usage{Store: w.db}, w.db
	var wishes []mirror.ModuleWish
	for i := range 30 {
		v := fmt.Sprintf("v1.0.%d", i)
		p.add(t, "example.com/lib", v, someTime, map[string]string{"a.go": "package lib\n"})
		wishes = append(wishes, mirror.ModuleWish{Path: "example.com/lib", Version: v})
	}
	wishes = append(wishes, mirror.ModuleWish{Path: "example.com/none", Version: "v1.0.0"})
	run, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.handler.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	job := func(id string) (found mirror.ModuleWarming) {
		for _, j := range w.handler.Warmings() {
			if j.ID == id {
				found = j
			}
		}
		return found
	}
	start := func() mirror.ModuleWarming {
		t.Helper()
		asks, leave := context.WithCancel(auth.With(t.Context(), auth.Identity{Name: "ada", Role: auth.Developer}))
		j, err := w.handler.StartWarming(asks, wishes)
		leave()
		if err != nil || j.State != mirror.WarmingRuns || j.Total != len(wishes) || j.By != "ada" {
			t.Fatalf("StartWarming() = %+v, %v", j, err)
		}
		return j
	}
	first := start()
	eventually(t, "the job to end", func() bool { return job(first.ID).State == mirror.WarmingDone })
	if got := job(first.ID); got.Fetched != 30 || got.Failed != 1 || got.Done() != got.Total || len(got.Failures) != 1 || got.Bytes == 0 || got.Ended.IsZero() {
		t.Errorf("the job = %+v, want 30 fetched and one failed", got)
	}
	if err := w.handler.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m, err := w.db.ServedModule(t.Context(), "example.com/lib"); err != nil || m.Downloads != 0 || m.Requests != 0 || m.Versions != 30 {
		t.Errorf("figures of what was fetched ahead = %+v, %v, want 30 versions and no requests", m, err)
	}
	if got := ask(w.handler, "GET", "/proxy/"); got.Code == http.StatusOK {
		t.Errorf("GET /proxy/ after it = %d %.100q, want no file", got.Code, got.Body)
	}

	// The proxy does not answer any more: the second is canceled in the middle.
	began, free := make(chan struct{}, 100), make(chan struct{})
	defer close(free)
	p.set(func(_ http.ResponseWriter, r *http.Request) bool {
		began <- struct{}{}
		select {
		case <-free:
		case <-r.Context().Done():
		}
		return false
	})
	for i := range wishes {
		wishes[i].Path = "example.com/other"
	}
	second := start()
	third := start()
	<-began
	for range 2 {
		if err := w.handler.CancelWarming(second.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got := job(second.ID); got.State != mirror.WarmingCanceled || got.Done() == got.Total {
		t.Errorf("the job that was canceled = %+v", got)
	}
	if got := job(third.ID); got.State != mirror.WarmingRuns {
		t.Errorf("the job behind it = %+v, want running", got)
	}
	if w.handler.CancelWarming("none") == nil {
		t.Error("CancelWarming(none) = nil, want an error")
	}
	for range 10 {
		if _, err := w.handler.StartWarming(auth.With(t.Context(), auth.Identity{Name: "ada"}), wishes); err != nil {
			return
		}
	}
	t.Error("one person may begin any number of jobs, want a bound")
}
