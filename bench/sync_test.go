//go:build unix

package bench_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// disk trusts the certificates in ca; empty = the system's.
func disk(b *testing.B, ca string) *git.Disk {
	b.Helper()
	d, err := git.Open(b.Context(), git.Disk{Root: b.TempDir(), AllowPrivate: true, CAFile: ca})
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

// BenchmarkSyncNothingNew looks whether an upstream has news when it has none:
// what a mirror does nearly always. The upstream is a mirror of ours behind
// https, and the connection stays.
func BenchmarkSyncNothingNew(b *testing.B) {
	for _, c := range []struct {
		name, repo string
		http2      bool
	}{{"58refs", narrow, false}, {"58refs-http2", narrow, true}, {"3000refs", wide, false}, {"3000refs-http2", wide, true}} {
		b.Run(c.name, func(b *testing.B) {
			repo := c.repo
			up := start(b, "ours", task{Root: b.TempDir(), TLS: true, HTTP2: c.http2, Mirrors: map[string]string{repo: upstream(b).URL(repo)}})
			url, home, ca := up.URL+"/"+repo, b.TempDir(), caFile(b, up)
			d, r := disk(b, ca), repoAt(b, url)
			if err := sync(b.Context(), d, r); err != nil {
				b.Fatal(err)
			}
			list, err := d.List(b.Context(), mirror.Remote{Upstream: r.Upstream})
			if err != nil {
				b.Fatal(err)
			}
			from := mirror.Remote{Upstream: r.Upstream, Known: list.Fingerprint}
			clone := filepath.Join(b.TempDir(), "clone.git")
			trust := []string{"-c", "http.sslCAInfo=" + ca}
			gitCommand(b, home, append(trust, "clone", "--quiet", "--mirror", url, clone)...)
			const each = 100 // checks for one git fetch: they are too short to be measured alone
			var us, fetch, lsRemote cost
			for b.Loop() {
				us.add(each, usedCPU, func() {
					for range each {
						got, err := d.List(b.Context(), from)
						if err != nil || got.Fingerprint != from.Known || len(got.Refs) > 0 || !got.Trip.Reused {
							b.Fatalf("List = %d refs, %+v, %v, want to hear that nothing changed on the same connection", len(got.Refs), got.Trip, err)
						}
					}
				})
				fetch.add(1, usedCPU, func() {
					gitCommand(b, home, append(trust, "-C", clone, "fetch", "--quiet", "--prune", "origin")...)
				})
				lsRemote.add(1, usedCPU, func() { gitCommand(b, home, append(trust, "ls-remote", "--quiet", url)...) })
			}
			quiet(b)
			b.ReportMetric(us.cpuMS(), "cpu-ms/op")
			b.ReportMetric(fetch.cpuMS()/us.cpuMS(), "git-fetch/ours")
			b.ReportMetric(lsRemote.cpuMS()/us.cpuMS(), "ls-remote/ours")
			b.ReportMetric(us.wallMS(), "ms/op")
		})
	}
}

// BenchmarkSyncOneCommit brings one new commit from an upstream with https: the
// listing, the pack, fsck, the look for rewound branches, and all of it durable,
// against git fetch, which checks and syncs less.
func BenchmarkSyncOneCommit(b *testing.B) {
	for _, c := range []struct{ name, repo string }{{"58refs", narrow}, {"3000refs", wide}} {
		b.Run(c.name, func(b *testing.B) {
			up := upstream(b)
			root := filepath.Dir(filepath.Dir(filepath.Dir(up.Dir(c.repo))))
			at := start(b, "peer", task{Root: root, TLS: true})
			url, home, ca := at.URL+"/"+c.repo, b.TempDir(), caFile(b, at)
			d, r := disk(b, ca), repoAt(b, url)
			if err := sync(b.Context(), d, r); err != nil {
				b.Fatal(err)
			}
			clone := filepath.Join(b.TempDir(), "clone.git")
			trust := []string{"-c", "http.sslCAInfo=" + ca}
			gitCommand(b, home, append(trust, "clone", "--quiet", "--mirror", url, clone)...)
			var us, fetch cost
			for n := 0; b.Loop(); n++ {
				grow(b, up, c.repo, n)
				us.add(1, usedCPU, func() {
					if err := follow(b.Context(), d, r); err != nil {
						b.Fatal(err)
					}
				})
				fetch.add(1, usedCPU, func() {
					gitCommand(b, home, append(trust, "-C", clone, "fetch", "--quiet", "--prune", "origin")...)
				})
			}
			quiet(b)
			b.ReportMetric(us.cpuMS(), "cpu-ms/op")
			b.ReportMetric(us.cpuMS()/fetch.cpuMS(), "cpu/git-fetch")
			b.ReportMetric(us.wallMS(), "ms/op")
			b.ReportMetric(us.wallMS()/fetch.wallMS(), "wall/git-fetch")
		})
	}
}

// grow adds a commit with a new file to the default branch.
func grow(b *testing.B, up *gittest.Upstream, repo string, n int) {
	b.Helper()
	cmd := exec.Command("git", "fast-import", "--quiet")
	text := fmt.Sprintf("package a\n\nconst N%d = %d\n", n, n)
	cmd.Dir, cmd.Env = up.Dir(repo), gittest.Env(b.TempDir())
	cmd.Stdin = strings.NewReader(fmt.Sprintf("commit refs/heads/main\ncommitter B <b@example.com> %d +0000\ndata 3\nnew\nfrom refs/heads/main^0\nM 100644 inline new/file%d.go\ndata %d\n%s\n",
		1_800_000_000+n*60, n%50, len(text), text))
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git fast-import: %v: %s", err, out)
	}
}

// follow is a sync of a mirror that exists: the moved branches, and no more.
func follow(ctx context.Context, disk *git.Disk, repo mirror.Repo) error {
	from := mirror.Remote{Upstream: repo.Upstream}
	list, err := disk.List(ctx, from)
	if err != nil {
		return err
	}
	have, err := disk.Refs(ctx, repo.ID)
	if err != nil {
		return err
	}
	var want []mirror.Ref
	var tx mirror.Transaction
	for _, ref := range list.Refs {
		if old, ok := have.Ref(ref.Name); !ok || old.Hash != ref.Hash {
			want = append(want, ref)
			tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: ref.Name, Old: old.Hash, New: ref.Hash})
		}
	}
	if len(want) != 1 {
		return fmt.Errorf("%d refs moved, want one", len(want))
	}
	in, err := disk.Fetch(ctx, repo.ID, from, want, func(mirror.Progress) {})
	if err != nil {
		return err
	}
	defer in.Discard()
	if rewound, err := in.Rewound(ctx, tx.Updates); err != nil || len(rewound) > 0 {
		return fmt.Errorf("rewound: %v, %w", rewound, err)
	}
	return in.Publish(ctx, tx)
}

// caFile is the certificate of a server with TLS as a file.
func caFile(b *testing.B, c *child) string {
	b.Helper()
	name := filepath.Join(b.TempDir(), "ca.pem")
	if err := os.WriteFile(name, c.CA, 0o644); err != nil {
		b.Fatal(err)
	}
	return name
}

// BenchmarkFirstClone mirrors a repository for the first time. Ours checks every
// object, as fetch.fsckObjects has it, and writes through to the disk; git clone
// does neither by default, so it runs with both, too, as a second peer.
func BenchmarkFirstClone(b *testing.B) {
	for _, repo := range []string{library, grown, wide} {
		b.Run(filepath.Base(repo), func(b *testing.B) {
			url, home := host(b)+"/"+repo, b.TempDir()
			d := disk(b, "")
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
