//go:build unix

package bench_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// The repositories of the serving table. small is like those most people clone;
// pulls is the same with many pull requests, whose objects are most of it; large
// is some tens of megabytes.
var (
	small = history{name: "small", module: "github.com/prometheus/prometheus", versions: versions("v0.%d.0", 40, 50)}
	pulls = history{name: "pulls", module: "github.com/prometheus/prometheus", versions: versions("v0.%d.0", 40, 50), pulls: 2000}
	large = history{name: "large", module: "k8s.io/kubernetes", versions: versions("v1.%d.0", 20, 27)}
)

func versions(format string, from, to int) (list []string) {
	for n := from; n <= to; n++ {
		list = append(list, fmt.Sprintf(format, n))
	}
	return list
}

// tableVar is the file that the table is written to; empty = standard output.
const tableVar = "GITMIRROR_BENCH_TABLE"

// BenchmarkServingTable measures what docs/serving-bench.md shows: the program
// itself beside git http-backend behind nginx and fcgiwrap, and OpenSSH, in
// turns. BENCH_ROUNDS is how many; 5 unless told.
func BenchmarkServingTable(b *testing.B) {
	for b.Loop() {
		s := newServing(b)
		s.clones(b, "small", []string{"http-backend"}, goal{6, 25})
		s.clones(b, "pulls", []string{"http-backend", "http-backend, islands"}, goal{30, 80}, goal{4, 18})
		s.clones(b, "large", []string{"http-backend"}, goal{6, 25})
		s.overSSH(b, "small")
		s.overSSH(b, "pulls")
		s.coldHerd(b, "small")
		s.coldHerd(b, "pulls")
		s.oneDay(b)
		s.lists(b)
		s.restart(b) // what listing 50,000 refs took is no part of it
		s.memory(b, "small")
		s.memory(b, "pulls")
		s.memory(b, "large")
		s.print(b)
	}
	quiet(b)
}

// goal is what must be reached: so many times the throughput, this fraction of
// the CPU time. Zero = none.
type goal struct{ throughput, cpu float64 }

// serving is the table while it is made.
type serving struct {
	rounds       int
	house        *house
	peers        *peers
	files        *child
	filesRoot    string
	repos        map[string]string // name → bare repository of upstream
	lines        []string
	ours, sshUs  *contender
	peer, sshAre *contender
	limit        *contender
	answer       map[string]int64 // bytes of a clone's pack
	warm         map[string]float64
}

func newServing(b *testing.B) *serving {
	b.Helper()
	s := &serving{rounds: 5, repos: map[string]string{}, answer: map[string]int64{}, warm: map[string]float64{}}
	if n, err := strconv.Atoi(os.Getenv("BENCH_ROUNDS")); err == nil && n > 0 {
		s.rounds = n
	}
	up := gittest.NewUpstream(b)
	for n, name := range map[int]string{3000: "refs3k", 50000: "refs50k"} {
		generate(b, up, "bench.test/"+name, breadth(n))
		s.repos[name] = up.Dir("bench.test/" + name)
	}
	s.repos["small"], s.repos["pulls"], s.repos["large"] = small.at(b), pulls.at(b), large.at(b)
	root := b.TempDir()
	s.filesRoot = b.TempDir()
	s.peers = startPeers(b, root)
	mirrors := map[string]string{}
	for name, dir := range s.repos {
		mirrors["bench.test/acme/"+name] = s.peers.http + "/" + name + ".git"
		prepare(b, dir, filepath.Join(root, name+".git"), "-adbq")
	}
	prepare(b, s.repos["pulls"], filepath.Join(root, "pulls-islands.git"), "-adbqi")
	s.house = newHouse(b, mirrors)
	s.files = start(b, "files", task{Root: s.filesRoot})
	s.enter(b)
	return s
}

// prepare makes a peer's copy as its friends would: in one pack, with a bitmap
// and a commit graph.
func prepare(b *testing.B, from, to, how string) {
	b.Helper()
	gittest.Git(b, "", "clone", "--quiet", "--mirror", from, to)
	gittest.Git(b, to, "-c", "pack.island=refs/heads/", "-c", "pack.island=refs/tags/", "repack", how)
	gittest.Git(b, to, "commit-graph", "write", "--reachable")
	gittest.Git(b, to, "pack-refs", "--all")
}

