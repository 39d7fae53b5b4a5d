package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/oidctest"
	"github.com/gitmirror/gitmirror/mirror"
)

// atProvider is what a browser brings back from the provider.
func atProvider(t *testing.T, to string) url.Values {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		t.Fatalf("the provider answers %s: %v", resp.Status, err)
	}
	return back.Query()
}

func verify(t *testing.T, o *auth.OIDC) (auth.Signed, error) {
	t.Helper()
	to, attempt, err := o.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return o.Verify(t.Context(), attempt, atProvider(t, to))
}

func TestOIDCSignIn(t *testing.T) {
	w, provider := newWorld(t), oidctest.Start(t)
	o := &auth.OIDC{
		Accounts: w.Accounts, Issuer: provider.URL, ClientID: "mirror", Secret: "s3cret", Redirect: "http://mirror.example/login/oidc/callback",
		GroupsClaim: "groups", Admins: []string{"ops"}, Domains: []string{"acme.example"}, Create: true,
	}
	w.user(t, "root", auth.Admin)
	team, err := w.AddGroup(t.Context(), "backend")
	if err != nil {
		t.Fatal(err)
	}
	ada := map[string]any{"sub": "42", "email": "Ada@acme.example", "email_verified": true, "preferred_username": "Ada.L", "groups": []string{"Backend", "other"}}
	in := func(claims map[string]any) (auth.User, error) {
		t.Helper()
		provider.Be(claims)
		signed, err := verify(t, o)
		if err != nil {
			return auth.User{}, err
		}
		return o.SignIn(t.Context(), signed)
	}
	user, err := in(ada)
	if err != nil || user.Name != "ada.l" || user.Role != auth.Developer || user.PasswordHash != "" {
		t.Fatalf("first sign-in = %+v, %v, want the new developer ada.l without a password", user, err)
	}
	if table, err := w.AccessTable(t.Context()); err != nil || len(table.Members) != 1 || table.Members[0].Group != team.ID || table.Members[0].Origin != provider.URL {
		t.Errorf("members = %+v, %v, want ada.l in backend by the claim", table.Members, err)
	}
	ada["groups"] = []string{"ops"}
	if again, err := in(ada); err != nil || again.ID != user.ID || again.Role != auth.Admin {
		t.Errorf("sign-in as ops = %+v, %v, want the same user as administrator", again, err)
	}
	if table, _ := w.AccessTable(t.Context()); len(table.Members) != 0 {
		t.Errorf("members after the claim has gone = %+v, want none", table.Members)
	}
	ada["groups"] = []string{}
	if again, err := in(ada); err != nil || again.Role != auth.Developer {
		t.Errorf("sign-in without ops = %+v, %v, want a developer", again, err)
	}
	// Nobody gets a local account by its name, or in by an address that is not verified.
	_, err = in(map[string]any{"sub": "43", "email": "root@acme.example", "email_verified": true, "preferred_username": "root"})
	wantText(t, "sign-in as a local name", err, "not linked")
	_, err = in(map[string]any{"sub": "44", "email": "x@acme.example", "email_verified": false})
	wantKind(t, "sign-in with an unverified address", err, mirror.ErrDenied)
	_, err = in(map[string]any{"sub": "44", "email": "x@evil.example", "email_verified": true})
	wantKind(t, "sign-in from another domain", err, mirror.ErrDenied)
	if err := w.Disable(t.Context(), user.ID, true); err != nil {
		t.Fatal(err)
	}
	_, err = in(ada)
	wantKind(t, "sign-in of a disabled user", err, mirror.ErrSignIn)
	if now, err := w.User(t.Context(), user.ID); err != nil || !now.Disabled {
		t.Errorf("after it the user is disabled = %t, %v, want true", now.Disabled, err)
	}
	o.Create = false
	_, err = in(map[string]any{"sub": "45", "email": "new@acme.example", "email_verified": true, "preferred_username": "new"})
	wantText(t, "sign-in of somebody unknown", err, "accounts are not made")
	if to := o.SignOut("token", "http://mirror.example/login"); to == "" {
		t.Error("SignOut = nothing, want the provider's address")
	}
}

