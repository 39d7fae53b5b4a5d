package git_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// The invariants of mirroring, each learnt from somebody's accident. I7 (every
// request is authorised) is kept by the servers; I8 also by the leases.

// I1: nothing is ever deleted by a path that a stranger's text had part in.
func TestI1_OnlyIDsLeadToDeletion(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(1, 1))
	h.mustSync(t)
	other := mirror.NewID()
	for _, id := range []mirror.ID{"", ".", "..", "../repos", "*", mirror.ID("../" + string(h.id)), mirror.ID(string(h.id) + "/.."), "x.git", mirror.ID(strings.ToUpper(string(h.id)))} {
		if err := h.Remove(t.Context(), id); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Remove(%q) = %v, want ErrNotFound", id, err)
		}
	}
	if err := h.Remove(t.Context(), other); err != nil {
		t.Errorf("Remove of a repository that is not there = %v, want nil", err)
	}
	// A fetch that cannot succeed for the oddest of upstreams leaves the neighbours alone.
	_, err := h.Fetch(t.Context(), other, remote(t, h.up.Base()+"/a~b/c+d.git"), []mirror.Ref{{Name: "refs/heads/main", Hash: strings.Repeat("12", 20)}}, nil)
	problem(t, "Fetch", err, mirror.ErrNotFound, mirror.CodeGone)
	h.same(t)
	if err := h.Remove(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Refs(t.Context(), h.id); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Refs after Remove = %v, want ErrNotFound", err)
	}
	h.tidy(t)
}

// I2: no failure deletes what is served.
func TestI2_FailuresDeleteNothing(t *testing.T) {
	h, before := seeded(t)
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	h.reopen(t, func(d *git.Disk) { d.StallAfter = 200 * time.Millisecond })
	for _, f := range []gittest.Fault{{Status: 404}, {Status: 410}, {Status: 500}, {Stall: true, After: 9000, Path: "/git-upload-pack"}, {Truncate: true, After: 9000, Path: "/git-upload-pack"}} {
		mend := h.up.Break(f)
		if in, err := h.Fetch(t.Context(), h.id, h.from, l.Refs, nil); err == nil {
			t.Errorf("Fetch with %+v = nil, want an error", f)
			_ = in.Discard()
		}
		mend()
		if got := h.revOf(t, "refs/heads/main"); got != before {
			t.Errorf("main = %s after %+v, want %s", got, f, before)
		}
	}
	h.whole(t)
}

// I3: a client that does not read holds nobody up.
func TestI3_NoLockWhileStreaming(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, map[string]string{"large": gittest.Noise(2<<20, 1)})
	h.mustSync(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- h.UploadPack(ctx, git.UploadPack{Repo: h.id, Stateless: true, Protocol: "version=2", Out: server,
			In: strings.NewReader(pkt("command=fetch\n") + "0001" + pkt("want "+h.revOf(t, "refs/heads/main")+"\n") + pkt("done\n") + "0000")})
	}()
	if _, err := io.ReadFull(client, make([]byte, 1000)); err != nil { // and no more
		t.Fatal(err)
	}
	h.up.Commit(t, project, files(3, 2))
	h.mustSync(t)
	h.same(t)
	if _, err := h.Maintain(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	cancel()
	client.Close()
	<-done
}

// I4: a repository is visible only when it is complete.
func TestI4_VisibleOnlyByRename(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(200, 1))
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	invisible := func(when string) {
		t.Helper()
		if _, err := h.Refs(t.Context(), h.id); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("%s: Refs = %v, want ErrNotFound", when, err)
		}
		if found, _ := os.ReadDir(filepath.Join(h.Root, "repos")); len(found) > 0 {
			t.Errorf("%s: repos/ has %v, want nothing", when, found)
		}
	}
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Truncate: true, After: 60_000})
	_, err = h.Fetch(t.Context(), h.id, h.from, l.Refs, func(mirror.Progress) { invisible("during the fetch") })
	if err == nil {
		t.Fatal("Fetch cut off = nil, want an error")
	}
	mend()
	invisible("after a failed fetch")
	h.tidy(t)
	in, _, err := h.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	invisible("before Publish")
	if err := in.Discard(); err != nil {
		t.Fatal(err)
	}
	invisible("after Discard")
	in, tx, err := h.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Publish(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	h.same(t)
	h.whole(t)
}

// I5: a served repository knows no remote, so nothing run in it can fetch or push.
func TestI5_NoRemoteInServedRepository(t *testing.T) {
	h, _ := seeded(t)
	h.mustSync(t)
	if _, err := h.Maintain(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(h.dir(), "config"))
	if err != nil || strings.Contains(string(config), "remote") || strings.Contains(string(config), "127.0.0.1") || strings.Contains(string(config), "refs/") {
		t.Errorf("config = %s, %v, want no remote and no refspec", config, err)
	}
	if _, err := os.Stat(filepath.Join(h.dir(), "FETCH_HEAD")); err == nil {
		t.Error("there is a FETCH_HEAD, want none")
	}
}

