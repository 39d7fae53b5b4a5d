package git_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// seeded is a house whose mirror has one sync behind it and whose upstream has news.
func seeded(t *testing.T, change ...func(*git.Disk)) (*house, string) {
	t.Helper()
	h := newHouse(t, change...)
	h.up.Commit(t, project, files(5, 1), "v1.0.0")
	h.mustSync(t)
	before := h.revOf(t, "refs/heads/main")
	h.up.Commit(t, project, files(200, 2), "v1.1.0") // several side-band packets
	return h, before
}

// reopen opens the data directory anew, with other settings.
func (h *house) reopen(t *testing.T, change ...func(*git.Disk)) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.Disk = open(t, h.Root, change...)
}

// unchanged fails the test unless what is served is as before and a sync now works.
func (h *house) unchanged(t *testing.T, before string) {
	t.Helper()
	if got := h.revOf(t, "refs/heads/main"); got != before {
		t.Errorf("main = %s after the failure, want %s", got, before)
	}
	h.whole(t)
	h.mustSync(t)
	h.same(t)
	h.whole(t)
}

func TestAnswersThatAreNotGit(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault gittest.Fault
		kind  error
		code  mirror.Code
		says  string
	}{
		{"web page", gittest.Fault{Status: 200, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, Body: "<html><TITLE>Login to\n Wi-Fi</title>"}, mirror.ErrUpstream, mirror.CodeNotGit, "Login to Wi-Fi"},
		{"plain text", gittest.Fault{Status: 200, Header: http.Header{"Content-Type": {"text/plain"}}, Body: "OK"}, mirror.ErrUpstream, mirror.CodeNotGit, "text/plain"},
		{"redirect", gittest.Fault{Redirect: "http://169.254.169.254"}, mirror.ErrUpstream, mirror.CodeRedirect, "169.254.169.254"},
		{"401", gittest.Fault{Status: 401}, mirror.ErrSignIn, mirror.CodeAuth, "does not exist, or is private"},
		{"403", gittest.Fault{Status: 403}, mirror.ErrSignIn, mirror.CodeAuth, ""},
		{"403 with a limit", gittest.Fault{Status: 403, Header: http.Header{"Retry-After": {"60"}}}, mirror.ErrUpstream, mirror.CodeThrottled, "asks to wait 1m0s"},
		{"404", gittest.Fault{Status: 404}, mirror.ErrNotFound, mirror.CodeGone, ""},
		{"410", gittest.Fault{Status: 410}, mirror.ErrNotFound, mirror.CodeGone, ""},
		{"429", gittest.Fault{Status: 429}, mirror.ErrUpstream, mirror.CodeThrottled, ""},
		{"500", gittest.Fault{Status: 500}, mirror.ErrUpstream, mirror.CodeServer, "500"},
		{"503", gittest.Fault{Status: 503}, mirror.ErrUpstream, mirror.CodeServer, "503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, before := seeded(t)
			mend := h.up.Break(c.fault)
			_, err := h.List(t.Context(), h.from)
			p := problem(t, "List", err, c.kind, c.code)
			if !strings.Contains(p.Error(), c.says) {
				t.Errorf("List = %q, want %q in it", p.Error(), c.says)
			}
			mend()
			// The same in the middle: the list is good, the fetch is not.
			l, err := h.List(t.Context(), h.from)
			if err != nil {
				t.Fatal(err)
			}
			mend = h.up.Break(c.fault)
			_, err = h.Fetch(t.Context(), h.id, h.from, l.Refs, nil)
			if c.fault.Status == 200 || c.fault.Status == 403 && c.code == mirror.CodeThrottled {
				if err == nil { // git hides the difference
					t.Error("Fetch = nil, want an error")
				}
			} else {
				problem(t, "Fetch", err, c.kind, c.code)
			}
			mend()
			h.unchanged(t, before)
		})
	}
}