// TestOIDCRefuses is row E21 of the hostile inputs.
func TestOIDCRefuses(t *testing.T) {
	w, provider := newWorld(t), oidctest.Start(t)
	o := &auth.OIDC{Accounts: w.Accounts, Issuer: provider.URL, ClientID: "mirror", Redirect: "http://mirror.example/login/oidc/callback", Create: true}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) func(map[string]any) string {
		return func(c map[string]any) string { c[name] = value; return provider.Sign(c) }
	}
	for name, forge := range map[string]func(map[string]any) string{
		"another audience": with("aud", "other"), "another issuer": with("iss", "https://evil.example"), "another nonce": with("nonce", "x"),
		"no nonce": with("nonce", ""), "expired": with("exp", time.Now().Add(-time.Hour).Unix()), "another azp": with("azp", "other"),
		"two audiences and no azp": with("aud", []string{"mirror", "other"}), "no subject": with("sub", ""), "not yet": with("nbf", time.Now().Add(time.Hour).Unix()),
		"alg none": provider.Unsigned,
		"HS256": func(c map[string]any) string {
			return provider.SignWith(jose.HS256, []byte("mirrormirrormirrormirrormirror!!"), c)
		},
		"a stranger's key": func(c map[string]any) string { return provider.SignWith(jose.RS256, stranger, c) },
		"nothing":          func(map[string]any) string { return "" },
		"noise":            func(map[string]any) string { return "a.b.c" },
	} {
		provider.Be(map[string]any{"sub": "42", "preferred_username": "ada"})
		provider.Forge(forge)
		if s, err := verify(t, o); err == nil {
			t.Errorf("Verify(%s) = %+v, want an error", name, s)
		} else {
			wantKind(t, "Verify("+name+")", err, mirror.ErrSignIn)
		}
	}
	provider.Be(map[string]any{"sub": "42", "preferred_username": "ada"})
	to, attempt, err := o.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	back := atProvider(t, to)
	wrong := func(change func(a *auth.Attempt, q url.Values)) error {
		a, q := attempt, url.Values{"state": back["state"], "code": back["code"]}
		change(&a, q)
		_, err := o.Verify(t.Context(), a, q)
		return err
	}
	for name, change := range map[string]func(*auth.Attempt, url.Values){
		"another state":  func(_ *auth.Attempt, q url.Values) { q.Set("state", "x") },
		"no attempt":     func(a *auth.Attempt, q url.Values) { *a = auth.Attempt{}; q.Set("state", "") },
		"an old attempt": func(a *auth.Attempt, _ url.Values) { a.Began = time.Now().Add(-time.Hour) },
		"an error":       func(_ *auth.Attempt, q url.Values) { q.Set("error", "access_denied") },
		"a mixed-up iss": func(_ *auth.Attempt, q url.Values) { q.Set("iss", "https://evil.example") },
		"a code of none": func(_ *auth.Attempt, q url.Values) { q.Set("code", "x") },
	} {
		wantKind(t, "Verify("+name+")", wrong(change), mirror.ErrSignIn)
	}
	if s, err := o.Verify(t.Context(), attempt, back); err != nil || s.Subject != "42" {
		t.Errorf("Verify(as it was) = %+v, %v, want 42", s, err)
	}
	if _, err := o.Verify(t.Context(), attempt, back); err == nil {
		t.Error("Verify(the same code again) = nil, want an error")
	}
	a2 := attempt
	to, a2, err = o.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a2.Verifier = attempt.Verifier
	_, err = o.Verify(t.Context(), a2, atProvider(t, to))
	wantKind(t, "Verify(another PKCE verifier)", err, mirror.ErrSignIn)
	users, err := w.Users(t.Context())
	if err != nil || len(users) != 0 {
		t.Errorf("users = %v, %v, want none", users, err)
	}
}

// TestOIDCUserInfo: what the userinfo endpoint says counts where the ID token is silent,
// and only if it speaks of the same person.
func TestOIDCUserInfo(t *testing.T) {
	const ada = "ada@acme.example"
	provider := oidctest.Start(t)
	for name, row := range map[string]struct {
		token, info map[string]any
		email       string
		group       string
		err         error
	}{
		"both there":           {map[string]any{"groups": "dev"}, map[string]any{"sub": "42", "email": ada, "email_verified": "true", "groups": "ops"}, ada, "dev", nil},
		"groups from there":    {map[string]any{"email": ada, "email_verified": true}, map[string]any{"sub": "42", "email": "x@evil.example", "email_verified": false, "groups": "ops"}, ada, "ops", nil},
		"no groups at all":     {nil, map[string]any{"sub": "42"}, "", "", nil},
		"verified there":       {map[string]any{"email": ada}, map[string]any{"sub": "42", "email": ada, "email_verified": true}, ada, "", nil},
		"another one verified": {map[string]any{"email": ada}, map[string]any{"sub": "42", "email": "x@evil.example", "email_verified": true}, "", "", nil},
		"nothing to ask for":   {map[string]any{"email": ada, "email_verified": true, "groups": "dev", "preferred_username": "ada"}, map[string]any{}, ada, "dev", nil},
		"somebody else":        {nil, map[string]any{"sub": "43", "groups": "ops"}, "", "", mirror.ErrSignIn},
		"nobody":               {nil, map[string]any{"groups": "ops"}, "", "", mirror.ErrSignIn},
		"it fails":             {nil, map[string]any{}, "", "", mirror.ErrSignIn},
	} {
		claims := map[string]any{"sub": "42"}
		maps.Copy(claims, row.token)
		provider.Be(claims)
		provider.UserInfo(row.info)
		s, err := verify(t, &auth.OIDC{Issuer: provider.URL, ClientID: "mirror", Redirect: "http://mirror.example/login/oidc/callback", GroupsClaim: "groups"})
		if row.err != nil {
			wantKind(t, "Verify("+name+")", err, row.err)
		} else if err != nil || s.Email != row.email || strings.Join(s.Groups, " ") != row.group {
			t.Errorf("Verify(%s) = %q of %q, %v, want %q of %q", name, s.Email, s.Groups, err, row.email, row.group)
		}
	}
}

