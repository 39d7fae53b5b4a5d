package modproxy_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// downloaded is a line of go mod download -json.
type downloaded struct{ Path, Version, Error, Sum, GoModSum, Info, Zip string }

// goDownload asks the real go command; only the mirror answers it.
func goDownload(t *testing.T, env []string, dir string, queries ...string) map[string]downloaded {
	t.Helper()
	cmd := exec.Command("go", append([]string{"mod", "download", "-json"}, queries...)...)
	cmd.Dir, cmd.Env = dir, env
	out, _ := cmd.Output()
	got := map[string]downloaded{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var d downloaded
		if err := dec.Decode(&d); err != nil {
			t.Fatalf("go mod download: %v", err)
		}
		got[d.Path+"@"+d.Version] = d
	}
	return got
}

// Every shape of module: the original sums are the true ones, the replaced sums
// are what the go command computes for the replacement.
func TestResolveRealModules(t *testing.T) {
	w := newWorld(t)
	fixtures := w.up.AddModules(t, slices.Concat(gittest.Shapes(), gittest.Graph())...)
	for _, fix := range fixtures {
		if _, ok := w.added[fix.Repo]; !ok {
			w.add(t, fix.Repo)
		}
	}
	for _, form := range []mirror.Form{mirror.Discovery, mirror.DotGit} {
		t.Run(string(form), func(t *testing.T) {
			var queries []mirror.ModuleQuery
			for _, fix := range fixtures {
				queries = append(queries, mirror.ModuleQuery{Path: fix.Path, Version: fix.Version, Form: form})
			}
			answers, err := w.repos.Resolve(t.Context(), queries)
			if err != nil {
				t.Fatal(err)
			}
			var ask []string
			for _, a := range answers {
				ask = append(ask, a.Replacement.String())
				if form == mirror.Discovery { // once is enough
					ask = append(ask, a.Path+"@"+a.Version)
				}
			}
			theirs := goDownload(t, w.goEnv(t), goModule(t), ask...)
			for i, a := range answers {
				fix := fixtures[i]
				if a.Problem != nil {
					t.Errorf("Resolve(%s).Problem = %v %s", fix.Module, a.Problem, a.Problem.Do)
					continue
				}
				if got, want := a.Original, (mirror.Sums{Zip: fix.Sums.Zip, Mod: fix.Sums.Mod}); got != want {
					t.Errorf("Resolve(%s).Original = %v, want %v", fix.Module, got, want)
				}
				if a.Commit != fix.Commit || string(a.Repo) != fix.Repo {
					t.Errorf("Resolve(%s) = commit %s of %s, want %s of %s", fix.Module, a.Commit, a.Repo, fix.Commit, fix.Repo)
				}
				for name, want := range map[string]mirror.Sums{a.Replacement.String(): a.Replaced, fix.Module.String(): a.Original} {
					d, asked := theirs[name], slices.Contains(ask, name)
					if !asked {
						continue
					}
					if got := (mirror.Sums{Zip: d.Sum, Mod: d.GoModSum}); got != want {
						t.Errorf("go mod download %s = %v %s, want %v", name, got, d.Error, want)
					}
				}
			}
		})
	}
}

