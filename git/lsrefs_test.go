package git_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
)

func line(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }

// What is answered without git is what git answers: a conversation that goes on
// in both directions is always git's.
func TestListRefsAsGitDoes(t *testing.T) {
	h := newHouse(t)
	for i := range 12 {
		commit := h.up.Commit(t, project, map[string]string{"n": fmt.Sprint(i)}, fmt.Sprintf("v0.%d.0", i))
		gittest.Git(t, h.up.Dir(project), "branch", fmt.Sprintf("topic/%d-x", i), commit)
		gittest.Git(t, h.up.Dir(project), "tag", "-m", "x", fmt.Sprintf("v1.%d.0", i), commit)
	}
	gittest.Git(t, h.up.Dir(project), "tag", "-m", "x", "of-a-tag", "v1.3.0")
	gittest.Git(t, h.up.Dir(project), "tag", "of-a-tree", "v0.2.0^{tree}")
	h.mustSync(t)
	gittest.Git(t, h.dir(), "update-ref", "refs/gitmirror/kept/20240101T000000Z/heads/old", "refs/heads/main")
	gittest.Git(t, h.dir(), "update-ref", "refs/pull/12/head", "refs/heads/main")
	gittest.Git(t, h.dir(), "pack-refs", "--all")

	ask := func(stateless, advertise bool, in string) string {
		t.Helper()
		var out bytes.Buffer
		err := h.UploadPack(t.Context(), git.UploadPack{
			Repo: h.id, Protocol: "version=2", Stateless: stateless, Advertise: advertise, In: strings.NewReader(in), Out: &out,
		})
		if err != nil {
			t.Fatalf("UploadPack(%q): %v", in, err)
		}
		return out.String()
	}
	greeting := ask(true, true, "")
	if again := ask(true, true, ""); again != greeting || !strings.Contains(greeting, "fetch=") {
		t.Errorf("second advertisement = %q, want %q", again, greeting)
	}
	command := line("command=ls-refs\n") + line("agent=git/2.39.5") + line("object-format=sha1") + "0001"
	for _, args := range [][]string{
		{},
		{"peel\n", "symrefs\n"},
		{"peel\n", "symrefs\n", "unborn\n", "ref-prefix refs/heads/\n", "ref-prefix refs/tags/\n", "ref-prefix HEAD\n"},
		{"symrefs\n", "ref-prefix refs/heads/main\n", "ref-prefix refs/heads/\n", "ref-prefix refs/heads/topic/1\n"},
		{"peel\n", "ref-prefix refs/tags/v1.1\n", "ref-prefix refs/tags/of\n"},
		{"peel", "ref-prefix HEAD", "ref-prefix H"},
		{"ref-prefix refs/gitmirror/\n"},
		{"ref-prefix refs/pull/\n"},
		{"ref-prefix refs/nothing\n"},
		{"ref-prefix \n"},
		{"ref-prefix main\n", "ref-prefix refs/heads/main\n", "ref-prefix refs/tags/main\n"},
	} {
		request := command
		for _, a := range args {
			request += line(a)
		}
		request += "0000"
		want, ok := strings.CutPrefix(ask(false, false, request), greeting)
		if !ok {
			t.Fatalf("a conversation does not begin with the advertisement")
		}
		if got := ask(true, false, request); got != want {
			t.Errorf("ls-refs %q = %q, want %q", args, got, want)
		}
	}
}
