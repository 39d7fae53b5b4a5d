package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/telemetry"
)

func TestLogFormatsAndLevels(t *testing.T) {
	for _, c := range []struct{ format, level, want string }{
		{"text", "debug", "debug info warn error"},
		{"text", "info", "info warn error"},
		{"json", "warn", "warn error"},
		{"json", "error", "error"},
	} {
		var out bytes.Buffer
		log := telemetry.Log(&out, c.format, c.level)
		log.Debug("debug", "repo", "x")
		log.Info("info", "repo", "x")
		log.Warn("warn", "repo", "x")
		log.Error("error", "repo", "x")
		var got []string
		for line := range strings.Lines(out.String()) {
			if c.format == "json" {
				var record struct{ Msg, Repo string }
				if err := json.Unmarshal([]byte(line), &record); err != nil || record.Repo != "x" {
					t.Errorf("line %q is not JSON with the attribute: %v", line, err)
				}
				got = append(got, record.Msg)
				continue
			}
			_, msg, _ := strings.Cut(line, "msg=")
			got = append(got, strings.Fields(msg)[0])
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("Log(%s, %s) wrote %v, want %s", c.format, c.level, got, c.want)
		}
	}
}

func TestLogTextHasNoControlCharacters(t *testing.T) {
	evil := "a\x1b[31m\r\nlevel=ERROR\x00\u009b0m\u202e\u2028\x7f\xff"
	var out bytes.Buffer
	log := telemetry.Log(&out, "text", "info")
	log.With(evil, 1).WithGroup(evil).Info(evil, "text", evil, evil, "key", "err", errors.New(evil),
		"bytes", []byte(evil), "any", struct{ S string }{evil}, slog.Group("g", "x", evil))
	text := strings.TrimSuffix(out.String(), "\n")
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		t.Errorf("Log wrote %q, want it printable and on one line", text)
	}
}

// scrape returns the lines of the metrics page that begin with prefix.
func scrape(t *testing.T, m *telemetry.Metrics, prefix string) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("GET /metrics = %d %s", w.Code, w.Body)
	}
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// sources are those of an idle server with these mirrors.
func sources(mirrors func(context.Context) (map[string]int, error)) telemetry.Sources {
	return telemetry.Sources{
		Mirrors: mirrors, Busy: func() int { return 2 }, LastTick: func() time.Time { return time.UnixMilli(1500) },
		Serving: func() telemetry.Serving { return telemetry.Serving{Requests: 3, Packs: 2, Queued: 1} },
	}
}

func TestMetrics(t *testing.T) {
	m := telemetry.New()
	m.Build("v1.2.3")
	m.SyncEnded("updated", "manual", 1000, 2*time.Second)
	m.SyncEnded("failed", "schedule", -1, time.Second)
	m.GitServed(telemetry.GitRequest{Proto: "http", Command: "fetch", Status: "ok", Bytes: 500, First: 20 * time.Millisecond, Took: time.Second, Clone: true, Hits: 1})
	m.GitServed(telemetry.GitRequest{Proto: "ssh", Command: "receive-pack", Status: "denied"})
	m.HTTPServed("api", 404, time.Millisecond)
	m.Watch(sources(func(context.Context) (map[string]int, error) { return map[string]int{"ready": 3, "failed": 0}, nil }))
	for prefix, want := range map[string]string{
		"gitmirror_syncs_total":                "gitmirror_syncs_total{outcome=\"failed\",trigger=\"schedule\"} 1\ngitmirror_syncs_total{outcome=\"updated\",trigger=\"manual\"} 1",
		"gitmirror_sync_received_bytes_total":  "gitmirror_sync_received_bytes_total 1000",
		"gitmirror_sync_duration_seconds_sum":  "gitmirror_sync_duration_seconds_sum{outcome=\"failed\"} 1\ngitmirror_sync_duration_seconds_sum{outcome=\"updated\"} 2",
		"gitmirror_git_requests_total":         "gitmirror_git_requests_total{command=\"fetch\",proto=\"http\",status=\"ok\"} 1\ngitmirror_git_requests_total{command=\"receive-pack\",proto=\"ssh\",status=\"denied\"} 1",
		"gitmirror_git_sent_bytes_total":       "gitmirror_git_sent_bytes_total{proto=\"http\"} 500\ngitmirror_git_sent_bytes_total{proto=\"ssh\"} 0",
		"gitmirror_git_clones_total":           `gitmirror_git_clones_total{proto="http"} 1`,
		"gitmirror_git_first_byte_seconds_sum": `gitmirror_git_first_byte_seconds_sum{command="fetch",proto="http"} 0.02`,
		"gitmirror_git_cache_total":            "gitmirror_git_cache_total{result=\"hit\"} 1\ngitmirror_git_cache_total{result=\"join\"} 0\ngitmirror_git_cache_total{result=\"miss\"} 0",
		"gitmirror_git_requests_running":       "gitmirror_git_requests_running 3",
		"gitmirror_git_packs":                  "gitmirror_git_packs_queued 1\ngitmirror_git_packs_running 2",
		"gitmirror_http_requests_total":        `gitmirror_http_requests_total{route="api",status="404"} 1`,
		"gitmirror_mirrors":                    "gitmirror_mirrors{state=\"failed\"} 0\ngitmirror_mirrors{state=\"ready\"} 3",
		"gitmirror_syncs_running":              "gitmirror_syncs_running 2",
		"gitmirror_queue_seen":                 "gitmirror_queue_seen_timestamp_seconds 1.5",
	} {
		if got := scrape(t, m, prefix); got != want {
			t.Errorf("metrics %s =\n%s\nwant\n%s", prefix, got, want)
		}
	}
	for _, prefix := range []string{`gitmirror_build_info{go="go1.`, "go_goroutines ", "process_open_fds "} {
		if scrape(t, m, prefix) == "" {
			t.Errorf("metrics lack %s", prefix)
		}
	}
}