// The table of LAWS §1: what stands behind =>.
func TestReplacement(t *testing.T) {
	w := newWorld(t)
	up := w.up
	mod := func(path string) map[string]string {
		return map[string]string{"go.mod": "module " + path + "\n", "a.go": "package a\n"}
	}
	add := func(repo string, files map[string]string, tags ...string) string {
		commit := up.Commit(t, repo, files, tags...)
		w.add(t, repo)
		return commit[:12]
	}
	add("github.com/spf13/pflag", mod("github.com/spf13/pflag"), "v1.0.5")
	add("github.com/o/two", mod("github.com/o/two/v2"), "v2.1.0")
	nested := mod("github.com/o/nest")
	nested["api/go.mod"] = "module github.com/o/nest/api/v3\n"
	nested["v4/go.mod"] = "module github.com/o/nest/v4\n"
	add("github.com/o/nest", nested, "v1.0.0", "api/v3.5.0", "v4.0.0")
	add("github.com/go-yaml/yaml", map[string]string{"a.go": "package yaml\n"}, "v2.0.0")
	up.CommitTo(t, "github.com/go-yaml/yaml", "loose", map[string]string{"a.go": "package yaml // 0\n"})
	loose := up.Rev(t, "github.com/go-yaml/yaml", "loose")[:12]
	add("github.com/go-yaml/yaml", mod("gopkg.in/yaml.v3"), "v3.0.1")
	check := add("github.com/go-check/check", map[string]string{"a.go": "package check\n"})
	add("github.com/jwt/go", map[string]string{"a.go": "package jwt\n"}, "v3.2.0")
	add("github.com/golang/mod", mod("golang.org/x/mod"), "v0.6.0")
	add("github.com/miniflux/v2", mod("miniflux.app"), "v1.0.46")
	add("github.com/BurntSushi/toml", mod("github.com/BurntSushi/toml"), "v1.3.2")
	var ask []string
	replaced := map[string]mirror.Sums{}
	for _, tt := range []struct{ in, discovery, dotGit string }{
		{"github.com/spf13/pflag@v1.0.5", "github.com/spf13/pflag@v1.0.5", "github.com/spf13/pflag.git@v1.0.5"},
		{"github.com/o/two/v2@v2.1.0", "github.com/o/two/v2@v2.1.0", "github.com/o/two.git/v2@v2.1.0"},
		{"github.com/o/nest/api/v3@v3.5.0", "github.com/o/nest/api/v3@v3.5.0", "github.com/o/nest.git/api/v3@v3.5.0"},
		{"github.com/o/nest/v4@v4.0.0", "github.com/o/nest/v4@v4.0.0", "github.com/o/nest.git/v4@v4.0.0"},
		{"gopkg.in/yaml.v3@v3.0.1", "github.com/go-yaml/yaml/v3@v3.0.1", "github.com/go-yaml/yaml.git/v3@v3.0.1"},
		{"gopkg.in/yaml.v2@v2.0.0", "github.com/go-yaml/yaml@v2.0.0+incompatible", "github.com/go-yaml/yaml.git@v2.0.0+incompatible"},
		{"gopkg.in/yaml.v2@v2.0.0-20240101010000-" + loose, "github.com/go-yaml/yaml@v2.0.0-20240101010000-" + loose + "+incompatible", "github.com/go-yaml/yaml.git@v2.0.0-20240101010000-" + loose + "+incompatible"},
		{"gopkg.in/check.v1@v0.0.0-20240101000000-" + check, "github.com/go-check/check@v0.0.0-20240101000000-" + check, "github.com/go-check/check.git@v0.0.0-20240101000000-" + check},
		{"gopkg.in/check.v1@v1.0.0-20240101000000-" + check, "github.com/go-check/check@v0.0.0-20240101000000-" + check, "github.com/go-check/check.git@v0.0.0-20240101000000-" + check},
		{"github.com/jwt/go@v3.2.0+incompatible", "github.com/jwt/go@v3.2.0+incompatible", "github.com/jwt/go.git@v3.2.0+incompatible"},
		{"golang.org/x/mod@v0.6.0", "github.com/golang/mod@v0.6.0", "github.com/golang/mod.git@v0.6.0"},
		{"miniflux.app@v1.0.46", "github.com/miniflux/v2.git@v1.0.46", "github.com/miniflux/v2.git@v1.0.46"},
		{"github.com/BurntSushi/toml@v1.3.2", "github.com/BurntSushi/toml@v1.3.2", "github.com/BurntSushi/toml.git@v1.3.2"},
	} {
		path, version, _ := strings.Cut(tt.in, "@")
		for form, want := range map[mirror.Form]string{mirror.Discovery: tt.discovery, mirror.DotGit: tt.dotGit} {
			answers, err := w.repos.Resolve(t.Context(), []mirror.ModuleQuery{{Path: path, Version: version, Form: form}})
			if err != nil {
				t.Fatal(err)
			}
			if answers[0].Problem != nil {
				t.Errorf("Resolve(%s) = %v", tt.in, answers[0].Problem)
				continue
			}
			to := answers[0].Replacement
			if got := to.String(); got != host+"/"+want {
				t.Errorf("Resolve(%s, %s) = %s, want %s", tt.in, form, got, host+"/"+want)
			}
			ask = append(ask, to.String())
			replaced[to.String()] = answers[0].Replaced
		}
	}
	theirs := goDownload(t, w.goEnv(t), goModule(t), ask...)
	for name, want := range replaced {
		if got := (mirror.Sums{Zip: theirs[name].Sum, Mod: theirs[name].GoModSum}); got != want {
			t.Errorf("go mod download %s = %v %s, want %v", name, got, theirs[name].Error, want)
		}
	}
}
