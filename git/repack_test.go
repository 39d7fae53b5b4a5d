package git_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func (h *house) glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(h.dir(), filepath.FromSlash(pattern)))
	must(t, err)
	return names
}

func TestRepack(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(8, 1), "v1.0.0")
	h.mustSync(t)
	for i := range 4 {
		h.up.Commit(t, project, files(8, uint64(i+2)))
		h.mustSync(t)
	}
	kept := h.revOf(t, "refs/heads/main")
	gittest.Git(t, h.dir(), "update-ref", keptRef, kept)
	h.up.ForceBranch(t, project, "main", "v1.0.0")
	orphan := h.up.Commit(t, project, files(8, 20))
	h.mustSync(t)
	h.up.ForceBranch(t, project, "main", "v1.0.0")
	h.up.Commit(t, project, files(8, 30))
	h.mustSync(t)
	has := func(id string) bool { _, err := h.Commit(t.Context(), h.id, id); return err == nil }
	if loose, err := h.Loose(t.Context(), h.id); err != nil || loose < 0.3 {
		t.Errorf("Loose of %d packs = %v, %v, want much", len(h.glob(t, "objects/pack/*.pack")), loose, err)
	}

	must(t, h.Repack(t.Context(), h.id, time.Hour))
	h.whole(t)
	if n := len(h.glob(t, "objects/pack/*.pack")); n != 2 {
		t.Errorf("packs = %d after a full repack, want one, and one for what no ref leads to", n)
	}
	if loose, err := h.Loose(t.Context(), h.id); err != nil || loose != 0 {
		t.Errorf("Loose after a full repack = %v, %v, want 0", loose, err)
	}
	if !has(orphan) || !has(kept) {
		t.Errorf("after a repack that keeps what is an hour old: orphan %v, kept %v, want both", has(orphan), has(kept))
	}
	must(t, h.Repack(t.Context(), h.id, 0))
	h.whole(t)
	if has(orphan) || !has(kept) {
		t.Errorf("after a repack that keeps nothing: orphan %v, kept %v, want the kept one alone", has(orphan), has(kept))
	}
	gittest.Git(t, h.dir(), "commit-graph", "verify")
	h.same(t)
}

// What a clone of branches and tags gets has its deltas among itself, however
// well a pull request would have served as their base.
func TestRepackKeepsPullsApart(t *testing.T) {
	h := newHouse(t)
	h.from.Refs = mirror.RefPolicy{Pulls: true}
	text := func(lines int) map[string]string {
		var b strings.Builder
		for i := range lines {
			b.WriteString("a line of text, number " + strconv.Itoa(i*7919) + "\n")
		}
		return map[string]string{"text": b.String()}
	}
	for i := range 6 {
		h.up.Commit(t, project, text(200+i))
		pull := h.up.CommitTo(t, project, "pull", text(400+i)) // larger, so git likes it better as a base
		gittest.Git(t, h.up.Dir(project), "update-ref", "refs/pull/"+strconv.Itoa(i+1)+"/head", pull)
	}
	h.up.DeleteRef(t, project, "refs/heads/pull")
	gittest.Git(t, h.up.Dir(project), "repack", "-adfq")
	h.mustSync(t)
	if n := astray(t, h.dir()); n == 0 {
		t.Error("no delta of a branch has its base in a pull request as upstream packs them, want some: this shows nothing")
	}
	must(t, h.Repack(t.Context(), h.id, time.Hour))
	if n := astray(t, h.dir()); n > 0 {
		t.Errorf("deltas of branches with a base in a pull request = %d after a full repack, want 0", n)
	}
	h.whole(t)
}

// astray counts the objects of branches and tags that are stored as deltas of
// objects which no branch or tag leads to.
func astray(t *testing.T, dir string) (n int) {
	t.Helper()
	public := map[string]bool{}
	for line := range strings.Lines(gittest.Git(t, dir, "rev-list", "--objects", "--branches", "--tags")) {
		public[line[:40]] = true
	}
	packs, err := filepath.Glob(filepath.Join(dir, "objects", "pack", "*.idx"))
	must(t, err)
	for _, pack := range packs {
		for line := range strings.Lines(gittest.Git(t, dir, "verify-pack", "-v", pack)) {
			f := strings.Fields(line) // id type size packed offset [depth base]
			if len(f) == 7 && public[f[0]] && !public[f[6]] {
				n++
			}
		}
	}
	return n
}

