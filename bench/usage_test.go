//go:build unix

package bench_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// group is a control group of Linux: a server with all that it starts. fcgiwrap
// does not wait for its children, so no other account of them is complete.
type group struct {
	dir string
	v2  bool
}

var groups atomic.Int64 // makes their names unique

// newGroup needs root, or a hierarchy that was delegated.
func newGroup(b *testing.B) *group {
	b.Helper()
	name := fmt.Sprintf("gitmirror-bench-%d-%d", os.Getpid(), groups.Add(1))
	var trouble error
	for _, hierarchy := range []string{"/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		g := &group{dir: filepath.Join(hierarchy, name)}
		if trouble = os.Mkdir(g.dir, 0o755); trouble != nil {
			continue
		}
		b.Cleanup(func() {
			for range 100 { // until the last process is gone
				if os.Remove(g.dir) == nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
		_, err := os.Stat(filepath.Join(g.dir, "cpuacct.usage"))
		g.v2 = err != nil
		return g
	}
	b.Fatalf("no control group can be made, which counts the CPU time of the servers: %v; run it as root", trouble)
	return nil
}

// command starts in the group.
func (g *group) command(name string, args ...string) *exec.Cmd {
	into := []string{"-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs"), name}
	return exec.Command("/bin/sh", append(into, args...)...)
}

// cpu is the CPU time that all who were ever in the group have used.
func (g *group) cpu() time.Duration {
	if !g.v2 {
		data, _ := os.ReadFile(filepath.Join(g.dir, "cpuacct.usage"))
		n, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
		return time.Duration(n)
	}
	data, _ := os.ReadFile(filepath.Join(g.dir, "cpu.stat"))
	for line := range strings.Lines(string(data)) {
		if usage, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(usage), 10, 64)
			return time.Duration(n) * time.Microsecond
		}
	}
	return 0
}

func (g *group) processes() []string {
	data, _ := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	return strings.Fields(string(data))
}

// settle waits until what served has ended, so that all of it is counted.
func (g *group) settle(idle int) {
	for range 100 {
		if len(g.processes()) <= idle {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// anonymous is the memory that the processes have for themselves alone.
func (g *group) anonymous() (sum int64) {
	for _, pid := range g.processes() {
		data, _ := os.ReadFile("/proc/" + pid + "/status")
		for line := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
				kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				sum += kb << 10
			}
		}
	}
	return sum
}
