package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// projects are real ones, as the module proxy has them: a CLI library that uses
// gopkg.in.
var projects = []gittest.Module{
	{Path: "github.com/spf13/cobra", Version: "v1.8.1"},
}

// largeProjects take minutes to build; GITMIRROR_PROJECTS=all adds them ("make
// rewrite-projects"), and the path of one plays that one alone: a program, a web framework, a user of the etcd client, and one of the
// Kubernetes client.
var largeProjects = []gittest.Module{
	{Path: "github.com/mikefarah/yq/v4", Version: "v4.40.5"},
	{Path: "github.com/gin-gonic/gin", Version: "v1.10.0"},
	{Path: "github.com/kvtools/etcdv3", Version: "v1.0.2"},
	{Path: "k8s.io/sample-controller", Version: "v0.29.0"},
}

// TestSealedProjects takes projects from the module proxy, has all modules of
// their graphs mirrored, and builds them with an empty module cache and only the
// mirror in reach, in each of the three modes; then the bytes are as they were.
// Mode insteadof leads git to the mirror for the paths of github.com; those of
// other hosts come from a public proxy there, see publicProxy.
func TestSealedProjects(t *testing.T) {
	list := projects
	if asked := os.Getenv("GITMIRROR_PROJECTS"); asked != "" {
		list = slices.DeleteFunc(slices.Concat(projects, largeProjects), func(m gittest.Module) bool {
			return asked != "all" && m.Path != asked
		})
	}
	if os.Getenv(inside) == "" {
		for _, m := range list {
			fetchProject(t, m)
		}
	}
	sealed(t, 1, func(t *testing.T, _ part) {
		if os.Getenv(inside) == "" {
			t.Log("projects want a name and port 443 of their own: not run without namespaces")
			return
		}
		w := &caseWorld{server: startCorp(t), up: gittest.NewUpstream(t)}
		for i, m := range list {
			t.Run(strings.ReplaceAll(m.Path, "/", "."), func(t *testing.T) { w.project(t, fmt.Sprintf("project%d", i), m) })
		}
	})
}

// projectOf is a project as a case: its files, and a mapping of its whole graph.
func projectOf(t *testing.T, m gittest.Module) (c gittest.RewriteCase, graph []gittest.Module) {
	t.Helper()
	pub, err := gittest.ListPublic([]gittest.Module{m})
	if err != nil || pub[0].Err != nil {
		t.Fatalf("ListPublic(%s) = %v, %v", m, pub, err)
	}
	files, err := pub[0].Files()
	if err != nil {
		t.Fatal(err)
	}
	c = gittest.RewriteCase{In: map[string]string{}, Mapping: map[string]string{}}
	for name, data := range files {
		c.In[name] = string(data)
	}
	dir := t.TempDir()
	writeFiles(t, dir, c.In)
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "all")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "PWD="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -m all of %s: %v\n%s", m, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if w := strings.Fields(line); len(w) == 2 {
			graph = append(graph, gittest.Module{Path: w[0], Version: w[1]})
		}
	}
	graph = append(graph, alsoRequired(t, gittest.CaseModules(c), graph)...)
	for _, dep := range append(gittest.CaseModules(c), graph...) {
		prefix, repo := gittest.Root(dep.Path)
		if repo == "" {
			t.Fatalf("gittest does not know the repository of %s; add it to locate.go", dep)
		}
		c.Mapping[prefix] = repo
	}
	return c, graph
}

// alsoRequired are modules that only the go.mod files named in go.sum require:
// go mod tidy follows them, and a rewrite wants them on the mirror, too.
func alsoRequired(t *testing.T, mods, graph []gittest.Module) (more []gittest.Module) {
	t.Helper()
	all, err := gittest.ListPublic(mods)
	if err != nil {
		t.Fatal(err)
	}
	known, highest := map[string]bool{}, map[string]string{}
	for _, m := range append(slices.Clone(mods), graph...) {
		known[m.Path] = true
	}
	for _, p := range all {
		f, err := modfile.ParseLax("go.mod", p.GoMod, nil)
		if err != nil {
			continue
		}
		for _, r := range f.Require {
			if !known[r.Mod.Path] && semver.Compare(r.Mod.Version, highest[r.Mod.Path]) > 0 {
				highest[r.Mod.Path] = r.Mod.Version
			}
		}
	}
	for path, version := range highest {
		more = append(more, gittest.Module{Path: path, Version: version})
	}
	return more
}

