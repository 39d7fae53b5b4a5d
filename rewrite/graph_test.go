package rewrite_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// realProjects are published modules whose go.mod is taken for a project's: with
// and without graph pruning, small and large.
func realProjects() []realProject {
	alone := func(path, version string, lines ...string) realProject {
		return realProject{[]gittest.Module{{Path: path, Version: version}}, strings.Join(lines, "")}
	}
	return []realProject{
		alone("github.com/spf13/cobra", "v1.8.1"),
		alone("github.com/gin-gonic/gin", "v1.10.0"),
		alone("go.uber.org/zap", "v1.21.0"),
		alone("go.uber.org/zap", "v1.27.0"),
		alone("github.com/stretchr/testify", "v1.7.1"),
		alone("github.com/sirupsen/logrus", "v1.9.3"),
		alone("github.com/prometheus/common", "v0.10.0"),
		alone("github.com/kvtools/etcdv3", "v1.0.2"),
		alone("github.com/mikefarah/yq/v4", "v4.40.5"),
		alone("k8s.io/sample-controller", "v0.29.0"),
		alone("gorm.io/gorm", "v1.31.2"),
		alone("google.golang.org/grpc", "v1.38.0"),
		alone("github.com/gin-gonic/gin", "v1.10.0", "exclude github.com/stretchr/testify v1.8.4\n", "replace golang.org/x/sys => golang.org/x/sys v0.19.0\n", "replace github.com/google/gofuzz v1.0.0 => ./fuzz\n"),
		alone("go.uber.org/zap", "v1.21.0", "exclude gopkg.in/yaml.v2 v2.2.2\n", "replace github.com/stretchr/testify => github.com/stretchr/testify v1.8.0\n", "replace github.com/kr/pretty => ./pretty\n"),
		{[]gittest.Module{{Path: "github.com/gin-gonic/gin", Version: "v1.10.0"}, {Path: "github.com/spf13/cobra", Version: "v1.8.1"}, {Path: "go.uber.org/zap", Version: "v1.21.0"}}, ""},
	}
}

// realProject is one with the go.mod files of mains, of several as a workspace.
// lines come behind those of the first.
type realProject struct {
	mains []gittest.Module
	lines string
}

// TestGraphIsTheGoCommands compares what a plan is about with what the go command
// reads and selects: with an empty module cache, "go list -m all" and "go mod
// graph" fetch the go.mod files they read, from the cache of the environment.
func TestGraphIsTheGoCommands(t *testing.T) {
	cache := strings.TrimSpace(goCommand(t, t.TempDir(), nil, "env", "GOMODCACHE"))
	goVersion := strings.TrimPrefix(strings.TrimSpace(goCommand(t, t.TempDir(), nil, "env", "GOVERSION")), "go")
	for _, project := range realProjects() {
		name := project.mains[0].String()
		switch {
		case len(project.mains) > 1:
			name = "workspace"
		case project.lines != "":
			name += " with replaces"
		}
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeReal(t, dir, project, goVersion)
			want := readByGo(t, dir, cache)

			planner := &rewrite.Planner{Resolver: fetched(filepath.Join(cache, "cache/download")), Site: testSite, Mode: rewrite.GOPROXY}
			where := "."
			if len(project.mains) > 1 {
				where = "./..."
			}
			plan, err := planner.Plan(t.Context(), openRoot(t, dir).FS(), where)
			if err != nil {
				t.Fatalf("Plan() error = %v", err)
			}
			got := map[string]bool{}
			for _, m := range plan.Modules {
				got[m.Path+" "+m.Version] = true
			}
			for m := range want {
				if !got[m] {
					t.Errorf("Plan().Modules lacks %s, which the go command reads or selects", m)
				}
			}
			for m := range got {
				if !want[m] {
					t.Errorf("Plan().Modules has %s, which the go command neither reads nor selects", m)
				}
			}
			if len(want) < 3 {
				t.Errorf("the go command reads and selects %d modules, want a real graph", len(want))
			}
		})
	}
}

