//go:build unix

package bench_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// quietHandler is an upstream of any number of repositories that never change:
// every path has the same twelve refs. It speaks protocol v2, ls-refs alone.
func quietHandler() http.Handler {
	pkt := func(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }
	const hash = "1234567890123456789012345678901234567890"
	answer := pkt(hash + " HEAD symref-target:refs/heads/main\n")
	for i := range 4 {
		answer += pkt(fmt.Sprintf("%s refs/heads/b%d\n", hash, i))
	}
	answer += pkt(hash + " refs/heads/main\n")
	for i := range 7 {
		answer += pkt(fmt.Sprintf("%s refs/tags/v1.%d.0\n", hash, i))
	}
	answer += "0000"
	hello := pkt("# service=git-upload-pack\n") + "0000" + pkt("version 2\n") + pkt("ls-refs\n") + pkt("fetch=shallow\n") + pkt("object-format=sha1\n") + "0000"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			io.WriteString(w, hello)
			return
		}
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		io.WriteString(w, answer)
	})
}

// counted counts the transactions of the queue.
type counted struct {
	*store.DB
	n atomic.Int64
}

func (c *counted) Claim(ctx context.Context, owner string, now time.Time, lease time.Duration, room mirror.Room) ([]mirror.Claim, error) {
	c.n.Add(1)
	return c.DB.Claim(ctx, owner, now, lease, room)
}

func (c *counted) Settle(ctx context.Context, settled []mirror.Settlement) error {
	c.n.Add(1)
	return c.DB.Settle(ctx, settled)
}

func (c *counted) Renew(ctx context.Context, claims []mirror.Claim, until time.Time) ([]mirror.Claim, error) {
	c.n.Add(1)
	return c.DB.Renew(ctx, claims, until)
}

func (c *counted) BeginRun(ctx context.Context, claim mirror.Claim, now time.Time) (mirror.Run, error) {
	c.n.Add(1)
	return c.DB.BeginRun(ctx, claim, now)
}

func (c *counted) EndRun(ctx context.Context, claim mirror.Claim, end mirror.Ending) error {
	c.n.Add(1)
	return c.DB.EndRun(ctx, claim, end)
}

// farm is a syncer with many mirrors that are copies of one.
type farm struct {
	db     *counted
	disk   *git.Disk
	syncer *mirror.Syncer
	ids    []mirror.ID
}

func newFarm(b *testing.B) *farm {
	b.Helper()
	dir := b.TempDir()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := store.Open(b.Context(), filepath.Join(dir, "mirror.db"), log)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	disk, err := git.Open(b.Context(), git.Disk{Root: dir, AllowPrivate: true})
	if err != nil {
		b.Fatal(err)
	}
	f := &farm{db: &counted{DB: db}, disk: disk}
	f.syncer = &mirror.Syncer{
		Store: f.db, Disk: disk, Owner: "bench", Log: log,
		Schedule: mirror.Schedule{Min: time.Minute, Max: 8 * time.Hour},
	}
	return f
}