func TestBrokenListings(t *testing.T) {
	refs := "0000" // after "# service"
	for name, c := range map[string]struct {
		body string
		code mirror.Code
	}{
		"cut off":          {"001e# service=git-upload-pack\n0000000eversion 2\n", mirror.CodeCutOff},
		"bad length":       {"zzzz", mirror.CodeCorrupt},
		"length 3":         {"0003", mirror.CodeCorrupt},
		"length too large": {"fff5" + strings.Repeat("x", 70000), mirror.CodeCorrupt},
		"words":            {"001e# service=git-upload-pack\n" + refs + "0008hi!\n", mirror.CodeCorrupt},
		"error packet":     {"0031ERR temporarily limiting \x1b[31mdownloads, sorry", mirror.CodeThrottled},
		"anonymous":        {pkt("ERR GitHub is temporarily limiting some unauthenticated downloads"), mirror.CodeAnonymous},
		"sha256":           {"001e# service=git-upload-pack\n0000000eversion 2\n0019object-format=sha256\n0000", mirror.CodeNotGit},
	} {
		h := newHouse(t)
		h.up.Break(gittest.Fault{Status: 200, Header: http.Header{"Content-Type": {"application/x-git-upload-pack-advertisement"}}, Body: c.body})
		_, err := h.List(t.Context(), h.from)
		var p *mirror.Problem
		if !errors.As(err, &p) || p.Code != c.code || strings.Contains(p.Raw, "\x1b") {
			t.Errorf("%s: List = %v, want %s", name, err, c.code)
		}
	}
}

func TestBadRefNamesAreSkipped(t *testing.T) {
	h := newHouse(t)
	id := strings.Repeat("1", 40)
	good := []string{"refs/heads/a", "refs/heads/ünï", "refs/tags/v1"}
	bad := []string{"refs/heads/../../x", "refs/heads/-x", "refs/heads/a..b", "refs/heads/a.lock", "refs/heads/\x1b[31m",
		"refs/heads/\xff", "refs/heads/a/b", "refs/heads/.x", "refs/heads/x/", "refs/heads/x~1", "refs/heads/" + strings.Repeat("n", 4000), "refs/heads/@{x", "refs/heads/\u202ex"}
	body := "001e# service=git-upload-pack\n0000" + pkt(id+" HEAD\x00symref=HEAD:refs/heads/gone agent=x")
	for _, name := range append(append([]string{"refs/pull/1/head"}, good...), bad...) {
		body += pkt(id + " " + name + "\n")
	}
	h.up.Break(gittest.Fault{Status: 200, Header: http.Header{"Content-Type": {"application/x-git-upload-pack-advertisement"}}, Body: body + "0000"})
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range l.Refs {
		names = append(names, r.Name)
	}
	if got, want := strings.Join(names, " "), strings.Join(good, " "); got != want {
		t.Errorf("List = %s, want %s", got, want)
	}
	if len(l.Skipped) != len(bad) || l.Head != "" {
		t.Errorf("Skipped = %d %q, Head = %q, want %d and none", len(l.Skipped), l.Skipped, l.Head, len(bad))
	}
	for _, s := range l.Skipped {
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\x1b\u202e") || len(s) > 800 {
			t.Errorf("Skipped has %q, want it harmless", s)
		}
	}
}

func TestTruncatedPack(t *testing.T) {
	for _, after := range []int64{0, 3, 40, 2000, 60_000} {
		for _, f := range []gittest.Fault{{Truncate: true}, {Reset: true}} {
			h, before := seeded(t)
			l, err := h.List(t.Context(), h.from)
			if err != nil {
				t.Fatal(err)
			}
			f.Path, f.After = "/git-upload-pack", after
			mend := h.up.Break(f)
			_, err = h.Fetch(t.Context(), h.id, h.from, l.Refs, nil)
			problem(t, "Fetch of a cut pack", err, mirror.ErrUpstream, mirror.CodeCutOff)
			mend()
			h.unchanged(t, before)
		}
	}
}

func TestDamagedPack(t *testing.T) {
	h, before := seeded(t)
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	damage := front(t, h.up.Base(), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(&flipping{ResponseWriter: w, at: 50_000}, r)
	})
	good := h.from
	h.from = remote(t, damage+"/"+project)
	_, err = h.Fetch(t.Context(), h.id, h.from, l.Refs, nil)
	problem(t, "Fetch", err, mirror.ErrIntegrity, mirror.CodeCorrupt)
	h.from = good
	h.unchanged(t, before)
}

// flipping changes one byte of a long answer.
type flipping struct {
	http.ResponseWriter
	at int
}

