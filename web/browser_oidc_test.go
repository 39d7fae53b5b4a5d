package web_test

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/oidctest"
	"github.com/gitmirror/gitmirror/web"
)

// TestJourneyOfSingleSignOn: a person signs in and out on the pages of a certified
// provider, on another site; groups come and go there, and so do keys, the secret and
// the provider itself.
func TestJourneyOfSingleSignOn(t *testing.T) {
	ada := map[string]any{"email": "ada@acme.example", "email_verified": true, "preferred_username": "ada", "groups": []string{"staff", "platform"}}
	setup := oidctest.Setup{Path: "/realms/acme", Client: "gitmirror", Secret: "s3cret", People: map[string]map[string]any{"ada": ada}}
	groups := func(names ...string) {
		ada = maps.Clone(ada)
		ada["groups"] = names
		setup.People = map[string]map[string]any{"ada": ada}
	}
	var provider *oidctest.Provider
	site := newConsoleSite(t, func(s *web.Server) {
		setup.Redirect, setup.SignedOut = s.Site.URL+"/login/oidc/callback", s.Site.URL+"/login"
		provider = oidctest.StartProvider(t, setup)
		s.OIDC = &auth.OIDC{
			Accounts: s.Accounts, Name: "Acme", Issuer: provider.URL, ClientID: "gitmirror", Secret: "s3cret", Redirect: setup.Redirect, Scopes: []string{"profile", "email"},
			Domains: []string{"acme.example"}, GroupsClaim: "groups", Groups: []string{"staff"}, Admins: []string{"platform"}, Create: true,
		}
	})
	b := openBrowser(t, site)
	b.look("light", 1280)
	toProvider := func() {
		t.Helper()
		b.open("/login?next=/account")
		b.press("Sign in with Acme")
	}
	asAda := func() {
		t.Helper()
		toProvider()
		b.do(fill("input[name=login]", "ada"), fill("input[name=password]", "any"))
		b.shot("journey-oidc-provider-login")
		b.press("Sign-in")
		b.sees("scopes:")
		b.shot("journey-oidc-provider-consent")
		b.press("Continue")
	}
	isIn := func(role auth.Role) {
		t.Helper()
		b.eventually(`location.pathname === "/account" && document.querySelector(".who").innerText.includes("ada")`, "be signed in, where the way began")
		if user, err := site.db.UserByName(t.Context(), "ada"); err != nil || user.Role != role {
			t.Errorf("ada is %+v, %v, want %s", user, err, role)
		}
		b.eventually(`(document.querySelector('.nav a[href="/users"]') !== null) === `+map[bool]string{true: "true", false: "false"}[role == auth.Admin], "see the menu of "+string(role))
	}
	signOut := func(answer string) {
		t.Helper()
		b.press("Sign out")
		b.sees("Do you want to sign-out from")
		b.shot("journey-oidc-provider-logout")
		b.press(answer)
		b.eventually(`location.pathname === "/login" && document.querySelector("#password") !== null`, "be back at the sign-in page")
	}

	asAda()
	isIn(auth.Admin)
	b.shot("journey-oidc-in")
	signOut("No, stay signed in")
	groups("staff")
	provider.Tell(setup)
	toProvider() // who is signed in there is not asked for a password again
	b.sees("scopes:")
	b.press("Continue")
	isIn(auth.Developer)
	signOut("Yes, sign me out")

	groups("guests")
	provider.Tell(setup)
	asAda()
	b.sees("This account may not sign in here")
	b.shot("journey-oidc-no-group")
	b.do(chromedp.Navigate(site.url + "/users"))
	b.eventually(`location.pathname === "/login"`, "be refused")
	groups("staff")
	setup.Secret = "another"
	provider.Restart(setup) // with other keys, and nobody signed in
	asAda()
	b.sees("check auth.oidc.client_id and auth.oidc.client_secret")
	b.shot("journey-oidc-wrong-secret")
	b.press("简体中文")
	b.eventually(`location.pathname === "/login" && document.querySelector("h1").innerText === "登录"`, "have the sign-in page in Chinese")
	b.press("使用 Acme 登录") // signed in there, and nothing left to ask
	b.sees("登录提供方不接受此服务器的客户端凭据")
	b.shot("journey-oidc-wrong-secret-chinese")
	b.press("English")
	b.eventually(`document.querySelector("h1").innerText === "Sign in"`, "have it in English again")
	setup.Secret = "s3cret"
	provider.Restart(setup)
	toProvider()
	b.press("[ Cancel ]")
	b.sees("The provider did not sign you in")
	asAda()
	isIn(auth.Developer)
	signOut("Yes, sign me out")

	provider.Stop()
	away := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for deadline := time.Now().Add(time.Minute); ; <-time.After(200 * time.Millisecond) { // its last answer counts for a while
		resp, err := away.Get(site.url + "/login/oidc")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusBadGateway {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("without the provider the sign-in leads to %d %s, want 502", resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	toProvider()
	b.sees("The sign-in provider cannot be used")
	b.shot("journey-oidc-down")
	b.do(fill("#name", "admin"), fill("#password", adminPassword))
	b.press("Sign in")
	b.eventually(`location.pathname === "/account"`, "sign in with a password, to where the way began")
}
