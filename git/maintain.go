package git

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// graphAfter is how many objects that came after the commit graph was written
	// make it worth writing again: about 1,000 commits, each with a tree and a file.
	graphAfter = 3000
	// newFilters bounds the commits whose changed paths one writing of the graph
	// looks at; the rest have their turn at the next one.
	newFilters = "20000"
)

// Maintain keeps a repository fast to serve: loose refs are packed, packs
// rolled up when there are too many, the bitmap and the commit graph written. It
// looks first and does nothing when little has changed. No object is dropped, so
// it may run beside fetches and clones. A second call for the same repository
// returns at once.
func (d *Disk) Maintain(ctx context.Context, id mirror.ID) (did bool, err error) {
	err = d.maintaining(id, func(repo string) error {
		for _, args := range due(repo) {
			did = true
			if err := d.run(ctx, command{args: args, repo: repo, background: true}); err != nil {
				return d.gone(ctx, id, "tidy up the repository", err)
			}
		}
		return nil
	})
	return did, err
}

// maintaining lets one at a time change the packs of a repository.
func (d *Disk) maintaining(id mirror.ID, do func(repo string) error) error {
	repo, err := d.existing(id)
	if err != nil {
		return err
	}
	d.state.mu.Lock()
	running := d.state.maintaining[id]
	d.state.maintaining[id] = true
	d.state.mu.Unlock()
	if running {
		return nil
	}
	defer func() {
		d.state.mu.Lock()
		delete(d.state.maintaining, id)
		d.state.mu.Unlock()
	}()
	defer d.state.objects.forget(id) // packs that are gone take room while they are open
	began := time.Now()
	if err := do(repo); err != nil {
		d.dropUnfinished(repo, began)
		return err
	}
	return nil
}

// dropUnfinished removes the packs that a git left which was ended: it clears
// away only what has its final name already.
func (d *Disk) dropUnfinished(repo string, since time.Time) {
	for _, pattern := range []string{"tmp_*", ".tmp-*"} {
		names, _ := filepath.Glob(filepath.Join(repo, "objects", "pack", pattern))
		for _, name := range names {
			info, err := os.Lstat(name)
			if err != nil || info.ModTime().Before(since.Add(-time.Second)) {
				continue
			}
			if err := os.Remove(name); err != nil {
				d.Log.Warn("remove an unfinished pack", "file", name, "err", err)
			}
		}
	}
}

// due is what a repository needs. The limits on packs are Gitaly's: they grow
// with the logarithm of the size.
func due(repo string) [][]string {
	var todo [][]string
	if n, err := looseRefs(repo); err == nil && n > 0 {
		todo = append(todo, []string{"pack-refs", "--all", "--prune"})
	}
	packs := ordinaryPacks(repo)
	if len(packs) == 0 {
		return todo
	}
	size, fresh, graph := int64(0), uint32(0), graphTime(repo)
	for _, p := range packs {
		size += p.size
		if p.time.After(graph) {
			fresh += p.objects
		}
	}
	bitmaps, _ := filepath.Glob(filepath.Join(repo, "objects", "pack", "*.bitmap"))
	limit := max(2, math.Log(float64(size)/(1<<20))/math.Log(1.8))
	switch {
	case float64(len(packs)) > limit:
		todo = append(todo, []string{"repack", "-d", "-q", "--geometric=2", "--write-midx", "--write-bitmap-index"})
	case len(bitmaps) == 0:
		todo = append(todo, []string{"multi-pack-index", "write", "--bitmap", "--no-progress"})
	case !graph.IsZero() && fresh < graphAfter:
		return todo
	}
	return append(todo, writeGraph("--split"))
}

func writeGraph(split string) []string {
	return []string{"commit-graph", "write", "--reachable", split, "--changed-paths", "--max-new-filters=" + newFilters, "--no-progress"}
}

// graphTime is when the commit graph was written last; zero = there is none.
func graphTime(repo string) time.Time {
	for _, name := range []string{"commit-graphs/commit-graph-chain", "commit-graph"} {
		if info, err := os.Stat(filepath.Join(repo, "objects", "info", filepath.FromSlash(name))); err == nil {
			return info.ModTime()
		}
	}
	return time.Time{}
}

// pack is what can be told of a pack without reading it.
type pack struct {
	name    string // without extension
	size    int64
	time    time.Time
	objects uint32
}

// ordinaryPacks are those git looks into, without those of objects that no ref
// leads to.
func ordinaryPacks(repo string) []pack {
	names, _ := filepath.Glob(filepath.Join(repo, "objects", "pack", "*.idx"))
	var packs []pack
	for _, name := range names {
		base := name[:len(name)-len(".idx")]
		if _, err := os.Stat(base + ".mtimes"); err == nil {
			continue
		}
		info, err := os.Stat(base + ".pack")
		if err != nil {
			continue
		}
		packs = append(packs, pack{name: filepath.Base(base), size: info.Size(), time: info.ModTime(), objects: packObjects(base + ".pack")})
	}
	return packs
}

// packObjects is the count in the header of a pack (gitformat-pack).
func packObjects(name string) uint32 {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	var header [12]byte
	if _, err := io.ReadFull(f, header[:]); err != nil {
		return 0
	}
	return binary.BigEndian.Uint32(header[8:])
}

// Loose is how much of a repository a full repack would help. See mirror.Keeper.
func (d *Disk) Loose(_ context.Context, id mirror.ID) (float64, error) {
	repo, err := d.existing(id)
	if err != nil {
		return 0, err
	}
	var sum, largest int64
	for _, p := range ordinaryPacks(repo) {
		sum, largest = sum+p.size, max(largest, p.size)
	}
	if sum == 0 {
		return 0, nil
	}
	return 1 - float64(largest)/float64(sum), nil
}

// Repack packs everything anew: one pack for what refs lead to, in which deltas
// of branches and tags have bases there alone, so that a clone never needs what
// it does not get, and one for the rest. Geometric repacks do not keep that. See
// mirror.Keeper.
func (d *Disk) Repack(ctx context.Context, id mirror.ID, keep time.Duration) error {
	return d.alone(ctx, id, true, func(ctx context.Context) error {
		return d.maintaining(id, func(repo string) error {
			size, err := d.Bytes(ctx, id)
			if err == nil {
				err = d.room(size + size/5)
			}
			if err != nil {
				return err
			}
			for _, c := range []command{
				{args: []string{
					"repack", "-d", "-q", "-i", "--cruft", fmt.Sprintf("--cruft-expiration=%d.seconds.ago", int64(keep.Seconds())),
					"--write-midx", "--write-bitmap-index",
				}, config: [][2]string{{"pack.island", "refs/heads/"}, {"pack.island", "refs/tags/"}}},
				{args: writeGraph("--split=replace")}, // the old one may name commits that are gone
			} {
				c.repo, c.background = repo, true
				if err := d.run(ctx, c); err != nil {
					return d.gone(ctx, id, "repack the repository", err)
				}
			}
			return nil
		})
	})
}