func (f *flipping) Write(p []byte) (int, error) {
	if 0 <= f.at && f.at < len(p) {
		p = bytes.Clone(p)
		p[f.at] ^= 0x55
	}
	f.at -= len(p)
	return f.ResponseWriter.Write(p)
}

func TestMissingObjects(t *testing.T) {
	// An upstream whose repository lacks a blob that its tree names.
	h := newHouse(t)
	h.up.Commit(t, project, files(5, 1))
	h.mustSync(t)
	before := h.revOf(t, "refs/heads/main")
	dir := h.up.Dir(project)
	missing := strings.Repeat("12", 20)
	tree := pipe(t, dir, "100644 blob "+missing+"\tfile\n", "mktree", "--missing")
	commit := gittest.Git(t, dir, "commit-tree", "-m", "broken", "-p", before, tree)
	gittest.Git(t, dir, "update-ref", "refs/heads/broken", commit)
	gittest.Git(t, dir, "config", "uploadpack.allowFilter", "true")
	if _, _, err := h.fetch(t.Context()); err == nil {
		t.Error("Fetch of a tree without its blob = nil, want an error")
	}
	gittest.Git(t, dir, "update-ref", "-d", "refs/heads/broken")
	h.unchanged(t, before)
}

func TestStalled(t *testing.T) {
	h, before := seeded(t)
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	h.reopen(t, func(d *git.Disk) { d.StallAfter = 400 * time.Millisecond })
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Stall: true, After: 20_000})
	_, err = h.Fetch(t.Context(), h.id, h.from, l.Refs, nil)
	problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeStalled)
	mend()
	eventually(t, "its git is gone", func() bool { return len(h.workers(t)) == 0 })
	h.reopen(t) // what a loaded machine does may take longer
	h.unchanged(t, before)
}

func TestCancelled(t *testing.T) {
	h, before := seeded(t)
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Stall: true, After: 150_000})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for len(h.workers(t)) == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err = h.Fetch(ctx, h.id, h.from, l.Refs, nil)
	problem(t, "Fetch", err, mirror.ErrBusy, mirror.CodeInterrupted)
	mend()
	eventually(t, "its git is gone", func() bool { return len(h.workers(t)) == 0 })
	h.unchanged(t, before)
}

func TestKilledGit(t *testing.T) {
	h, before := seeded(t)
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Stall: true, After: 150_000})
	done := make(chan error, 1)
	go func() {
		_, err := h.Fetch(t.Context(), h.id, h.from, l.Refs, nil)
		done <- err
	}()
	incoming := filepath.Join(h.dir(), "objects", "gm-incoming-*", "pack", "tmp_pack_*")
	eventually(t, "the pack grows", func() bool {
		if len(done) > 0 {
			t.Fatalf("Fetch ended: %v", <-done)
		}
		found, _ := filepath.Glob(incoming)
		return len(found) > 0
	})
	for pid := range h.workers(t) {
		kill(t, pid, syscall.SIGKILL)
	}
	var p *mirror.Problem
	if err := <-done; !errors.As(err, &p) {
		t.Errorf("Fetch whose git was killed = %v, want a Problem", err)
	}
	mend()
	h.unchanged(t, before)
}

func TestUpstreamMovesWhileFetching(t *testing.T) {
	h, before := seeded(t)
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	dir := h.up.Dir(project)
	gittest.Git(t, dir, "update-ref", "refs/heads/main", before)
	gittest.Git(t, dir, "update-ref", "-d", "refs/tags/v1.1.0")
	gittest.Git(t, dir, "reflog", "expire", "--expire=now", "--all")
	gittest.Git(t, dir, "gc", "-q", "--prune=now")
	_, err = h.Fetch(t.Context(), h.id, h.from, l.Refs, nil)
	p := problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeCorrupt)
	if !strings.Contains(p.What, "changed while") {
		t.Errorf("Fetch = %q, want that it changed", p.What)
	}
	h.unchanged(t, before)
}

