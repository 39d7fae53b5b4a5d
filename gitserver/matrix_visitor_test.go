package gitserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// clientLimit ends a client that hangs.
const clientLimit = 2 * time.Minute

// visitor is somebody with git, a directory and one server. What comes out of
// what it does is noted, to be compared with what another server gave.
type visitor struct {
	tb        testing.TB
	rig       *rig
	base      string // of the server's URLs
	transport string // "http" or "ssh"
	version   string // of the protocol
	ours      bool   // the server
	dir       string
	notes     []string
}

// meet makes the two visitors of an encounter.
func (w *matrix) meet(t *testing.T, r row, transport, version string) *encounter {
	t.Helper()
	e := &encounter{name: fmt.Sprintf("%s/%s-v%s", r.name, transport, version), row: r}
	dir := func(side string) string {
		name := filepath.Join(w.work, strings.NewReplacer("/", "-", " ", "-").Replace(e.name), side)
		if err := os.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
		return name
	}
	e.ours = &visitor{rig: w.rig, base: w.url, transport: transport, version: version, ours: true, dir: dir("ours")}
	e.peer = &visitor{rig: w.rig, base: w.peerHTTP, transport: transport, version: version, dir: dir("peer")}
	if transport == "ssh" {
		e.ours.base, e.peer.base = "ssh://git@"+w.sshAddr, w.peerGit
	}
	return e
}

func (v *visitor) url(repo string) string { return v.base + "/" + repo }
func (v *visitor) at(name string) string  { return filepath.Join(v.dir, name) }
func (v *visitor) note(text string)       { v.notes = append(v.notes, text) }
func (v *visitor) text() string           { return strings.Join(v.notes, "\n") + "\n" }
func (v *visitor) clean(text string) string { // what names the server or the place says nothing
	return strings.NewReplacer(v.base, "BASE", v.dir, "DIR").Replace(text)
}

// command is git as this visitor runs it; it needs no shell and asks nobody.
func (v *visitor) command(sshOptions []string, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	cmd := exec.Command("git", append([]string{"-c", "protocol.version=" + v.version, "-c", "gc.auto=0", "-c", "maintenance.auto=false"}, args...)...)
	cmd.Dir = v.dir
	cmd.Env = gittest.Env(v.dir, "GIT_SSH_COMMAND=ssh "+strings.Join(sshOptions, " "))
	cmd.WaitDelay = 10 * time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	return cmd, &out, &said
}

func (v *visitor) run(args ...string) result {
	v.tb.Helper()
	cmd, out, said := v.command(v.rig.sshOptions("key"), args...)
	if err := cmd.Start(); err != nil {
		v.tb.Fatal(err)
	}
	late := time.AfterFunc(clientLimit, func() { cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		v.tb.Fatalf("git %v: %v", args, err)
	}
	return result{out.String(), said.String(), cmd.ProcessState.ExitCode()}
}

func (v *visitor) who() string {
	if v.ours {
		return "our server"
	}
	return "git's server"
}

// git must succeed.
func (v *visitor) git(args ...string) string {
	v.tb.Helper()
	got := v.run(args...)
	if got.code != 0 {
		v.tb.Fatalf("%s: git %s = exit %d, want 0\n%s", v.who(), strings.Join(args, " "), got.code, got.err)
	}
	return strings.TrimSpace(got.out)
}

// ask is git whose answer is noted.
func (v *visitor) ask(args ...string) {
	v.tb.Helper()
	out := v.git(args...)
	v.note(v.clean("git "+strings.Join(args, " ")) + "\n" + v.clean(out))
}

// refused is git that must fail. Only how it ended is compared: what is said
// differs on purpose.
func (v *visitor) refused(args ...string) result {
	v.tb.Helper()
	got := v.run(args...)
	if got.code == 0 {
		v.tb.Errorf("%s: git %s = exit 0, want a refusal\n%s", v.who(), strings.Join(args, " "), got.out)
	}
	v.note(v.clean(fmt.Sprintf("git %s: exit %d", strings.Join(args, " "), got.code)))
	return got
}

// state notes all there is in a clone: refs, where HEAD is, where history ends,
// every object that came and whether anything it should have is missing.
func (v *visitor) state(name string) {
	v.tb.Helper()
	dir := v.at(name)
	local := func(args ...string) string { return gittest.Git(v.tb, dir, args...) }
	gitDir := local("rev-parse", "--absolute-git-dir")
	head, err := os.ReadFile(filepath.Join(gitDir, "HEAD"))
	if err != nil {
		v.tb.Fatal(err)
	}
	shallow, _ := os.ReadFile(filepath.Join(gitDir, "shallow"))
	cuts := strings.Fields(string(shallow))
	slices.Sort(cuts)
	objects := strings.Split(local("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)"), "\n")
	v.note(fmt.Sprintf("state of %s\nHEAD %s\n%s\nshallow %s\n%d objects\n%s", name, strings.TrimSpace(string(head)),
		local("for-each-ref", "--format=%(refname) %(objectname) %(symref)"), strings.Join(cuts, " "), len(objects), strings.Join(objects, "\n")))
}

// whole checks that a clone lacks nothing and is sound.
func (v *visitor) whole(name string) {
	v.tb.Helper()
	gittest.Git(v.tb, v.at(name), "fsck", "--full", "--strict", "--no-dangling")
}

// cutter passes connections on to a server and holds the answers back once so
// many bytes have passed.
type cutter struct {
	addr  string
	begun chan struct{} // gets a value when an answer is held back
	end   chan struct{} // once closed, so are the connections
}

func newCutter(tb testing.TB, server string, after int64) *cutter {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	c := &cutter{addr: l.Addr().String(), begun: make(chan struct{}, 16), end: make(chan struct{})}
	tb.Cleanup(func() { l.Close() })
	go func() { // ends when the listener does
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(client, server, after)
		}
	}()
	return c
}

// pass ends with the client, the server or the cutter.
func (c *cutter) pass(client net.Conn, server string, after int64) {
	defer client.Close()
	to, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer to.Close()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-c.end:
			client.Close()
			to.Close()
		case <-ended:
		}
	}()
	go func() {
		buffer := make([]byte, 32<<10)
		for left := after; left > 0; {
			n, err := to.Read(buffer[:min(int64(len(buffer)), left)])
			if err != nil {
				client.Close()
				return
			}
			left -= int64(n)
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
		c.begun <- struct{}{}
	}()
	buffer := make([]byte, 32<<10)
	for { // what the client says goes through; its end ends both
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func mustPath(tb testing.TB, text string) mirror.Path {
	tb.Helper()
	path, err := mirror.ParsePath(text)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}
