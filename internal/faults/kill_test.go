package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// childEnv makes the test binary a process that syncs one mirror once.
const childEnv = "GITMIRROR_FAULTS_CHILD"

// order is what such a process is told.
type order struct {
	Config config
	ID     mirror.ID
}

// child syncs and reports each phase on a line of its own; it is there to be killed.
func child(asked string) int {
	var o order
	if err := json.Unmarshal([]byte(asked), &o); err != nil {
		fmt.Println("error", err)
		return 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e, err := openEngine(ctx, o.Config)
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	var told sync.WaitGroup
	watch, stop := context.WithCancel(ctx)
	news := e.syncer.Watch(watch, o.ID)
	told.Go(func() {
		last := mirror.Phase("")
		for p := range news {
			if p.Phase != last {
				fmt.Println("phase", p.Phase)
				last = p.Phase
			}
		}
	})
	fmt.Println("ready")
	run, err := e.syncer.Sync(ctx, o.ID, mirror.ByHand)
	stop()
	told.Wait()
	fmt.Println("end", run.Outcome, err)
	if err := e.close(); err != nil {
		return 1
	}
	return 0
}

// trigger says when a process is killed: at its n-th change of the data
// directory, when it reports a phase, or so long after it was ready.
type trigger struct {
	step  int
	phase mirror.Phase
	after time.Duration
}

func (k trigger) String() string {
	switch {
	case k.step > 0:
		return fmt.Sprintf("change %d on disk", k.step)
	case k.phase != "":
		return "phase " + string(k.phase)
	}
	return fmt.Sprintf("after %s", k.after.Round(100*time.Microsecond))
}

// syncKilled has another process sync and kills it with SIGKILL. It tells
// whether the process was killed before it had finished, and how long it ran.
// The engine of this process is shut then.
func (h *house) syncKilled(t testing.TB, at trigger) (killed bool, took time.Duration) {
	t.Helper()
	h.shut(t)
	asked, err := json.Marshal(order{h.config, h.id})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(asked), gittest.QuickExit)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill := func() { once.Do(func() { _ = cmd.Process.Kill() }) } // it may have ended: then there is no more to kill
	watchdog := time.AfterFunc(patience, kill)
	defer watchdog.Stop()
	over := make(chan struct{})
	var watching sync.WaitGroup
	var said []string
	var begun time.Time
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		said = append(said, line)
		switch {
		case line == "ready":
			begun = time.Now()
			if at.step > 0 {
				watching.Go(func() { h.watchSteps(at.step, over, kill) })
			}
			if at.step == 0 && at.phase == "" && at.after >= 0 {
				timer := time.AfterFunc(at.after, kill)
				defer timer.Stop()
			}
		case at.phase != "" && line == "phase "+string(at.phase):
			kill()
		case strings.HasPrefix(line, "end "):
			took = time.Since(begun)
		}
	}
	err = cmd.Wait()
	close(over)
	watching.Wait()
	if took == 0 && err == nil || len(said) > 0 && strings.HasPrefix(said[len(said)-1], "error") {
		t.Fatalf("the syncing process said %q and ended with %v", said, err)
	}
	return took == 0, took
}

// survived checks what a dead process left, before and after the next start, and heals.
func (h *house) survived(t testing.TB, old, new string) {
	t.Helper()
	h.untorn(t, old, new)
	if h.served(t) != "" {
		h.fsck(t)
	}
	h.open(t)
	h.untorn(t, old, new)
	h.whole(t)
	h.heal(t, new)
}

// watchSteps looks at the data directory until it has changed n times.
func (h *house) watchSteps(n int, over <-chan struct{}, reached func()) {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	last := h.picture()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		if now := h.picture(); now != last {
			last = now
			if n--; n == 0 {
				reached()
				return
			}
		}
	}
}

// picture names the files of the repositories, with what tells a replaced
// packed-refs from the one before.
func (h *house) picture() string {
	var b strings.Builder
	for _, dir := range []string{"repos", "staging", "trash"} {
		_ = filepath.WalkDir(filepath.Join(h.Dir, dir), func(name string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil // it goes while we look
			}
			b.WriteString(name)
			if base := filepath.Base(name); base == "packed-refs" || base == "HEAD" {
				if info, err := e.Info(); err == nil {
					fmt.Fprint(&b, info.Size(), info.ModTime().UnixNano())
				}
			}
			b.WriteByte('\n')
			return nil
		})
	}
	return b.String()
}

// triggers are n moments spread over a sync that takes so long, each phase, and
// each of the first steps on disk.
func triggers(took time.Duration, n, steps int) []trigger {
	var list []trigger
	for i := range n {
		list = append(list, trigger{after: took * time.Duration(i) / time.Duration(n)})
	}
	for _, p := range []mirror.Phase{mirror.Connecting, mirror.Negotiating, mirror.Receiving, mirror.Indexing, mirror.Verifying, mirror.Publishing} {
		list = append(list, trigger{phase: p})
	}
	for i := range steps {
		list = append(list, trigger{step: i + 1})
	}
	return list
}

// TestKilled kills the syncing process at every step of a sync: what is served
// stays whole, the next process clears up and carries on.
func TestKilled(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	h.up.Commit(t, project, files(60, 2), "v1.0.1")
	killed, took := h.syncKilled(t, trigger{after: -1})
	if killed {
		t.Fatal("the process that was not to be killed did not end by itself")
	}
	h.open(t)
	h.heal(t, h.expect(t, "", mirror.FollowTags))
	died := 0
	all := triggers(took, points(3, 40), points(3, 16))
	for i, at := range all {
		old := h.served(t)
		h.up.Commit(t, project, files(60, uint64(i+3)), fmt.Sprintf("v1.1.%d", i))
		new := h.expect(t, old, mirror.FollowTags)
		killed, _ := h.syncKilled(t, at)
		if killed {
			died++
		}
		h.survived(t, old, new)
		if t.Failed() {
			t.Fatalf("killed: %s", at)
		}
	}
	score.count("kill -9 in a sync", len(all), died)
	t.Logf("%d of %d processes were killed within a sync of %s; torn sets 0", died, len(all), took.Round(time.Millisecond))
	if died < len(all)/4 { // on a busy machine the kill itself may come late
		t.Errorf("%d of %d processes were killed in time, want at least a quarter: the moments are not those of a sync", died, len(all))
	}
}

// TestFirstCloneKilled does so to first clones: there is a repository when it is
// complete, and none before.
func TestFirstCloneKilled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.up.Commit(t, project, files(60, 1), "v1.0.0")
	new := h.expect(t, "", mirror.FollowTags)
	clone := func(at trigger) (bool, time.Duration) {
		h.road.Add(status(503)) // not before it shall
		h.add(t, mirror.FollowTags)
		h.first(t)
		h.road.Clear()
		return h.syncKilled(t, at)
	}
	_, took := clone(trigger{after: -1})
	h.open(t)
	all := triggers(took, points(2, 20), points(2, 16))
	died := 0
	for _, at := range all {
		if err := h.catalog.Remove(t.Context(), h.id); err != nil {
			t.Fatal(err)
		}
		killed, _ := clone(at)
		if killed {
			died++
		}
		h.survived(t, "", new)
		if t.Failed() {
			t.Fatalf("killed: %s", at)
		}
	}
	score.count("kill -9 in a first clone", len(all), died)
	t.Logf("%d of %d processes were killed within a first clone of %s; torn sets 0", died, len(all), took.Round(time.Millisecond))
}