// fetchProject brings all that is needed of a project into the module cache.
func fetchProject(t *testing.T, m gittest.Module) {
	t.Helper()
	c, graph := projectOf(t, m)
	gittest.NewUpstream(t).AddProject(t, "fetched", c, graph)
	dir := t.TempDir()
	writeFiles(t, dir, c.In)
	for _, args := range [][]string{{"mod", "download"}, {"list", "-deps", "-test", "./..."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PWD="+dir)
		_ = cmd.Run() // what it did not get will be missed
	}
}

// project plays one project in the three modes.
func (w *caseWorld) project(t *testing.T, name string, m gittest.Module) {
	c, graph := projectOf(t, m)
	u := w.up.AddProject(t, name, c, graph)
	for name, text := range c.In {
		if base := filepath.Base(name); base == "go.mod" || base == "go.sum" {
			c.In[name] = u.Text(text)
		}
	}
	w.server.mirrorsOf(t, c, u.Upstreams)
	t.Logf("%s: %d module versions in %d repositories", m, len(gittest.CaseModules(c)), len(u.Upstreams))
	for _, mode := range []string{"replace", "insteadof", "goproxy"} {
		t.Run(mode, func(t *testing.T) {
			c := c
			c.Mode, c.PublicProxy = mode, mode == "insteadof"
			r := &caseRun{caseWorld: w, RewriteCase: c, dir: filepath.Join(t.TempDir(), "project"), home: t.TempDir()}
			r.settle(t, u)
			writeFiles(t, r.dir, c.In)
			before := r.files(t)

			began := time.Now()
			args := []string{"rewrite", "--mode", mode}
			if code, _, stderr := r.gitmirror(t, args...); code != 0 {
				t.Fatalf("rewrite = exit code %d, want 0\n%s", code, stderr)
			}
			if rewritten := r.files(t); (mode == "replace") != strings.Contains(rewritten["go.mod"], corp) {
				t.Errorf("mode %s: go.mod =\n%s", mode, rewritten["go.mod"])
			}
			r.again(t, args)
			rewrote := time.Since(began)
			r.settings(t, mode)
			for _, line := range []string{"go build ./...", "go mod verify"} {
				r.verify(t, line)
			}
			if mode == "replace" {
				r.verify(t, "go list -m all")
			}
			t.Logf("%s, mode %s: rewritten and checked in %v, built in %v", m, mode, rewrote.Round(time.Millisecond), (time.Since(began) - rewrote).Round(time.Millisecond))
			if code, _, stderr := r.gitmirror(t, append(args, "--revert")...); code != 0 {
				t.Errorf("rewrite --revert = exit code %d\n%s", code, stderr)
			}
			sameFiles(t, "reverted", r.files(t), before)
		})
	}
}

// settings puts what belongs to the mode into the environment of the project: as
// "gitmirror env" says it, sealed. Mode insteadof cannot be sealed where modules
// have vanity paths; its settings are those "rewrite --json" tells.
func (r *caseRun) settings(t *testing.T, mode string) {
	t.Helper()
	if mode == "insteadof" {
		r.redirect(t)
		return
	}
	args := []string{"env", "--mode", mode, "--format", "dotenv", "--sealed"}
	code, stdout, stderr := r.gitmirror(t, args...)
	if code != 0 {
		t.Fatalf("gitmirror %s = exit code %d\n%s", strings.Join(args, " "), code, stderr)
	}
	for line := range strings.Lines(stdout) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			r.env = append(r.env, key+"="+strings.Trim(value, `"'`))
		}
	}
}

// redirect makes the settings of mode insteadof.
func (r *caseRun) redirect(t *testing.T) {
	t.Helper()
	_, stdout, stderr := r.gitmirror(t, "rewrite", "--mode", "insteadof", "--json")
	var doc struct {
		Settings []struct {
			Name, Value string
			Git         bool
		}
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || len(doc.Settings) == 0 {
		t.Fatalf("rewrite --mode insteadof --json = %s, %v, want settings\n%s", stdout, err, stderr)
	}
	for _, s := range doc.Settings {
		if s.Git {
			r.shell(t, r.home, "git config --global --add '"+s.Name+"' '"+s.Value+"'")
		} else {
			r.env = append(r.env, s.Name+"="+s.Value)
		}
	}
}