// A repack takes nothing away that a fetch counts on.
func TestRepackGivesWay(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(8, 1))
	h.mustSync(t)
	h.up.Commit(t, project, files(8, 2))
	in, tx, err := h.fetch(t.Context())
	must(t, err)
	if err := h.Repack(t.Context(), h.id, 0); !errors.Is(err, mirror.ErrBusy) {
		t.Errorf("Repack while a fetch is open = %v, want ErrBusy", err)
	}
	if _, err := h.Mend(t.Context(), h.id); !errors.Is(err, mirror.ErrBusy) {
		t.Errorf("Mend while a fetch is open = %v, want ErrBusy", err)
	}
	must(t, in.Publish(t.Context(), tx))
	h.same(t)

	// The other way round a sync ends the repack, or comes after it.
	for i := range 5 {
		h.up.Commit(t, project, files(8, uint64(10+i)))
		done := make(chan error, 1)
		go func() { done <- h.Repack(t.Context(), h.id, 0) }()
		h.mustSync(t)
		if err := <-done; err != nil && !errors.Is(err, mirror.ErrBusy) {
			t.Errorf("Repack beside a sync = %v, want nil or ErrBusy\n%s", err, raw(err))
		}
		h.same(t)
	}
	must(t, h.Repack(t.Context(), h.id, 0))
	h.whole(t)
}

// A clone that was begun before a full repack gets everything.
func TestCloneSurvivesRepack(t *testing.T) {
	h := newHouse(t)
	for i := range 4 {
		large := files(40, uint64(i))
		large["large"] = gittest.Noise(2<<20, uint64(i))
		h.up.Commit(t, project, large)
		h.mustSync(t)
	}
	const clones = 4
	want := h.revOf(t, "refs/heads/main")
	var wait sync.WaitGroup
	var packs [clones]bytes.Buffer
	going := make(chan *io.PipeReader, clones)
	for range clones {
		out, in := io.Pipe()
		wait.Go(func() {
			err := h.UploadPack(t.Context(), git.UploadPack{Repo: h.id, Stateless: true, Protocol: "version=2", Out: in,
				In: strings.NewReader(pkt("command=fetch\n") + "0001" + pkt("want "+want+"\n") + pkt("done\n") + "0000")})
			in.CloseWithError(errors.Join(err, io.EOF))
		})
		_, err := io.ReadFull(out, make([]byte, len("000dpackfile\n")))
		must(t, err)
		going <- out
	}
	h.up.Commit(t, project, files(5, 99))
	h.mustSync(t)
	before := h.glob(t, "objects/pack/*.pack")
	must(t, h.Repack(t.Context(), h.id, 0))
	for _, name := range before {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is still there after a full repack", filepath.Base(name))
		}
	}
	for i := range clones {
		demux(t, <-going, &packs[i])
	}
	wait.Wait()
	for i := range clones {
		into := t.TempDir()
		gittest.Git(t, into, "init", "-q", "--bare")
		name := filepath.Join(into, "clone.pack")
		must(t, os.WriteFile(name, packs[i].Bytes(), 0o644))
		gittest.Git(t, into, "index-pack", "--strict", "--check-self-contained-and-connected", name)
	}
}

// demux reads side-band 1 until the end.
func demux(t *testing.T, in io.Reader, pack *bytes.Buffer) {
	t.Helper()
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			t.Fatalf("read the pack: %v", err)
		}
		n, err := strconv.ParseUint(string(head[:]), 16, 16)
		must(t, err)
		if n < 4 {
			return
		}
		data := make([]byte, n-4)
		if _, err := io.ReadFull(in, data); err != nil {
			t.Fatalf("read the pack: %v", err)
		}
		switch data[0] {
		case 1:
			pack.Write(data[1:])
		case 3:
			t.Fatalf("the server says %q", data[1:])
		}
	}
}