// Whatever a stranger sends, and however many hosts and endpoints come and go,
// the number of series stays bounded.
func TestLabelsAreBounded(t *testing.T) {
	m := telemetry.New()
	round := func(from int) (roads, rest int) {
		for i := range 1000 {
			s := fmt.Sprintf("x%d", from+i)
			m.SyncEnded(s, s, 0, 0)
			m.CheckEnded(s, 0)
			m.GitServed(telemetry.GitRequest{Proto: s, Command: s, Status: s, Bytes: 1, First: time.Duration(i), Clone: true, Misses: i})
			m.HTTPServed(s, 600+i, 0)
			m.HTTPServed(s, -i, 0)
			m.UpkeepEnded(s, 0, errors.New(s))
			for _, host := range []string{s, "github.com"} {
				m.UpstreamMeasured(host, s, 1, 1, 1, 1, true)
				m.UpstreamSwitched(host, s, i%2 == 0)
			}
		}
		for line := range strings.Lines(scrape(t, m, "gitmirror_")) {
			if strings.HasPrefix(line, "gitmirror_upstream_") {
				roads++
			} else {
				rest++
			}
		}
		return roads, rest
	}
	roads, rest := round(0)
	if rest > 100 {
		t.Errorf("%d series after hostile labels, want at most 100", rest)
	}
	if moreRoads, moreRest := round(5000); moreRoads > roads || moreRest > rest {
		t.Errorf("%d and %d series after other labels, want %d and %d as before", moreRoads, moreRest, roads, rest)
	}
	// Each of at most 150 endpoints and 101 others has four phases of 14 series,
	// failures and two kinds of switches.
	if most := 251 * (4*14 + 3); roads > most {
		t.Errorf("%d series of roads, want at most %d", roads, most)
	}
}

func TestChecks(t *testing.T) {
	m := telemetry.New()
	m.CheckEnded("ok", 2*time.Second)
	m.CheckEnded("ok", -time.Second)
	m.CheckEnded("throttled", 0)
	m.CheckEnded("", 0)
	for prefix, want := range map[string]string{
		"gitmirror_checks_total":                 "gitmirror_checks_total{result=\"ok\"} 2\ngitmirror_checks_total{result=\"other\"} 1\ngitmirror_checks_total{result=\"throttled\"} 1",
		"gitmirror_check_lateness_seconds_sum":   "gitmirror_check_lateness_seconds_sum 2",
		"gitmirror_check_lateness_seconds_count": "gitmirror_check_lateness_seconds_count 4",
	} {
		if got := scrape(t, m, prefix); got != want {
			t.Errorf("metrics %s =\n%s\nwant\n%s", prefix, got, want)
		}
	}
}

func TestScrapeSurvivesTheDatabase(t *testing.T) {
	m := telemetry.New()
	m.Build("v")
	m.Watch(sources(func(context.Context) (map[string]int, error) { return nil, errors.New("database away") }))
	if got := scrape(t, m, "gitmirror_build_info"); got == "" {
		t.Error("the other metrics are gone when the database is away")
	}
	if got := scrape(t, m, "gitmirror_mirrors"); got != "" {
		t.Errorf("gitmirror_mirrors = %s, want none", got)
	}
}

func TestCount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/none", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/teapot", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) })
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); fmt.Fprint(w, "x") })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("SetWriteDeadline through Count = %v", err)
		}
		fmt.Fprint(w, "first")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	m := telemetry.New()
	done := make(chan struct{}, 10)
	counted := m.Count(func(r *http.Request) string {
		return map[bool]string{true: "static", false: "console"}[r.URL.Path == "/file"]
	}, mux)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { done <- struct{}{} }()
		counted.ServeHTTP(w, r)
	}))
	srv.Start()
	defer srv.Close()
	for path, size := range map[string]int{"/none": 0, "/teapot": 0, "/early": 1, "/file": 1 << 20} {
		resp, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || len(body) != size {
			t.Errorf("GET %s = %d bytes, %v, want %d", path, len(body), err, size)
		}
	}
	if _, err := http.Post(srv.URL+"/abort", "", nil); err == nil { // a GET would be tried again
		t.Error("POST /abort succeeds, want the connection closed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Errorf("stream begins with %q, %v, want it at once", first, err)
	}
	cancel()
	resp.Body.Close()
	for range 6 {
		<-done
	}
	want := `gitmirror_http_requests_total{route="console",status="200"} 3
gitmirror_http_requests_total{route="console",status="418"} 1
gitmirror_http_requests_total{route="console",status="500"} 1
gitmirror_http_requests_total{route="static",status="200"} 1`
	if got := scrape(t, m, "gitmirror_http_requests_total"); got != want {
		t.Errorf("counted\n%s\nwant\n%s", got, want)
	}
}
