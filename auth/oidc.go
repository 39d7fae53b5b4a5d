package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gitmirror/gitmirror/mirror"
)

// OIDC signs people in with an OpenID provider: the authorisation code flow with
// PKCE, state and nonce. Who it is says the ID token: its signature by a key of the
// provider, iss, aud, azp, exp and nonce. E-mail address, name and groups that are not
// in it are asked of the userinfo endpoint, where strict providers keep them.
type OIDC struct {
	Accounts *Accounts
	Name     string // of the provider, for people
	Issuer   string
	ClientID string
	Secret   mirror.Secret // empty = a public client
	Scopes   []string      // besides openid
	Redirect string        // URL of this server's callback
	// Domains are those of verified e-mail addresses that may sign in; empty = all.
	Domains []string
	// Groups are those of GroupsClaim of which somebody must have one; empty = none.
	Groups []string
	// GroupsClaim names the claim that lists groups.
	GroupsClaim string
	// Admins are groups whose members are administrators, and nobody else who
	// signs in so is; empty = roles are what they are here.
	Admins []string
	// Create makes an account at the first sign-in of somebody unknown.
	Create bool
	Client *http.Client // nil = http.DefaultClient
	Log    *slog.Logger // nil = discard

	issuer issuer
}

// Attempt is a sign-in on its way: what the browser's session keeps until the
// provider sends it back.
type Attempt struct {
	State, Nonce, Verifier string
	Began                  time.Time
}

// attemptLife is how long somebody may take at the provider.
const attemptLife = 15 * time.Minute

// Signed is somebody the provider vouches for.
type Signed struct {
	User  User   // zero when nobody here is that, and none was made
	Token string // the ID token, for signing out there
	// The claims that say who it is.
	Subject, Email string
	Groups         []string
	preferred      string
}

func (o *OIDC) oauth(p *oidc.Provider) *oauth2.Config {
	scopes := []string{oidc.ScopeOpenID}
	for _, s := range o.Scopes {
		if s != oidc.ScopeOpenID {
			scopes = append(scopes, s)
		}
	}
	return &oauth2.Config{ClientID: o.ClientID, ClientSecret: string(o.Secret), Endpoint: p.Endpoint(), RedirectURL: o.Redirect, Scopes: scopes}
}

// Begin returns where to send the browser.
func (o *OIDC) Begin(ctx context.Context) (redirect string, a Attempt, err error) {
	p, err := o.issuer.ask(ctx, o.Client, o.Issuer)
	if err != nil {
		return "", a, errSilent(err)
	}
	a = Attempt{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Began: time.Now()}
	return o.oauth(p).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), a, nil
}

