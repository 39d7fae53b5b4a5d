package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// cookieOf is the session cookie a client has; nil = none.
func cookieOf(r *rig, client *http.Client) *http.Cookie {
	u, _ := url.Parse(r.http.URL)
	for _, c := range client.Jar.Cookies(u) {
		if c.Name == "gitmirror" {
			return c
		}
	}
	return nil
}

func withCookie(c *http.Cookie) option { return func(req *http.Request) { req.AddCookie(c) } }

// TestSessionEnds with a sign-out, a new password, a new role and a disabled
// account; and one session's end is not another's.
func TestSessionEnds(t *testing.T) {
	r := newRig(t)
	whoami := func(client *http.Client) int { return r.callWith(client, "GET", "/api/v1/whoami", nil).Status }
	first, second := r.browser("dev", apiDevPassword), r.browser("dev", apiDevPassword)
	stolen := cookieOf(r, first)
	if stolen == nil || whoami(first) != 200 || whoami(second) != 200 {
		t.Fatal("no session after the sign-in")
	}
	if got := r.callWith(first, "POST", "/logout", ""); got.Status != http.StatusSeeOther {
		t.Fatalf("sign-out = %d, want 303", got.Status)
	}
	if got := r.call("GET", "/api/v1/whoami", nil, withCookie(stolen)); got.Status != 401 {
		t.Errorf("a cookie from before the sign-out = %d, want 401", got.Status)
	}
	if got := whoami(second); got != 200 {
		t.Errorf("the other session = %d, want 200", got)
	}
	id := r.user("dev").ID
	for name, end := range map[string]func() error{
		"password": func() error { return r.accounts.SetPassword(t.Context(), id, apiDevPassword) },
		"role":     func() error { return r.accounts.SetRole(t.Context(), id, auth.Admin) },
		"disabled": func() error { return r.accounts.Disable(t.Context(), id, true) },
	} {
		if err := r.accounts.Disable(t.Context(), id, false); err != nil {
			t.Fatal(err)
		}
		if err := r.accounts.SetRole(t.Context(), id, auth.Developer); err != nil {
			t.Fatal(err)
		}
		b := r.browser("dev", apiDevPassword)
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if got := whoami(b); got != 401 {
			t.Errorf("session after %s = %d, want 401", name, got)
		}
		if got := r.callWith(b, "GET", "/", nil, header("Accept", "text/html")); got.Status != http.StatusSeeOther || got.Header.Get("Location") != "/login" {
			t.Errorf("page after %s = %d to %q, want 303 to /login", name, got.Status, got.Header.Get("Location"))
		}
	}
}

// TestHostileE06SessionFixation: the cookie somebody had before the sign-in is worth
// nothing after it.
func TestHostileE06SessionFixation(t *testing.T) {
	r := newRig(t)
	b := r.browser("dev", apiDevPassword)
	before := cookieOf(r, b)
	if got := r.signIn(b, "admin", apiAdminPassword); got.Status != http.StatusSeeOther {
		t.Fatalf("second sign-in = %d, want 303", got.Status)
	}
	if after := cookieOf(r, b); after.Value == before.Value {
		t.Error("the sign-in kept the token of the session")
	}
	if got := r.call("GET", "/api/v1/whoami", nil, withCookie(before)); got.Status != 401 {
		t.Errorf("whoami with the old cookie = %d, want 401", got.Status)
	}
	if got := r.call("GET", "/api/v1/whoami", nil, withCookie(&http.Cookie{Name: "gitmirror", Value: "planted"})); got.Status != 401 {
		t.Errorf("whoami with a planted cookie = %d, want 401", got.Status)
	}
}

// TestSessionCookie has the attributes that keep it where it belongs.
func TestSessionCookie(t *testing.T) {
	for site, name := range map[string]string{"http://mirror.example:8080": "gitmirror", "https://mirror.example": "__Host-gitmirror"} {
		r := newRig(t, func(s *web.Server) { s.Site = mirror.Site{URL: site} })
		got := r.signIn(r.client(), "dev", apiDevPassword)
		cookies := (&http.Response{Header: got.Header}).Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%s: %d cookies, want 1", site, len(cookies))
		}
		c := cookies[0]
		if c.Name != name || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != (name != "gitmirror") {
			t.Errorf("%s: cookie = %+v", site, c)
		}
		if c.MaxAge <= 0 || c.MaxAge > 7*24*3600+1 {
			t.Errorf("%s: MaxAge = %d, want at most 7 days", site, c.MaxAge)
		}
	}
	// Visitors who do not sign in get none.
	r := newRig(t)
	for _, path := range []string{"/login", "/", "/api/v1/site"} {
		if got := r.call("GET", path, nil).Header.Get("Set-Cookie"); got != "" {
			t.Errorf("GET %s: Set-Cookie = %q, want none", path, got)
		}
	}
}

// TestToSignIn leads people to the sign-in page and programs to a 401.
func TestToSignIn(t *testing.T) {
	r := newRig(t)
	got := r.call("GET", "/mirrors?search=x", nil, header("Accept", "text/html"))
	if got.Status != http.StatusSeeOther || got.Header.Get("Location") != "/login?next=%2Fmirrors%3Fsearch%3Dx" {
		t.Errorf("page = %d to %q", got.Status, got.Header.Get("Location"))
	}
	r.want(401, "GET", "/mirrors", nil).problem(t)
	htmx := r.call("GET", "/mirrors", nil, header("Accept", "text/html"), header("HX-Request", "true"))
	if htmx.Status != 401 || htmx.Header.Get("HX-Redirect") != "/login" {
		t.Errorf("htmx = %d to %q, want 401 to /login", htmx.Status, htmx.Header.Get("HX-Redirect"))
	}
}

// TestSessionIdle is over after 12 hours without a page, however long its
// cookie lives.
func TestSessionIdle(t *testing.T) {
	for hours, want := range map[int64]int{11: 200, 13: 401} {
		r := newRig(t)
		b := r.browser("dev", apiDevPassword)
		cookie := cookieOf(r, b)
		sum := sha256.Sum256([]byte(cookie.Value))
		key, sessions := base64.RawURLEncoding.EncodeToString(sum[:]), r.db.Sessions()
		data, found, err := sessions.FindCtx(t.Context(), key)
		if err != nil || !found {
			t.Fatalf("session in the store = %v, %v", found, err)
		}
		deadline, values, err := scs.GobCodec{}.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		values["seen"] = time.Now().Unix() - hours*3600
		if data, err = (scs.GobCodec{}).Encode(deadline, values); err != nil {
			t.Fatal(err)
		}
		if err := sessions.CommitCtx(t.Context(), key, data, deadline); err != nil {
			t.Fatal(err)
		}
		if got := r.call("GET", "/api/v1/whoami", nil, withCookie(cookie)); got.Status != want {
			t.Errorf("session last used %d hours ago = %d, want %d", hours, got.Status, want)
		}
	}
}
