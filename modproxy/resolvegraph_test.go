package modproxy_test

import (
	"slices"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

// What modules from before graph pruning require is answered with them, as far as
// it goes; the requirements of the others the go command does not read.
func TestResolveGraph(t *testing.T) {
	w := newWorld(t)
	for name, gomod := range map[string]string{
		"old":    "go 1.16\n\nrequire git.test/o/older v1.0.0\nrequire git.test/o/gone v1.0.0\n",
		"older":  "require (\n\tgit.test/o/new v1.0.0\n\tgit.test/o/old v1.0.0\n)\n", // a circle
		"new":    "go 1.22\n\nrequire git.test/o/unread v1.0.0\n",
		"unread": "go 1.22\n",
	} {
		w.up.Commit(t, "git.test/o/"+name, map[string]string{"go.mod": "module git.test/o/" + name + "\n\n" + gomod}, "v1.0.0")
		w.add(t, "git.test/o/"+name)
	}
	answers, err := w.repos.ResolveGraph(t.Context(), []mirror.ModuleQuery{
		{Path: "git.test/o/old", Version: "v1.0.0", Form: mirror.DotGit}, {Path: "git.test/o/new", Version: "v9.0.0", Form: mirror.DotGit},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range answers {
		text := a.Path + "@" + a.Version
		if a.Problem != nil {
			text += " not there"
		} else if a.Replacement.Path != host+"/"+a.Path+".git" {
			t.Errorf("replacement of %s = %s, want the form that was asked for", text, a.Replacement)
		}
		if (a.Original.Zip != "") != (a.Path == "git.test/o/old") {
			t.Errorf("zip hash of %s = %q, want one of what was asked for alone", text, a.Original.Zip)
		}
		got = append(got, text)
	}
	slices.Sort(got[2:])
	want := []string{"git.test/o/old@v1.0.0", "git.test/o/new@v9.0.0 not there", "git.test/o/gone@v1.0.0 not there", "git.test/o/new@v1.0.0", "git.test/o/older@v1.0.0"}
	if !slices.Equal(got, want) {
		t.Errorf("ResolveGraph() = %q, want %q", got, want)
	}
}
