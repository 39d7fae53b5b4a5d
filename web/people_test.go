package web_test

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/oidctest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// TestPrivateMirrorsOfOthers do not exist, in lists, counts and by their ids.
func TestPrivateMirrorsOfOthers(t *testing.T) {
	r := newRig(t, func(s *web.Server) {
		s.Policy.Access = &auth.Access{Store: s.Accounts.Store}
	})
	secret, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/acme/secret", Private: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/acme/public"}); err != nil {
		t.Fatal(err)
	}
	if err := r.catalog.AddAlias(t.Context(), mirror.Alias{Prefix: "go.acme.example/secret", Repo: secret.Path}); err != nil {
		t.Fatal(err)
	}
	r.want(201, "POST", "/api/v1/groups", `{"name":"team"}`, r.admin())
	r.want(201, "POST", "/api/v1/groups/team/grants", `{"pattern":"github.com/acme/*"}`, r.admin())
	r.want(422, "POST", "/api/v1/groups/team/grants", `{"pattern":"acme"}`, r.admin())
	dev := r.dev()
	sees := func(step string, want bool) {
		t.Helper()
		for _, path := range []string{"/api/v1/mirrors", "/api/v1/aliases", "/api/v1/mirrors?search=secret"} {
			if got := strings.Contains(r.want(200, "GET", path, nil, dev).Body, "acme/secret"); got != want {
				t.Errorf("%s: GET %s names the mirror = %t, want %t", step, path, got, want)
			}
		}
		none := r.call("GET", "/api/v1/mirrors/github.com%2Facme%2Fnone", nil, dev)
		for _, path := range []string{"github.com%2Facme%2Fsecret", string(secret.ID)} {
			for _, call := range []string{"GET /api/v1/mirrors/", "POST /api/v1/mirrors/"} {
				method, at, _ := strings.Cut(call, " ")
				if method == "POST" {
					path += "/sync"
				}
				got := r.call(method, at+path, nil, dev)
				if seen := got.Status != http.StatusNotFound; seen != want {
					t.Errorf("%s: %s %s%s = %d, want seen %t", step, method, at, path, got.Status, want)
				}
			}
		}
		hidden := r.call("GET", "/api/v1/mirrors/github.com%2Facme%2Fsecret", nil, dev)
		if blank := func(s string) string {
			return regexp.MustCompile(`"request_id":"[^"]*"`).ReplaceAllString(strings.NewReplacer("secret", "X", "none", "X").Replace(s), "")
		}; !want && blank(hidden.Body) != blank(none.Body) {
			t.Errorf("%s: forbidden and missing differ:\n%s%s", step, hidden.Body, none.Body)
		}
		count := 1
		if want {
			count = 2
		}
		if got := decode[web.Status](t, r.want(200, "GET", "/api/v1/status", nil, dev)).Mirrors; got != count {
			t.Errorf("%s: status counts %d mirrors, want %d", step, got, count)
		}
	}
	sees("not in the group", false)
	if got := r.want(200, "GET", "/api/v1/mirrors", nil, r.admin()); !strings.Contains(got.Body, "acme/secret") {
		t.Error("an administrator does not see it")
	}
	r.want(204, "PUT", "/api/v1/groups/team/members/dev", nil, r.admin())
	deadline := time.Now().Add(20 * time.Second) // another process's change may stay unseen for a second
	for !strings.Contains(r.want(200, "GET", "/api/v1/mirrors", nil, dev).Body, "acme/secret") && time.Now().Before(deadline) {
	}
	sees("in the group", true)
	got := decode[struct{ Items []web.Group }](t, r.want(200, "GET", "/api/v1/groups", nil, r.admin()))
	if len(got.Items) != 1 || len(got.Items[0].Members) != 1 || got.Items[0].Members[0].Name != "dev" || got.Items[0].Grants[0] != "github.com/acme/*" {
		t.Errorf("groups = %+v", got.Items)
	}
}