// Verify redeems what the provider sent back and returns who signed in there. It
// changes nothing here.
func (o *OIDC) Verify(ctx context.Context, a Attempt, answer url.Values) (Signed, error) {
	state := answer.Get("state")
	switch {
	case a.State == "" || time.Since(a.Began) > attemptLife:
		return Signed{}, errOIDC("this sign-in was not begun here, or took too long", "")
	case subtle.ConstantTimeCompare([]byte(state), []byte(a.State)) != 1:
		return Signed{}, errOIDC("this answer belongs to another sign-in", "its state is not the one that was sent")
	case answer.Get("error") != "":
		return Signed{}, errOIDC("the provider did not sign you in", printable(strings.TrimSpace(answer.Get("error")+" "+answer.Get("error_description"))))
	case answer.Has("iss") && answer.Get("iss") != o.Issuer: // RFC 9207
		return Signed{}, errOIDC("this answer is from another provider", "")
	}
	p, err := o.issuer.ask(ctx, o.Client, o.Issuer)
	if p == nil {
		return Signed{}, errSilent(err)
	}
	bound, cancel := context.WithTimeout(withClient(ctx, o.Client), 20*time.Second)
	defer cancel()
	token, err := o.oauth(p).Exchange(bound, answer.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Signed{}, errExchange(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Signed{}, errOIDC("the provider sent no ID token", "")
	}
	id, err := p.Verifier(&oidc.Config{ClientID: o.ClientID}).Verify(bound, raw)
	if err != nil {
		return Signed{}, errOIDC("the ID token is not good", printable(err.Error()))
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 {
		return Signed{}, errOIDC("the ID token is not good", "its nonce is not the one that was sent")
	}
	all := map[string]any{}
	if err := id.Claims(&all); err != nil {
		return Signed{}, errOIDC("the claims of the ID token cannot be read", "")
	}
	if azp := all["azp"]; azp != nil && azp != o.ClientID || azp == nil && len(id.Audience) > 1 {
		return Signed{}, errOIDC("the ID token is not good", "it was issued to another program")
	}
	if id.Subject == "" {
		return Signed{}, errOIDC("the ID token is not good", "it names nobody")
	}
	if err := o.complete(bound, p, token, id.Subject, all); err != nil {
		return Signed{}, err
	}
	return o.signed(id.Subject, raw, all)
}

// complete adds the claims of the userinfo endpoint where the ID token lacks some: as
// OpenID Connect Core 5.4 has it, those of scopes need not be anywhere else.
func (o *OIDC) complete(ctx context.Context, p *oidc.Provider, token *oauth2.Token, subject string, claims map[string]any) error {
	lacks := func(name string) bool { _, ok := claims[name]; return name != "" && !ok }
	if p.UserInfoEndpoint() == "" || !slices.ContainsFunc([]string{"email", "email_verified", "preferred_username", o.GroupsClaim}, lacks) {
		return nil
	}
	const what = "the provider does not tell who signed in"
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return errOIDC(what, printable(err.Error()))
	}
	if info.Subject != subject { // somebody else's, put in its place: Core 5.3.2
		return errOIDC(what, "its userinfo endpoint speaks of somebody else")
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return errOIDC(what, "the claims of its userinfo endpoint cannot be read")
	}
	if email, ok := claims["email"].(string); ok && email != info.Email {
		delete(more, "email_verified") // of another address
	}
	for name, value := range more {
		if lacks(name) {
			claims[name] = value
		}
	}
	return nil
}

// signed is who the claims speak of, if such may sign in here.
func (o *OIDC) signed(subject, raw string, claims map[string]any) (Signed, error) {
	s := Signed{Token: raw, Subject: subject, Groups: texts(claims[o.GroupsClaim])}
	s.preferred, _ = claims["preferred_username"].(string)
	if v := claims["email_verified"]; v == true || v == "true" { // some providers send it as text
		email, _ := claims["email"].(string)
		s.Email = strings.ToLower(email)
	}
	_, domain, _ := strings.Cut(s.Email, "@")
	if len(o.Domains) > 0 && !slices.ContainsFunc(o.Domains, func(d string) bool { return strings.EqualFold(d, domain) }) {
		return Signed{}, errNotAllowed("the verified e-mail address is in none of the domains that are allowed here")
	}
	if len(o.Groups) > 0 && !overlap(o.Groups, s.Groups) {
		return Signed{}, errNotAllowed("the account there is in none of the groups that are allowed here")
	}
	return s, nil
}

// SignOut is where to send a browser that has signed out here, so that the
// provider does, too; empty when it offers none.
func (o *OIDC) SignOut(token, back string) string {
	p := o.issuer.known()
	var meta struct {
		End string `json:"end_session_endpoint"`
	}
	if p == nil || token == "" || p.Claims(&meta) != nil || meta.End == "" {
		return ""
	}
	u, err := url.Parse(meta.End)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	q := u.Query()
	q.Set("id_token_hint", token)
	q.Set("client_id", o.ClientID)
	q.Set("post_logout_redirect_uri", back)
	u.RawQuery = q.Encode()
	return u.String()
}

func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// texts is a claim that is a list of texts, or one.
func texts(claim any) (out []string) {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// errExchange is what a token endpoint said, without what was sent.
func errExchange(err error) error {
	const what = "the provider did not redeem the sign-in"
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return errOIDC(what, "it does not answer as it should")
	}
	why := printable(strings.TrimSpace(refused.ErrorCode + " " + refused.ErrorDescription))
	if refused.ErrorCode != "invalid_client" {
		return errOIDC(what, why)
	}
	return &mirror.Problem{
		Code: mirror.CodeCredentials, Kind: mirror.ErrSignIn, What: "the provider does not accept what this server signs in there with", Why: why,
		Do: "have an administrator check auth.oidc.client_id and auth.oidc.client_secret",
	}
}

func errSilent(err error) error {
	return &mirror.Problem{
		Code: mirror.CodeConnect, Kind: mirror.ErrUpstream, What: "the sign-in provider cannot be used", Why: silence(err),
		Do: "sign in with a password, or have an administrator check auth.oidc.issuer",
	}
}

func errOIDC(what, why string) error {
	return &mirror.Problem{Code: mirror.CodeCredentials, Kind: mirror.ErrSignIn, What: what, Why: why, Do: "begin the sign-in again"}
}

func errNotAllowed(why string) error {
	return &mirror.Problem{Code: mirror.CodeMayNot, Kind: mirror.ErrDenied, What: "this account may not sign in here", Why: why, Do: "ask an administrator"}
}
