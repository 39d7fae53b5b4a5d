//go:build unix

package bench_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// host serves the upstream from a process of its own, whose work is nobody's here.
func host(b *testing.B) string {
	b.Helper()
	up := upstream(b)
	root := filepath.Dir(filepath.Dir(filepath.Dir(up.Dir(grown))))
	return start(b, "peer", task{Root: root}).URL
}

func disk(b *testing.B) *git.Disk {
	b.Helper()
	d, err := git.Open(b.Context(), git.Disk{Root: b.TempDir(), AllowPrivate: true})
	if err != nil {
		b.Fatal(err)
	}
	return d
}

func repoAt(b *testing.B, url string) mirror.Repo {
	b.Helper()
	up, _, err := mirror.ParseUpstream(url)
	if err != nil {
		b.Fatal(err)
	}
	return mirror.Repo{ID: mirror.NewID(), Upstream: up}
}

// gitCommand runs git with what it says thrown away.
func gitCommand(b *testing.B, home string, args ...string) {
	cmd := exec.Command("git", args...)
	cmd.Env = gittest.Env(home)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git %v: %v: %s", args, err, out)
	}
}

// BenchmarkNothingNew looks whether an upstream with 3,000 refs has news, when
// it has none: what a mirror does nearly always.
func BenchmarkNothingNew(b *testing.B) {
	for _, repo := range []string{library, wide} {
		b.Run(filepath.Base(repo), func(b *testing.B) {
			url, home := host(b)+"/"+repo, b.TempDir()
			d, r := disk(b), repoAt(b, url)
			if err := sync(b.Context(), d, r); err != nil {
				b.Fatal(err)
			}
			list, err := d.List(b.Context(), mirror.Remote{Upstream: r.Upstream})
			if err != nil {
				b.Fatal(err)
			}
			digest := list.Digest()
			clone := filepath.Join(b.TempDir(), "clone.git")
			gitCommand(b, home, "clone", "--quiet", "--mirror", url, clone)
			var us, fetch, lsRemote cost
			for b.Loop() {
				us.add(1, usedCPU, func() {
					list, err := d.List(b.Context(), mirror.Remote{Upstream: r.Upstream})
					if err != nil || list.Digest() != digest {
						b.Fatalf("List = other refs, %v, want the same", err)
					}
					if _, err := d.Refs(b.Context(), r.ID); err != nil { // as the syncer does
						b.Fatal(err)
					}
				})
				fetch.add(1, usedCPU, func() { gitCommand(b, home, "-C", clone, "fetch", "--quiet", "--prune", "origin") })
				lsRemote.add(1, usedCPU, func() { gitCommand(b, home, "ls-remote", "--quiet", url) })
			}
			quiet(b)
			b.ReportMetric(us.cpuMS(), "cpu-ms/op")
			b.ReportMetric(us.cpuMS()/fetch.cpuMS(), "cpu/git-fetch")
			b.ReportMetric(us.cpuMS()/lsRemote.cpuMS(), "cpu/ls-remote")
			b.ReportMetric(us.wallMS(), "ms/op")
			b.ReportMetric(us.wallMS()/fetch.wallMS(), "wall/git-fetch")
		})
	}
}

// BenchmarkFirstClone mirrors a repository for the first time. Ours checks every
// object, as fetch.fsckObjects has it, and writes through to the disk; git clone
// does neither by default, so it runs with both, too, as a second peer.
func BenchmarkFirstClone(b *testing.B) {
	for _, repo := range []string{library, grown, wide} {
		b.Run(filepath.Base(repo), func(b *testing.B) {
			url, home := host(b)+"/"+repo, b.TempDir()
			d := disk(b)
			var us, plain, careful cost
			for b.Loop() {
				r := repoAt(b, url)
				us.add(1, usedCPU, func() {
					if err := sync(b.Context(), d, r); err != nil {
						b.Fatal(err)
					}
				})
				if err := d.Remove(b.Context(), r.ID); err != nil {
					b.Fatal(err)
				}
				clone := filepath.Join(home, "clone.git")
				plain.add(1, usedCPU, func() { gitCommand(b, home, "clone", "--quiet", "--mirror", url, clone) })
				os.RemoveAll(clone)
				careful.add(1, usedCPU, func() {
					gitCommand(b, home, "-c", "transfer.fsckObjects=true", "-c", "core.fsync=committed,reference", "clone", "--quiet", "--mirror", url, clone)
				})
				os.RemoveAll(clone)
			}
			quiet(b)
			b.ReportMetric(us.cpuMS(), "cpu-ms/op")
			b.ReportMetric(us.cpuMS()/plain.cpuMS(), "cpu/git-clone")
			b.ReportMetric(us.cpuMS()/careful.cpuMS(), "cpu/git-clone-fsck")
			b.ReportMetric(us.wallMS(), "ms/op")
			b.ReportMetric(us.wallMS()/plain.wallMS(), "wall/git-clone")
			b.ReportMetric(us.wallMS()/careful.wallMS(), "wall/git-clone-fsck")
		})
	}
}
