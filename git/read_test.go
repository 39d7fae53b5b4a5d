package git_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestCommit(t *testing.T) {
	h := newHouse(t)
	first := h.up.Commit(t, project, files(1, 1), "v1.0.0")
	main := h.up.Commit(t, project, files(1, 2))
	h.up.AnnotateTag(t, project, "v1.1.0", "main")
	h.up.ForceBranch(t, project, main[:8], first) // a branch that looks like an abbreviation
	h.mustSync(t)
	for rev, want := range map[string]string{
		"refs/heads/main": main, "refs/tags/v1.0.0": first, "refs/tags/v1.1.0": main,
		main: main, first: first, main[:7]: main, main[:8]: main, first[:12]: first,
		h.up.Rev(t, project, "v1.1.0"): main, // the tag object
	} {
		if c, err := h.Commit(t.Context(), h.id, rev); err != nil || c.Hash != want || c.Time.IsZero() || c.Time.Location() != time.UTC {
			t.Errorf("Commit(%s) = %+v, %v, want %s", rev, c, err, want)
		}
	}
	for _, rev := range []string{"", "main", "v1.0.0", "HEAD", "refs/heads/none", "refs/tags/../heads/main", "--all", main[:6], strings.Repeat("0", 40), strings.Repeat("ab", 32),
		"refs/heads/main\nrefs/heads/x", "refs/heads/main~1", "@{-1}", h.up.Rev(t, project, "main^{tree}"), ":/x"} {
		if c, err := h.Commit(t.Context(), h.id, rev); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Commit(%q) = %+v, %v, want ErrNotFound", rev, c, err)
		}
	}
	got, err := h.Commit(t.Context(), h.id, main)
	want := gittest.Git(t, h.up.Dir(project), "log", "-1", "--format=%ct", main)
	if err != nil || fmt.Sprint(got.Time.Unix()) != want {
		t.Errorf("Commit.Time = %v, %v, want %s", got.Time, err, want)
	}
	if _, err := h.Commit(t.Context(), mirror.NewID(), main); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Commit of another repository = %v, want ErrNotFound", err)
	}
}

func TestAdvertised(t *testing.T) {
	h := newHouse(t)
	first := h.up.Commit(t, project, files(1, 1))
	lost := h.up.CommitTo(t, project, "gone", files(1, 2))
	tagged := h.up.CommitTo(t, project, "tmp", files(1, 3), "v1.0.0")
	h.mustSync(t)
	h.up.DeleteRef(t, project, "refs/heads/gone")
	h.up.DeleteRef(t, project, "refs/heads/tmp")
	in, tx, err := h.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: mirror.KeptPrefix + "t/heads/gone", New: lost})
	if err := in.Publish(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	for commit, want := range map[string]bool{first: true, tagged: true, lost: false} {
		if got, err := h.Advertised(t.Context(), h.id, commit); err != nil || got != want {
			t.Errorf("Advertised(%s) = %v, %v, want %v", commit, got, err, want)
		}
	}
	if _, err := h.Advertised(t.Context(), h.id, strings.Repeat("12", 20)); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Advertised of a commit that is not there = %v, want ErrNotFound", err)
	}
}

// special makes a commit with a symbolic link, an executable, a submodule and
// a file that go-git does not read into memory.
func (h *house) special(t *testing.T) (commit string, large string) {
	t.Helper()
	large = gittest.Noise(9<<20, 7)
	h.up.Commit(t, project, map[string]string{
		"go.mod": "module example.com/team/project\n", "sub/go.mod": "module x\n", "sub/deep/a.go": "package a\n",
		"attr/.gitattributes": "*.txt eol=crlf\nsecret export-ignore\nver export-subst\n", "attr/a.txt": "one\ntwo\n", "attr/secret": "s\n", "attr/ver": "$Format:%H$\n",
		"large": large,
	})
	dir := h.up.Dir(project)
	link := pipe(t, dir, "go.mod", "hash-object", "-w", "--stdin")
	tree := gittest.Git(t, dir, "ls-tree", "main") + "\n120000 blob " + link + "\tlink\n160000 commit " + strings.Repeat("12", 20) + "\tmodule\n100755 blob " + link + "\trun.sh\n"
	id := pipe(t, dir, tree, "mktree", "--missing")
	commit = gittest.Git(t, dir, "commit-tree", "-m", "special", "-p", "main", id)
	gittest.Git(t, dir, "update-ref", "refs/heads/main", commit)
	h.mustSync(t)
	return commit, large
}

