package gitserver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// TestHostileE15RenameWhileCloning: who waits for a first clone, and who clones again
// and again, by any path the mirror has or had, has a whole clone while it gets one
// path after the other.
func TestHostileE15RenameWhileCloning(t *testing.T) {
	r := newRig(t)
	repo, road := r.addSlow(t)
	waiting := map[string]*running{
		"http": r.startGit(t, "clone", "--progress", r.url+"/"+slow, "http"), "ssh": r.startGit(t, "clone", "--progress", r.sshURL(slow), "ssh"),
		"shallow": r.startGit(t, "clone", "--progress", "--depth=1", r.url+"/"+slow, "shallow"),
	}
	waiting["http"].sees(t, "receiving")
	waiting["ssh"].sees(t, "receiving")
	rename := func(id mirror.ID, to string) {
		t.Helper()
		if _, err := r.catalog.Rename(t.Context(), id, mirror.Renaming{Text: to}); err != nil {
			t.Errorf("Rename(%s) = %v", to, err)
		}
	}
	rename(repo.ID, "github.com/acme/slower")
	late := r.startGit(t, "clone", r.url+"/github.com/acme/slower", "late")
	road.goOn()
	waiting["late"] = late
	for name, g := range waiting {
		if err := g.wait(t); err != nil {
			t.Errorf("%s: git clone = %v\n%s", name, err, g.err)
			continue
		}
		if data, err := os.ReadFile(filepath.Join(r.home, name, "noise.bin")); err != nil || string(data) != gittest.Noise(500_000, 1) {
			t.Errorf("%s: the clone holds %d bytes of noise.bin, %v", name, len(data), err)
		}
	}

	served, err := r.catalog.Find(t.Context(), tool)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{tool, "github.com/acme/a", "github.com/acme/b", "github.com/acme/c"}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	renamed := 0
	all.Go(func() {
		for ctx.Err() == nil {
			renamed++
			rename(served.ID, names[renamed%len(names)])
		}
	})
	eventually(t, "each name was its path once", func() bool {
		for _, n := range names {
			if _, err := r.catalog.Find(ctx, mirror.Path(n)); err != nil {
				return false
			}
		}
		return true
	})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for n := range 5 {
				url := r.url + "/" + names[(i+n)%len(names)]
				if i%2 == 1 {
					url = r.sshURL(names[(i+n)%len(names)])
				}
				dir := fmt.Sprintf("again-%d-%d", i, n)
				if got := r.git(t, "clone", "-q", url, dir); got.code != 0 {
					t.Errorf("git clone %s = exit %d: %s", url, got.code, got.err)
				} else if got := r.git(t, "-C", dir, "fsck", "--strict", "--no-dangling"); got.code != 0 {
					t.Errorf("fsck of a clone of %s: %s", url, got.err)
				}
			}
		})
	}
	clients.Wait()
	stop()
	all.Wait()
	if log := r.log.String(); renamed < 20 || strings.Contains(log, "level=ERROR") {
		t.Errorf("%d renamings, log:\n%s", renamed, log)
	}
	t.Logf("%d renamings while 20 clones were made", renamed)
	aliases, err := r.db.Aliases(t.Context())
	if err != nil || len(aliases) != len(names) { // three of the tool, one of what was slow
		t.Errorf("aliases = %+v, %v", aliases, err)
	}
	if dirs, _ := os.ReadDir(filepath.Join(r.dir, "repos")); len(dirs) != 3 {
		t.Errorf("repos/ = %v, want those of three mirrors", dirs)
	}
}
