package faults_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/faultproxy"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

const project = "git.test/acme/project"

// patience bounds every wait of a test; it is no measure of speed.
const patience = 2 * time.Minute

// house is one upstream, the road to it, and the engine that mirrors it.
type house struct {
	*engine
	config
	up   *gittest.Upstream
	road *faultproxy.Proxy
	ca   *faultproxy.CA
	id   mirror.ID
}

// newHouse starts them; change may alter how the engine is opened. The mirror's
// upstream is at the other end of the road.
func newHouse(t testing.TB, change ...func(*config)) *house {
	t.Helper()
	h := &house{up: gittest.NewUpstream(t), ca: faultproxy.NewCA(t)}
	h.config = config{Dir: t.TempDir(), CAFile: h.ca.File(t)}
	for _, c := range change {
		c(&h.config)
	}
	h.road = faultproxy.New(t, h.up.Base())
	h.open(t)
	t.Cleanup(func() { h.shut(t) })
	return h
}

// open starts the engine.
func (h *house) open(t testing.TB) {
	t.Helper()
	var err error
	if h.engine, err = openEngine(context.WithoutCancel(t.Context()), h.config); err != nil {
		t.Fatal(err)
	}
}

// shut stops the engine, if it runs.
func (h *house) shut(t testing.TB) {
	t.Helper()
	if h.engine == nil {
		return
	}
	if err := h.close(); err != nil {
		t.Errorf("Syncer.Run = %v, want nil", err)
	}
	h.engine = nil
}

// add maps the project; its first clone begins at once.
func (h *house) add(t testing.TB, tags mirror.TagPolicy) {
	t.Helper()
	repo, _, err := h.catalog.Add(t.Context(), mirror.NewMirror{Text: project, Upstream: h.road.URL() + "/" + project, Tags: tags})
	if err != nil {
		t.Fatal(err)
	}
	h.id = repo.ID
}

// seeded is a house whose mirror has a first clone behind it.
func seeded(t testing.TB, tags mirror.TagPolicy, change ...func(*config)) *house {
	t.Helper()
	h := newHouse(t, change...)
	short := h.StallAfter
	if short != 0 {
		h.reopen(t, 0)
	}
	h.up.Commit(t, project, files(5, 1), "v1.0.0")
	h.add(t, tags)
	h.heal(t, h.expect(t, "", tags))
	if short != 0 {
		h.reopen(t, short)
	}
	return h
}

// reopen starts the engine anew with another patience for what stalls; zero =
// the usual one, which no load of the machine exhausts.
func (h *house) reopen(t testing.TB, stallAfter time.Duration) {
	t.Helper()
	h.shut(t)
	h.StallAfter = stallAfter
	h.open(t)
}

// sync asks for a sync as a person does and waits for its end.
func (h *house) sync(t testing.TB) mirror.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	run, err := h.syncer.Sync(ctx, h.id, mirror.ByHand)
	if err != nil {
		t.Fatalf("Sync = %v, want a run\n%s", err, h.lately())
	}
	return run
}

// heal takes the faults away and syncs until the mirror is in step again. A
// machine under load may need more than one go where a test made waits short,
// and an upstream that limited us is left alone until its time is over; anything
// else must work the first time.
func (h *house) heal(t testing.TB, want string) {
	t.Helper()
	h.road.Clear()
	for try := 0; ; try++ {
		h.road.Forget()
		run := h.sync(t)
		if run.Problem == nil {
			break
		}
		switch run.Problem.Class() {
		case mirror.Throttled, mirror.ThrottledAnonymous:
			if asked := h.road.Transcript(); len(asked) > 0 {
				t.Errorf("an upstream that limits us was asked all the same:\n%s", h.road.Lines())
			}
			h.pardon(t)
		case mirror.Network: // a stall where there was none
			h.reopen(t, 0)
		default:
			try = 5
		}
		if try >= 5 {
			t.Fatalf("sync without a fault ended %s: %v\n%s\n%s", run.Outcome, run.Problem, run.Problem.Raw, h.lately())
		}
	}
	if got := h.served(t); got != want {
		t.Errorf("healed: refs =\n%swant\n%s", got, want)
	}
	h.whole(t)
	if state := h.state(t); state.Problem != nil || state.Failures != 0 || state.Status != mirror.Ready {
		t.Errorf("healed: state = %s, %d failures, %v, want ready", state.Status, state.Failures, state.Problem)
	}
}

// pardon has the time pass for which an upstream that limits us must be left
// alone, up to an hour of it.
func (h *house) pardon(t testing.TB) {
	t.Helper()
	h.shut(t)
	h.change(t, "DELETE FROM cooldowns")
	h.open(t)
}

// change alters the database behind the back of an engine that is shut.
func (h *house) change(t testing.TB, statement string, values ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(h.Dir, "mirror.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement, values...); err != nil {
		t.Fatal(err)
	}
}

// lately is what passed on the road at last.
func (h *house) lately() string {
	lines := strings.SplitAfter(h.road.Lines(), "\n")
	return strings.Join(lines[max(0, len(lines)-7):], "")
}

