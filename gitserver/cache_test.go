package gitserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/gitserver"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// watchedPacks counts the gits that answer a request, and may change what they do.
type watchedPacks struct {
	gitserver.Packs
	runs   atomic.Int64
	hold   chan struct{}                                                  // when not nil, until it is closed
	mangle atomic.Pointer[func(out io.Writer) (w io.Writer, fails error)] // may be nil
	ended  atomic.Int64                                                   // of those, by their context
}

func (p *watchedPacks) UploadPack(ctx context.Context, id mirror.ID, protocol string, stateless, advertise bool, in io.Reader, out, errOut io.Writer) error {
	p.runs.Add(1)
	if p.hold != nil {
		select {
		case <-p.hold:
		case <-ctx.Done():
			p.ended.Add(1)
			return ctx.Err()
		}
	}
	var fails error
	if mangle := p.mangle.Load(); mangle != nil {
		out, fails = (*mangle)(out)
	}
	return errors.Join(p.Packs.UploadPack(ctx, id, protocol, stateless, advertise, in, out, errOut), fails)
}

func watch(r *rig) *watchedPacks {
	w := &watchedPacks{Packs: r.front.Packs}
	r.front.Packs = w
	return w
}

// fetchOf is a fetch as git clone sends it.
func fetchOf(args ...string) string {
	text := pkt("command=fetch") + pkt("agent=git/2.39.5") + pkt("object-format=sha1") + "0001" + pkt("ofs-delta")
	for _, a := range args {
		text += pkt(a)
	}
	return text + "0000"
}

func (r *rig) fetch(t *testing.T, path, request string) (int, http.Header, string) {
	t.Helper()
	return r.do(t, http.MethodPost, "/"+path+"/git-upload-pack", map[string]string{
		"Git-Protocol": "version=2", "Content-Type": "application/x-git-upload-pack-request",
	}, strings.NewReader(request))
}

func (r *rig) id(t *testing.T, path mirror.Path) mirror.ID {
	t.Helper()
	repo, err := r.catalog.Find(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return repo.ID
}

func (r *rig) sync(t *testing.T, path mirror.Path) {
	t.Helper()
	if _, err := r.catalog.Syncer.Sync(t.Context(), r.id(t, path), mirror.ByHand); err != nil {
		t.Fatal(err)
	}
}

// cached are the files in the cache; those in the making separately.
func (r *rig) cached(t *testing.T) (kept, making []string) {
	t.Helper()
	entries, err := os.ReadDir(r.front.Cache.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), "making-"):
			making = append(making, e.Name())
		case e.Name() != "boot":
			kept = append(kept, e.Name())
		}
	}
	return kept, making
}

// What is asked for twice is kept; the third client needs no git. All get the
// same, whatever the order of their wants and whether they want to see progress.
func TestAnswersAreKept(t *testing.T) {
	var packs *watchedPacks
	r := newRig(t, func(r *rig) { packs = watch(r) })
	main, side := r.up.Rev(t, tool, "refs/heads/main"), r.up.Rev(t, tool, "refs/heads/side")
	var first string
	for i, request := range []string{
		fetchOf("want "+main, "want "+side, "done"),
		fetchOf("no-progress", "want "+side, "want "+main, "want "+main, "done"),
		fetchOf("thin-pack", "no-progress", "want "+main, "want "+side, "done"),
		fetchOf("done", "want "+main+"\n", "want "+side),
	} {
		status, head, text := r.fetch(t, tool, request)
		if status != http.StatusOK || !strings.HasPrefix(text, "000dpackfile\n") || !strings.HasSuffix(text, "0000") {
			t.Fatalf("fetch %d = %d %.60q, want a pack", i, status, text)
		}
		if i >= 2 && head.Get("Content-Length") != fmt.Sprint(len(text)) {
			t.Errorf("fetch %d has Content-Length %q, want %d: it is kept", i, head.Get("Content-Length"), len(text))
		}
		if i == 1 {
			first = text
		}
		if i >= 2 && text != first {
			t.Errorf("fetch %d differs from the one before", i)
		}
		eventually(t, "no answer is in the making", func() bool { return r.front.Cache.Stats().Making == 0 })
	}
	if n := packs.runs.Load(); n != 2 {
		t.Errorf("4 equal fetches had %d gits, want 2: the answer is kept from the second on", n)
	}
	if s := r.front.Cache.Stats(); s.Hits != 2 || s.Misses != 2 || s.Files != 1 {
		t.Errorf("Stats = %+v, want 2 hits, 2 misses and a file", s)
	}
	eventually(t, "all fetches were heard of", func() bool { return len(r.requests.served("http fetch ok")) == 4 })
	heard := map[string]int{}
	for _, s := range r.requests.served("http fetch ok") {
		heard["hits"] += s.Cache.Hits
		heard["misses"] += s.Cache.Misses
	}
	if heard["hits"] != 2 || heard["misses"] != 2 {
		t.Errorf("the observer heard of %v, want 2 hits and 2 misses", heard)
	}
	// And real clients think so, too.
	for i := range 3 {
		for name, url := range map[string]string{"http": r.url + "/" + tool, "ssh": r.sshURL(tool)} {
			dir := filepath.Join(t.TempDir(), fmt.Sprint(name, i))
			r.mustGit(t, "clone", "-q", "--mirror", url, dir)
			gittest.Git(t, dir, "fsck", "--full", "--strict", "--no-dangling")
			if got, want := refs(t, dir), refs(t, r.up.Dir(tool)); got != want {
				t.Errorf("%s: refs of clone %d:\n%s\nwant upstream's:\n%s", name, i, got, want)
			}
		}
	}
	if n := packs.runs.Load(); n != 4 {
		t.Errorf("6 clones of everything had %d gits, want 2", n-2)
	}
}

