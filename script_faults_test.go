package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
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

func (w *world) breakUpstream(ts *testscript.TestScript, how string, repo []string) {
	fault, ok := faults[how]
	if !ok {
		ts.Fatalf("upstream break %s: unknown", how)
	}
	if len(repo) > 0 {
		fault.Repo = repo[0]
	}
	w.mend = append(w.mend, w.upstream.Break(fault))
}

// diskCommand puts the data directory on a small disk of its own: disk SIZE.
// Without the right to mount one, a limit on the size of each file stands in.
func (w *world) diskCommand(ts *testscript.TestScript, neg bool, args []string) {
	size := 0
	if len(args) == 1 {
		size, _ = strconv.Atoi(args[0])
	}
	if neg || size <= 0 {
		ts.Fatalf("usage: disk SIZE")
	}
	data := ts.MkAbs("data")
	ts.Check(os.MkdirAll(data, 0o700))
	err := syscall.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%dm", size))
	if err == nil {
		ts.Defer(func() {
			w.stop(syscall.SIGKILL)
			if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
				ts.Logf("unmount %s: %v", data, err)
			}
		})
		return
	}
	ts.Logf("mount: %v; limiting the size of files", err)
	w.small = size << 10 / 4
}

// limit makes cmd run with the limit on file sizes, if there is one.
func (w *world) limit(cmd *exec.Cmd) {
	if w.small == 0 {
		return
	}
	cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -f %d && exec "$0" "$@"`, w.small*2), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}

// eventually runs a command until it succeeds, for half a minute.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: eventually COMMAND…")
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ts.Exec(args[0], args[1:]...)
		var exit *exec.ExitError
		switch {
		case err == nil:
			return
		case !errors.As(err, &exit):
			ts.Fatalf("%s: %v", args[0], err)
		case time.Now().After(deadline):
			ts.Fatalf("%s did not succeed within 30 s", strings.Join(args, " "))
		}
		time.Sleep(50 * time.Millisecond)
	}
}
