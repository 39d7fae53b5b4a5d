package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// faults are what "upstream break" can do. Packs end, stall or are cut after
// enough bytes that the server has begun to work on them.
var faults = map[string]gittest.Fault{
	"html":     {Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html><body>Welcome to the airport</body></html>"},
	"down":     {Status: http.StatusServiceUnavailable, Body: "maintenance"},
	"throttle": {Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"60"}}},
	"redirect": {Redirect: "http://127.0.0.1:1"},
	"truncate": {Path: "git-upload-pack", After: 100_000, Truncate: true},
	"reset":    {Path: "git-upload-pack", After: 100_000, Reset: true},
	"stall":    {Path: "git-upload-pack", After: 100_000, Stall: true},
}

func (w *world) breakUpstream(ts *testscript.TestScript, up *gittest.Upstream, how string, repo []string) {
	fault, ok := faults[how]
	if !ok {
		ts.Fatalf("upstream break %s: unknown", how)
	}
	if len(repo) > 0 {
		fault.Repo = repo[0]
	}
	w.mend = append(w.mend, up.Break(fault))
}

// diskCommand puts the data directory on a small disk of its own and fills it.
// Without the right to mount one, a limit on the size of the server's files
// stands in.
func (w *world) diskCommand(ts *testscript.TestScript, neg bool, args []string) {
	megabytes := 0
	if len(args) == 2 {
		megabytes, _ = strconv.Atoi(args[1])
	}
	switch {
	case !neg && len(args) == 2 && args[0] == "small" && megabytes > 0:
		w.smallDisk(ts, megabytes)
	case !neg && len(args) == 2 && args[0] == "fill" && megabytes > 0:
		w.fillDisk(ts, megabytes<<20)
	case !neg && len(args) == 1 && args[0] == "free":
		if w.small == "" {
			ts.Check(ts.Exec("prlimit", "--pid", strconv.Itoa(w.server.Process.Pid), "--fsize=unlimited:"))
			return
		}
		ts.Check(os.Remove(filepath.Join(w.small, "ballast")))
	default:
		ts.Fatalf("usage: disk small MB | fill MB | free")
	}
}

func (w *world) smallDisk(ts *testscript.TestScript, megabytes int) {
	data := ts.MkAbs("data")
	ts.Check(os.MkdirAll(data, 0o700))
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		ts.Logf("mount: %v; a limit on the size of files has to do", err)
		return
	}
	w.small = data
	ts.Defer(func() {
		w.stop(syscall.SIGKILL)
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			ts.Logf("unmount %s: %v", data, err)
		}
	})
}

// fillDisk leaves room for so many bytes.
func (w *world) fillDisk(ts *testscript.TestScript, room int) {
	if w.small == "" {
		ts.Check(ts.Exec("prlimit", "--pid", strconv.Itoa(w.server.Process.Pid), fmt.Sprintf("--fsize=%d:", room)))
		return
	}
	var fs syscall.Statfs_t
	ts.Check(syscall.Statfs(w.small, &fs))
	ballast := int64(fs.Bavail)*fs.Bsize - int64(room)
	if ballast < 0 || ballast > 1<<30 {
		ts.Fatalf("disk fill: %d bytes would have to be written", ballast)
	}
	ts.Check(os.WriteFile(filepath.Join(w.small, "ballast"), make([]byte, ballast), 0o600))
}

// eventually runs a command until it succeeds, for two minutes.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: eventually COMMAND…")
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := ts.Exec(args[0], args[1:]...)
		var exit *exec.ExitError
		switch {
		case err == nil:
			return
		case !errors.As(err, &exit):
			ts.Fatalf("%s: %v", args[0], err)
		case time.Now().After(deadline):
			ts.Fatalf("%s did not succeed within 2 minutes", strings.Join(args, " "))
		}
		time.Sleep(50 * time.Millisecond)
	}
}