// TestSecondFactorInTheConsole: set up, asked for, required.
func TestSecondFactorInTheConsole(t *testing.T) {
	site := newConsoleSite(t)
	vault, err := auth.OpenVault(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	site.accounts.Vault, site.accounts.RequireFactor = vault, true
	v := site.signedIn(t, "admin", adminPassword)
	if got := v.get("/mirrors").path; got != "/account/second-factor" {
		t.Fatalf("before a second factor /mirrors leads to %s, want /account/second-factor", got)
	}
	page := v.post("/account/second-factor")
	page.wants(t, http.StatusOK, "Scan this with the app", "<svg class=\"qr\"")
	secret := regexp.MustCompile(`[A-Z2-7]{32}`).FindString(page.body)
	code := func(later time.Duration) string {
		c, err := totp.GenerateCode(secret, time.Now().Add(later))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	v.post("/account/second-factor/confirm", "code", "000").wants(t, http.StatusUnprocessableEntity, "This code is not right")
	on := v.post("/account/second-factor/confirm", "code", code(0))
	on.wants(t, http.StatusOK, "Keep these recovery codes")
	recovery := regexp.MustCompile(`[a-z2-9]{4}(-[a-z2-9]{4}){3}`).FindString(on.body)
	v.get("/mirrors").wants(t, http.StatusOK, "No mirrors yet")

	other := site.visitor(t)
	if got := other.post("/login", "name", "admin", "password", adminPassword, "next", "/start"); got.path != "/login/code" {
		t.Fatalf("the password leads to %s, want /login/code", got.path)
	}
	if got := other.get("/mirrors").path; !strings.HasPrefix(got, "/login") {
		t.Errorf("with the password alone /mirrors leads to %s, want /login", got)
	}
	other.post("/login/code", "code", "nonsense").wants(t, http.StatusUnauthorized, "This code is not right")
	if got := other.post("/login/code", "code", recovery); got.path != "/start" {
		t.Errorf("a recovery code leads to %s, want /start", got.path)
	}
	if got := v.get("/account"); strings.Count(got.body, "/account/sessions/") < 2 {
		t.Errorf("the account page lists no other browser: %d", got.status)
	}
	v.post("/account/sessions/remove").wants(t, http.StatusOK, "All other browsers were signed out")
	if got := other.get("/start").path; !strings.HasPrefix(got, "/login") {
		t.Errorf("a browser that was signed out elsewhere is at %s, want /login", got)
	}
}

// TestOIDCInTheConsole goes to the provider and back, into local pages only.
func TestOIDCInTheConsole(t *testing.T) {
	provider := oidctest.Start(t)
	site := newRig(t, func(s *web.Server) {
		s.OIDC = &auth.OIDC{Accounts: s.Accounts, Name: "Acme", Issuer: provider.URL, ClientID: "mirror", Redirect: "http://mirror.example:8080/login/oidc/callback", Create: true}
	})
	provider.Be(map[string]any{"sub": "7", "preferred_username": "grace"})
	b := site.client()
	var err error
	if b.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	if got := site.callWith(b, "GET", "/login", nil); !strings.Contains(got.Body, "Sign in with Acme") {
		t.Errorf("sign-in page = %.200s", got.Body)
	}
	signIn := func(next string) reply {
		t.Helper()
		begun := site.callWith(b, "GET", "/login/oidc?next="+next, nil)
		away := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := away.Get(begun.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		back, err := resp.Location()
		if err != nil {
			t.Fatal(err)
		}
		return site.callWith(b, "GET", "/login/oidc/callback?"+back.RawQuery, nil)
	}
	for next, want := range map[string]string{"/start": "/start", "//evil.example": "/", "https:evil.example": "/", "%2F%5Cevil": "/"} {
		if got := signIn(next); got.Status != http.StatusSeeOther || got.Header.Get("Location") != want {
			t.Errorf("sign-in with next %s = %d to %q, want 303 to %s; %.900s", next, got.Status, got.Header.Get("Location"), want, html.UnescapeString(got.Body[strings.Index(got.Body, "<main"):]))
		}
	}
	if got := decode[web.Identity](t, site.callWith(b, "GET", "/api/v1/whoami", nil)); got.Name != "grace" || got.Role != auth.Developer {
		t.Errorf("whoami = %+v, want grace", got)
	}
	if got := site.callWith(b, "GET", "/login/oidc/callback?code=x&state=y", nil); got.Status != http.StatusUnauthorized {
		t.Errorf("an answer nobody asked for = %d, want 401", got.Status)
	}
	if got := site.callWith(b, "POST", "/logout", ""); !strings.HasPrefix(got.Header.Get("Refresh"), "0; url="+provider.URL+"/logout?") {
		t.Errorf("sign-out leads to %q, want the provider's", got.Header.Get("Refresh"))
	}
}