// I6: readers see all refs of a sync or none.
func TestI6_ReadersSeeNoTornRefs(t *testing.T) {
	h := newHouse(t)
	one := h.up.Commit(t, project, map[string]string{"a": "1"})
	two := h.up.Commit(t, project, map[string]string{"a": "2"})
	h.mustSync(t)
	stop := make(chan struct{})
	read := make(chan int)
	go func() {
		n := 0
		defer func() { read <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			l, err := h.Refs(t.Context(), h.id)
			if err != nil {
				t.Errorf("Refs = %v", err)
				return
			}
			seen := map[string]int{}
			for _, r := range l.Refs {
				if strings.HasPrefix(r.Name, "refs/tags/t") {
					seen[r.Hash]++
				}
			}
			if len(seen) > 1 || len(seen) == 1 && seen[one]+seen[two] != 300 {
				t.Errorf("torn: %v, want 300 of one kind", seen)
			}
			n++
		}
	}()
	was, is := "", one
	for round := range 12 {
		in, _, err := h.fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var tx mirror.Transaction
		for i := range 300 {
			tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: fmt.Sprintf("refs/tags/t%d", i), Old: was, New: is})
		}
		if err := in.Publish(t.Context(), tx); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		was, is = is, map[string]string{one: two, two: one, "": one}[is]
		if round%4 == 3 {
			is = "" // now all are deleted
		}
		if was == "" && is == "" {
			is = one
		}
	}
	close(stop)
	if n := <-read; n == 0 {
		t.Error("nobody read meanwhile")
	}
}

// I8: one worker for a repository: a second one is refused, also by the disk.
func TestI8_OneWorkerForARepository(t *testing.T) {
	h, _ := seeded(t)
	in, _, err := h.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.fetch(t.Context()); !errors.Is(err, mirror.ErrBusy) {
		t.Errorf("second Fetch = %v, want ErrBusy", err)
	}
	if err := in.Discard(); err != nil {
		t.Fatal(err)
	}
	h.mustSync(t)
}

// I9: what is copied out of a repository goes through git's view of it, while
// syncs and maintenance go on.
func TestI9_ArchiveDuringSyncs(t *testing.T) {
	h := newHouse(t)
	commit := h.up.Commit(t, project, files(20, 1))
	h.mustSync(t)
	for i := range 5 {
		a, err := h.Archive(t.Context(), h.id, commit, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Read(make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
		h.up.Commit(t, project, files(5, uint64(i+2)))
		h.mustSync(t)
		if _, err := h.Maintain(t.Context(), h.id); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, a); err != nil || n < 40_000 {
			t.Errorf("archive = %d bytes, %v, want 40000 or more", n, err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
	}
}

// A server that is killed in the middle of a fetch finds its repositories whole
// and its leftovers gone, and no git of it runs on.
func TestKilledServer(t *testing.T) {
	if root := os.Getenv("GITMIRROR_TEST_ROOT"); root != "" {
		h := &house{Disk: open(t, root), id: mirror.ID(os.Getenv("GITMIRROR_TEST_ID")), from: remote(t, os.Getenv("GITMIRROR_TEST_URL"))}
		fmt.Println("fetch ended:", h.sync(context.Background()))
		return
	}
	h := &house{Disk: &git.Disk{Root: t.TempDir()}, up: gittest.NewUpstream(t), id: mirror.NewID()}
	h.from = remote(t, h.up.URL(project))
	before := h.up.Commit(t, project, files(5, 1))
	server := func(id mirror.ID) *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledServer$")
		cmd.Env = append(os.Environ(), "GITMIRROR_TEST_ROOT="+h.Root, "GITMIRROR_TEST_ID="+string(id), "GITMIRROR_TEST_URL="+h.from.Upstream.String(), gittest.QuickExit)
		return cmd
	}
	if out, err := server(h.id).CombinedOutput(); err != nil || !strings.Contains(string(out), "fetch ended: <nil>") {
		t.Fatalf("first sync: %v\n%s", err, out)
	}
	h.up.Commit(t, project, files(200, 2))
	packed, err := os.ReadFile(filepath.Join(h.dir(), "packed-refs"))
	if err != nil {
		t.Fatal(err)
	}
	first := mirror.NewID()
	for _, id := range []mirror.ID{h.id, first} {
		mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Stall: true, After: 150_000})
		cmd := server(id)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the pack grows", func() bool {
			a, _ := filepath.Glob(filepath.Join(h.Root, "*", string(id)+"*", "objects", "gm-incoming-*", "pack", "tmp_pack_*"))
			return len(a) > 0
		})
		if _, err := git.Open(t.Context(), git.Disk{Root: h.Root}); !errors.Is(err, mirror.ErrBusy) {
			t.Errorf("Open of another process's data directory = %v, want ErrBusy", err)
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		eventually(t, "its git is gone", func() bool { return len(h.workers(t)) == 0 })
		if id == first {
			h.Disk = open(t, h.Root)
		}
		mend()
	}
	// It might also have died while it held the lock on the refs.
	if err := os.WriteFile(filepath.Join(h.dir(), "packed-refs.lock"), []byte("gitmirror 4194305\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.Disk = open(t, h.Root)
	h.tidy(t)
	if now, err := os.ReadFile(filepath.Join(h.dir(), "packed-refs")); err != nil || string(now) != string(packed) {
		t.Errorf("packed-refs changed: %v", err)
	}
	if _, err := h.Refs(t.Context(), first); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Refs of the unfinished clone = %v, want ErrNotFound", err)
	}
	h.unchanged(t, before)
}

// Close lets another process have the data directory.
func TestClose(t *testing.T) {
	h, before := seeded(t)
	h.mustSync(t)
	if err := h.Close(); err != nil {
		t.Fatalf("Close = %v, want nil", err)
	}
	h.Disk = open(t, h.Root)
	if got := h.revOf(t, "refs/heads/main"); got == before {
		t.Errorf("main = %s, want what was synced before Close", got)
	}
}

// Open removes locks of git when they are old, and leaves young ones.
func TestStaleLocks(t *testing.T) {
	h, _ := seeded(t)
	old, young := filepath.Join(h.dir(), "HEAD.lock"), filepath.Join(h.dir(), "config.lock")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	open(t, h.Root)
	if _, err := os.Stat(old); err == nil {
		t.Error("a lock two hours old is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("a new lock was removed")
	}
}
