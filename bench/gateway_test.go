//go:build unix

package bench_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// farAway is the round trip to the far module proxy of the table.
const farAway = 80 * time.Millisecond

// The files of the table, out of bench/testdata/gateway: small, large, and of
// some megabytes.
var (
	tinyModule  = gittest.Module{Path: "github.com/gin-gonic/gin", Version: "v1.10.0"}
	smallModule = gittest.Module{Path: "github.com/opencontainers/selinux", Version: "v1.11.0"} // 48 KB
	largeModule = gittest.Module{Path: "golang.org/x/text", Version: "v0.16.0"}                 // 9.2 MB
	herdModule  = gittest.Module{Path: "k8s.io/kubectl", Version: "v0.29.10"}                   // 3.6 MB
	gitModule   = gittest.Module{Path: "github.com/containerd/containerd", Version: "v1.7.22"}  // 8.1 MB unpacked
)

// BenchmarkGatewayTable measures what docs/modules-bench.md shows: the program
// itself as module proxy beside nginx with the same files, and beside no module
// proxy between the go command and the one it asks. BENCH_ROUNDS is how many
// turns, 5 unless told; BENCH_ROWS names the rows to measure, all unless told.
func BenchmarkGatewayTable(b *testing.B) {
	rows := []struct {
		name    string
		measure func(*gatewayTable, *testing.B)
	}{
		{"cold", (*gatewayTable).cold}, {"far", (*gatewayTable).far}, {"warm", (*gatewayTable).warm}, {"hits", (*gatewayTable).hits},
		{"git", (*gatewayTable).fromGit}, {"misses", (*gatewayTable).amidMisses}, {"herd", (*gatewayTable).herd},
	}
	only := strings.Fields(os.Getenv("BENCH_ROWS"))
	for b.Loop() {
		g := newGatewayTable(b)
		for _, row := range rows {
			if len(only) == 0 || slices.Contains(only, row.name) {
				row.measure(g, b)
			}
		}
		printTable(b, g.lines, fmt.Sprintf("%d turns each, %s; %s.", g.rounds, time.Now().UTC().Format(time.DateOnly), g.project))
	}
	quiet(b)
}

// gatewayTable is the table while it is made.
type gatewayTable struct {
	rounds  int
	project string // in words
	root    string // the files of the module proxy: a download directory
	host    *child
	nginx   *nginx
	house   *house
	lines   []string
}

func newGatewayTable(b *testing.B) *gatewayTable {
	b.Helper()
	g := &gatewayTable{rounds: 5}
	if n, err := strconv.Atoi(os.Getenv("BENCH_ROUNDS")); err == nil && n > 0 {
		g.rounds = n
	}
	g.root, g.project = projectModules(b)
	g.host = start(b, "modules", task{Root: g.root})
	g.nginx = startNginx(b, g.root)
	g.house = openHouse(b, "--modules-proxies", g.host.URL, "--modules-sumdb", "off")
	return g
}

// renew has the gateway begin with nothing.
func (g *gatewayTable) renew(b *testing.B) {
	b.Helper()
	g.house.stop(b)
	if err := os.RemoveAll(filepath.Join(g.house.data, "modules")); err != nil {
		b.Fatal(err)
	}
	g.house.start(b)
}

func (g *gatewayTable) proxy() string { return "http://" + g.house.http + "/proxy" }

func (g *gatewayTable) add(what, ours, theirs, ratio, want string) {
	g.lines = append(g.lines, fmt.Sprintf("| %s | %s | %s | %s | %s |", what, ours, theirs, ratio, want))
	fmt.Fprintln(os.Stderr, g.lines[len(g.lines)-1])
}

// cold is a project downloaded through an empty gateway.
func (g *gatewayTable) cold(b *testing.B) {
	g.empty(b, 0, "cold, the module proxy near", "≤ 1.05× wall, ≤ 1.02× bytes")
}

// far is the same while the module proxy is far away.
func (g *gatewayTable) far(b *testing.B) {
	g.empty(b, farAway, "cold, the module proxy 80 ms away", "≤ 0.85× wall, ≤ 1.02× bytes")
}