// add maps n repositories whose directories are copies of that of the template,
// and whose next look comes within spread.
func (f *farm) add(b *testing.B, n int, template, digest string, upstream func(i int) string, spread time.Duration) {
	b.Helper()
	for i := range n {
		up, _, err := mirror.ParseUpstream(upstream(i))
		if err != nil {
			b.Fatal(err)
		}
		path, err := mirror.ParsePath(fmt.Sprintf("bench.example/org/r%05d", i))
		if err != nil {
			b.Fatal(err)
		}
		now := time.Now().UTC()
		r := mirror.Repo{
			ID: mirror.NewID(), Path: path, Upstream: up, Interval: time.Minute, Tags: mirror.FreezeTags, Created: now, Updated: now, Version: 1,
			State: mirror.State{
				Status: mirror.Ready, Digest: digest, Generation: 1, Head: "refs/heads/main", LastSuccess: now, LastChange: now,
				NextSync: now.Add(time.Hour),
			},
		}
		if err := os.CopyFS(filepath.Join(f.disk.Root, "repos", string(r.ID)+".git"), os.DirFS(template)); err != nil {
			b.Fatal(err)
		}
		if err := f.db.AddRepo(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		f.ids = append(f.ids, r.ID)
	}
	// They were added long ago: nobody waits for a first clone of theirs.
	for {
		claims, err := f.db.Claim(b.Context(), "setup", time.Now().UTC().Add(2*time.Hour), time.Hour, mirror.Room{News: 500})
		if err != nil {
			b.Fatal(err)
		}
		if len(claims) == 0 {
			return
		}
		for i, c := range claims {
			run, state := c.Run, c.Repo.State
			run.Ended, run.Outcome = time.Now().UTC(), mirror.Updated
			state.Status = mirror.Ready
			state.NextSync = run.Ended.Add(spread*time.Duration(i)/time.Duration(len(claims)) + 5*time.Second)
			if err := f.db.EndRun(b.Context(), c, mirror.Ending{Run: run, State: state}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// run starts the syncer and returns what stops it.
func (f *farm) run(b *testing.B) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- f.syncer.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// residentMB is what the process has in memory now.
func residentMB() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return math.NaN()
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			return n / 1024
		}
	}
	return math.NaN()
}

func number(name string, or int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return or
}

// BenchmarkSyncTenThousand keeps 10,000 mirrors fresh within a minute whose
// upstreams have nothing new: BENCH_MINUTES (2) after one to warm up, BENCH_MIRRORS.
// The upstream is another process, whose CPU time is nobody's here.
func BenchmarkSyncTenThousand(b *testing.B) {
	mirrors, minutes := number("BENCH_MIRRORS", 10_000), number("BENCH_MINUTES", 2)
	url := start(b, "quiet", task{}).URL
	f := newFarm(b)
	template, digest := f.template(b, url+"/org/r00000")
	f.add(b, mirrors, template, digest, func(i int) string { return fmt.Sprintf("%s/org/r%05d", url, i) }, time.Minute)

	var mu stdsync.Mutex
	looked := make(map[mirror.ID]time.Time, mirrors)
	var checks int
	var worstGap, worstLate time.Duration
	measuring := false
	f.syncer.OnCheck = func(r mirror.Repo, late time.Duration, p *mirror.Problem) {
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		if p != nil {
			b.Errorf("check of %s: %v", r.Path, p)
		}
		if before, ok := looked[r.ID]; ok && measuring {
			worstGap = max(worstGap, now.Sub(before))
			worstLate = max(worstLate, late)
		}
		looked[r.ID] = now
		checks++
	}
	debug.FreeOSMemory()
	stop := f.run(b)
	time.Sleep(time.Minute + 15*time.Second) // everything is looked at once, in its turn from then on
	mu.Lock()
	checks, measuring = 0, true
	mu.Unlock()
	cpu, txs, begin, memory := usedCPU(), f.db.n.Load(), time.Now(), 0.0
	for time.Since(begin) < time.Duration(minutes)*time.Minute {
		time.Sleep(time.Second)
		memory = max(memory, residentMB())
	}
	wall, used, txs := time.Since(begin), usedCPU()-cpu, f.db.n.Load()-txs
	mu.Lock()
	done, stale := checks, 0
	for _, at := range looked {
		worstGap = max(worstGap, time.Since(at))
	}
	stale = mirrors - len(looked)
	measuring = false
	mu.Unlock()
	stop()
	if stale > 0 {
		b.Errorf("%d of %d mirrors were never looked at", stale, mirrors)
	}
	quiet(b)
	b.ReportMetric(float64(done)/wall.Seconds(), "checks/s")
	b.ReportMetric(100*used.Seconds()/wall.Seconds(), "cpu-%")
	b.ReportMetric(1000*used.Seconds()/float64(done), "cpu-ms/check")
	b.ReportMetric(memory, "rss-MB")
	b.ReportMetric(float64(txs)/wall.Seconds(), "tx/s")
	b.ReportMetric(worstLate.Seconds(), "worst-late-s")
	b.ReportMetric(worstGap.Seconds(), "worst-gap-s")
}

// template is the directory of a mirror as the refs of the quiet upstream make
// it, without objects: nothing here reads one.
func (f *farm) template(b *testing.B, url string) (dir, digest string) {
	b.Helper()
	up, _, err := mirror.ParseUpstream(url)
	if err != nil {
		b.Fatal(err)
	}
	list, err := f.disk.List(b.Context(), mirror.Remote{Upstream: up})
	if err != nil {
		b.Fatal(err)
	}
	dir = filepath.Join(b.TempDir(), "template.git")
	gitCommand(b, b.TempDir(), "init", "--quiet", "--bare", "--template=", dir)
	packed := "# pack-refs with: peeled fully-peeled sorted \n"
	for _, r := range list.Refs {
		packed += r.Hash + " " + r.Name + "\n"
	}
	for name, text := range map[string]string{"packed-refs": packed, "HEAD": "ref: " + list.Head + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir, list.Fingerprint
}

// BenchmarkSyncThousandChanged has BENCH_CHANGED (1,000) mirrors due at once that
// all changed, and a person asking for one more every half second. The upstream
// is git itself, in other processes on the same cores.
func BenchmarkSyncThousandChanged(b *testing.B) {
	changed := number("BENCH_CHANGED", 1000)
	up := gittest.NewUpstream(b)
	const source = "bench.example/org/source"
	old := up.Commit(b, source, map[string]string{"go.mod": "module bench.example/org/source\n", "a.go": "package a\n"}, "v1.0.0")
	root := b.TempDir()
	url := start(b, "peer", task{Root: root}).URL
	f := newFarm(b)

	asked := 40
	upDir := func(i int) string { return filepath.Join(root, "org", fmt.Sprintf("r%05d", i)) }
	for i := range changed + asked {
		if err := os.CopyFS(upDir(i), os.DirFS(up.Dir(source))); err != nil {
			b.Fatal(err)
		}
	}
	first, _, err := mirror.ParseUpstream(url + "/org/r00000")
	if err != nil {
		b.Fatal(err)
	}
	seed := mirror.Repo{ID: mirror.NewID(), Upstream: first}
	if err := sync(b.Context(), f.disk, seed); err != nil {
		b.Fatal(err)
	}
	list, err := f.disk.List(b.Context(), mirror.Remote{Upstream: first})
	if err != nil {
		b.Fatal(err)
	}
	template := filepath.Join(f.disk.Root, "repos", string(seed.ID)+".git")
	f.add(b, changed+asked, template, list.Fingerprint, func(i int) string { return fmt.Sprintf("%s/org/r%05d", url, i) }, 0)
	tip := up.Commit(b, source, map[string]string{"go.mod": "module bench.example/org/source\n", "a.go": "package a // 2\n"}, "v1.1.0")
	for i := range changed + asked {
		gitCommand(b, root, "-C", upDir(i), "fetch", "--quiet", up.Dir(source), "+refs/*:refs/*")
	}

	ended := make(chan mirror.Run, changed+asked)
	f.syncer.OnRun = func(_ mirror.Repo, run mirror.Run) { ended <- run }
	stop := f.run(b)
	defer stop()
	begin := time.Now()
	var waits []time.Duration
	var mu stdsync.Mutex
	var askers stdsync.WaitGroup
	for i := range asked {
		askers.Go(func() {
			time.Sleep(5*time.Second + time.Duration(i)*500*time.Millisecond)
			start := time.Now()
			run, err := f.syncer.Sync(b.Context(), f.ids[changed+i], mirror.ByHand)
			if err != nil || run.Problem != nil {
				b.Errorf("Sync by hand = %+v, %v", run.Problem, err)
			}
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, time.Since(start))
		})
	}
	askers.Wait()
	updated := 0
	for updated < changed+asked {
		run := <-ended
		if run.Problem != nil {
			b.Fatalf("sync: %v", run.Problem)
		}
		if run.Outcome == mirror.Updated {
			updated++
		}
	}
	wall := time.Since(begin)
	for _, id := range f.ids[:10] {
		if c, err := f.disk.Commit(b.Context(), id, "refs/heads/main"); err != nil || c.Hash != tip || old == tip {
			b.Errorf("main = %v, %v, want %s", c, err, tip)
		}
	}
	slices.Sort(waits)
	quiet(b)
	b.ReportMetric(float64(updated)/wall.Seconds(), "syncs/s")
	b.ReportMetric(waits[len(waits)/2].Seconds(), "manual-p50-s")
	b.ReportMetric(waits[len(waits)*95/100].Seconds(), "manual-p95-s")
	b.ReportMetric(waits[len(waits)-1].Seconds(), "manual-max-s")
}
