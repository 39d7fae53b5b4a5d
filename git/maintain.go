package git

import (
	"context"
	"math"
	"os"
	"path/filepath"

	"github.com/gitmirror/gitmirror/mirror"
)

// Maintain keeps a repository fast to serve: loose refs are packed, packs
// rolled up when there are too many, the bitmap and the commit graph written.
// It does nothing when little has changed, deletes no object that a ref or a
// running clone needs, and may run beside fetches and clones. A second call for
// the same repository returns at once.
func (d *Disk) Maintain(ctx context.Context, id mirror.ID) error {
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
	for _, args := range due(repo) {
		if err := d.run(ctx, command{args: args, repo: repo}); err != nil {
			return d.gone(ctx, id, "tidy up the repository", err)
		}
	}
	return nil
}

// due is what a repository needs. The limits on packs are Gitaly's: they grow
// with the logarithm of the size.
func due(repo string) [][]string {
	var todo [][]string
	if n, err := looseRefs(repo); err == nil && n > 0 {
		todo = append(todo, []string{"pack-refs", "--all", "--prune"})
	}
	pack := filepath.Join(repo, "objects", "pack")
	packs, _ := filepath.Glob(filepath.Join(pack, "*.pack"))
	if len(packs) == 0 {
		return todo
	}
	var size int64
	for _, name := range packs {
		if info, err := os.Stat(name); err == nil {
			size += info.Size()
		}
	}
	bitmaps, _ := filepath.Glob(filepath.Join(pack, "*.bitmap"))
	limit := max(2, math.Log(float64(size)/(1<<20))/math.Log(1.8))
	switch {
	case float64(len(packs)) > limit:
		todo = append(todo, []string{"repack", "-d", "-q", "--geometric=2", "--write-midx", "--write-bitmap-index"})
	case len(bitmaps) == 0:
		todo = append(todo, []string{"multi-pack-index", "write", "--bitmap", "--no-progress"})
	default:
		return todo
	}
	return append(todo, []string{"commit-graph", "write", "--reachable", "--split", "--no-progress"})
}