// Those who ask the same at the same time share one git.
func TestFollowersShareOneGit(t *testing.T) {
	var packs *watchedPacks
	r := newRig(t, func(r *rig) {
		packs = watch(r)
		packs.hold = make(chan struct{})
		r.front.Gate.Total, r.front.Gate.Each = 1, 1
	})
	const crowd = 6
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() {
			url := r.url + "/" + tool
			if i%2 == 1 {
				url = r.sshURL(tool)
			}
			dir := filepath.Join(r.dir, fmt.Sprint("clone", i))
			if got := r.git(t, "clone", "-q", "--mirror", url, dir); got.code != 0 {
				t.Errorf("clone %d = exit %d %q", i, got.code, got.err)
				return
			}
			gittest.Git(t, dir, "fsck", "--full", "--no-dangling")
		})
	}
	eventually(t, "all have joined", func() bool { return r.front.Cache.Stats().Joined == crowd-1 })
	close(packs.hold)
	all.Wait()
	if n := packs.runs.Load(); n != 1 {
		t.Errorf("%d clones at once had %d gits, want 1", crowd, n)
	}
	if kept, making := r.cached(t); len(kept) != 1 || len(making) != 0 {
		t.Errorf("the cache holds %q and %q in the making, want one answer", kept, making)
	}
}

// What the repository does not show any more is not given from the cache: git
// decides, for each client anew.
func TestHiddenIsNotServedFromTheCache(t *testing.T) {
	var packs *watchedPacks
	r := newRig(t, func(r *rig) { packs = watch(r) })
	side := r.up.Rev(t, tool, "refs/heads/side")
	request := fetchOf("want "+side, "done")
	for range 3 {
		r.fetch(t, tool, request)
	}
	if s := r.front.Cache.Stats(); s.Hits != 1 {
		t.Fatalf("Stats = %+v, want a hit", s)
	}
	runs := packs.runs.Load()
	dir := filepath.Join(r.dir, "repos", string(r.id(t, tool))+".git")
	gittest.Git(t, dir, "update-ref", "-d", "refs/heads/side") // by another process
	gittest.Git(t, dir, "reflog", "expire", "--expire=now", "--all")
	gittest.Git(t, dir, "repack", "-adq")
	gittest.Git(t, dir, "prune", "--expire=now")
	status, _, text := r.fetch(t, tool, request)
	if strings.Contains(text, "packfile") || packs.runs.Load() != runs+1 {
		t.Errorf("fetch of what is gone = %d %.80q with %d gits, want git's refusal", status, text, packs.runs.Load()-runs)
	}
	// Nor is anything given to who may not read the repository.
	hidden := r.up.Rev(t, secret, "refs/heads/main")
	for range 3 {
		if got := r.git(t, "clone", "-q", "--depth=1", r.sshURL(secret), filepath.Join(t.TempDir(), "clone")); got.code != 0 {
			t.Fatalf("clone of a private mirror = %q", got.err)
		}
	}
	hits := r.front.Cache.Stats().Hits
	for _, path := range []string{secret, tool} {
		status, _, text := r.fetch(t, path, fetchOf("include-tag", "deepen 1", "want "+hidden, "done"))
		if strings.Contains(text, "packfile") || path == secret && status != http.StatusUnauthorized {
			t.Errorf("fetch of a private commit from %s = %d %.80q, want a refusal", path, status, text)
		}
	}
	if now := r.front.Cache.Stats().Hits; now != hits {
		t.Errorf("refused fetches hit the cache %d times", now-hits)
	}
}

