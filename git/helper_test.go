package git_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

const project = "example.com/team/project"

// house is a Disk, an upstream host and one mirror of a repository there.
type house struct {
	*git.Disk
	up   *gittest.Upstream
	id   mirror.ID
	from mirror.Remote
}

func newHouse(t *testing.T, change ...func(*git.Disk)) *house {
	t.Helper()
	up := gittest.NewUpstream(t)
	return &house{Disk: open(t, t.TempDir(), change...), up: up, id: mirror.NewID(), from: remote(t, up.URL(project))}
}

func open(t *testing.T, root string, change ...func(*git.Disk)) *git.Disk {
	t.Helper()
	d := git.Disk{Root: root, AllowPrivate: true}
	for _, c := range change {
		c(&d)
	}
	disk, err := git.Open(t.Context(), d)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return disk
}

func remote(t *testing.T, url string) mirror.Remote {
	t.Helper()
	up, cred, err := mirror.ParseUpstream(url)
	if err != nil {
		t.Fatalf("ParseUpstream(%q): %v", url, err)
	}
	return mirror.Remote{Upstream: up, Credential: cred}
}

// fetch lists and fetches everything upstream has.
func (h *house) fetch(ctx context.Context) (mirror.Incoming, mirror.Transaction, error) {
	var tx mirror.Transaction
	there, err := h.List(ctx, h.from)
	if err != nil {
		return nil, tx, err
	}
	here, err := h.Refs(ctx, h.id)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return nil, tx, err
	}
	for _, r := range there.Refs {
		if old, _ := here.Ref(r.Name); old.Hash != r.Hash {
			tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: r.Name, Old: old.Hash, New: r.Hash})
		}
	}
	for _, r := range here.Refs {
		if _, still := there.Ref(r.Name); !still && !strings.HasPrefix(r.Name, "refs/gitmirror/") {
			tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: r.Name, Old: r.Hash})
		}
	}
	tx.Head = there.Head
	in, err := h.Fetch(ctx, h.id, h.from, there.Refs, nil)
	return in, tx, err
}

func (h *house) sync(ctx context.Context) error {
	in, tx, err := h.fetch(ctx)
	if err != nil {
		return err
	}
	return in.Publish(ctx, tx)
}

func (h *house) mustSync(t *testing.T) {
	t.Helper()
	if err := h.sync(t.Context()); err != nil {
		t.Fatalf("sync: %v\n%s", err, raw(err))
	}
}

func (h *house) dir() string { return filepath.Join(h.Root, "repos", string(h.id)+".git") }

// whole fails the test unless git finds no fault and nothing of a fetch is left.
func (h *house) whole(t *testing.T) {
	t.Helper()
	gittest.Git(t, h.dir(), "-c", "safe.directory=*", "fsck", "--full", "--strict")
	h.tidy(t)
}

// tidy fails the test when a quarantine, a first clone or trash is left.
func (h *house) tidy(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"staging/*", "trash/*", "repos/*/objects/gm-incoming-*", "repos/*/objects/pack/tmp_*", "repos/*/*.lock"} {
		left, err := filepath.Glob(filepath.Join(h.Root, pattern))
		if err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v, want nothing", left, err)
		}
	}
}

// same fails the test unless the mirror has exactly upstream's branches and tags.
func (h *house) same(t *testing.T) {
	t.Helper()
	here, err := h.Refs(t.Context(), h.id)
	if err != nil {
		t.Fatalf("Refs: %v", err)
	}
	var got []string
	for _, r := range here.Refs {
		if !strings.HasPrefix(r.Name, "refs/gitmirror/") {
			got = append(got, r.Hash+" "+r.Name)
		}
	}
	want := h.up.Refs(t, project)
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("Refs = \n%s\nwant\n%s", g, w)
	}
}

// problem fails the test unless err is a Problem of this kind and code that says something.
func problem(t *testing.T, what string, err error, kind error, code mirror.Code) *mirror.Problem {
	t.Helper()
	var p *mirror.Problem
	if !errors.As(err, &p) {
		t.Fatalf("%s = %v, want a Problem %s", what, err, code)
	}
	if p.Code != code || kind != nil && !errors.Is(err, kind) {
		t.Errorf("%s = %s (%v) %q, want %s (%v)\n%s", what, p.Code, p.Kind, p.Error(), code, kind, p.Raw)
	}
	if p.What == "" || p.Do == "" {
		t.Errorf("%s = %+v, want What and Do", what, p)
	}
	return p
}

func raw(err error) string {
	var p *mirror.Problem
	if errors.As(err, &p) {
		return p.Why + "\n" + p.Raw
	}
	return ""
}

// eventually waits for something another process does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 2 minutes in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// processes are the processes whose command line holds the text.
func processes(t *testing.T, text string) map[string]string {
	t.Helper()
	found := map[string]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && strings.Contains(string(line), text) {
			found[filepath.Base(dir)] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

// workers are the processes that work for the repositories of d, found by the
// text in their environment that tells them from all others.
func (h *house) workers(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for pid, line := range processes(t, "") {
		env, err := os.ReadFile(filepath.Join("/proc", pid, "environ"))
		if err == nil && strings.Contains(string(env), "_CHILD_OF="+h.Root+"\x00") {
			found[pid] = line
		}
	}
	return found
}

func files(n int, seed uint64) map[string]string {
	f := map[string]string{}
	for i := range n {
		f[fmt.Sprintf("dir%d/file%d.txt", i%7, i)] = gittest.Noise(2000, seed*1000+uint64(i))
	}
	return f
}