func TestFetchByNameWhenIDsAreRefused(t *testing.T) {
	h, _ := seeded(t)
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	var refused atomic.Bool
	strict := front(t, h.up.Base(), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPost && refused.CompareAndSwap(false, true) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			_, _ = w.Write([]byte(pkt("ERR Server does not allow request for unadvertised object " + l.Refs[0].Hash)))
			return
		}
		pass.ServeHTTP(w, r)
	})
	in, err := h.Fetch(t.Context(), h.id, remote(t, strict+"/"+project), l.Refs, nil)
	if err != nil || !refused.Load() {
		t.Fatalf("Fetch = %v (refused %v), want nil by names\n%s", err, refused.Load(), raw(err))
	}
	if in.Bytes() == 0 {
		t.Error("Bytes = 0, want some")
	}
	if err := in.Discard(); err != nil {
		t.Error(err)
	}
}

func TestFsckRefusal(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(2, 1))
	h.mustSync(t)
	before := h.revOf(t, "refs/heads/main")
	dir := h.up.Dir(project)
	blob := pipe(t, dir, "[core]\n", "hash-object", "-w", "--stdin")
	// git mktree refuses the name; hash-object does as it is told.
	var tree bytes.Buffer
	tree.WriteString("100644 .git\x00")
	tree.Write(unhex(t, blob))
	id := pipe(t, dir, tree.String(), "hash-object", "-w", "-t", "tree", "--literally", "--stdin")
	commit := gittest.Git(t, dir, "commit-tree", "-m", "evil", "-p", before, id)
	gittest.Git(t, dir, "update-ref", "refs/heads/evil", commit)
	_, _, err := h.fetch(t.Context())
	p := problem(t, "Fetch", err, mirror.ErrIntegrity, mirror.CodeFsck)
	if !strings.Contains(p.Raw, id) {
		t.Errorf("Raw = %q, want the object %s in it", p.Raw, id)
	}
	gittest.Git(t, dir, "update-ref", "-d", "refs/heads/evil")
	// Harmless old faults are taken.
	zone := pipe(t, dir, "tree "+h.up.Rev(t, project, "main^{tree}")+"\nparent "+before+"\nauthor A <a@example.com> 1 +051800\ncommitter A <a@example.com> 1 +051800\n\nodd zone\n",
		"hash-object", "-w", "-t", "commit", "--literally", "--stdin")
	gittest.Git(t, dir, "update-ref", "refs/heads/zone", zone)
	h.mustSync(t)
	h.same(t)
}

func TestDiskFull(t *testing.T) {
	if os.Getenv("GITMIRROR_TEST_ULIMIT") != "" {
		fullDisk(t, t.TempDir(), func() func() { return limitFiles(t, 2<<20) })
		return
	}
	small := t.TempDir()
	if err := mount(small, 3<<20); err == nil {
		t.Cleanup(func() { unmount(t, small) })
		fullDisk(t, small, func() func() { return func() {} })
		return
	}
	// Without the right to mount, a limit on the size of files stands in, in a
	// process of its own.
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), "GITMIRROR_TEST_ULIMIT=1", gittest.QuickExit)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("with a file size limit: %v\n%s", err, out)
	}
}

// A full disk at the other end is the other end's.
func TestUpstreamDiskFull(t *testing.T) {
	h, before := seeded(t)
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Status: 200, Header: http.Header{"Content-Type": {"application/x-git-upload-pack-result"}},
		Body: pkt("ERR No space left on device")})
	_, err = h.Fetch(t.Context(), h.id, h.from, l.Refs, nil)
	if p := problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeServer); p.Class() == mirror.Local {
		t.Errorf("Fetch = %v (%s), want the upstream's trouble\n%s", p, p.Class(), p.Raw)
	}
	mend()
	h.unchanged(t, before)
}

func fullDisk(t *testing.T, root string, fill func() (free func())) {
	h := &house{Disk: open(t, root), up: gittest.NewUpstream(t), id: mirror.NewID()}
	h.from = remote(t, h.up.URL(project))
	h.up.Commit(t, project, files(5, 1))
	h.mustSync(t)
	before := h.revOf(t, "refs/heads/main")
	h.up.Commit(t, project, map[string]string{"large": gittest.Noise(5<<20, 1)})
	free := fill()
	_, _, err := h.fetch(t.Context())
	free()
	problem(t, "Fetch onto a full disk", err, mirror.ErrBusy, mirror.CodeDisk)
	h.up.Commit(t, project, files(6, 3))
	h.up.ForceBranch(t, project, "main", before)
	h.up.Commit(t, project, files(6, 4))
	h.unchanged(t, before)
}
