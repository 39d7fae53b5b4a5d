package modproxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// goClient is somebody with the go command, an empty module cache and a module of
// their own.
type goClient struct {
	t    *testing.T
	home string
	dir  string
	env  []string
}

// newGoClient knows the module proxy at url, and nothing else. env is more for
// its environment. GOCACHE is that of the machine: nobody compiles the runtime anew.
func newGoClient(t *testing.T, url string, env ...string) *goClient {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	c := &goClient{t: t, home: home, dir: goModule(t)}
	c.env = append(gittest.Env(home,
		"GOPROXY="+url, "GOSUMDB=off", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOENV=off", "GOWORK=off", "GOVCS=*:off", "CGO_ENABLED=0",
		"GOMODCACHE="+filepath.Join(home, "mod"), "GOPATH="+home, "GOCACHE="+filepath.Join(cache, "go-build"),
	), env...)
	return c
}

// try runs the go command; text is what it said, and why it failed.
func (c *goClient) try(args ...string) (text string, ok bool) {
	cmd := exec.CommandContext(c.t.Context(), "go", args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err == nil
}

func (c *goClient) run(args ...string) string {
	c.t.Helper()
	text, ok := c.try(args...)
	if !ok {
		c.t.Fatalf("go %s failed:\n%s", strings.Join(args, " "), text)
	}
	return text
}

func (c *goClient) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *goClient) read(name string) string {
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// main is a program that imports packages.
func program(imports ...string) string {
	var b strings.Builder
	b.WriteString("package main\n\n")
	for _, path := range imports {
		fmt.Fprintf(&b, "import _ %q\n", path)
	}
	return b.String() + "\nfunc main() {}\n"
}

// flowsWorld has the same history twice: git.test/o/lib in a mirror, and
// proxy.test/o/lib at a module proxy that answers 404 to every @latest.
func flowsWorld(t *testing.T) (w *world, p *peer, commit string) {
	w, p = newWorld(t), newPeer(t)
	const retract = "\nretract v1.6.0 // it eats data\n"
	files := func(path, version string) map[string]string {
		f := map[string]string{"go.mod": "module " + path + "\n\ngo 1.21\n", "a.go": "package lib\n\nconst V = \"" + version + "\"\n", "sub/s.go": "package sub\n"}
		if version >= "v1.6.0" {
			f["go.mod"] += retract
		}
		return f
	}
	for i, v := range []string{"v1.0.0", "v1.4.0", "v1.4.1", "v1.5.0", "v1.6.0", "v1.7.0-rc.1"} {
		w.up.Commit(t, "git.test/o/lib", files("git.test/o/lib", v), v)
		p.add(t, "proxy.test/o/lib", v, fmt.Sprintf("2024-01-0%dT00:00:00Z", i+1), files("proxy.test/o/lib", v))
	}
	w.up.Commit(t, "git.test/o/lib", files("git.test/o/lib/v2", "v2.0.0"), "v2.0.0")
	p.add(t, "proxy.test/o/lib/v2", "v2.0.0", "2024-01-08T00:00:00Z", files("proxy.test/o/lib/v2", "v2.0.0"))
	f := files("git.test/o/lib", "v1.6.0")
	f["a.go"] = "package lib\n\nconst V = \"work\"\n"
	commit = w.up.CommitTo(t, "git.test/o/lib", "work", f)
	w.add(t, "git.test/o/lib")
	const branch = "v1.7.0-rc.1.0.20240109000000-" // behind the highest tag below it
	version := branch + commit[:12]
	p.add(t, "proxy.test/o/lib", version, "2024-01-09T00:00:00Z", files("proxy.test/o/lib", "v1.6.1"))
	stem := filepath.Join(p.dir, "proxy.test/o/lib/@v")
	if err := os.WriteFile(filepath.Join(stem, "list"), []byte("v1.0.0\nv1.4.0\nv1.4.1\nv1.5.0\nv1.6.0\nv1.7.0-rc.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"work", commit, commit[:12]} {
		if err := os.Link(filepath.Join(stem, version+".info"), filepath.Join(stem, name+".info")); err != nil {
			t.Fatal(err)
		}
	}
	w.behind(t, p.url)
	return w, p, commit
}

// What people ask for behind an @, of a mirror and of a module proxy.
func TestGoQueries(t *testing.T) {
	w, _, commit := flowsWorld(t)
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	for _, lib := range []string{"git.test/o/lib", "proxy.test/o/lib"} {
		t.Run(lib, func(t *testing.T) {
			c := newGoClient(t, srv.URL+"/proxy")
			for query, want := range map[string]string{
				"latest": "v1.5.0", "v1": "v1.5.0", "v1.4": "v1.4.1", "<v1.5": "v1.4.1", "<=v1.4.0": "v1.4.0", ">v1.4.0": "v1.4.1", ">=v1.4.1": "v1.4.1",
				"v1.4.0": "v1.4.0", "v1.7.0-rc.1": "v1.7.0-rc.1", "upgrade": "v1.5.0", "v1.6.0": "v1.6.0",
			} {
				if got := c.run("list", "-m", "-f", "{{.Version}}", lib+"@"+query); got != want {
					t.Errorf("go list -m %s@%s = %s, want %s", lib, query, got, want)
				}
			}
			for _, query := range []string{"work", commit, commit[:12]} {
				c.run("get", lib+"@"+query)
				if got := c.run("list", "-m", "-f", "{{.Version}}", lib); !strings.HasSuffix(got, "-"+commit[:12]) {
					t.Errorf("go get %s@%s = %s, want …-%s", lib, query, got, commit[:12])
				}
			}
			if text, ok := c.try("get", lib+"@none-such"); ok || !strings.Contains(text, "404 Not Found") {
				t.Errorf("go get %s@none-such = %s, want 404", lib, text)
			}
			c.run("get", lib+"@v1.4.0")
			c.run("get", lib+"@patch")
			if got := c.read("go.mod"); !strings.Contains(got, lib+" v1.4.1") {
				t.Errorf("go get %s@patch: go.mod = %s, want v1.4.1", lib, got)
			}
			c.run("get", lib+"@none")
			if got := c.read("go.mod"); strings.Contains(got, lib) {
				t.Errorf("go get %s@none: go.mod = %s", lib, got)
			}
			c.run("get", lib+"/v2/sub@latest") // a package
			if got := c.read("go.mod"); !strings.Contains(got, lib+"/v2 v2.0.0") {
				t.Errorf("go get %s/v2/sub@latest: go.mod = %s, want v2.0.0", lib, got)
			}
		})
	}
}

// What is retracted is listed only for who asks, and warned of.
func TestGoRetracted(t *testing.T) {
	w, _, _ := flowsWorld(t)
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	for _, lib := range []string{"git.test/o/lib", "proxy.test/o/lib"} {
		c := newGoClient(t, srv.URL+"/proxy")
		if got, want := c.run("list", "-m", "-versions", lib), lib+" v1.0.0 v1.4.0 v1.4.1 v1.5.0 v1.7.0-rc.1"; got != want {
			t.Errorf("go list -m -versions %s = %s, want %s", lib, got, want)
		}
		if got := c.run("list", "-m", "-versions", "-retracted", lib); !strings.Contains(got, " v1.6.0 ") {
			t.Errorf("go list -m -versions -retracted %s = %s, want v1.6.0, too", lib, got)
		}
		if got := c.run("get", lib+"@v1.6.0"); !strings.Contains(got, "retracted by module author: it eats data") {
			t.Errorf("go get %s@v1.6.0 = %s, want a warning", lib, got)
		}
		c.run("get", lib+"@v1.4.0")
		var m struct {
			Versions []string
			Update   struct{ Version string }
		}
		if err := json.Unmarshal([]byte(c.run("list", "-m", "-u", "-versions", "-json", lib)), &m); err != nil {
			t.Fatal(err)
		}
		if m.Update.Version != "v1.5.0" || len(m.Versions) != 5 {
			t.Errorf("go list -m -u -versions -json %s = %+v, want an update to v1.5.0 among 5 versions", lib, m)
		}
	}
}

// A project is begun, changed and built.
func TestGoProject(t *testing.T) {
	w, p, _ := flowsWorld(t)
	w.vouch(t, p)
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	url, sums := srv.URL+"/proxy", "GOSUMDB="+w.handler.SumDB.DB.Key
	const mine, theirs = "git.test/o/lib", "proxy.test/o/lib"

	c := newGoClient(t, url, sums, "GONOSUMDB=git.test")
	c.write("main.go", program(mine, theirs+"/v2/sub", theirs))
	c.run("mod", "tidy")
	if got := c.read("go.mod"); !strings.Contains(got, mine+" v1.5.0") || !strings.Contains(got, theirs+" v1.5.0") || !strings.Contains(got, theirs+"/v2 v2.0.0") {
		t.Errorf("go mod tidy: go.mod = %s", got)
	}
	for _, args := range [][]string{{"mod", "verify"}, {"build", "-o", os.DevNull, "."}, {"mod", "vendor"}, {"build", "-o", os.DevNull, "-mod=vendor", "."}} {
		c.run(args...)
	}

	c = newGoClient(t, url, sums, "GONOSUMDB=git.test")
	c.write("go.mod", "module w.test/w\n\ngo 1.21\n\nrequire "+theirs+" v1.4.0\n\nreplace "+theirs+" => "+theirs+" v1.4.1\n")
	c.write("main.go", program(theirs, mine))
	c.run("build", "-mod=mod", "-o", os.DevNull, ".")
	if got := c.run("list", "-m", "-f", "{{.Replace.Version}}", theirs); got != "v1.4.1" {
		t.Errorf("replacement of %s = %s, want v1.4.1", theirs, got)
	}
	c.run("mod", "edit", "-dropreplace", theirs)
	c.run("get", "-u", "./...")
	if got := c.read("go.mod"); !strings.Contains(got, theirs+" v1.5.0") {
		t.Errorf("go get -u: go.mod = %s, want v1.5.0", got)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "other"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.write("other/go.mod", "module w.test/other\n\ngo 1.21\n\nrequire "+theirs+" v1.4.0\n")
	c.write("other/main.go", program(theirs))
	c.env = append(c.env, "GOWORK="+filepath.Join(c.dir, "go.work"))
	c.run("work", "init", ".", "./other")
	c.run("work", "sync")
	if got := c.read("other/go.mod"); !strings.Contains(got, theirs+" v1.5.0") {
		t.Errorf("go work sync: other/go.mod = %s, want v1.5.0", got)
	}

	// Who says GONOSUMDB has nobody asked.
	c = newGoClient(t, url, sums, "GONOSUMDB=*")
	c.run("mod", "download", theirs+"@v1.5.0")
	if _, err := os.Stat(filepath.Join(c.home, "mod/cache/download/sumdb")); err == nil {
		t.Error("with GONOSUMDB=* the checksum database was asked")
	}
}

// The go command gets another go command, as the go line of a go.mod wants it,
// with its hash in the checksum database. One that was changed it does not get.
func TestGoToolchain(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	version := func(v string) string { return "v0.0.1-" + v + "." + runtime.GOOS + "-" + runtime.GOARCH }
	for _, v := range []string{"go1.97.1", "go1.98.1"} {
		p.add(t, "golang.org/toolchain", version(v), someTime, map[string]string{
			"bin/gofmt": "", "bin/go": "#!/bin/sh\necho go version " + v + " says $1\n", "VERSION": v + "\n", "pkg/tool/x/y": "", "lib/x": "", "src/a.go": "package a\n",
			"go.mod": "module golang.org/toolchain\n",
		})
	}
	w.behind(t, p.url)
	w.vouch(t, p)
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	c := newGoClient(t, srv.URL+"/proxy", "GOSUMDB="+w.handler.SumDB.DB.Key, "GOTOOLCHAIN=auto")
	if got := c.run("list", "-m", "-versions", "golang.org/toolchain"); !strings.Contains(got, version("go1.97.1")) {
		t.Errorf("go list -m -versions golang.org/toolchain = %s, want %s", got, version("go1.97.1"))
	}
	if got := c.run("list", "-m", "-f", "{{.Version}}", "toolchain@go1.97.1"); got != "go1.97.1" {
		t.Errorf("go list -m toolchain@go1.97.1 = %s", got)
	}
	c.write("go.mod", "module w.test/w\n\ngo 1.97.1\n")
	if got := c.run("version"); !strings.HasSuffix(got, "go version go1.97.1 says version") {
		t.Errorf("go version = %s, want what go1.97.1 says", got)
	}
	if got := w.handler.State(); got.Forged != 0 || got.Misses == 0 {
		t.Errorf("State() = %+v, want files of the proxy, none forged", got)
	}
	// The database knows one, the proxy sends another.
	c.write("go.mod", "module w.test/w\n\ngo 1.98.1\n")
	if _, err := w.handler.SumDB.Sums(t.Context(), module.Version{Path: "golang.org/toolchain", Version: version("go1.98.1")}); err != nil {
		t.Fatal(err)
	}
	p.add(t, "golang.org/toolchain", version("go1.98.1"), someTime, map[string]string{"bin/gofmt": "", "bin/go": "#!/bin/sh\necho evil\n", "go.mod": "module golang.org/toolchain\n"})
	if got, ok := c.try("version"); ok || !strings.Contains(got, "E2106") {
		t.Errorf("go version with a toolchain that was changed = %s, want E2106", got)
	}
}

// 32 go commands at once, each with an empty cache, cost the module proxy one
// transfer, and all get the same.
func TestGoTogether(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "proxy.test/big", "v1.0.0", someTime, map[string]string{"noise": gittest.Noise(1<<20, 1)})
	w.up.Commit(t, "git.test/o/big", map[string]string{"go.mod": "module git.test/o/big\n", "a.go": "package big\n"}, "v1.0.0")
	w.add(t, "git.test/o/big")
	w.behind(t, p.url)
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	want, err := p.h1("proxy.test/big", "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 32 {
		c := newGoClient(t, srv.URL+"/proxy")
		all.Go(func() {
			if got, ok := c.try("mod", "download", "-json", "proxy.test/big@v1.0.0", "git.test/o/big@v1.0.0"); !ok || !strings.Contains(got, want.Zip) {
				t.Errorf("go mod download = %s, want %s", got, want.Zip)
			}
		})
	}
	all.Wait()
	for _, file := range []string{"info", "mod", "zip"} {
		if n := p.times("/proxy.test/big/@v/v1.0.0." + file); n != 1 {
			t.Errorf("the proxy was asked %d times for v1.0.0.%s, want once", n, file)
		}
	}
}

// What is here is had while the proxies hang, and a slow zip arrives.
func TestGoSlowUpstream(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "proxy.test/here", "v1.0.0", someTime, map[string]string{"a.go": "package here\n"})
	p.add(t, "proxy.test/slow", "v1.0.0", someTime, map[string]string{"noise": gittest.Noise(300<<10, 1)})
	w.behind(t, p.url)
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	newGoClient(t, srv.URL+"/proxy").run("mod", "download", "proxy.test/here@v1.0.0")
	release, hang := make(chan bool), make(chan bool, 100)
	p.set(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/hang") {
			hang <- true
			<-release
		}
		if !strings.HasSuffix(r.URL.Path, "slow/@v/v1.0.0.zip") {
			return false
		}
		data, err := os.ReadFile(filepath.Join(p.dir, r.URL.Path))
		if err != nil {
			t.Error(err)
		}
		for part := range slices.Chunk(data, 10_000) {
			rw.Write(part)
			rw.(http.Flusher).Flush()
			runtime.Gosched()
		}
		return true
	})
	var misses sync.WaitGroup
	for i := range 40 {
		misses.Go(func() {
			res, err := http.Get(fmt.Sprintf("%s/proxy/proxy.test/hang%d/@v/v1.0.0.info", srv.URL, i))
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
		})
	}
	for range 40 {
		<-hang
	}
	c := newGoClient(t, srv.URL+"/proxy")
	c.run("mod", "download", "proxy.test/here@v1.0.0") // while 40 wait
	c.run("mod", "download", "proxy.test/slow@v1.0.0")
	close(release)
	misses.Wait()
}

