package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/web"
)

// TestAlertsAPI: a channel, a trial that arrives, a rule, what it found, the log.
func TestAlertsAPI(t *testing.T) {
	var mu sync.Mutex
	var heard []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, r.Header.Get("X-Gitmirror-Signature-256")+" "+string(text))
	}))
	defer receiver.Close()
	r := newRig(t)
	admin := r.admin()
	made := r.want(200, "PUT", "/api/v1/alerts/channels/ops", `{"kind":"webhook","url":"`+receiver.URL+`/T0KENPATH","secret":"s3cret-of-hook"}`, admin)
	if made.Header.Get("ETag") != `"1"` || strings.Contains(made.Body, "T0KENPATH") || strings.Contains(made.Body, "s3cret") {
		t.Errorf("new channel = %s, ETag %s, want version 1 and no secrets", made.Body, made.Header.Get("ETag"))
	}
	r.want(204, "POST", "/api/v1/alerts/channels/ops/test", nil, admin)
	r.want(404, "POST", "/api/v1/alerts/channels/none/test", nil, admin)
	mu.Lock()
	if len(heard) != 1 || !strings.HasPrefix(heard[0], "sha256=") || !strings.Contains(heard[0], "trial") {
		t.Errorf("the receiver heard %q, want one signed trial", heard)
	}
	mu.Unlock()
	r.want(422, "PUT", "/api/v1/alerts/rules/late", `{"kind":"late","channels":["nobody"]}`, admin)
	r.want(422, "PUT", "/api/v1/alerts/rules/Not%20a%20name", `{"kind":"late"}`, admin)
	r.want(422, "PUT", "/api/v1/alerts/channels/bad", `{"kind":"slack","url":"javascript:alert(1)"}`, admin)
	r.want(200, "PUT", "/api/v1/alerts/rules/late", `{"kind":"late","after_s":3600,"channels":["ops"]}`, admin, header("If-Match", `*`))
	r.want(200, "PUT", "/api/v1/alerts/rules/late", `{"kind":"late","after_s":7200,"channels":["ops"]}`, admin, header("If-Match", `"1"`))
	stale := r.want(412, "PUT", "/api/v1/alerts/rules/late", `{"kind":"late","after_s":60}`, admin, header("If-Match", `"1"`))
	if p := stale.problem(t); len(p.Differences) == 0 || stale.Header.Get("ETag") != `"2"` {
		t.Errorf("edit of an old version = %s, ETag %s, want what is different", stale.Body, stale.Header.Get("ETag"))
	}
	r.want(409, "DELETE", "/api/v1/alerts/channels/ops", nil, admin)
	log := decode[web.AlertMessages](t, r.want(200, "GET", "/api/v1/alerts/messages", nil, admin))
	if len(log.Items) != 1 || log.Items[0].State != "sent" {
		t.Errorf("messages = %+v, want one that was sent", log)
	}
	b := r.browser("admin", apiAdminPassword)
	form := func(path string, values url.Values) reply {
		return r.callWith(b, "POST", path, values.Encode(), header("Content-Type", "application/x-www-form-urlencoded"), header("Accept", "text/html"))
	}
	if got := form("/alerts/rules", url.Values{"name": {"disk"}, "kind": {"disk"}, "channel": {"ops"}}); got.Status != 303 {
		t.Errorf("POST /alerts/rules = %d, want 303; %.300s", got.Status, got.Body)
	}
	if got := form("/alerts/channels/test", url.Values{"name": {"ops"}}); got.Status != 303 {
		t.Errorf("POST /alerts/channels/test = %d, want 303; %.300s", got.Status, got.Body)
	}
	receiver.Close()
	if got := form("/alerts/channels/test", url.Values{"name": {"ops"}}); got.Status != 422 || !strings.Contains(got.Body, "cannot be reached") || strings.Contains(got.Body, "T0KENPATH") {
		t.Errorf("trial of a receiver that is away = %d, want 422 with the reason; %.300s", got.Status, got.Body)
	}
	page := r.callWith(b, "GET", "/alerts", nil, header("Accept", "text/html"))
	for _, words := range []string{"ops", "the disk is filling up", "sent", receiver.URL} {
		if page.Status != 200 || !strings.Contains(page.Body, words) {
			t.Errorf("GET /alerts = %d, want 200 with %q", page.Status, words)
		}
	}
	for _, e := range r.audit(auth.AuditQuery{}) {
		if strings.Contains(string(e.Entry), "T0KENPATH") || strings.Contains(string(e.Entry), "s3cret") {
			t.Errorf("audit entry %s holds a secret", e.Entry)
		}
	}
	r.want(204, "DELETE", "/api/v1/alerts/rules/late", nil, admin)
	r.want(204, "DELETE", "/api/v1/alerts/rules/disk", nil, admin)
	r.want(204, "DELETE", "/api/v1/alerts/channels/ops", nil, admin)
}
