package modproxy_test

import (
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

// What is wrong with one module is said in its answer; the others are answered.
func TestResolveProblems(t *testing.T) {
	w := pflagWorld(t)
	var queries []mirror.ModuleQuery
	tests := []struct {
		path, version string
		code          mirror.Code
		do            string
		repo          mirror.Path
	}{
		{"github.com/Spf13/pflag", "v1.0.5", "", "", "github.com/Spf13/pflag"},
		{"github.com/Spf13/pflag", "v1.0.6", mirror.CodeNoVersion, "v1.0.4, v1.0.5", "github.com/Spf13/pflag"},
		{"github.com/Spf13/pflag", "main", mirror.CodeNoVersion, "", "github.com/Spf13/pflag"},
		{"github.com/Spf13/pflag", "v2.0.0", mirror.CodeNoVersion, "", "github.com/Spf13/pflag"},
		{"github.com/Spf13/pflag", "", mirror.CodeNoVersion, "", "github.com/Spf13/pflag"},
		{"github.com/o/none/v3", "v3.0.0", mirror.CodeNotMirrored, "gitmirror mirror add github.com/o/none", ""},
		{"golang.org/x/none", "v1.0.0", mirror.CodeNotMirrored, "gitmirror mirror add golang.org/x/none", ""},
		{"github.com/o/empty", "v1.0.0", mirror.CodeNotMirrored, "gitmirror mirror sync github.com/o/empty", "github.com/o/empty"},
		{"../../etc", "v1.0.0", mirror.CodeBadPath, "", ""},
		{"", "v1.0.0", mirror.CodeBadPath, "", ""},
	}
	for _, tt := range tests {
		queries = append(queries, mirror.ModuleQuery{Path: tt.path, Version: tt.version})
	}
	answers, err := w.repos.Resolve(t.Context(), queries)
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range tests {
		a := answers[i]
		if a.Path != tt.path || a.Version != tt.version || a.Repo != tt.repo {
			t.Errorf("answer %d is for %s@%s in %s, want %s@%s in %s", i, a.Path, a.Version, a.Repo, tt.path, tt.version, tt.repo)
		}
		if tt.code == "" {
			if a.Problem != nil {
				t.Errorf("Resolve(%s@%s).Problem = %v", tt.path, tt.version, a.Problem)
			}
			continue
		}
		if a.Problem == nil || a.Problem.Code != tt.code || !strings.Contains(a.Problem.Do, tt.do) || a.Replacement.Path != "" {
			t.Errorf("Resolve(%s@%s) = %+v, want problem %s that says %q", tt.path, tt.version, a, tt.code, tt.do)
		}
	}
}

// A pseudo-version lives as long as its commit, also when upstream has rewound
// the branch and the mirror has kept the old tip.
func TestKeptCommit(t *testing.T) {
	w := pflagWorld(t)
	const repo = "github.com/Spf13/pflag"
	lost := w.up.CommitTo(t, repo, "work", map[string]string{"go.mod": "module " + repo + "\n"})
	r := w.add(t, repo)
	version := "v0.0.0-20240101020000-" + lost[:12]
	resolve := func() *mirror.Problem {
		answers, err := w.repos.Resolve(t.Context(), []mirror.ModuleQuery{{Path: repo, Version: version}})
		if err != nil {
			t.Fatal(err)
		}
		return answers[0].Problem
	}
	if p := resolve(); p != nil {
		t.Fatalf("Resolve(%s) = %v %s", version, p, p.Do)
	}
	up, _, err := mirror.ParseUpstream(w.up.URL(repo))
	if err != nil {
		t.Fatal(err)
	}
	publish := func(updates ...mirror.RefUpdate) {
		in, err := w.disk.Fetch(t.Context(), r.ID, mirror.Remote{Upstream: up}, nil, func(mirror.Progress) {})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Discard()
		if err := in.Publish(t.Context(), mirror.Transaction{Updates: updates}); err != nil {
			t.Fatal(err)
		}
	}
	kept := mirror.KeptPrefix + "20240102T000000Z/heads/work"
	publish(mirror.RefUpdate{Name: "refs/heads/work", Old: lost}, mirror.RefUpdate{Name: kept, New: lost})
	if p := resolve(); p != nil {
		t.Errorf("Resolve(%s) of a kept commit = %v", version, p)
	}
	publish(mirror.RefUpdate{Name: kept, Old: lost}, mirror.RefUpdate{Name: mirror.HeldPrefix + "tags/x", New: lost})
	if p := resolve(); p == nil || p.Code != mirror.CodeNoVersion {
		t.Errorf("Resolve(%s) of a commit no ref leads to = %v, want %s", version, p, mirror.CodeNoVersion)
	}
}
