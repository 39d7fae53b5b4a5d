package web_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// TestHostileE12Bodies: bodies that do not fit are refused with a problem that
// repeats none of their values, and change nothing.
func TestHostileE12Bodies(t *testing.T) {
	r := newRig(t)
	admin := r.admin()
	const secret = "hunter2hunter2hunter2"
	for name, body := range map[string]string{
		"unknown field":     `{"name":"eve","role":"developer","is_admin":true,"password":"` + secret + `"}`,
		"other case":        `{"name":"eve","Role":"admin","role":"developer","password":"` + secret + `"}`,
		"twice":             `{"name":"eve","role":"developer","role":"admin","password":"` + secret + `"}`,
		"wrong type":        `{"name":"eve","role":"developer","password":["` + secret + `"]}`,
		"wrong role":        `{"name":"eve","role":"` + secret + `"}`,
		"null role":         `{"name":"eve","role":null,"password":"` + secret + `"}`,
		"no role":           `{"name":"eve","password":"` + secret + `"}`,
		"NaN":               `{"name":NaN,"role":"developer","password":"` + secret + `"}`,
		"two values":        `{"name":"eve","role":"developer"}{"password":"` + secret + `"}`,
		"cut off":           `{"name":"eve","role":"developer","password":"` + secret,
		"array":             `["` + secret + `"]`,
		"string":            `"` + secret + `"`,
		"empty":             ``,
		"deep":              `{"name":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `,"role":"developer"}`,
		"deeper":            strings.Repeat(`{"a":`, 200_000),
		"not UTF-8":         "{\"name\":\"ev\xff\xfe\",\"role\":\"developer\"}",
		"long name":         `{"name":"` + strings.Repeat("e", 101) + `","role":"developer"}`,
		"control character": `{"name":"e\u001b[31mve","role":"developer"}`,
		"markup":            `{"name":"<script>alert(1)</script>","role":"developer"}`,
		"SQL":               `{"name":"eve' OR '1'='1","role":"developer"}`,
		"read-only":         `{"name":"eve","role":"developer","id":"1"}`,
	} {
		got := r.call("POST", "/api/v1/users", body, admin)
		if got.Status != 422 && got.Status != 400 {
			t.Errorf("%s = %d, want 422; body %.300s", name, got.Status, got.Body)
			continue
		}
		if p := got.problem(t); p.Title == "" || p.RequestID == "" {
			t.Errorf("%s: problem = %+v, want a title and a request id", name, p)
		}
		if strings.Contains(got.Body, secret) {
			t.Errorf("%s: the answer repeats what was sent: %s", name, got.Body)
		}
	}
	if users, err := r.accounts.Users(t.Context()); err != nil || len(users) != 3 {
		t.Errorf("Users = %d, %v, want the 3 there were", len(users), err)
	}
	if strings.Contains(r.log.String(), secret) {
		t.Error("the log has the password that was sent")
	}
}

// TestHostileE12Sizes: too large is 413, and an unknown type 415.
func TestHostileE12Sizes(t *testing.T) {
	r := newRig(t)
	admin := r.admin()
	r.want(413, "POST", "/api/v1/users", `{"name":"`+strings.Repeat("x", 2<<20)+`"}`, admin)
	r.want(413, "POST", "/api/v1/modules/resolve", `{"modules":["`+strings.Repeat("x", 6<<20)+`"]}`, admin)
	r.want(422, "POST", "/api/v1/mirrors", `{"mirrors":[`+strings.TrimSuffix(strings.Repeat(`{"path_or_url":"github.com/a/b"},`, 1001), ",")+`]}`, admin)
	r.want(422, "POST", "/api/v1/modules/locate", `{"modules":[`+strings.TrimSuffix(strings.Repeat(`"a.b/c",`, 5001), ",")+`]}`, admin)
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"} {
		r.want(415, "POST", "/api/v1/users", `{"name":"eve","role":"admin"}`, admin, header("Content-Type", kind))
	}
	// Who may not is told so before anything of the body is looked at.
	r.want(403, "POST", "/api/v1/users", `{"name":"`+strings.Repeat("x", 2<<20)+`"}`, r.dev())
}

// TestHostileE11Parameters: queries and headers with what injections are made of.
func TestHostileE11Parameters(t *testing.T) {
	r := newRig(t)
	r.ensureMirror("github.com/acme/kept")
	dev := r.dev()
	for _, q := range []string{
		"limit=0", "limit=1001", "limit=-1", "limit=1e9", "limit=99999999999999999999", "limit=abc", "state=1%20OR%201=1",
		"state=ready'--", "sort=path", "unknown=1", "limit=NaN", "cursor=" + strings.Repeat("x", 700),
	} {
		r.want(422, "GET", "/api/v1/mirrors?"+q, nil, dev)
	}
	for _, q := range []string{"search=%27%20OR%201=1--", "search=%25", "search=_", "cursor=%27%3B--", "search=%00", "search=%C3%28"} {
		got := r.call("GET", "/api/v1/mirrors?"+q, nil, dev)
		if got.Status != 200 && got.Status != 422 || strings.Contains(got.Body, "acme/kept") {
			t.Errorf("GET /mirrors?%s = %d %s, want nothing found", q, got.Status, got.Body)
		}
	}
	for _, q := range []string{"cursor=x", "cursor=-5", "cursor=0", "cursor=99999999999999999999", "after=-1", "after=x"} {
		r.want(422, "GET", "/api/v1/mirrors/github.com%2Facme%2Fkept/runs?"+q, nil, dev)
	}
	for _, h := range []option{
		header("X-Remote-User", "admin"), header("X-Forwarded-User", "admin"), header("Authorization", "Negotiate YII="),
		header("Authorization", "Basic %%%"), header("Authorization", "Bearer "), header("Authorization", "Bearer "+strings.Repeat("g", 8000)),
		header("Authorization", "gmr_x"), header("Cookie", "gitmirror=x; gitmirror=../../etc"), basic("admin", ""), basic("", ""),
	} {
		r.want(401, "GET", "/api/v1/users", nil, h)
	}
}

// TestHostileE02OtherSites: a page of another site can neither write nor read.
func TestHostileE02OtherSites(t *testing.T) {
	r := newRig(t)
	b := r.browser("admin", apiAdminPassword)
	body := `{"path_or_url":"github.com/acme/new"}`
	for name, opts := range map[string][]option{
		"cross-site":  {header("Sec-Fetch-Site", "cross-site")},
		"same-site":   {header("Sec-Fetch-Site", "same-site")},
		"origin":      {header("Origin", "https://evil.example")},
		"null origin": {header("Origin", "null")},
		"text/plain":  {header("Sec-Fetch-Site", "cross-site"), header("Content-Type", "text/plain")},
	} {
		for _, path := range []string{"/api/v1/mirrors", "/login", "/logout"} {
			got := r.callWith(b, "POST", path, body, opts...)
			if got.Status != 403 {
				t.Errorf("POST %s, %s = %d, want 403", path, name, got.Status)
			}
			for k := range got.Header {
				if strings.HasPrefix(k, "Access-Control-") {
					t.Errorf("POST %s, %s: header %s", path, name, k)
				}
			}
		}
	}
	if got := r.callWith(b, "OPTIONS", "/api/v1/mirrors", nil, header("Origin", "https://evil.example"), header("Access-Control-Request-Method", "POST")); got.Status == 200 || got.Status == 204 {
		t.Errorf("preflight = %d, want a refusal", got.Status)
	}
	for name, opts := range map[string][]option{
		"own page":       {header("Sec-Fetch-Site", "same-origin")},
		"public address": {header("Origin", "http://mirror.example:8080")}, // a proxy may have rewritten Host
	} {
		if got := r.callWith(b, "POST", "/api/v1/mirrors", body, opts...); got.Status != 201 && got.Status != 200 {
			t.Errorf("POST from %s = %d, want it done; body %s", name, got.Status, got.Body)
		}
	}
}

// TestHostileE03Headers are on every answer, of whatever kind.
func TestHostileE03Headers(t *testing.T) {
	r := newRig(t)
	ids := map[string]bool{}
	for _, path := range []string{"/", "/login", "/nothing/here", "/api/v1/site", "/api/v1/nothing", "/api/v1/mirrors", "/api/docs", "/api/openapi.json", "/static/none.css"} {
		got := r.call("GET", path, nil, header("X-Request-Id", "forged"))
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if have := got.Header.Get(name); have != want {
				t.Errorf("GET %s: %s = %q, want %q", path, name, have, want)
			}
		}
		id := got.Header.Get("X-Request-Id")
		if id == "" || id == "forged" || ids[id] {
			t.Errorf("GET %s: X-Request-Id = %q, want a new one", path, id)
		}
		ids[id] = true
	}
	if got := r.want(200, "HEAD", "/api/v1/site", nil); got.Body != "" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD /site = %q of type %q, want no body of a GET's type", got.Body, got.Header.Get("Content-Type"))
	}
	if got := r.want(405, "PUT", "/api/v1/mirrors", `{}`, r.admin()); got.Header.Get("Allow") == "" {
		t.Errorf("405 without Allow")
	}
	if p := r.want(404, "GET", "/api/v1/nothing", nil).problem(t); p.Kind != "not-found" {
		t.Errorf("problem = %+v, want not-found", p)
	}
}

// TestHostileE04ThrottledByPeer: an address somebody claims in a header is not believed.
func TestHostileE04ThrottledByPeer(t *testing.T) {
	r := newRig(t)
	limited := false
	for i := range 40 {
		claim := "10.0.0." + string(rune('0'+i%10))
		got := r.call("GET", "/api/v1/whoami", nil, basic("nobody"+string(rune('a'+i)), "wrong password"),
			header("X-Forwarded-For", claim), header("X-Real-Ip", claim))
		if got.Status == 429 {
			if got.Header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
			limited = true
			break
		}
		if got.Status != 401 {
			t.Fatalf("sign-in with a wrong password = %d, want 401", got.Status)
		}
	}
	if !limited {
		t.Error("40 wrong passwords from one peer with changing X-Forwarded-For were never limited")
	}
	r.want(200, "GET", "/api/v1/whoami", nil, r.dev()) // tokens go on working
}

// TestHostileE05SameRefusal: an unknown user and a wrong password look alike.
func TestHostileE05SameRefusal(t *testing.T) {
	r := newRig(t)
	var texts []string
	for _, who := range []string{"admin", "nosuchuser", "robot"} {
		p := r.want(401, "GET", "/api/v1/whoami", nil, basic(who, "wrong password")).problem(t)
		p.RequestID = ""
		texts = append(texts, p.Error())
	}
	if texts[0] != texts[1] || texts[0] != texts[2] {
		t.Errorf("refusals differ: %q", texts)
	}
}

// brokenModules fails as a bug and as a database in trouble would.
type brokenModules struct{ how string }

func (b brokenModules) Resolve(context.Context, []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	if b.how == "panic" {
		panic("a secret detail")
	}
	return nil, io.ErrUnexpectedEOF
}

func (b brokenModules) ResolveGraph(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	return b.Resolve(ctx, queries)
}

// TestInternalErrors show a request id; the log has it with the cause, of a panic
// where it came from.
func TestInternalErrors(t *testing.T) {
	for _, how := range []string{"panic", "error"} {
		r := newRig(t, func(s *web.Server) { s.Modules = brokenModules{how} })
		got := r.want(500, "POST", "/api/v1/modules/resolve", `{"modules":[{"path":"a.b/c","version":"v1.0.0"}]}`, r.dev())
		p := got.problem(t)
		if p.Title != "internal error" || p.RequestID == "" || strings.Contains(got.Body, "secret") || strings.Contains(got.Body, "EOF") {
			t.Errorf("%s: problem = %s", how, got.Body)
		}
		if log := r.log.String(); !strings.Contains(log, p.RequestID) || strings.Contains(log, "secret detail") || !strings.Contains(log, "brokenModules.Resolve") && !strings.Contains(log, "unexpected EOF") {
			t.Errorf("%s: the log lacks request id or cause: %s", how, log)
		}
	}
}

// TestHostileE18LogInjection: text of strangers stays inside its field, and no secret of
// a request reaches the log.
func TestHostileE18LogInjection(t *testing.T) {
	r := newRig(t)
	token := r.token("admin", auth.ScopeAdmin)
	r.call("POST", "/api/v1/mirrors?x=%0d%0a%7b%22level%22:%22FAKE%22%7d", `{}`, bearer(token), header("User-Agent", `"}{"level":"FAKE"`))
	r.call("DELETE", "/api/v1/rules/%0d%0alevel=FAKE%1b%5b31m", nil, bearer(token))
	r.call("POST", "/api/v1/credentials", `{"name":"c","host":"github.com","secret":"canary-secret"}`, bearer(token))
	r.call("POST", "/api/v1/users", `{"name":"u","role":"developer","password":"canary password 1"}`, bearer(token))
	r.signIn(r.client(), "admin", "canary password 2")
	log := r.log.String()
	for _, bad := range []string{token, "canary", "FAKE", "\x1b"} {
		if strings.Contains(log, bad) {
			t.Errorf("the log has %q", bad)
		}
	}
	for line := range strings.Lines(log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is not one JSON value: %q", line)
		}
	}
	if !strings.Contains(log, `"route":"/api/v1/users"`) {
		t.Errorf("the log lacks the change of users: %s", log)
	}
}

// TestHostileE07LocalPath is where a sign-in may lead to.
func TestHostileE07LocalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/mirrors?x=1#y": "/mirrors?x=1#y", "/": "/", "": "/", "mirrors": "/", "//evil.example": "/", `/\evil.example`: "/", `\\evil`: "/",
		"https:evil.example": "/", "https://evil.example/": "/", "javascript:alert(1)": "/", "/\tx": "/", "/a\r\nSet-Cookie: x": "/", "/%zz": "/", "///evil": "/",
	} {
		if got := web.LocalPath(in); got != want {
			t.Errorf("LocalPath(%q) = %q, want %q", in, got, want)
		}
	}
}
