package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	lockName = "packed-refs.lock"
	// lockMark begins the text of a lock of ours, before the process id.
	lockMark = "gitmirror "
	lockWait = 10 * time.Second
	// lockPlan begins the name of a lock that is about to be taken; the process id
	// follows, so that it tells whose it is before anything is written into it.
	lockPlan = "packed-refs-"
)

// lockPacked takes git's lock on packed-refs, waiting a little for a git that
// holds it. The lock tells whose it is from its first moment, since one without
// a name is taken for git's, which nobody breaks for long.
func lockPacked(ctx context.Context, repo string) (unlock func(), err error) {
	name := filepath.Join(repo, lockName)
	plan, err := planLock(repo)
	if err != nil {
		return nil, err
	}
	defer os.Remove(plan)
	for start := time.Now(); ; {
		err := os.Link(plan, name)
		if err == nil {
			return func() { _ = os.Remove(name) }, nil
		}
		if !errors.Is(err, fs.ErrExist) || time.Since(start) > lockWait {
			return nil, err
		}
		if breakLock(repo) {
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func planLock(repo string) (name string, err error) {
	f, err := os.CreateTemp(repo, lockPlan+strconv.Itoa(os.Getpid())+"-*.lock")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(lockMark + strconv.Itoa(os.Getpid()) + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// breakLock removes a lock on packed-refs that a process of ours left when it
// was killed, and plans for one. Only one Incoming of a repository is open in
// this process, so a lock with our own id is a leftover too (ids come back after
// a restart).
func breakLock(repo string) bool {
	dropPlans(repo, func(pid int) bool { return pid != os.Getpid() && !alive(pid) })
	name := filepath.Join(repo, lockName)
	pid, ok := lockedBy(name)
	if !ok || pid != os.Getpid() && alive(pid) {
		return false
	}
	return os.Remove(name) == nil
}

// dropPlans removes the plans for a lock of those processes that are gone.
func dropPlans(repo string, gone func(pid int) bool) {
	plans, _ := filepath.Glob(filepath.Join(repo, lockPlan+"*.lock"))
	for _, plan := range plans {
		id, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(plan), lockPlan), "-")
		if pid, err := strconv.Atoi(id); err == nil && gone(pid) {
			_ = os.Remove(plan)
		}
	}
}

// lockedBy is the process that a lock of ours names.
func lockedBy(name string) (pid int, ok bool) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	id, ok := strings.CutPrefix(strings.TrimSpace(string(text)), lockMark)
	pid, err = strconv.Atoi(id)
	return pid, ok && err == nil
}
