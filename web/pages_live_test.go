package web_test

import (
	"bufio"
	"context"
	"net/http"
	"testing"
	"time"
)

// TestListIsFetchedAnewAfterABreak: what ended while nobody listened would leave
// its row as it was for good.
func TestListIsFetchedAnewAfterABreak(t *testing.T) {
	site := newConsoleSite(t)
	site.seed(t)
	v := site.signedIn(t, "admin", adminPassword)
	v.get("/mirrors").wants(t, http.StatusOK, `sse-connect="/mirrors/live?ended=0"`, `hx-trigger="sse:again"`)
	for _, c := range []struct {
		query, want string
		wait        time.Duration
	}{{"?ended=7", "event: again", time.Minute}, {"", "event: again", time.Minute}, {"?ended=0", "", time.Second}} {
		if got := v.firstEvent(t, "/mirrors/live"+c.query, c.wait); got != c.want {
			t.Errorf("/mirrors/live%s begins with %q, want %q", c.query, got, c.want)
		}
	}
}

// firstEvent is the line of the event a stream begins with, empty when it begins
// with waiting.
func (v *visitor) firstEvent(t *testing.T, path string, wait time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.site.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	quiet := time.AfterFunc(wait, cancel)
	defer quiet.Stop()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if line := lines.Text(); len(line) > 6 && line[:6] == "event:" {
			return line
		}
	}
	return ""
}