// With include-tag the answer depends on the tags there are.
func TestTagsAreNotStale(t *testing.T) {
	r := newRig(t)
	main := r.up.Rev(t, tool, "refs/heads/main")
	clone := func() string {
		dir := filepath.Join(t.TempDir(), "clone")
		r.mustGit(t, "clone", "-q", "--single-branch", "--depth=1", r.url+"/"+tool, dir)
		return gittest.Git(t, dir, "tag", "--list", "late*")
	}
	for range 3 {
		if got := clone(); got != "" {
			t.Fatalf("tags = %q, want none yet", got)
		}
	}
	gittest.Git(t, r.up.Dir(tool), "tag", "-m", "late", "late", main)
	r.sync(t, tool)
	for range 3 {
		if got := clone(); got != "late" {
			t.Errorf("tags = %q, want late", got)
		}
	}
}

// A git that breaks off fails all who read its answer, with a word, and nothing
// of it is kept.
func TestFailuresAreHeard(t *testing.T) {
	var packs *watchedPacks
	r := newRig(t, func(r *rig) {
		packs = watch(r)
		packs.hold = make(chan struct{})
	})
	cut := func(out io.Writer) (io.Writer, error) {
		return &shortWriter{out: out, left: 100_000}, io.ErrUnexpectedEOF
	}
	packs.mangle.Store(&cut)
	errs := make(chan string, 4)
	for i := range 4 {
		url := r.url + "/" + tool
		if i%2 == 1 {
			url = r.sshURL(tool)
		}
		go func() {
			got := r.git(t, "clone", "-q", "--mirror", url, filepath.Join(r.dir, fmt.Sprint("clone", i)))
			if got.code == 0 {
				got.err = "exit 0"
			}
			errs <- got.err
		}()
	}
	eventually(t, "all have joined", func() bool { return r.front.Cache.Stats().Joined == 3 })
	close(packs.hold)
	for range 4 {
		if got := <-errs; !strings.Contains(got, "the server could not finish this answer") {
			t.Errorf("a clone whose answer broke off said %q, want that the server could not finish", got)
		}
	}
	packs.mangle.Store(nil)
	if kept, making := r.cached(t); len(kept)+len(making) != 0 {
		t.Errorf("the cache holds %q and %q, want nothing of a broken answer", kept, making)
	}
	dir := filepath.Join(t.TempDir(), "clone")
	r.mustGit(t, "clone", "-q", "--mirror", r.url+"/"+tool, dir)
	gittest.Git(t, dir, "fsck", "--full", "--no-dangling")
}

// shortWriter passes on so many bytes and takes the rest for granted.
type shortWriter struct {
	out  io.Writer
	left int
}

func (s *shortWriter) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	s.left -= n
	if _, err := s.out.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// A client that does not read holds no git up; one that leaves ends it, if
// nobody else reads.
func TestNobodyIsHeldUp(t *testing.T) {
	var packs *watchedPacks
	r := newRig(t, func(r *rig) {
		packs = watch(r)
		packs.hold = make(chan struct{})
	})
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	request := fetchOf("want "+r.up.Rev(t, tool, "refs/heads/main"), "done")
	post := func(ctx context.Context) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/"+tool+"/git-upload-pack", strings.NewReader(request))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Git-Protocol", "version=2")
		req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		return http.DefaultClient.Do(req)
	}
	go func() {
		_, err := post(ctx)
		gone <- err
	}()
	eventually(t, "git runs", func() bool { return packs.runs.Load() == 1 })
	leave()
	if err := <-gone; err == nil {
		t.Error("the request that was given up succeeded")
	}
	eventually(t, "git was ended", func() bool { return packs.ended.Load() == 1 && r.front.Cache.Stats().Making == 0 })
	close(packs.hold)
	res, err := post(t.Context()) // and nothing is read
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	eventually(t, "the answer is made although nobody reads it", func() bool { return r.front.Cache.Stats().Making == 0 })
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Errorf("reading it at last: %v", err)
	}
}

