package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gitmirror/gitmirror/mirror"
)

// OIDC signs people in with an OpenID provider: the authorisation code flow with
// PKCE, state and nonce. What counts is the ID token: its signature by a key of
// the provider, iss, aud, azp, exp and nonce. The userinfo endpoint, which signs
// nothing, is not asked.
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

	mu       sync.Mutex
	provider *oidc.Provider
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

func (o *OIDC) context(ctx context.Context) context.Context {
	if o.Client != nil {
		return oidc.ClientContext(ctx, o.Client)
	}
	return ctx
}

// discovered is the provider, asked for its addresses once it answers. It does
// not have to when the server starts.
func (o *OIDC) discovered(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider != nil {
		return o.provider, nil
	}
	// Who asked first may go away; the answer is for all.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	p, err := oidc.NewProvider(o.context(ctx), o.Issuer)
	if err != nil {
		return nil, &mirror.Problem{
			Code: mirror.CodeConnect, Kind: mirror.ErrUpstream, What: "the sign-in provider cannot be used", Why: printable(err.Error()),
			Do: "sign in with a password, or have an administrator check auth.oidc.issuer",
		}
	}
	o.provider = p
	return p, nil
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
	p, err := o.discovered(ctx)
	if err != nil {
		return "", a, err
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
	p, err := o.discovered(ctx)
	if err != nil {
		return Signed{}, err
	}
	bound, cancel := context.WithTimeout(o.context(ctx), 20*time.Second)
	defer cancel()
	token, err := o.oauth(p).Exchange(bound, answer.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Signed{}, errOIDC("the provider did not redeem the sign-in", exchangeError(err))
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
	return o.claims(id, raw)
}

func (o *OIDC) claims(id *oidc.IDToken, raw string) (Signed, error) {
	var c struct {
		Azp       string `json:"azp"`
		Email     string `json:"email"`
		Verified  any    `json:"email_verified"` // some providers send it as text
		Preferred string `json:"preferred_username"`
	}
	all := map[string]any{}
	if err := errors.Join(id.Claims(&c), id.Claims(&all)); err != nil {
		return Signed{}, errOIDC("the claims of the ID token cannot be read", "")
	}
	if c.Azp != "" && c.Azp != o.ClientID || len(id.Audience) > 1 && c.Azp == "" {
		return Signed{}, errOIDC("the ID token is not good", "it was issued to another program")
	}
	s := Signed{Token: raw, Subject: id.Subject, preferred: c.Preferred, Groups: texts(all[o.GroupsClaim])}
	if c.Verified == true || c.Verified == "true" {
		s.Email = strings.ToLower(c.Email)
	}
	if s.Subject == "" {
		return Signed{}, errOIDC("the ID token is not good", "it names nobody")
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

// SignIn finds or makes the account of whom the provider vouches for, and brings
// role and groups up to date.
func (o *OIDC) SignIn(ctx context.Context, s Signed) (User, error) {
	o.Accounts.init()
	known, err := o.Accounts.Store.External(ctx, o.Issuer, s.Subject)
	var user User
	switch {
	case err == nil:
		user, err = o.Accounts.enabled(ctx, known.User)
	case errors.Is(err, mirror.ErrNotFound):
		user, err = o.create(ctx, s)
		known = External{Issuer: o.Issuer, Subject: s.Subject, User: user.ID}
	}
	if err != nil {
		return User{}, err
	}
	known.Email, known.LastUsed = s.Email, time.Now().UTC()
	if err := o.Accounts.Store.UsedExternal(ctx, known); err != nil {
		return User{}, err
	}
	return o.update(ctx, user, s)
}

// create makes an account. It never takes one that exists: whoever may choose a
// name at the provider would be able to choose whose account to have.
func (o *OIDC) create(ctx context.Context, s Signed) (User, error) {
	if !o.Create {
		return User{}, errNotAllowed("nobody here is linked to that account, and accounts are not made by signing in")
	}
	local, _, _ := strings.Cut(s.Email, "@")
	for _, name := range []string{s.preferred, local, s.Subject} {
		name, _, _ = strings.Cut(name, "@")
		if _, err := parseName(name); err != nil {
			continue
		}
		user, err := o.Accounts.AddUser(ctx, name, Developer, "")
		if errors.Is(err, mirror.ErrExists) {
			return User{}, errNotAllowed("there is a local account named " + fold(name) + " already, which is not linked: sign in to it with its password and connect the two under My account")
		}
		if err != nil {
			return User{}, err
		}
		if _, err := o.Accounts.Link(ctx, user.ID, o.Issuer, s.Subject, s.Email); err != nil {
			return User{}, errors.Join(err, o.Accounts.RemoveUser(ctx, user.ID))
		}
		return user, nil
	}
	return User{}, errNotAllowed("the provider sent no name an account could have")
}

// update gives the role and the groups the claims stand for.
func (o *OIDC) update(ctx context.Context, user User, s Signed) (User, error) {
	if len(o.Admins) > 0 {
		role := user.Role
		if overlap(o.Admins, s.Groups) {
			role = Admin
		} else if role == Admin {
			role = Developer
		}
		if role != user.Role {
			err := o.Accounts.SetRole(ctx, user.ID, role)
			if err != nil && !errors.Is(err, mirror.ErrInvalid) { // the last administrator stays
				return User{}, err
			}
		}
	}
	if o.GroupsClaim != "" {
		groups, err := o.Accounts.Groups(ctx)
		if err != nil {
			return User{}, err
		}
		var ids []string
		for _, g := range groups {
			if slices.ContainsFunc(s.Groups, func(name string) bool { return fold(name) == g.Name }) {
				ids = append(ids, g.ID)
			}
		}
		if err := o.Accounts.Store.SetMemberships(ctx, user.ID, o.Issuer, ids); err != nil {
			return User{}, err
		}
	}
	return o.Accounts.Store.User(ctx, user.ID)
}

// SignOut is where to send a browser that has signed out here, so that the
// provider does, too; empty when it offers none.
func (o *OIDC) SignOut(token, back string) string {
	o.mu.Lock()
	p := o.provider
	o.mu.Unlock()
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

// exchangeError is what a token endpoint said, without what was sent.
func exchangeError(err error) string {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return printable(fmt.Sprintf("%s %s", refused.ErrorCode, refused.ErrorDescription))
	}
	return "it does not answer as it should"
}

func errOIDC(what, why string) error {
	return &mirror.Problem{Code: mirror.CodeCredentials, Kind: mirror.ErrSignIn, What: what, Why: why, Do: "begin the sign-in again"}
}

func errNotAllowed(why string) error {
	return &mirror.Problem{Code: mirror.CodeMayNot, Kind: mirror.ErrDenied, What: "this account may not sign in here", Why: why, Do: "ask an administrator"}
}
