//go:build unix

package bench_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// nginx serves files below a directory.
type nginx struct {
	url   string
	group *group
}

func startNginx(b *testing.B, root string) *nginx {
	b.Helper()
	addr := freeAddr(b)
	n := &nginx{url: "http://" + addr, group: newGroup(b)}
	n.group.nginx(b, b.TempDir(), addr, "keepalive_requests 10000000;", "root "+root+";")
	return n
}

// blast is what a run of wrk says.
type blast struct {
	requests  int
	perSecond float64
}

// each is the CPU time of one request in microseconds.
func (l blast) each(cpu time.Duration) float64 { return cpu.Seconds() * 1e6 / float64(l.requests) }

// wrk asks for any of files below base over 32 connections for a second.
func wrk(b *testing.B, base string, files []string) (got blast) {
	b.Helper()
	url := base + "/" + files[0]
	args := []string{"-t2", "-c32", "-d1s", url}
	if len(files) > 1 {
		args = append([]string{"-s", anyOf(b, base, files)}, args...)
	}
	out, err := exec.Command(program(b, "wrk"), args...).CombinedOutput()
	if err != nil {
		b.Fatalf("wrk: %v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		switch {
		case len(f) > 2 && f[1] == "requests":
			got.requests, _ = strconv.Atoi(f[0])
		case len(f) == 2 && f[0] == "Requests/sec:":
			got.perSecond, _ = strconv.ParseFloat(f[1], 64)
		case strings.HasPrefix(line, "  Non-2xx"), strings.HasPrefix(line, "  Socket errors") && !strings.Contains(line, "read 0, write 0"):
			b.Fatalf("wrk %s: %s", url, out)
		}
	}
	if got.requests == 0 {
		b.Fatalf("wrk %s: no answers: %s", url, out)
	}
	return got
}

// anyOf is a script for wrk that asks for any of files.
func anyOf(b *testing.B, base string, files []string) string {
	b.Helper()
	at, err := url.Parse(base)
	if err != nil {
		b.Fatal(err)
	}
	var s strings.Builder
	s.WriteString("local requests = {}\ninit = function()\n")
	for _, file := range files {
		fmt.Fprintf(&s, "  table.insert(requests, wrk.format(\"GET\", %q))\n", at.Path+"/"+file)
	}
	s.WriteString("end\nrequest = function() return requests[math.random(#requests)] end\n")
	name := filepath.Join(b.TempDir(), "any.lua")
	if err := os.WriteFile(name, []byte(s.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

// projectDir holds the go.mod and go.sum of the table's project: users of etcd,
// Kubernetes, containerd, and some more.
const projectDir = "testdata/gateway"

// projectModules is the download directory of a module cache that has the
// project's modules, out of the module proxy of the environment the first time.
func projectModules(b *testing.B) (dir, words string) {
	b.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Fatal(err)
	}
	cache = filepath.Join(cache, "gitmirror-bench", "gateway")
	cmd := exec.Command("go", "mod", "download")
	cmd.Dir = copyProject(b)
	cmd.Env = append(os.Environ(), "GOMODCACHE="+cache, "GOFLAGS=-modcacherw -mod=mod", "GOTOOLCHAIN=local", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go mod download: %v: %s", err, out)
	}
	dir = filepath.Join(cache, "cache", "download")
	var files, zips int
	var bytes int64
	err = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(name) {
		case ".zip":
			zips++
		case ".mod", ".info":
		default:
			return nil
		}
		files++
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return dir, fmt.Sprintf("a project of %d modules, %d files of %.0f MB", zips, files, mb(bytes))
}

func copyProject(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(projectDir, name))
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// goDownload has the go command download the project with an empty module cache
// from a module proxy and nowhere else, and tells how long that took.
func goDownload(b *testing.B, proxy string) time.Duration {
	b.Helper()
	home, err := os.MkdirTemp("", "gateway-client-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(home)
	cmd := exec.Command("go", "mod", "download")
	cmd.Dir = copyProject(b)
	cmd.Env = gittest.Env(home, "PATH="+os.Getenv("PATH"), "GOPROXY="+proxy, "GOMODCACHE="+filepath.Join(home, "mod"), "GOPATH="+home,
		"GOCACHE="+filepath.Join(home, "build"), "GOFLAGS=-modcacherw -mod=mod", "GONOSUMDB=*", "GOTOOLCHAIN=local", "GOENV=off", "GOWORK=off", "GOVCS=*:off")
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go mod download from %s: %v: %s", proxy, err, out)
	}
	return time.Since(began)
}

// fetch gets a file, and tells when its first byte came.
func fetch(b *testing.B, url string, to io.Writer) (first, all time.Duration) {
	if to == nil {
		to = io.Discard
	}
	began := time.Now()
	res, err := http.Get(url)
	if err != nil {
		b.Error(err)
		return 0, 0
	}
	defer res.Body.Close()
	var one [1]byte
	n, err := io.ReadFull(res.Body, one[:])
	first = time.Since(began)
	if err == nil {
		_, _ = to.Write(one[:n])
		_, err = io.Copy(to, res.Body)
	}
	if err != nil || res.StatusCode != http.StatusOK {
		b.Errorf("GET %s = %s, %v", url, res.Status, err)
	}
	return first, time.Since(began)
}
