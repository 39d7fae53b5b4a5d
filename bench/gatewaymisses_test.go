//go:build unix

package bench_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	locks "sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// amidMisses asks for what is kept while 40 zips that are not arrive, and nginx for
// the same in turns: what it waits for is the machine.
func (g *gatewayTable) amidMisses(b *testing.B) {
	defer g.host.far(b, 0, 0)
	file := moduleFile(tinyModule.Path, tinyModule.Version, "info")
	sides := [...]struct {
		url       string
		all, nine []float64 // ms; nine: the slowest of nine that come together
	}{{url: g.proxy()}, {url: g.nginx.url}}
	zips := g.largest(b, 40)
	var wall time.Duration
	for range g.rounds {
		g.renew(b)
		fetch(b, g.proxy()+"/"+file, nil)
		g.host.far(b, farAway, 2<<20)
		var misses locks.WaitGroup
		began := time.Now()
		for _, zip := range zips {
			misses.Go(func() { fetch(b, g.proxy()+"/"+zip, nil) })
		}
		ended := make(chan struct{})
		go func() {
			misses.Wait()
			close(ended)
		}()
		for done := false; !done; {
			select {
			case <-ended:
				done = true
			default:
				for i := range sides {
					slowest := 0.0
					for range 9 {
						_, took := fetch(b, sides[i].url+"/"+file, nil)
						ms := took.Seconds() * 1000
						sides[i].all, slowest = append(sides[i].all, ms), max(slowest, ms)
					}
					sides[i].nine = append(sides[i].nine, slowest)
				}
			}
		}
		wall += time.Since(began)
		g.host.far(b, 0, 0)
	}
	words := [2]string{}
	for i, side := range sides {
		slices.Sort(side.all)
		slices.Sort(side.nine)
		n := len(side.all)
		words[i] = fmt.Sprintf("half within %.2f ms, 99 of 100 within %.1f ms, all within %.1f ms; slowest of nine: half within %.2f ms, 99 of 100 within %.1f ms",
			side.all[n/2], side.all[n*99/100], side.all[n-1], median(side.nine), side.nine[len(side.nine)*99/100])
	}
	g.add("cached `.info` while 40 misses run", words[0],
		fmt.Sprintf("nginx: %s (%d hits each beside %d misses, which took %.1f s)", words[1], len(sides[0].all), len(zips)*g.rounds, wall.Seconds()), "", "slowest of nine ≤ 5 ms")
}