func TestTree(t *testing.T) {
	h := newHouse(t)
	commit, large := h.special(t)
	files, err := h.Tree(t.Context(), h.id, commit)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(files, "sub/deep/a.go"); err != nil || string(got) != "package a\n" {
		t.Errorf("sub/deep/a.go = %q, %v", got, err)
	}
	if got, err := fs.ReadFile(files, "large"); err != nil || string(got) != large {
		t.Errorf("large = %d bytes, %v, want %d", len(got), err, len(large))
	}
	f, err := files.Open("large")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil { // in the middle
		t.Errorf("Close = %v, want nil", err)
	}
	if got, err := fs.ReadFile(files, "link"); err != nil || string(got) != "go.mod" {
		t.Errorf("link = %q, %v, want its target", got, err)
	}
	info, err := fs.Stat(files, "link")
	if err != nil || info.Mode().Type() != fs.ModeSymlink || info.Size() != 6 {
		t.Errorf("Stat(link) = %v, %v, want a symbolic link of 6 bytes", info, err)
	}
	if info, err := fs.Stat(files, "run.sh"); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("Stat(run.sh) = %v, %v, want an executable", info, err)
	}
	for _, name := range []string{"module", "module/x", "none", "go.mod/x"} {
		if _, err := files.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s) = %v, want not exist", name, err)
		}
	}
	var names []string
	err = fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.IsDir() {
			names = append(names, name)
		}
		return nil
	})
	want := "attr/.gitattributes attr/a.txt attr/secret attr/ver go.mod large link run.sh sub/deep/a.go sub/go.mod"
	if got := strings.Join(names, " "); err != nil || got != want {
		t.Errorf("WalkDir = %s, %v, want %s", got, err, want)
	}
	sub, err := fs.Sub(files, "sub")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(sub, "go.mod", "deep/a.go"); err != nil {
		t.Error(err)
	}
}

func TestTreeSurvivesMaintenance(t *testing.T) {
	h := newHouse(t)
	var commit string
	for i := range 6 {
		commit = h.up.Commit(t, project, files(9, uint64(i+1)))
		h.mustSync(t)
	}
	tree, err := h.Tree(t.Context(), h.id, commit)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Maintain(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	for name, want := range files(9, 6) {
		if got, err := fs.ReadFile(tree, name); err != nil || string(got) != want {
			t.Errorf("%s after a repack = %d bytes, %v, want %d", name, len(got), err, len(want))
		}
	}
	if _, err := h.Tree(t.Context(), h.id, h.up.Rev(t, project, "main^{tree}")); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Tree of a tree = %v, want ErrNotFound", err)
	}
}

func TestArchive(t *testing.T) {
	h := newHouse(t)
	commit, large := h.special(t)
	root := untar(t, h, commit, "")
	if root["attr/a.txt"] != "one\r\ntwo\r\n" || root["attr/secret"] != "s\n" || root["attr/ver"] != "$Format:%H$\n" || root["large"] != large {
		t.Errorf("Archive: a.txt %q, secret %q, ver %q, large %d bytes; want crlf, s, the placeholder, %d", root["attr/a.txt"], root["attr/secret"], root["attr/ver"], len(root["large"]), len(large))
	}
	attr := untar(t, h, commit, "attr")
	if len(attr) != 4 || attr["a.txt"] != "one\r\ntwo\r\n" {
		t.Errorf("Archive(attr) = %v, want four files relative to attr", attr)
	}
	if deep := untar(t, h, commit, "sub/deep"); deep["a.go"] != "package a\n" || len(deep) != 1 {
		t.Errorf("Archive(sub/deep) = %v, want a.go", deep)
	}
	for _, dir := range []string{"none", "go.mod", "../x", "/etc", "-x", ":(glob)*"} {
		if a, err := h.Archive(t.Context(), h.id, commit, dir); err == nil {
			_ = a.Close()
			t.Errorf("Archive(%q) = nil, want an error", dir)
		}
	}
	for _, dir := range []string{"", "attr"} { // given up early
		a, err := h.Archive(t.Context(), h.id, commit, dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Read(make([]byte, 100)); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("Close in the middle = %v, want nil", err)
		}
	}
	h.tidy(t)
}

func untar(t *testing.T, h *house, commit, dir string) map[string]string {
	t.Helper()
	a, err := h.Archive(t.Context(), h.id, commit, dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for r := tar.NewReader(a); ; {
		head, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if head.Typeflag == tar.TypeReg {
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			got[head.Name] = string(data)
		}
	}
	if err := a.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	return got
}