// writeReal writes projects with the go.mod files of published modules. Replaces
// by directories, which are not published, are left out.
func writeReal(t *testing.T, dir string, project realProject, goVersion string) {
	t.Helper()
	mains := project.mains
	all, err := gittest.ListPublic(mains)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, m := range all {
		f, err := modfile.Parse("go.mod", m.GoMod, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range f.Replace {
			if err := f.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				t.Fatal(err)
			}
		}
		f.DropToolchainStmt()
		f.Cleanup()
		text, err := f.Format()
		if err != nil {
			t.Fatal(err)
		}
		member := ""
		if len(mains) > 1 {
			member = strings.ReplaceAll(m.Path, "/", "_") + "/"
			files["go.work"] += "use ./" + member + "\n"
		}
		files[member+"go.mod"] = string(text)
	}
	if project.lines != "" {
		files["go.mod"] += "\n" + project.lines
		for _, dir := range []string{"fuzz", "pretty"} {
			files[dir+"/go.mod"] = "module example.org/" + dir + "\n\ngo 1.20\n\nrequire golang.org/x/text v0.3.8\n"
		}
	}
	if len(mains) > 1 {
		files["go.work"] = "go " + goVersion + "\n\n" + files["go.work"]
	}
	write(t, dir, files)
}

// readByGo are the module versions whose go.mod the go command reads in dir, and
// those that it selects: "path version". Of a workspace also in each member by
// itself, as with GOWORK=off.
func readByGo(t *testing.T, dir, cache string) map[string]bool {
	t.Helper()
	own := filepath.Join(t.TempDir(), "modcache")
	copied := filepath.Join(t.TempDir(), "project") // the go command adds go.sum files
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	look := func(dir string, settings ...string) {
		settings = append(settings, "GOTOOLCHAIN=local")
		offline := append([]string{"GOMODCACHE=" + own, "GOPROXY=file://" + filepath.ToSlash(filepath.Join(cache, "cache/download")), "GOSUMDB=off"}, settings...)
		list, err := tryGo(dir, offline, "list", "-m", "all")
		if err == nil {
			_, err = tryGo(dir, offline, "mod", "graph")
		}
		if err != nil { // not all of it is in the environment's cache yet
			goCommand(t, dir, settings, "list", "-m", "all")
			goCommand(t, dir, settings, "mod", "graph")
			list = goCommand(t, dir, offline, "list", "-m", "all")
			goCommand(t, dir, offline, "mod", "graph")
		}
		for line := range strings.Lines(list) {
			switch fields := strings.Fields(line); {
			case len(fields) == 2:
				found[fields[0]+" "+fields[1]] = true
			case len(fields) == 5 && fields[2] == "=>": // replaced by another module; of four, by a directory
				found[fields[3]+" "+fields[4]] = true
			}
		}
	}
	if _, err := os.Stat(filepath.Join(copied, "go.work")); err == nil {
		look(copied, "GOFLAGS=-modcacherw")
		members, err := filepath.Glob(filepath.Join(copied, "*", "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range members {
			look(filepath.Dir(name), "GOFLAGS=-modcacherw -mod=mod", "GOWORK=off")
		}
	} else {
		look(copied, "GOFLAGS=-modcacherw -mod=mod")
	}
	download := filepath.Join(own, "cache/download")
	err := filepath.WalkDir(download, func(name string, d fs.DirEntry, err error) error {
		version, isMod := strings.CutSuffix(d.Name(), ".mod")
		if err != nil || !isMod {
			return err
		}
		rel, err := filepath.Rel(download, filepath.Dir(filepath.Dir(name)))
		if err != nil {
			return err
		}
		path, err1 := module.UnescapePath(filepath.ToSlash(rel))
		version, err2 := module.UnescapeVersion(version)
		if err1 != nil || err2 != nil {
			t.Errorf("%s is not the name of a module", name)
		}
		found[path+" "+version] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func goCommand(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	out, err := tryGo(dir, env, args...)
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// tryGo runs the go command; the error has what it said.
func tryGo(dir string, env []string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Env = append(cmd.Env, "PWD="+dir)
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		err = &saidError{exit, string(exit.Stderr)}
	}
	return string(out), err
}

type saidError struct {
	error
	said string
}

func (e *saidError) Error() string { return e.error.Error() + ": " + e.said }

// fetched is a mirror of what a module cache has: it knows go.mod files.
type fetched string

func (f fetched) Resolve(_ context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	answers := make([]mirror.ModuleAnswer, len(queries))
	for i, q := range queries {
		answers[i] = mirror.ModuleAnswer{Path: q.Path, Version: q.Version, Repo: mirror.Path(q.Path)}
		path, err1 := module.EscapePath(q.Path)
		version, err2 := module.EscapeVersion(q.Version)
		data, err := os.ReadFile(filepath.Join(string(f), filepath.FromSlash(path), "@v", version+".mod"))
		if err1 != nil || err2 != nil || err != nil {
			answers[i].Problem = &mirror.Problem{Kind: mirror.ErrNotFound, What: q.Path + "@" + q.Version + " was never fetched"}
			continue
		}
		answers[i].GoMod = string(data)
	}
	return answers, nil
}
