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
	// lockPlan is a lock that is about to be taken, as os.CreateTemp has it.
	lockPlan = "packed-refs-*.lock"
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
	f, err := os.CreateTemp(repo, lockPlan)
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
	plans, _ := filepath.Glob(filepath.Join(repo, lockPlan))
	for _, plan := range plans {
		if pid, ok := lockedBy(plan); ok && pid != os.Getpid() && !alive(pid) {
			_ = os.Remove(plan)
		}
	}
	name := filepath.Join(repo, lockName)
	pid, ok := lockedBy(name)
	if !ok || pid != os.Getpid() && alive(pid) {
		return false
	}
	return os.Remove(name) == nil
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