// Without room for files everybody is served all the same.
func TestNoRoomForTheCache(t *testing.T) {
	for name, adjust := range map[string]func(c *gitserver.Cache){
		"no bytes":  func(c *gitserver.Cache) { c.MaxBytes = 0 },
		"few bytes": func(c *gitserver.Cache) { c.MaxBytes = 2 << 20 }, // one grant, which the pack fills
		"full disk": func(c *gitserver.Cache) { c.Level = func() mirror.SpaceLevel { return mirror.NoSyncs } },
		"no folder": func(c *gitserver.Cache) { c.Dir = filepath.Join(c.Dir, "gone") },
	} {
		t.Run(name, func(t *testing.T) {
			var packs *watchedPacks
			r := newRig(t, func(r *rig) {
				adjust(r.front.Cache)
				packs = watch(r)
				packs.hold = make(chan struct{})
			})
			for i := range 3 {
				r.up.Commit(t, tool, map[string]string{"more.bin": gittest.Noise(1<<20, uint64(100+i))})
			}
			r.sync(t, tool)
			var all sync.WaitGroup
			for i := range 3 {
				all.Go(func() {
					dir := filepath.Join(r.dir, fmt.Sprint("clone", i))
					if got := r.git(t, "clone", "-q", "--mirror", r.url+"/"+tool, dir); got.code != 0 {
						t.Errorf("clone %d = exit %d %q", i, got.code, got.err)
						return
					}
					gittest.Git(t, dir, "fsck", "--full", "--no-dangling")
				})
			}
			eventually(t, "all have joined", func() bool { return r.front.Cache.Stats().Joined == 2 })
			close(packs.hold)
			all.Wait()
			eventually(t, "nothing is in the making", func() bool { return r.front.Cache.Stats().Making == 0 })
			if s := r.front.Cache.Stats(); packs.runs.Load() != 1 || s.Files != 0 || s.Bytes != 0 {
				t.Errorf("%d gits, Stats = %+v; want 1 git and no bytes", packs.runs.Load(), s)
			}
		})
	}
}

// The clones that are often made are made ahead when the refs change.
func TestClonesAreMadeAhead(t *testing.T) {
	var packs *watchedPacks
	r := newRig(t, func(r *rig) { packs = watch(r) })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.front.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	clone := func() {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "clone")
		r.mustGit(t, "clone", "-q", r.url+"/"+tool, dir)
		r.mustGit(t, "clone", "-q", "--depth=1", r.url+"/"+tool, dir+"-shallow")
		for _, d := range []string{dir, dir + "-shallow"} {
			if got, want := gittest.Git(t, d, "rev-parse", "HEAD"), r.up.Rev(t, tool, "main"); got != want {
				t.Errorf("HEAD of a clone = %s, want %s", got, want)
			}
			gittest.Git(t, d, "fsck", "--full", "--no-dangling")
		}
	}
	clone()
	clone()
	for i := range 2 {
		r.up.Commit(t, tool, map[string]string{"a": fmt.Sprint(i)}, fmt.Sprintf("v9.%d.0", i))
		if i == 1 { // and a rewound branch
			gittest.Git(t, r.up.Dir(tool), "update-ref", "refs/heads/side", r.up.Rev(t, tool, "v0.1.0"))
		}
		r.sync(t, tool)
		runs := packs.runs.Load()
		r.front.Changed(r.id(t, tool))
		eventually(t, "two clones were made ahead", func() bool {
			return packs.runs.Load() == runs+2 && r.front.Cache.Stats().Making == 0
		})
		runs = packs.runs.Load()
		clone()
		if n := packs.runs.Load() - runs; n != 0 {
			t.Errorf("clones after a change had %d gits, want 0: they were made ahead", n)
		}
	}
	eventually(t, "what was made ahead before is gone", func() bool { kept, _ := r.cached(t); return len(kept) == 4 })
}