// enter makes the contenders and compares what real git gets from them.
func (s *serving) enter(b *testing.B) {
	b.Helper()
	us, web, sshd := s.house.group, s.peers.httpGroup, s.peers.sshGroup
	s.ours = &contender{name: "gitmirror", times: 4, cpu: us.cpu, anonymous: us.anonymous, settle: func() { us.settle(1) },
		at: func(repo string) *puller { return &puller{url: s.house.url("bench.test/acme/" + repo)} }}
	s.peer = &contender{name: "http-backend", cpu: web.cpu, anonymous: web.anonymous, settle: func() { web.settle(s.peers.httpIdle) },
		at: func(repo string) *puller { return &puller{url: s.peers.http + "/" + repo + ".git"} }}
	ssh := *s.ours
	ssh.name, ssh.at = "gitmirror, ssh", func(repo string) *puller {
		return &puller{url: "/bench.test/acme/" + repo, ssh: s.house.clientKey, addr: s.house.ssh}
	}
	s.sshUs = &ssh
	s.sshAre = &contender{name: "OpenSSH", cpu: sshd.cpu, anonymous: sshd.anonymous, settle: func() { sshd.settle(1) },
		at: func(repo string) *puller {
			return &puller{url: filepath.Join(s.peers.root, repo+".git"), ssh: s.peers.clientKey, addr: s.peers.ssh}
		}}
	s.limit = &contender{name: "a file", times: 4, cpu: s.files.cpu, at: func(repo string) *puller { return &puller{url: s.files.URL + "/" + repo} }}
	for _, repo := range []string{"small", "pulls", "large"} {
		want := gittest.Git(b, "", "ls-remote", s.repos[repo], "HEAD", "refs/heads/*", "refs/tags/*")
		for _, c := range []*contender{s.ours, s.peer} {
			clone := filepath.Join(b.TempDir(), "clone.git")
			gittest.Git(b, "", "clone", "--quiet", "--bare", c.at(repo).url, clone)
			gittest.Git(b, clone, "fsck", "--connectivity-only")
			if got := gittest.Git(b, "", "ls-remote", clone, "HEAD", "refs/heads/*", "refs/tags/*"); got != want {
				b.Fatalf("a clone of %s from %s has other refs than upstream", repo, c.name)
			}
		}
		got, err := s.ours.at(repo).clone(nil)
		if err != nil {
			b.Fatal(err)
		}
		s.answer[repo] = got.bytes
		if err := os.WriteFile(filepath.Join(s.filesRoot, repo), make([]byte, got.bytes), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// as is a contender under another name, on a repository of another name.
func (c *contender) as(name, suffix string) *contender {
	other := *c
	other.name, other.at = name, func(repo string) *puller { return c.at(repo + suffix) }
	return &other
}

func cloneAll(p *puller, _ int) (pulled, error) { return p.clone(nil) }

func (s *serving) clones(b *testing.B, repo string, against []string, goals ...goal) {
	all := []*contender{s.ours}
	for _, name := range against {
		suffix := ""
		if strings.HasSuffix(name, "islands") {
			suffix = "-islands"
		}
		all = append(all, s.peer.as(name, suffix))
	}
	all = append(all, s.limit)
	totals := contest(b, s.rounds, 16, repo, all, func(p *puller, turn int) (pulled, error) {
		if strings.HasPrefix(p.url, s.files.URL) {
			return p.file()
		}
		return p.clone(nil)
	})
	us := totals[s.ours.name]
	s.warm[repo] = us.cpuMS()
	for i, name := range against {
		s.line(fmt.Sprintf("16 clones at once, %s (%.1f MB)", repo, float64(s.answer[repo])/1e6), us, name, totals[name], goals[i])
	}
	file := totals[s.limit.name]
	s.add("the same, against sending a file", us, "a file", file, fmt.Sprintf("%.2f× the CPU", us.cpuMS()/file.cpuMS()), "≤ 2× the CPU")
}

func (s *serving) overSSH(b *testing.B, repo string) {
	totals := contest(b, s.rounds, 16, repo, []*contender{s.sshUs, s.sshAre}, cloneAll)
	s.line("16 clones at once over SSH (AES-GCM), "+repo, totals[s.sshUs.name], "OpenSSH", totals["OpenSSH"], goal{4, 18})
}

// coldHerd are 16 clones of what nobody has cloned so far: each turn leaves out
// another ref, so that no answer is known.
func (s *serving) coldHerd(b *testing.B, repo string) {
	uncommon := func(offset int) deed {
		return func(p *puller, turn int) (pulled, error) {
			return p.clone(func(all []string) []string {
				skip := 1 + (offset+turn)%(len(all)-1)
				return append(append([]string(nil), all[:skip]...), all[skip+1:]...)
			})
		}
	}
	one, herd := *s.ours, *s.ours
	one.times, herd.times = 1, 1
	var alone, together total
	rounds := min(s.rounds, 5)
	for round := range rounds {
		one.turn(b, &alone, 1, repo, round, uncommon(0))
		herd.turn(b, &together, 16, repo, round, uncommon(rounds))
	}
	generation := alone.cpuMS()
	herdMS := together.cpuMS() * 16
	ratio := herdMS / (generation + 16*s.warm[repo])
	median, worst := together.firstMS()
	s.lines = append(s.lines, fmt.Sprintf("| cold herd of 16, %s | %.0f ms CPU in all, first byte after %.2f s (worst %.2f s) | one generation %.0f ms + 16 sends of %.1f ms | %.2f× | ≤ 1.5×, ≤ 0.3 s |",
		repo, herdMS, median/1000, worst/1000, generation, s.warm[repo], ratio))
}

// oneDay is a fetch by 16 clients who all have the same old commits.
func (s *serving) oneDay(b *testing.B) {
	for _, repo := range []string{"small", "pulls", "large"} {
		haves := strings.Fields(gittest.Git(b, s.repos[repo], "rev-list", "--first-parent", "--max-count=16", "refs/heads/main~19"))
		totals := contest(b, s.rounds, 16, repo, []*contender{s.ours, s.peer}, func(p *puller, _ int) (pulled, error) { return p.fetch(haves) })
		s.line("16 fetches of 19 commits, "+repo, totals[s.ours.name], "http-backend", totals[s.peer.name], goal{15, 40})
	}
}

func (s *serving) lists(b *testing.B) {
	for _, repo := range []string{"refs3k", "refs50k"} {
		for _, prefixes := range []string{listAll, listClone} {
			what := "all"
			if prefixes != listAll {
				what = "as a clone"
			}
			totals := contest(b, s.rounds*4, 1, repo, []*contender{s.ours, s.peer}, func(p *puller, _ int) (pulled, error) {
				list, err := p.list(prefixes)
				return pulled{bytes: int64(len(list))}, err
			})
			s.line("ls-refs of "+repo+", "+what, totals[s.ours.name], "http-backend", totals[s.peer.name], goal{0, 12})
		}
	}
}

// restart has the server begin anew, with what it keeps on disk.
func (s *serving) restart(b *testing.B) {
	b.Helper()
	s.house.stop(b)
	s.house.start(b)
}

func (s *serving) memory(b *testing.B, repo string) {
	us, they := peak(b, s.ours, 16, repo, cloneAll), peak(b, s.peer, 16, repo, cloneAll)
	s.lines = append(s.lines, fmt.Sprintf("| memory of its own, 16 clones, %s | %.0f MB | http-backend: %.0f MB | 1/%.1f | ≤ 30 MB |",
		repo, float64(us)/1e6, float64(they)/1e6, float64(they)/float64(us)))
}

func (s *serving) line(what string, us *total, name string, they *total, g goal) {
	more, less := us.perSecond()/they.perSecond(), they.cpuMS()/us.cpuMS()
	want := fmt.Sprintf("≥ %.0f×, ≤ 1/%.0f", g.throughput, g.cpu)
	if g.throughput == 0 {
		want = fmt.Sprintf("≤ 1/%.0f CPU", g.cpu)
	}
	s.add(what, us, name, they, fmt.Sprintf("%.1f× throughput, 1/%.1f CPU", more, less), want)
}

func (s *serving) add(what string, us *total, name string, they *total, ratio, want string) {
	side := func(t *total) string {
		text := fmt.Sprintf("%.1f/s, %.2f ms CPU", t.perSecond(), t.cpuMS())
		if median, _ := t.firstMS(); median > 0 {
			text += fmt.Sprintf(", first byte %.0f ms", median)
		}
		return text
	}
	s.lines = append(s.lines, fmt.Sprintf("| %s | %s | %s: %s | %s | %s |", what, side(us), name, side(they), ratio, want))
}

func (s *serving) print(b *testing.B) {
	printTable(b, s.lines, fmt.Sprintf("%d turns each, %s; git %s.", s.rounds, time.Now().UTC().Format(time.DateOnly),
		strings.TrimPrefix(gittest.Git(b, "", "version"), "git version ")))
}

// printTable writes lines as a table, and below it how they came about.
func printTable(b *testing.B, lines []string, how string) {
	text := "| what | gitmirror | peer | ratio | must reach |\n|---|---|---|---|---|\n" + strings.Join(lines, "\n") + "\n\n" + how + "\n"
	name := os.Getenv(tableVar)
	if name == "" {
		fmt.Print("\n" + text)
		return
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}
