package git

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// How old files must be to be taken for leftovers while we run. Nobody of ours
// works in the repository then; somebody with a git of his own might.
const (
	staleConfig = time.Minute
	staleLock   = time.Hour
	staleTemp   = 2 * time.Hour
	staleGC     = 24 * time.Hour
)

// sweep clears away what a killed process left: running helpers, first clones,
// the trash, quarantines, temporary packs and stale locks. It also takes a first
// look at the repositories.
func (d *Disk) sweep() error {
	for _, p := range orphans(d.mark()) {
		d.Log.Info("end orphaned process", "pid", p.Pid)
		_ = p.Kill() // already gone is as good
	}
	for _, dir := range []string{"staging", "trash"} {
		entries, err := os.ReadDir(filepath.Join(d.Root, dir))
		if err != nil {
			return d.local("look for leftovers", err)
		}
		for _, e := range entries {
			if dir == "staging" && d.keepSteps(e.Name()) {
				continue
			}
			if err := d.discard(filepath.Join(d.Root, dir, e.Name())); err != nil {
				return err
			}
		}
	}
	repos, err := os.ReadDir(filepath.Join(d.Root, "repos"))
	if err != nil {
		return d.local("look for leftovers", err)
	}
	for _, e := range repos {
		id, err := mirror.ParseID(strings.TrimSuffix(e.Name(), ".git"))
		if err != nil {
			continue // not ours
		}
		repo := filepath.Join(d.Root, "repos", e.Name())
		if e.IsDir() {
			if err := d.leftovers(repo, true); err != nil {
				return err
			}
		}
		// One repository that cannot be mended is no reason not to serve the others.
		if err := d.glance(id, repo); err != nil {
			d.Log.Error("look at repository", "repo", id, "err", err)
		}
	}
	return nil
}

// leftovers clears one repository that nobody of ours works in: of quarantines
// and of what a killed git leaves. At start everything that is temporary is a
// leftover, later only what is old.
func (d *Disk) leftovers(repo string, starting bool) error {
	incoming, err := filepath.Glob(filepath.Join(repo, "objects", quarantinePrefix+"*"))
	if err != nil {
		return d.local("look for quarantines", err)
	}
	for _, dir := range incoming {
		d.Log.Info("discard interrupted fetch", "repo", strings.TrimSuffix(filepath.Base(repo), ".git"))
		if err := d.discard(dir); err != nil {
			return err
		}
	}
	for _, pattern := range []string{"tmp_*", "pack/tmp_*", "pack/.tmp-*", "pack/*.idx.new", "[0-9a-f][0-9a-f]/tmp_*", "info/commit-graphs/tmp_*"} {
		names, _ := filepath.Glob(filepath.Join(repo, "objects", filepath.FromSlash(pattern)))
		for _, name := range names {
			if info, err := os.Lstat(name); err != nil || !starting && time.Since(info.ModTime()) < staleTemp {
				continue
			}
			if err := os.RemoveAll(name); err != nil {
				return d.local("remove a temporary file", err)
			}
		}
	}
	_ = breakLock(repo)
	if starting { // process ids come back, in a container always
		dropPlans(repo, func(pid int) bool { return pid == os.Getpid() })
	}
	// A file beside packed-refs or HEAD is somebody's who holds the lock, or nobody's.
	if _, err := os.Lstat(filepath.Join(repo, lockName)); starting && errors.Is(err, fs.ErrNotExist) {
		for _, name := range []string{"packed-refs.new", formerRefs + ".new", "HEAD.new"} {
			if err := removeIfThere(filepath.Join(repo, name)); err != nil {
				return d.local("remove a temporary file", err)
			}
		}
	}
	return d.unlock(repo)
}

// unlock removes lock files that are old enough for what they lock.
func (d *Disk) unlock(repo string) error {
	err := filepath.WalkDir(repo, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		age := staleLock
		switch {
		case e.Name() == "config.lock":
			age = staleConfig
		case e.Name() == "gc.pid":
			age = staleGC
		case e.IsDir() && isFanOut(e.Name()):
			return fs.SkipDir // objects, and never a lock
		case e.IsDir(), !strings.HasSuffix(name, ".lock"):
			return nil
		}
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < age {
			return nil
		}
		d.Log.Info("remove stale lock", "repo", strings.TrimSuffix(filepath.Base(repo), ".git"), "file", e.Name())
		return os.RemoveAll(name)
	})
	if err != nil {
		return d.local("remove stale locks", err)
	}
	return nil
}

func isFanOut(name string) bool { return len(name) == 2 && isHex(name) }