func (g *gatewayTable) empty(b *testing.B, delay time.Duration, what, want string) {
	b.Helper()
	defer g.host.far(b, 0, 0)
	var direct, through, ratios, cpus []float64
	var without, with sentModules
	for range g.rounds {
		g.host.far(b, delay, 0)
		before := g.host.sent(b)
		d := goDownload(b, g.host.URL)
		without = g.host.sent(b).minus(before)
		g.host.far(b, 0, 0)
		g.renew(b)
		g.host.far(b, delay, 0)
		before, used := g.host.sent(b), g.house.group.cpu()
		t := goDownload(b, g.proxy())
		with = g.host.sent(b).minus(before)
		cpus = append(cpus, (g.house.group.cpu() - used).Seconds())
		direct, through, ratios = append(direct, d.Seconds()), append(through, t.Seconds()), append(ratios, t.Seconds()/d.Seconds())
	}
	g.add(what, fmt.Sprintf("%.1f s, %d questions, %.1f MB, %.1f s CPU", median(through), with.Requests, mb(with.Bytes), median(cpus)),
		fmt.Sprintf("no gateway: %.1f s, %d questions, %.1f MB", median(direct), without.Requests, mb(without.Bytes)),
		fmt.Sprintf("%.2f× wall, %.3f× bytes", median(ratios), float64(with.Bytes)/float64(without.Bytes)), want)
}

// warm is a project downloaded through a gateway that has everything.
func (g *gatewayTable) warm(b *testing.B) {
	goDownload(b, g.proxy())
	before := g.host.sent(b)
	var ours, theirs, ratios []float64
	for range g.rounds {
		n, o := goDownload(b, g.nginx.url), goDownload(b, g.proxy())
		ours, theirs, ratios = append(ours, o.Seconds()), append(theirs, n.Seconds()), append(ratios, o.Seconds()/n.Seconds())
	}
	if asked := g.host.sent(b).minus(before); asked.Requests > 0 {
		b.Errorf("a warm gateway asked the module proxy %d times, want 0", asked.Requests)
	}
	g.add("warm", fmt.Sprintf("%.1f s", median(ours)), fmt.Sprintf("nginx: %.1f s", median(theirs)), fmt.Sprintf("%.2f×", median(ratios)), "≤ 1.1×")
}

// hits are files that are kept, asked for over 32 connections.
func (g *gatewayTable) hits(b *testing.B) {
	for _, c := range []struct {
		what, file, want string
	}{
		{"cached `.info`", moduleFile(tinyModule.Path, tinyModule.Version, "info"), "≥ 0.65×, ≤ 15 µs"},
		{"cached `.mod`", moduleFile(tinyModule.Path, tinyModule.Version, "mod"), "≥ 0.65×, ≤ 15 µs"},
		{"cached `.zip` of 48 KB", moduleFile(smallModule.Path, smallModule.Version, "zip"), "≥ 0.5×"},
		{"cached `.zip` of 9.2 MB", moduleFile(largeModule.Path, largeModule.Version, "zip"), "≥ 0.95×"},
	} {
		g.hit(b, c.what, []string{c.file}, c.want)
	}
	small := g.files(b, "info", "mod")
	g.hit(b, fmt.Sprintf("%d cached `.info` and `.mod`, any of them", len(small)), small, "")
}

// hit is a row of hits: any of files, one after the other.
func (g *gatewayTable) hit(b *testing.B, what string, files []string, want string) {
	b.Helper()
	theirURL, ourURL := g.nginx.url, g.proxy()
	for _, url := range []string{theirURL, ourURL} { // files are in memory
		for _, file := range files {
			fetch(b, url+"/"+file, nil)
		}
		wrk(b, url, files)
	}
	var ours, theirs, ratios, ourCPU, theirCPU []float64
	for range g.rounds {
		used := g.nginx.group.cpu()
		n := wrk(b, theirURL, files)
		theirCPU = append(theirCPU, n.each(g.nginx.group.cpu()-used))
		used = g.house.group.cpu()
		o := wrk(b, ourURL, files)
		ourCPU = append(ourCPU, o.each(g.house.group.cpu()-used))
		ours, theirs, ratios = append(ours, o.perSecond), append(theirs, n.perSecond), append(ratios, o.perSecond/n.perSecond)
	}
	g.add(what+", 32 connections", fmt.Sprintf("%.0f/s, %.1f µs CPU", median(ours), slices.Min(ourCPU)),
		fmt.Sprintf("nginx: %.0f/s, %.1f µs CPU", median(theirs), slices.Min(theirCPU)),
		fmt.Sprintf("%.2f× the requests, %.2f× the CPU", median(ratios), slices.Min(ourCPU)/slices.Min(theirCPU)), want)
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2]
}
