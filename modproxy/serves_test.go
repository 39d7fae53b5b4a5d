package modproxy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

// A mirror says which modules it serves: under the paths their go.mod declares, of
// every major version, in subdirectories, by aliases, as gopkg.in has them, and as
// forks. What leads elsewhere is not its own.
func TestServes(t *testing.T) {
	w := newWorld(t)
	const path = "github.com/o/many"
	mod := func(path string) string { return "module " + path + "\n\ngo 1.21\n" }
	w.up.Commit(t, path, map[string]string{"go.mod": mod(path), "a.go": "package a\n"}, "v1.0.0", "v1.2.0")
	w.up.Commit(t, path, map[string]string{"go.mod": mod(path + "/v2"), "a.go": "package a\n"}, "v2.1.0")
	w.up.Commit(t, path, map[string]string{
		"go.mod": mod(path + "/v2"), "a.go": "package a\n",
		"tool/go.mod": mod(path + "/tool"), "tool/t.go": "package tool\n", "new/go.mod": mod("go.corp.example/new"), "new/n.go": "package n\n",
		"fork/go.mod": mod("github.com/elsewhere/fork"), "fork/f.go": "package f\n",
		"vendor/v/go.mod": mod("vendor.example/v"), "testdata/x/go.mod": mod("x.example/x"), "bad/go.mod": "module \x00\"\n",
	}, "tool/v0.3.0")
	repo := w.add(t, path)
	if err := w.db.AddAlias(t.Context(), mirror.Alias{Prefix: "go.corp.example", Repo: path, Found: "admin"}); err != nil {
		t.Fatal(err)
	}
	aliases, err := w.db.Aliases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.repos.Serves(t.Context(), repo, aliases)
	if err != nil || got.Partial {
		t.Fatalf("Serves() = %+v, %v", got, err)
	}
	var lines []string
	for _, m := range got.Modules {
		version := m.Version
		if m.Versions == 0 {
			version = "untagged"
		}
		lines = append(lines, fmt.Sprintf("%s %q %s %d %s", m.Path, m.Dir, version, m.Versions, m.Declares))
	}
	want := []string{
		`github.com/o/many "" v1.2.0 2 `,
		`github.com/o/many/fork "fork" untagged 0 github.com/elsewhere/fork`,
		`github.com/o/many/tool "tool" v0.3.0 1 `,
		`github.com/o/many/v2 "" v2.1.0 1 `,
		`go.corp.example/new "new" untagged 0 `,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("Serves() =\n%q, want\n%q", lines, want)
	}
	if use := got.Modules[3].Use(); use != "go get github.com/o/many/v2@v2.1.0" {
		t.Errorf("Use() = %q", use)
	}

	// What is new is seen at once; without go.mod the go command makes one up.
	w.up.Commit(t, path, map[string]string{"a.go": "package a\n"}, "v3.0.0")
	repo = w.add(t, path)
	got, err = w.repos.Serves(t.Context(), repo, nil)
	if err != nil || !slices.ContainsFunc(got.Modules, func(m mirror.RepoModule) bool { return m.Path == path && m.Versions == 2 }) {
		t.Errorf("Serves() after a sync = %+v, %v", got, err)
	}

	const gopkg = "github.com/go-yaml/yaml"
	w.up.Commit(t, gopkg, map[string]string{"go.mod": mod("gopkg.in/yaml.v2"), "y.go": "package yaml\n"}, "v2.4.0")
	w.up.Commit(t, gopkg, map[string]string{"go.mod": mod("gopkg.in/yaml.v3"), "y.go": "package yaml\n"}, "v3.0.1")
	yaml := w.add(t, gopkg)
	got, err = w.repos.Serves(t.Context(), yaml, nil)
	lines = nil
	for _, m := range got.Modules {
		lines = append(lines, m.Path+" "+m.Version)
	}
	if want := []string{"gopkg.in/yaml.v2 v2.4.0", "gopkg.in/yaml.v3 v3.0.1"}; err != nil || !slices.Equal(lines, want) {
		t.Errorf("Serves() of gopkg.in = %q, %v, want %q", lines, err, want)
	}
	plain := w.row(t, "github.com/o/never", false)
	if got, err := w.repos.Serves(t.Context(), plain, nil); err != nil || len(got.Modules) != 0 {
		t.Errorf("Serves() before the first clone = %+v, %v, want nothing", got, err)
	}
}