// A repack that is killed leaves a repository that works.
func TestKilledRepack(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		large := files(40, uint64(i))
		large["large"] = gittest.Noise(1<<20, uint64(i))
		h.up.Commit(t, project, large)
		h.mustSync(t)
	}
	killed := 0
	for range 5 {
		done := make(chan error, 1)
		go func() { done <- h.Repack(t.Context(), h.id, 0) }()
		deadline := time.Now().Add(2 * time.Minute)
		for running := true; running && time.Now().Before(deadline); {
			select {
			case err := <-done:
				done <- err
				running = false
			default:
				for pid := range processes(t, "--cruft-expiration") {
					if dir, err := os.Readlink("/proc/" + pid + "/cwd"); err == nil && dir == h.dir() {
						kill(t, pid, syscall.SIGKILL)
						killed++
						running = false
					}
				}
			}
		}
		if err := <-done; err == nil && killed == 0 {
			t.Log("the repack was faster than its murderer")
		}
		gittest.Git(t, h.dir(), "fsck", "--full", "--strict")
	}
	h.up.Commit(t, project, files(5, 50))
	h.mustSync(t)
	h.same(t)
	must(t, h.Close())
	h.Disk = open(t, h.Root) // what was left goes at the next start
	h.whole(t)
	must(t, h.Repack(t.Context(), h.id, 0))
	h.whole(t)
	h.same(t)
}

func TestSpace(t *testing.T) {
	h := newHouse(t)
	s, err := h.Space()
	if err != nil || s.Free <= 0 || s.Total < s.Free {
		t.Fatalf("Space = %+v, %v, want some", s, err)
	}
	hold := h.Disk.Ballast(1 << 20)
	name := filepath.Join(h.Root, "ballast")
	must(t, hold(true))
	must(t, hold(true))
	if info, err := os.Stat(name); err == nil && info.Size() != min(1<<20, s.Total/100) {
		t.Errorf("the ballast is %d bytes, want %d", info.Size(), min(1<<20, s.Total/100))
	}
	must(t, hold(false))
	must(t, hold(false))
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ballast is still there: %v", err)
	}

	small := t.TempDir()
	if err := mount(small, 8<<20); err != nil {
		t.Logf("no file system of its own: %v; TestDiskFull stands in", err)
		return
	}
	t.Cleanup(func() { unmount(t, small) })
	h.Disk = open(t, small)
	h.mustSyncNew(t)
	before := h.revOf(t, "refs/heads/main")
	s, err = h.Space()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(small, "other"), make([]byte, s.Free-200<<10), 0o644))
	h.up.Commit(t, project, files(3, 9))
	_, _, err = h.fetch(t.Context())
	p := problem(t, "Fetch onto a nearly full disk", err, mirror.ErrBusy, mirror.CodeDisk)
	if !strings.Contains(p.Why, "are free") {
		t.Errorf("Why = %q, want how much is free", p.Why)
	}
	must(t, os.Remove(filepath.Join(small, "other")))
	h.unchanged(t, before)
}

func (h *house) mustSyncNew(t *testing.T) {
	t.Helper()
	h.up.Commit(t, project, files(3, 8))
	h.mustSync(t)
}

// Open looks at every repository and remembers those that upkeep must see.
func TestOpenFindsHarm(t *testing.T) {
	base := harmed(t)
	ids := map[mirror.ID]string{}
	for _, name := range []string{"nothing", "zero-byte packed-refs", "missing idx", "zero-byte pack", "HEAD lost", "junk in refs", "zero-byte loose ref"} {
		h := base.copied(t)
		for _, c := range corruptions {
			if c.name == name {
				c.harm(t, h.dir())
			}
		}
		ids[h.id] = name
	}
	must(t, base.Close())
	d := open(t, base.Root)
	found := map[string]bool{}
	for _, id := range d.Mended() {
		found[ids[id]] = true
	}
	for _, name := range ids {
		if found[name] != (name != "nothing") {
			t.Errorf("Mended after Open has %q: %v", name, found[name])
		}
	}
	if again := d.Mended(); len(again) > 0 {
		t.Errorf("Mended a second time = %v, want none", again)
	}
}
