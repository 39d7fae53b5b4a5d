//go:build unix

package bench_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// servers are both sides on the very same repository.
func servers(b *testing.B, repo string) (ours, peer *child, ourURL, peerURL string) {
	b.Helper()
	up := upstream(b)
	root := b.TempDir()
	ours = start(b, "ours", task{Root: root, Mirrors: map[string]string{repo: up.URL(repo)}})
	dir := ours.Dirs[repo]
	peer = start(b, "peer", task{Root: filepath.Dir(dir)})
	ourURL, peerURL = ours.URL+"/"+repo, peer.URL+"/"+filepath.Base(dir)
	want := gittest.Git(b, "", "ls-remote", up.URL(repo), "refs/heads/*", "refs/tags/*")
	for _, url := range []string{ourURL, peerURL} { // both give what upstream has
		clone := filepath.Join(b.TempDir(), "clone.git")
		gittest.Git(b, "", "clone", "--quiet", "--mirror", url, clone)
		gittest.Git(b, clone, "fsck", "--connectivity-only")
		if got := gittest.Git(b, "", "ls-remote", clone, "refs/heads/*", "refs/tags/*"); got != want {
			b.Fatalf("ls-remote of a clone of %s = %d refs, want those %d of upstream", url, strings.Count(got, "\n"), strings.Count(want, "\n"))
		}
	}
	return ours, peer, ourURL, peerURL
}

// BenchmarkClone is a full clone over smart HTTP, without the client's work.
func BenchmarkClone(b *testing.B) {
	for _, repo := range []string{library, grown} {
		for _, parallel := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", filepath.Base(repo), parallel), func(b *testing.B) {
				clone := func(c *client) error { _, err := c.clone(); return err }
				compare(b, repo, parallel, "clones/s", clone)
			})
		}
	}
}

// BenchmarkShallowClone is a fetch of one tag by who has nothing.
func BenchmarkShallowClone(b *testing.B) {
	compare(b, grown, 1, "clones/s", func(c *client) error { return c.shallow("v0.15.0") })
}

// BenchmarkListRefs is the ls-refs of a client of a repository with 3,000 refs.
func BenchmarkListRefs(b *testing.B) {
	compare(b, wide, 1, "lists/s", func(c *client) error { _, err := c.listRefs(); return err })
}

// BenchmarkAdvertise is the first request of every conversation.
func BenchmarkAdvertise(b *testing.B) {
	compare(b, wide, 1, "asks/s", func(c *client) error { _, err := c.ask("/info/refs?service=git-upload-pack", ""); return err })
}

func compare(b *testing.B, repo string, parallel int, unit string, do func(*client) error) {
	ours, peer, ourURL, peerURL := servers(b, repo)
	crowd := func(url string) (all []*client) {
		for range parallel {
			all = append(all, newClient(url))
		}
		return all
	}
	ourClients, peerClients := crowd(ourURL), crowd(peerURL)
	together(b, ourClients, do) // connections are there, files in memory
	together(b, peerClients, do)
	var us, them cost
	for b.Loop() {
		us.add(parallel, ours.cpu, func() { together(b, ourClients, do) })
		them.add(parallel, peer.cpu, func() { together(b, peerClients, do) })
	}
	quiet(b)
	b.ReportMetric(us.perSecond(), unit)
	b.ReportMetric(us.perSecond()/them.perSecond(), "×http-backend")
	b.ReportMetric(us.cpuMS(), "server-cpu-ms/op")
	b.ReportMetric(them.cpuMS(), "http-backend-cpu-ms/op")
	b.ReportMetric(us.cpuMS()/them.cpuMS(), "cpu-ratio")
}