func (h *house) state(t testing.TB) mirror.State {
	t.Helper()
	repo, err := h.db.RepoByID(t.Context(), h.id)
	if err != nil {
		t.Fatal(err)
	}
	return repo.State
}

// mirrorDir is where the repository is served from.
func (h *house) mirrorDir() string {
	return filepath.Join(h.Dir, "repos", string(h.id)+".git")
}

// served is HEAD and the branches and tags, as git reads them from disk and as
// the engine serves them, which must be the same. Empty = never cloned.
func (h *house) served(t testing.TB) string {
	t.Helper()
	for {
		disk := ""
		if _, err := os.Stat(h.mirrorDir()); err == nil {
			disk = listed(t, h.mirrorDir())
		}
		if h.engine == nil {
			return disk
		}
		shown := h.shown(t)
		if shown == disk {
			return disk
		}
		// A sync may be going on: after a restart what was interrupted begins again.
		if h.syncer.Busy() == 0 && disk == listed(t, h.mirrorDir()) {
			t.Errorf("the engine serves\n%swhile on disk are\n%s", shown, disk)
			return disk
		}
	}
}

// shown is what the engine serves.
func (h *house) shown(t testing.TB) string {
	t.Helper()
	list, err := h.disk.Refs(t.Context(), h.id)
	if errors.Is(err, mirror.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("HEAD " + list.Head + "\n")
	for _, r := range list.Refs {
		if r.IsHead() || r.IsTag() {
			b.WriteString(r.Hash + " " + r.Name + "\n")
		}
	}
	return b.String()
}

// listed is HEAD, when its branch exists, and the branches and tags of a bare
// repository.
func listed(t testing.TB, dir string) string {
	t.Helper()
	head := gittest.Git(t, dir, "-c", "safe.directory=*", "symbolic-ref", "HEAD")
	refs := gittest.Git(t, dir, "-c", "safe.directory=*", "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
	if refs != "" {
		refs += "\n"
	}
	if !strings.Contains(refs, " "+head+"\n") {
		head = ""
	}
	return "HEAD " + head + "\n" + refs
}

// expect is what a sync from old must lead to under the tag policy: upstream's
// refs, and under FreezeTags the tags of before wherever they are now.
func (h *house) expect(t testing.TB, old string, tags mirror.TagPolicy) string {
	t.Helper()
	upstream := listed(t, h.up.Dir(project))
	if tags == mirror.FollowTags || old == "" {
		return upstream
	}
	refs := map[string]string{}
	lines := strings.Split(strings.TrimSpace(upstream), "\n")
	for _, line := range lines[1:] {
		hash, name, _ := strings.Cut(line, " ")
		refs[name] = hash
	}
	for line := range strings.Lines(old) {
		hash, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, "refs/tags/") {
			refs[name] = hash
		}
	}
	names := make([]string, 0, len(refs))
	for name := range refs {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(lines[0] + "\n")
	for _, name := range names {
		b.WriteString(refs[name] + " " + name + "\n")
	}
	return b.String()
}

// untorn fails the test unless the refs are one of the two sets.
func (h *house) untorn(t testing.TB, old, new string) {
	t.Helper()
	if got := h.served(t); got != old && got != new {
		score.tear()
		t.Errorf("torn refs:\n%swant the old set\n%sor the new\n%s", got, old, new)
	}
}

// whole fails the test unless git finds no fault and nothing is left over.
func (h *house) whole(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(h.mirrorDir()); err == nil {
		h.fsck(t)
	}
	// A sync that a restart began again may be going on.
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		left := h.litter(t)
		if len(left) == 0 {
			return
		}
		if h.syncer.Busy() == 0 && slices.Equal(left, h.litter(t)) || time.Now().After(deadline) {
			t.Errorf("left over: %v, want nothing", left)
			return
		}
	}
}

func (h *house) fsck(t testing.TB) {
	t.Helper()
	gittest.Git(t, h.mirrorDir(), "-c", "safe.directory=*", "fsck", "--full", "--strict", "--no-dangling")
}

// litter lists what a sync leaves only when it was torn down. A first clone that
// can go on where it was keeps its directory until it is complete.
func (h *house) litter(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"staging/*", "trash/*", "repos/*/objects/gm-incoming-*", "repos/*/objects/tmp_*",
		"repos/*/objects/pack/tmp_*", "repos/*/*.lock", "repos/*/*.new", "repos/*/refs/*.lock"} {
		found, err := filepath.Glob(filepath.Join(h.Dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return slices.DeleteFunc(all, func(name string) bool {
		return filepath.Base(filepath.Dir(name)) == "staging" && h.served(t) == ""
	})
}

// files are n files that do not compress.
func files(n int, seed uint64) map[string]string {
	f := map[string]string{}
	for i := range n {
		f[fmt.Sprintf("dir%d/file%d.txt", i%7, i)] = gittest.Noise(2000, seed*1000+uint64(i))
	}
	return f
}