// What a killed server left half-made is gone after a restart, what it kept is
// there; after a restart of the machine nothing is.
func TestOpenCache(t *testing.T) {
	r := newRig(t)
	request := fetchOf("want "+r.up.Rev(t, tool, "refs/heads/main"), "done")
	for range 2 {
		r.fetch(t, tool, request)
		eventually(t, "nothing is in the making", func() bool { return r.front.Cache.Stats().Making == 0 })
	}
	dir := r.front.Cache.Dir
	kept, _ := r.cached(t)
	if len(kept) != 1 {
		t.Fatalf("the cache holds %q, want one answer", kept)
	}
	text, err := os.ReadFile(filepath.Join(dir, kept[0]))
	if err != nil {
		t.Fatal(err)
	}
	id := string(r.id(t, tool))
	for _, name := range []string{"making-123", "strange", id + "-" + strings.Repeat("0", 64) + "-5", id + "-00-0", id + "-" + strings.Repeat("0", 64) + "-00"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func(c *gitserver.Cache) gitserver.CacheStats {
		t.Helper()
		c.Dir = dir
		again, err := gitserver.OpenCache(c)
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
		return again.Stats()
	}
	size := (int64(len(text))/4096 + 1) * 4096
	if s := open(&gitserver.Cache{MaxBytes: 1 << 30}); s.Files != 1 || s.Bytes != size {
		t.Errorf("Stats after a restart = %+v, want 1 file of %d bytes", s, size)
	}
	if now, making := r.cached(t); len(now) != 1 || now[0] != kept[0] || len(making) != 0 {
		t.Errorf("the cache holds %q and %q after a restart, want %q", now, making, kept)
	}
	if s := open(&gitserver.Cache{MaxBytes: size - 1}); s.Files != 0 || s.Bytes != 0 {
		t.Errorf("Stats with less room = %+v, want nothing kept", s)
	}
	if err := os.WriteFile(filepath.Join(dir, kept[0]), text, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, kept[0]), old, old); err != nil {
		t.Fatal(err)
	}
	if s := open(&gitserver.Cache{MaxBytes: 1 << 30, MaxAge: time.Minute}); s.Files != 0 {
		t.Errorf("Stats = %+v, want nothing that is older than a minute", s)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, kept[0]), text, 0o600), os.WriteFile(filepath.Join(dir, "boot"), []byte("another"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if s := open(&gitserver.Cache{MaxBytes: 1 << 30}); s.Files != 0 {
		t.Errorf("Stats after a restart of the machine = %+v, want nothing", s)
	}
}

// The answers that were used longest ago make room for new ones.
func TestTheCacheIsBounded(t *testing.T) {
	r := newRig(t, func(r *rig) { r.front.Cache.MaxBytes = 5 << 20 })
	tips := []string{"v0.0.0", "v0.1.0", "v0.2.0", "v0.3.0", "v0.4.0", "main", "side"}
	for _, tip := range tips {
		for range 2 {
			if status, _, text := r.fetch(t, tool, fetchOf("want "+r.up.Rev(t, tool, tip), "done")); status != 200 || !strings.HasSuffix(text, "0000") {
				t.Fatalf("fetch of %s = %d %.100q", tip, status, text)
			}
			eventually(t, "nothing is in the making", func() bool { return r.front.Cache.Stats().Making == 0 })
			if s := r.front.Cache.Stats(); s.Bytes > 5<<20 {
				t.Errorf("Stats = %+v, want at most 5 MiB", s)
			}
		}
	}
	kept, _ := r.cached(t)
	sum := int64(0)
	for _, name := range kept {
		info, err := os.Stat(filepath.Join(r.front.Cache.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	if len(kept) == 0 || len(kept) >= len(tips) || sum > 5<<20 {
		t.Errorf("the cache holds %d answers of %d bytes, want some, and at most 5 MiB", len(kept), sum)
	}
	hits := r.front.Cache.Stats().Hits
	if r.fetch(t, tool, fetchOf("want "+r.up.Rev(t, tool, "side"), "done")); r.front.Cache.Stats().Hits != hits+1 {
		t.Error("the latest answer is not kept")
	}
}