// files are the names of all files of the project with one of these ends.
func (g *gatewayTable) files(b *testing.B, ends ...string) (names []string) {
	b.Helper()
	err := filepath.WalkDir(g.root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && slices.Contains(ends, strings.TrimPrefix(filepath.Ext(name), ".")) {
			rel, relErr := filepath.Rel(g.root, name)
			names, err = append(names, filepath.ToSlash(rel)), relErr
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return names
}

// largest are the n largest zips of the project.
func (g *gatewayTable) largest(b *testing.B, n int) []string {
	b.Helper()
	size := map[string]int64{}
	zips := g.files(b, "zip")
	for _, name := range zips {
		info, err := os.Stat(filepath.Join(g.root, filepath.FromSlash(name)))
		if err != nil {
			b.Fatal(err)
		}
		size[name] = info.Size()
	}
	if len(zips) < n {
		b.Fatalf("%d zips in %s, want %d", len(zips), g.root, n)
	}
	slices.SortFunc(zips, func(x, y string) int { return cmp.Compare(size[y], size[x]) })
	return zips[:n]
}

// herd is one zip that 32 clients want at the same time, of a module proxy that
// sends 4 MB a second.
func (g *gatewayTable) herd(b *testing.B) {
	defer g.host.far(b, 0, 0)
	file := moduleFile(herdModule.Path, herdModule.Version, "zip")
	want, err := os.ReadFile(filepath.Join(g.root, filepath.FromSlash(file)))
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256(want)
	var firsts, ends []float64
	var asked sentModules
	for range g.rounds {
		g.renew(b)
		g.host.far(b, farAway, 4<<20)
		before := g.host.sent(b)
		var clients locks.WaitGroup
		var mu locks.Mutex
		for range 32 {
			clients.Go(func() {
				hash := sha256.New()
				first, end := fetch(b, g.proxy()+"/"+file, hash)
				mu.Lock()
				defer mu.Unlock()
				if [sha256.Size]byte(hash.Sum(nil)) != sum {
					b.Errorf("GET %s: not the bytes of the module proxy", file)
				}
				firsts, ends = append(firsts, first.Seconds()*1000), append(ends, end.Seconds()*1000)
			})
		}
		clients.Wait()
		asked = g.host.sent(b).minus(before)
		if asked.Requests != 1 {
			b.Errorf("the module proxy was asked %d times, want 1", asked.Requests)
		}
		g.host.far(b, 0, 0)
	}
	g.add("32 clients, one `.zip` of 3.6 MB that nobody had", fmt.Sprintf("%d transfer of %.1f MB; first byte after %.0f ms (worst %.0f), last after %.0f ms", asked.Requests, mb(asked.Bytes), median(firsts), slices.Max(firsts), median(ends)),
		fmt.Sprintf("the module proxy needs %.0f ms", float64(farAway.Milliseconds())+float64(len(want))/(4<<20)*1000), "", "one transfer, sent on while it arrives")
}

// fromGit is a zip made of a mirrored repository, beside what the go command
// does for that: git archive, and packing its zip anew.
func (g *gatewayTable) fromGit(b *testing.B) {
	up := gittest.NewUpstream(b)
	fix := up.AddModules(b, gitModule)[0]
	h := newHouse(b, map[string]string{fix.Repo: up.URL(fix.Repo)})
	url := "http://" + h.http + "/proxy/" + moduleFile(fix.Path, fix.Version, "zip")
	bare := up.Dir(fix.Repo)
	var ours, theirs, ourWall, theirWall, ratios []float64
	var size int64
	for range g.rounds {
		h.stop(b)
		if err := os.RemoveAll(filepath.Join(h.data, "modules")); err != nil {
			b.Fatal(err)
		}
		h.start(b)
		fetch(b, "http://"+h.http+"/proxy/"+moduleFile(fix.Path, fix.Version, "mod"), nil) // both know the commit
		used := h.group.cpu()
		var got bytes.Buffer
		_, took := fetch(b, url, &got)
		o := (h.group.cpu() - used).Seconds() * 1000
		size = int64(got.Len())
		began, before := time.Now(), usedCPU()
		goRoad(b, bare, fix)
		t := (usedCPU() - before).Seconds() * 1000
		theirWall = append(theirWall, time.Since(began).Seconds()*1000)
		ours, theirs, ourWall, ratios = append(ours, o), append(theirs, t), append(ourWall, took.Seconds()*1000), append(ratios, o/t)
	}
	g.add("`.zip` made of git, 8.1 MB unpacked", fmt.Sprintf("%.0f ms CPU, %.0f ms, %.1f MB", slices.Min(ours), median(ourWall), mb(size)),
		fmt.Sprintf("the go command: %.0f ms CPU, %.0f ms", slices.Min(theirs), median(theirWall)), fmt.Sprintf("%.2f× the CPU", median(ratios)), "≤ 0.45× the CPU")
}

// goRoad is what the go command does once it has the repository
// (modfetch.codeRepo.Zip and modfetch/codehost.gitRepo.ReadZip).
func goRoad(b *testing.B, bare string, fix gittest.Fixture) {
	b.Helper()
	dir := b.TempDir()
	packed := filepath.Join(dir, "git.zip")
	cmd := exec.Command("git", "-c", "core.autocrlf=input", "-c", "core.eol=lf", "archive", "--format=zip", "--prefix=prefix/", "-o", packed, fix.Commit)
	cmd.Dir, cmd.Env = bare, gittest.Env(dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git archive: %v: %s", err, out)
	}
	z, err := zip.OpenReader(packed)
	if err != nil {
		b.Fatal(err)
	}
	defer z.Close()
	var files []modzip.File
	for _, f := range z.File {
		if name, ok := strings.CutPrefix(f.Name, "prefix/"); ok && name != "" && !strings.HasSuffix(name, "/") {
			files = append(files, archived{name, f})
		}
	}
	out, err := os.Create(filepath.Join(dir, "module.zip"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	if err := modzip.Create(out, module.Version{Path: fix.Path, Version: fix.Version}, files); err != nil {
		b.Fatal(err)
	}
}

// archived is a file of git's archive.
type archived struct {
	name string
	f    *zip.File
}

func (a archived) Path() string                 { return a.name }
func (a archived) Lstat() (fs.FileInfo, error)  { return a.f.FileInfo(), nil }
func (a archived) Open() (io.ReadCloser, error) { return a.f.Open() }
