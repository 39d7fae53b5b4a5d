package auth_test

import (
	"maps"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/oidctest"
	"github.com/gitmirror/gitmirror/mirror"
)

// TestOIDCAtACertifiedProvider signs in at a provider that is not ours, which refuses
// what the specifications do not allow, in every way it may be set up for us.
func TestOIDCAtACertifiedProvider(t *testing.T) {
	setup := oidctest.Setup{
		Client: "mirror", Secret: "s3cret", Redirect: "http://mirror.example/login/oidc/callback", SignedOut: "http://mirror.example/login",
		People: map[string]map[string]any{
			"ada": {"email": "ada@acme.example", "email_verified": true, "preferred_username": "ada", "groups": []string{"ops"}},
			"eve": {"email": "eve@acme.example", "email_verified": false, "preferred_username": "eve"},
		},
	}
	provider := oidctest.StartProvider(t, setup)
	client := func() *auth.OIDC {
		return &auth.OIDC{
			Accounts: newWorld(t).Accounts, Issuer: provider.URL, ClientID: "mirror", Secret: mirror.Secret(setup.Secret), Redirect: setup.Redirect,
			Scopes: []string{"profile", "email"}, GroupsClaim: "groups", Admins: []string{"ops"}, Domains: []string{"acme.example"}, Create: true,
		}
	}
	in := func(o *auth.OIDC, login string) (auth.Signed, error) {
		t.Helper()
		to, attempt, err := o.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return o.Verify(t.Context(), attempt, provider.SignIn(to, login))
	}
	old := client()
	if _, err := in(old, "ada"); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(){
		"as it comes":             func() {},
		"claims in the ID token":  func() { setup.InToken = true },
		"the secret in the form":  func() { setup.Method = "client_secret_post" },
		"a secret of odd letters": func() { setup.Secret = "a+b c%/:&=" },
		"a public client":         func() { setup.Secret = "" },
		"elliptic curves":         func() { setup.Alg = "ES256" },
		"an issuer with a path":   func() { setup.Path = "/realms/x" },
	} {
		before := setup
		change()
		provider.Restart(setup)
		o := client()
		if s, err := in(o, "ada"); err != nil || s.Subject != "ada" || s.Email != "ada@acme.example" || len(s.Groups) != 1 || s.Groups[0] != "ops" {
			t.Errorf("%s: Verify = %+v, %v, want ada of ops", name, s, err)
		} else if user, err := o.SignIn(t.Context(), s); err != nil || user.Name != "ada" || user.Role != auth.Admin {
			t.Errorf("%s: SignIn = %+v, %v, want the administrator ada", name, user, err)
		}
		_, err := in(o, "eve")
		wantKind(t, name+": sign-in with an unverified address", err, mirror.ErrDenied)
		setup = before
	}
	setup.Alg = "ES256"
	provider.Restart(setup)
	for deadline := time.Now().Add(time.Minute); ; <-time.After(time.Second) { // what it knows counts for a while
		s, err := in(old, "ada")
		if err == nil && s.Subject == "ada" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Verify(with keys of another algorithm than before) = %+v, %v, want ada", s, err)
		}
	}
	provider.Restart(setup)
	if s, err := in(old, "ada"); err != nil || s.Subject != "ada" {
		t.Errorf("Verify(with other keys) = %+v, %v, want ada", s, err)
	}
	old.Secret = "wrong"
	_, err := in(old, "ada")
	wantText(t, "Verify(with a wrong secret)", err, "auth.oidc.client_secret")
}

// TestCIExchangeAtACertifiedProvider takes JWT that another program than ours made.
func TestCIExchangeAtACertifiedProvider(t *testing.T) {
	w := newWorld(t)
	job := map[string]any{"repository": "acme/app", "ref": "refs/heads/main"}
	setup := oidctest.Setup{Client: "mirror", Redirect: "http://mirror.example/callback", Job: job}
	provider := oidctest.StartProvider(t, setup)
	ci, robot := &auth.CI{Accounts: w.Accounts}, w.user(t, "robot", auth.Robot)
	if _, err := w.AddTrust(t.Context(), auth.Trust{
		Name: "app", Issuer: provider.URL, Audience: "http://mirror.example", User: robot.ID, TTL: 10 * time.Minute, Claims: map[string]string{"repository": "acme/*", "ref": "refs/heads/main"},
	}); err != nil {
		t.Fatal(err)
	}
	trusted := func(when string) {
		t.Helper()
		token, secret, err := ci.Exchange(t.Context(), provider.Mint("http://mirror.example"), "192.0.2.1")
		if err != nil || token.Trust != "app" || token.Name != "ci" {
			t.Fatalf("%s: Exchange = %+v, %v, want a token by the trust app", when, token, err)
		}
		if id, err := w.Token(t.Context(), secret); err != nil || id.Name != "robot" {
			t.Errorf("%s: Token(of the exchange) = %+v, %v, want the robot", when, id, err)
		}
	}
	trusted("at first")
	provider.Restart(setup)
	trusted("with other keys")
	_, _, err := ci.Exchange(t.Context(), provider.Mint("http://other.example"), "192.0.2.1")
	wantText(t, "Exchange(a token for another server)", err, "for somebody else")
	setup.Job = maps.Clone(job)
	setup.Job["ref"] = "refs/heads/evil"
	provider.Tell(setup)
	_, _, err = ci.Exchange(t.Context(), provider.Mint("http://mirror.example"), "192.0.2.1")
	wantText(t, "Exchange(a token of another branch)", err, "no trust is for this job")
}
