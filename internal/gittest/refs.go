package gittest

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Commit adds a commit to main whose tree is exactly files (slash-separated
// names), tags it, and returns its hash. It makes the repository if there is
// none. Dates are fixed: 2024-01-01 and an hour later for each commit.
func (up *Upstream) Commit(tb testing.TB, repo string, files map[string]string, tags ...string) string {
	tb.Helper()
	return up.CommitTo(tb, repo, "main", files, tags...)
}

// CommitTo is Commit on another branch, which begins with this commit if it is new.
func (up *Upstream) CommitTo(tb testing.TB, repo, branch string, files map[string]string, tags ...string) string {
	tb.Helper()
	up.Init(tb, repo)
	up.mu.Lock()
	at := time.Date(2024, 1, 1, up.ticks[repo], 0, 0, 0, time.UTC)
	up.ticks[repo]++
	up.mu.Unlock()
	tree := map[string][]byte{}
	for name, text := range files {
		tree[name] = []byte(text)
	}
	message := "change " + strings.Join(slices.Sorted(maps.Keys(files)), " ")
	if len(message) > 200 {
		message = message[:200]
	}
	commit, err := commitTree(up.Dir(repo), "refs/heads/"+branch, tree, at, message, tagIt(tags...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return commit
}

// Init makes an empty repository, if there is none.
func (up *Upstream) Init(tb testing.TB, repo string) {
	tb.Helper()
	if _, err := os.Stat(up.Dir(repo)); !errors.Is(err, os.ErrNotExist) {
		return
	}
	if err := initBare(up.Dir(repo)); err != nil {
		tb.Fatal(err)
	}
}

// Remove deletes a repository, as its owner might.
func (up *Upstream) Remove(tb testing.TB, repo string) {
	tb.Helper()
	if err := os.RemoveAll(up.Dir(repo)); err != nil {
		tb.Fatal(err)
	}
}

// Rev resolves a revision of a repository to a full hash.
func (up *Upstream) Rev(tb testing.TB, repo, rev string) string {
	tb.Helper()
	return Git(tb, up.Dir(repo), "rev-parse", "--verify", rev)
}

// Refs lists "hash name" of every ref, sorted by name.
func (up *Upstream) Refs(tb testing.TB, repo string) []string {
	tb.Helper()
	out := Git(tb, up.Dir(repo), "for-each-ref", "--format=%(objectname) %(refname)")
	if out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}

// MoveTag makes a lightweight tag, or moves it by force.
func (up *Upstream) MoveTag(tb testing.TB, repo, tag, rev string) {
	tb.Helper()
	Git(tb, up.Dir(repo), "update-ref", "refs/tags/"+tag, up.Rev(tb, repo, rev))
}

// AnnotateTag makes an annotated tag, or replaces it by force.
func (up *Upstream) AnnotateTag(tb testing.TB, repo, tag, rev string) {
	tb.Helper()
	Git(tb, up.Dir(repo), "tag", "--force", "--annotate", "--message="+tag, tag, rev)
}

// ForceBranch makes a branch, or moves it wherever it was.
func (up *Upstream) ForceBranch(tb testing.TB, repo, branch, rev string) {
	tb.Helper()
	Git(tb, up.Dir(repo), "update-ref", "refs/heads/"+branch, up.Rev(tb, repo, rev))
}

// DeleteRef deletes a ref by its full name.
func (up *Upstream) DeleteRef(tb testing.TB, repo, ref string) {
	tb.Helper()
	Git(tb, up.Dir(repo), "update-ref", "-d", ref)
}

// SetHead changes the default branch.
func (up *Upstream) SetHead(tb testing.TB, repo, branch string) {
	tb.Helper()
	Git(tb, up.Dir(repo), "symbolic-ref", "HEAD", "refs/heads/"+branch)
}

// Noise is n bytes that do not compress, the same for the same seed: content
// for packs that take a while.
func Noise(n int, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, seed))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		v := r.Uint64()
		b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
	}
	return string(b[:n])
}

// Import copies the bare repository in dir, which the test has made itself.
func (up *Upstream) Import(tb testing.TB, repo, dir string) {
	tb.Helper()
	if err := linkTree(dir, up.Dir(repo)); err != nil {
		tb.Fatal(err)
	}
}
