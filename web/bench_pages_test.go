package web_test

import (
	"compress/gzip"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Sizes of what BenchmarkPages seeds.
const (
	benchMirrors  = 10_000
	benchModules  = 10_000 // of ten versions each
	benchDeeds    = 100_000
	benchUsers    = 1_000
	maxPageTime   = 100 * time.Millisecond
	maxFirstBytes = 100_000 // of a page with its style and scripts, as sent
)

// BenchmarkPages is how long the server takes for every page of the console, and
// how large it is, with 10,000 mirrors. It fails for a page that takes more than
// 100 ms in the median, or more than 100 KB with its style and scripts, as sent.
// GITMIRROR_BENCH_TABLE names a file that gets the table.
func BenchmarkPages(b *testing.B) {
	site := newConsoleSite(b)
	all := site.seedAll(b)
	site.multiply(b)
	for i := range 2_000 {
		serve(&site.served, mirror.Repo{ID: mirror.ID(fmt.Sprintf("c000000000000%07x", i)), Path: mirror.Path(fmt.Sprintf("github.com/team/repo-%d", i))})
	}
	v := site.benchVisitor(b)
	static := v.weigh(b, "/mirrors")
	var table strings.Builder
	fmt.Fprintf(&table, "| page | p50 | p95 | as sent | with style and scripts |\n|---|--:|--:|--:|--:|\n")
	pages := append(consolePages(all),
		consolePage{name: "users", path: "/users"}, consolePage{name: "users, search", path: "/users?q=user-99"}, consolePage{name: "second factor", path: "/account/second-factor"}, consolePage{name: "mirrors by size", path: "/mirrors?sort=size"}, consolePage{name: "mirrors by age, page 101", path: "/mirrors?sort=age&from=5000"},
		consolePage{name: "mirrors, search", path: "/mirrors?q=repo-04"}, consolePage{name: "mirrors that fail", path: "/mirrors?status=failed"},
		consolePage{name: "modules by name", path: "/modules?sort=path"}, consolePage{name: "modules, search", path: "/modules?q=lib-04"},
		consolePage{name: "audit of a person", path: "/audit?actor=ada"}, consolePage{name: "audit of an object", path: "/audit?object=acme"})
	for _, p := range pages {
		if p.prepare != nil {
			continue // the same page, after something was done
		}
		b.Run(strings.ReplaceAll(p.name, " ", "-"), func(b *testing.B) {
			const rounds = 20
			var took []time.Duration
			sent := 0
			for b.Loop() {
				took = took[:0]
				for range rounds {
					begin := time.Now()
					sent = v.fetch(b, p.path)
					took = append(took, time.Since(begin))
				}
			}
			slices.Sort(took)
			p50, p95 := took[rounds/2], took[rounds*95/100]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(p50.Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(p95.Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64(sent), "B/page")
			fmt.Fprintf(&table, "| %s | %.1f ms | %.1f ms | %.1f KB | %.1f KB |\n", p.name, ms(p50), ms(p95), float64(sent)/1000, float64(sent+static)/1000)
			if p50 > maxPageTime {
				b.Errorf("%s takes %s, want at most %s", p.path, p50, maxPageTime)
			}
			if sent+static > maxFirstBytes {
				b.Errorf("%s is %d bytes as sent, with style and scripts, want at most %d", p.path, sent+static, maxFirstBytes)
			}
		})
	}
	if file := os.Getenv("GITMIRROR_BENCH_TABLE"); file != "" {
		if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// benchVisitor is an administrator who takes pages packed, as browsers do.
type benchVisitor struct {
	client *http.Client
	url    string
}

func (s *consoleSite) benchVisitor(b *testing.B) *benchVisitor {
	b.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	v := &visitor{t: b, site: s, client: &http.Client{Jar: jar, Timeout: 2 * time.Minute}}
	v.post("/login", "name", "admin", "password", adminPassword).wants(b, http.StatusOK)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // what is sent is counted
	b.Cleanup(transport.CloseIdleConnections)
	return &benchVisitor{&http.Client{Jar: jar, Timeout: 2 * time.Minute, Transport: transport}, s.url}
}

// get returns what was sent.
func (v *benchVisitor) get(b *testing.B, path string) (sent []byte, packed bool) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, v.url+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Accept-Encoding", "gzip, deflate, br")
	resp, err := v.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	sent, err = io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusInternalServerError {
		b.Fatalf("GET %s = %d, %v", path, resp.StatusCode, err)
	}
	return sent, resp.Header.Get("Content-Encoding") == "gzip"
}

func (v *benchVisitor) fetch(b *testing.B, path string) int {
	b.Helper()
	sent, _ := v.get(b, path)
	return len(sent)
}

// weigh is the bytes of all files a page names, as sent.
func (v *benchVisitor) weigh(b *testing.B, path string) int {
	b.Helper()
	sent, packed := v.get(b, path)
	page := string(sent)
	if packed {
		r, err := gzip.NewReader(strings.NewReader(page))
		if err != nil {
			b.Fatal(err)
		}
		plain, err := io.ReadAll(r)
		if err != nil {
			b.Fatal(err)
		}
		page = string(plain)
	}
	sum := 0
	for _, f := range regexp.MustCompile(`(?:href|src)="(/static/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		sum += v.fetch(b, f[1])
	}
	return sum
}

// multiply copies what seedAll has left until the server is large. It writes
// tables directly, because the queue would take hours for as many syncs.
func (s *consoleSite) multiply(b *testing.B) {
	b.Helper()
	db, err := sql.Open("sqlite", s.file+"?_pragma=busy_timeout(60000)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	// numbered is the rows 0…n-1 beside those of a table.
	copies := func(table, from string, n int, set map[string]string) {
		b.Helper()
		rows, err := db.QueryContext(b.Context(), "SELECT name FROM pragma_table_info('"+table+"')")
		if err != nil {
			b.Fatal(err)
		}
		var names, values []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				b.Fatal(err)
			}
			value, ok := set[name]
			if !ok {
				value = `t."` + name + `"`
			}
			if value != "" {
				names, values = append(names, `"`+name+`"`), append(values, value)
			}
		}
		if err := rows.Err(); err != nil || len(names) == 0 {
			b.Fatalf("columns of %s: %v", table, err)
		}
		statement := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO %s (%s) SELECT %s FROM %s",
			n-1, table, strings.Join(names, ", "), strings.Join(values, ", "), from)
		if _, err := db.ExecContext(b.Context(), statement); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
	seeded := "(SELECT *, row_number() OVER (ORDER BY id) AS k FROM repos WHERE id NOT LIKE 'c0000000%') t"
	path := `'github.com/team-' || (n.i % 97) || '/repo-' || printf('%05d', n.i * 16 + t.k)`
	copies("repos", "n, "+seeded, benchMirrors/11, map[string]string{
		"id": `'c000000000000' || printf('%07x', n.i * 16 + t.k)`, "path": path, "path_key": path,
		"lease_owner": "''", "lease_run": "0", "lease_until": "NULL", "lease_token": "0",
		"last_success": "CASE WHEN t.last_success IS NULL THEN NULL ELSE t.last_success - (n.i % 600) * 1000000 END", "bytes": "t.bytes + n.i * 977",
	})
	every := "(SELECT id AS copy, path AS copied, row_number() OVER (ORDER BY id) AS k FROM repos WHERE id LIKE 'c0000000%') r"
	copies("runs", every+", (SELECT * FROM runs ORDER BY id LIMIT 5) t", 1, map[string]string{"id": "", "repo_id": "r.copy", "started": "t.started + r.k * 1000000", "ended": "t.ended + r.k * 1000000"})
	copies("events", every+", (SELECT * FROM events ORDER BY id LIMIT 2) t", 1, map[string]string{"id": "", "repo_id": "r.copy"})
	copies("holds", "(SELECT * FROM "+every+" WHERE r.k % 40 = 0) r, (SELECT * FROM holds ORDER BY id LIMIT 1) t", 1, map[string]string{"id": "", "repo_id": "r.copy"})
	copies("holds", "(SELECT * FROM "+every+" WHERE r.k % 20 = 0) r, (SELECT * FROM holds ORDER BY id LIMIT 1) t", 1,
		map[string]string{"id": "", "repo_id": "r.copy", "decision": "'keep'", "decided_by": "'admin'", "decided": "t.opened", "settled": "t.opened", "reason": "'ours'"})
	copies("alerts", every+", (SELECT * FROM alerts ORDER BY rule LIMIT 1) t", 1, map[string]string{"subject": "'mirror ' || r.copied"})
	copies("aliases", "(SELECT * FROM "+every+" WHERE r.k % 10 = 0) r, (SELECT * FROM aliases LIMIT 1) t", 1, map[string]string{"prefix": "'go.example.com/m' || r.k", "repo": "r.copied", "repo_key": "r.copied"})
	copies("modules", "n, (SELECT * FROM modules LIMIT 1) t", benchModules, map[string]string{"path": "'example.org/team/lib-' || printf('%05d', n.i)", "versions": "10", "downloads": "t.downloads + n.i % 977", "last_used": "t.last_used - n.i * 1000000"})
	copies("module_versions", "n, (SELECT * FROM module_versions LIMIT 1) t", 10*benchModules, map[string]string{"module": "'example.org/team/lib-' || printf('%05d', n.i / 10)", "version": "'v1.' || (n.i % 10) || '.0'"})
	copies("module_versions", "n, (SELECT * FROM module_versions WHERE module = 'github.com/spf13/pflag' LIMIT 1) t", 2_000, map[string]string{"version": "'v2.' || n.i || '.0'"})
	copies("module_days", "n, (SELECT * FROM module_days LIMIT 1) t", 10*benchModules, map[string]string{"module": "'example.org/team/lib-' || printf('%05d', n.i / 10)", "day": "t.day - n.i % 10"})
	copies("module_refusals", "n, (SELECT * FROM module_refusals WHERE kind = 'denied' LIMIT 1) t", 10_000, map[string]string{"id": "", "module": "'example.org/denied/lib-' || n.i"})
	copies("users", "n, (SELECT * FROM users WHERE name = 'ada') t", benchUsers, map[string]string{"id": "'c100000000000' || printf('%07x', n.i)", "name": "'user-' || n.i", "name_key": "'user-' || n.i"})
	copies("tokens", "n, (SELECT * FROM tokens LIMIT 1) t", benchUsers, map[string]string{"id": "'c200000000000' || printf('%07x', n.i)", "user_id": "'c100000000000' || printf('%07x', n.i)", "hash": "randomblob(32)"})
	copies("audit", "n, (SELECT * FROM audit WHERE action = 'edit-mirror' LIMIT 1) t", benchDeeds, map[string]string{"seq": "1000000 + n.i", "actor": "CASE n.i % 50 WHEN 0 THEN 'ada' ELSE 'user-' || (n.i % 1000) END", "object": "CASE n.i % 500 WHEN 0 THEN t.object ELSE 'mirror github.com/team/repo-' || n.i END"})
	if _, err := db.ExecContext(b.Context(), "UPDATE audit_head SET seq = (SELECT max(seq) FROM audit)"); err != nil {
		b.Fatal(err)
	}
	if n, err := s.db.CountRepos(b.Context(), mirror.RepoQuery{}); err != nil || n[mirror.Ready] < benchMirrors/4 {
		b.Fatalf("CountRepos() = %v, %v, want about %d", n, err, benchMirrors)
	}
}