func TestCIExchange(t *testing.T) {
	w, issuer := newWorld(t), oidctest.Start(t)
	ci := &auth.CI{Accounts: w.Accounts}
	robot, dev := w.user(t, "robot", auth.Robot), w.user(t, "dev", auth.Developer)
	good := auth.Trust{
		Name: "app", Issuer: issuer.URL, Audience: "http://mirror.example", User: robot.ID, TTL: 10 * time.Minute,
		Claims: map[string]string{"repository": "acme/*", "ref": "refs/heads/main"},
	}
	for name, change := range map[string]func(*auth.Trust){
		"no claims": func(tr *auth.Trust) { tr.Claims = nil }, "only stars": func(tr *auth.Trust) { tr.Claims = map[string]string{"repository": "**"} },
		"http": func(tr *auth.Trust) { tr.Issuer = "http://ci.example" }, "a person": func(tr *auth.Trust) { tr.User = dev.ID },
		"scope admin": func(tr *auth.Trust) { tr.Scope = auth.ScopeAdmin }, "a week": func(tr *auth.Trust) { tr.TTL = 7 * 24 * time.Hour },
		"no audience": func(tr *auth.Trust) { tr.Audience = "" },
	} {
		bad := good
		change(&bad)
		_, err := w.AddTrust(t.Context(), bad)
		wantKind(t, "AddTrust("+name+")", err, mirror.ErrInvalid)
	}
	if _, err := w.AddTrust(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	job := func(more ...any) map[string]any {
		c := map[string]any{"sub": "repo:acme/app:ref:refs/heads/main", "aud": "http://mirror.example", "repository": "acme/app", "ref": "refs/heads/main"}
		for i := 0; i+1 < len(more); i += 2 {
			c[more[i].(string)] = more[i+1]
		}
		return c
	}
	token, secret, err := ci.Exchange(t.Context(), issuer.Sign(job()), "192.0.2.50")
	if err != nil || token.User != robot.ID || token.Trust != "app" || token.Scope != auth.ScopeRead || time.Until(token.Expires) > 10*time.Minute {
		t.Fatalf("Exchange = %+v, %v, want a token of the robot for ten minutes", token, err)
	}
	if id, err := w.Token(t.Context(), secret); err != nil || id.Name != "robot" {
		t.Errorf("Token(of the exchange) = %+v, %v, want the robot", id, err)
	}
	for n, raw := range []string{
		issuer.Sign(job("repository", "evil/acme/app")), issuer.Sign(job("ref", "refs/heads/other")), issuer.Sign(job("repository", nil)),
		issuer.Sign(job("aud", "http://other.example")), issuer.Sign(job("exp", time.Now().Add(-time.Hour).Unix())), issuer.Unsigned(job()),
		issuer.SignWith(jose.HS256, []byte("0123456789abcdef0123456789abcdef"), job()), issuer.Sign(job("iss", "https://evil.example")), "", "a.b.c",
	} {
		peer := "192.0.2." + string(rune('0'+n))
		_, _, err := ci.Exchange(t.Context(), raw, peer)
		wantKind(t, "Exchange(bad one)", err, mirror.ErrSignIn)
	}
	for range 30 {
		_, _, err = ci.Exchange(t.Context(), "noise", "198.51.100.9")
	}
	wantKind(t, "Exchange(after many bad ones)", err, mirror.ErrBusy)
	if err := w.Disable(t.Context(), robot.ID, true); err != nil {
		t.Fatal(err)
	}
	_, _, err = ci.Exchange(t.Context(), issuer.Sign(job()), "192.0.2.50")
	wantKind(t, "Exchange(disabled robot)", err, mirror.ErrSignIn)
	if err := w.RemoveTrust(t.Context(), "APP"); err != nil {
		t.Fatal(err)
	}
	_, _, err = ci.Exchange(t.Context(), issuer.Sign(job()), "192.0.2.50")
	wantText(t, "Exchange(no trust any more)", err, "no trust is for this issuer")
}