// TestGoInstall installs a command of a mirror, whose library a module proxy has:
// p_install of flows.sh.
func TestGoInstall(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "proxy.test/o/lib", "v1.5.0", someTime, map[string]string{"go.mod": "module proxy.test/o/lib\n\ngo 1.21\n", "a.go": "package lib\n\nconst V = \"v1.5.0\"\n"})
	for _, v := range []string{"v2.0.4", "v2.1.0"} {
		w.up.Commit(t, "git.test/o/Tool", map[string]string{
			"go.mod": "module git.test/o/Tool/v2\n\ngo 1.21\n\nrequire proxy.test/o/lib v1.5.0\n", "go.sum": "",
			"cmd/tool/main.go": "package main\n\nimport \"proxy.test/o/lib\"\n\nfunc main() { println(\"tool " + v + " with lib \" + lib.V) }\n",
		}, v)
	}
	w.add(t, "git.test/o/Tool")
	w.behind(t, p.url)
	srv := httptest.NewServer(w.handler)
	t.Cleanup(srv.Close)
	c := newGoClient(t, srv.URL+"/proxy", "GOFLAGS=-modcacherw -mod=mod")
	for version, want := range map[string]string{"v2.0.4": "v2.0.4", "latest": "v2.1.0", "v2.0": "v2.0.4"} {
		c.run("install", "git.test/o/Tool/v2/cmd/tool@"+version)
		out, err := exec.CommandContext(t.Context(), filepath.Join(c.home, "bin", "tool")).CombinedOutput()
		if got, want := strings.TrimSpace(string(out)), "tool "+want+" with lib v1.5.0"; err != nil || got != want {
			t.Errorf("the command of go install …@%s says %q, %v, want %q", version, got, err, want)
		}
	}
	if text, ok := c.try("install", "git.test/o/Tool/v2/cmd/none@v2.0.4"); ok || !strings.Contains(text, "does not contain package") {
		t.Errorf("go install of a command that is not there = %s, want what the go command says", text)
	}
	if text, ok := c.try("install", "git.test/o/Tool/v2/cmd/tool@v2.9.9"); ok || !strings.Contains(text, "E2105") {
		t.Errorf("go install of a version that is not there = %s, want why", text)
	}
}
