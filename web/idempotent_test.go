package web_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// HOSTILE E13: the same Idempotency-Key fifty times at once, with another body,
// and after a restart: one effect.
func TestHostileE13IdempotencyKey(t *testing.T) {
	r := newRig(t)
	admin, key := r.admin(), header("Idempotency-Key", "2f1c7f1e-0001")
	body := `{"name":"laptop"}`
	answers := make([]reply, 50)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = r.call("POST", "/api/v1/users/me/tokens", body, admin, key) })
	}
	all.Wait()
	fresh := 0
	for _, a := range answers {
		if a.Status != 201 || a.Body != answers[0].Body || a.Header.Get("Content-Type") != answers[0].Header.Get("Content-Type") {
			t.Fatalf("one of fifty = %d %s, want what the first got: %s", a.Status, a.Body, answers[0].Body)
		}
		if a.Header.Get("Idempotency-Replayed") == "" {
			fresh++
		}
	}
	count := func() int {
		tokens, err := r.accounts.Tokens(t.Context(), r.user("admin").ID)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, tok := range tokens {
			if tok.Name == "laptop" {
				n++
			}
		}
		return n
	}
	if n := count(); n != 1 || fresh != 1 {
		t.Errorf("fifty requests made %d tokens, %d of them first ones, want 1", n, fresh)
	}
	if got := r.want(409, "POST", "/api/v1/users/me/tokens", `{"name":"other"}`, admin, key); !strings.Contains(got.Body, "another request") {
		t.Errorf("another body = %s", got.Body)
	}
	r.want(409, "POST", "/api/v1/users", `{"name":"x","role":"developer"}`, admin, key)
	// The key is the caller's own.
	r.want(201, "POST", "/api/v1/users/me/tokens", body, r.dev(), key)
	// Another process, or the same one started again, on the same database.
	handler, err := r.server.Handler()
	if err != nil {
		t.Fatal(err)
	}
	r.http.Config.Handler = handler
	if got := r.want(201, "POST", "/api/v1/users/me/tokens", body, admin, key); got.Body != answers[0].Body || count() != 1 {
		t.Errorf("after a restart = %s, %d tokens, want the answer of before", got.Body, count())
	}
	// What had no effect can be put right under the same key.
	again := header("Idempotency-Key", "2f1c7f1e-0002")
	r.want(422, "POST", "/api/v1/users", `{"name":"","role":"developer"}`, admin, again)
	r.want(201, "POST", "/api/v1/users", `{"name":"right","role":"developer"}`, admin, again)
	r.want(422, "POST", "/api/v1/users", `{"name":"x","role":"developer"}`, admin, header("Idempotency-Key", strings.Repeat("k", 300)))
	// Nothing of the token lies in the database: HOSTILE E19.
	secret := decode[web.CreatedToken](t, answers[0]).Secret
	kept, _, err := r.db.BeginAnswer(t.Context(), mirror.Answer{Caller: r.user("admin").ID, Key: "2f1c7f1e-0001", Request: []byte("x")})
	if err != nil || len(kept.Sealed) == 0 || strings.Contains(string(kept.Sealed), secret) {
		t.Errorf("the stored answer = %q, %v, want it sealed", kept.Sealed, err)
	}
	for _, e := range r.audit(auth.AuditQuery{}) {
		if strings.Contains(string(e.Entry), secret) {
			t.Errorf("audit entry %s holds the token", e.Entry)
		}
	}
}

// TestRateLimit: the header says how much is left, and when to come back.
func TestRateLimit(t *testing.T) {
	r := newRig(t, func(s *web.Server) { s.Rate = 1 })
	dev := r.dev()
	last := -1
	for i := range 200 {
		got := r.call("GET", "/api/v1/whoami", nil, dev)
		if got.Header.Get("RateLimit-Limit") != "10" || got.Header.Get("RateLimit-Reset") == "" {
			t.Fatalf("header = %v, want RateLimit-Limit 10", got.Header)
		}
		if got.Status == http.StatusTooManyRequests {
			wait, err := strconv.Atoi(got.Header.Get("Retry-After"))
			if err != nil || wait < 1 || got.problem(t).Kind != "busy" || i < 9 {
				t.Errorf("refusal after %d requests: %v %s", i, got.Header, got.Body)
			}
			last = i
			break
		}
	}
	if last < 0 {
		t.Error("200 requests at once were all answered, want a 429")
	}
	// Others are not held up.
	r.want(200, "GET", "/api/v1/whoami", nil, r.admin())
}
