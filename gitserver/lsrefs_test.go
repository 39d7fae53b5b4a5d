package gitserver_test

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

func line(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }

// What is answered without git is what git answers.
func TestListRefsAsGitDoes(t *testing.T) {
	r := newRig(t)
	repo, err := r.catalog.Find(t.Context(), tool)
	if err != nil {
		t.Fatal(err)
	}
	up, dir := r.up.Dir(tool), filepath.Join(r.dir, "repos", string(repo.ID)+".git")
	for i := range 12 {
		gittest.Git(t, up, "branch", fmt.Sprintf("topic/%d-x", i), "main")
		gittest.Git(t, up, "tag", "-m", "x", fmt.Sprintf("v1.%d.0", i), "main")
	}
	gittest.Git(t, up, "tag", "-m", "x", "of-a-tag", "v1.3.0")
	gittest.Git(t, up, "tag", "of-a-tree", "v0.2.0^{tree}")
	if _, err := r.catalog.Syncer.Sync(t.Context(), repo.ID, "manual"); err != nil {
		t.Fatal(err)
	}
	gittest.Git(t, dir, "update-ref", "refs/gitmirror/kept/20240101T000000Z/heads/old", "refs/heads/main")
	gittest.Git(t, dir, "update-ref", "refs/pull/12/head", "refs/heads/main")
	packed := func() { gittest.Git(t, dir, "pack-refs", "--all") }
	loose := func() {
		const name = "refs/heads/by/another/process"
		gittest.Git(t, dir, "update-ref", name, "refs/tags/v0.1.0")
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if s, err := r.http.Packs.Snapshot(t.Context(), repo.ID); err != nil {
				t.Fatal(err)
			} else if _, seen := s.Ref(name); seen { // within a second or so
				return
			}
		}
	}
	gone := func() { gittest.Git(t, dir, "update-ref", "-d", "refs/heads/by/another/process") }
	head := func() { gittest.Git(t, dir, "symbolic-ref", "HEAD", "refs/heads/side") }
	detached := func() { gittest.Git(t, dir, "update-ref", "--no-deref", "HEAD", "refs/heads/main") }
	unborn := func() { gittest.Git(t, dir, "symbolic-ref", "HEAD", "refs/heads/nothing") }
	for _, change := range []func(){packed, loose, packed, gone, head, detached, unborn} {
		change()
		for _, args := range [][]string{
			{},
			{"peel\n", "symrefs\n"},
			{"peel\n", "symrefs\n", "unborn\n", "ref-prefix refs/heads/\n", "ref-prefix refs/tags/\n", "ref-prefix HEAD\n"},
			{"symrefs\n", "ref-prefix refs/heads/main\n", "ref-prefix refs/heads/\n", "ref-prefix refs/heads/topic/1\n"},
			{"peel\n", "ref-prefix refs/tags/v1.1\n", "ref-prefix refs/tags/of\n"},
			{"peel", "ref-prefix HEAD", "ref-prefix H"},
			{"ref-prefix refs/gitmirror/\n"},
			{"ref-prefix refs/pull/\n"},
			{"ref-prefix refs/\n", "ref-prefix refs/nothing\n"},
			{"ref-prefix \n"},
			{"ref-prefix \n", "ref-prefix refs/tags/\n"},
			{"ref-prefix main\n", "ref-prefix refs/heads/main\n", "ref-prefix refs/tags/main\n"},
		} {
			request := line("command=ls-refs\n") + line("agent=git/2.39.5") + line("object-format=sha1") + "0001"
			for _, a := range args {
				request += line(a)
			}
			request += "0000"
			var want bytes.Buffer
			if err := r.http.Packs.UploadPack(t.Context(), repo.ID, "version=2", true, false, strings.NewReader(request), &want, &want); err != nil {
				t.Fatalf("git's answer to %q: %v", args, err)
			}
			status, _, got := r.do(t, http.MethodPost, "/"+tool+"/git-upload-pack", map[string]string{
				"Git-Protocol": "version=2", "Content-Type": "application/x-git-upload-pack-request",
			}, strings.NewReader(request))
			if status != http.StatusOK || got != want.String() {
				t.Errorf("ls-refs %q = %d %q, want git's %q", args, status, got, want.String())
			}
		}
	}
}
