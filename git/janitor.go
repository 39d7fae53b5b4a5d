package git

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// staleLock is the age from which a lock file of git is taken for a leftover.
const staleLock = time.Hour

// sweep clears away what a killed process left: running helpers, first clones,
// the trash, quarantines, temporary packs and stale locks.
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
		if e.IsDir() {
			if err := d.tidy(filepath.Join(d.Root, "repos", e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// tidy clears one repository that nobody works in.
func (d *Disk) tidy(repo string) error {
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
	for _, pattern := range []string{"tmp_*", "pack/tmp_*", "pack/.tmp-*"} {
		names, _ := filepath.Glob(filepath.Join(repo, "objects", pattern))
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				return d.local("remove a temporary file", err)
			}
		}
	}
	return d.unlock(repo)
}

// unlock removes lock files older than an hour, and ours whatever their age
// when the process that made them is gone.
func (d *Disk) unlock(repo string) error {
	_ = breakLock(repo)
	err := filepath.WalkDir(repo, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, ".lock") {
			return err
		}
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < staleLock {
			return nil
		}
		d.Log.Info("remove stale lock", "repo", strings.TrimSuffix(filepath.Base(repo), ".git"), "file", e.Name())
		return os.Remove(name)
	})
	if err != nil {
		return d.local("remove stale locks", err)
	}
	return nil
}
