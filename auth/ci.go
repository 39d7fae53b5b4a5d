package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

// CI exchanges identity tokens of CI jobs for API tokens, by the Trusts.
type CI struct {
	Accounts *Accounts
	// Client fetches the keys of issuers; nil = http.DefaultClient. Only issuers of
	// trusts are asked.
	Client *http.Client

	mu      sync.Mutex
	issuers map[string]*issuer
}

const maxIdentityToken = 16 << 10

// Exchange returns an API token for the identity token of a job. All refusals
// are ErrSignIn; too many of them from one address ErrBusy.
func (c *CI) Exchange(ctx context.Context, raw, peer string) (Token, string, error) {
	a := c.Accounts
	a.init()
	key := peerKey(peer)
	if a.peers.spent(key) {
		return Token{}, "", errTooMany()
	}
	refuse := func(what, why, do string) (Token, string, error) {
		a.peers.charge(key)
		a.Log.Info("identity token refused", "addr", peer, "why", what)
		return Token{}, "", &mirror.Problem{Code: mirror.CodeCredentials, Kind: mirror.ErrSignIn, What: what, Why: why, Do: do}
	}
	iss := unverifiedIssuer(raw)
	if iss == "" {
		return refuse("this is not an identity token", "", "send the token the CI system made for this job")
	}
	trusts, err := a.Store.Trusts(ctx)
	if err != nil {
		return Token{}, "", err
	}
	trusts = slices.DeleteFunc(trusts, func(t Trust) bool { return t.Issuer != iss })
	const ask = "have an administrator add a trust: gitmirror trust add"
	if len(trusts) == 0 {
		return refuse("no trust is for this issuer", printable(iss), ask)
	}
	p, err := c.provider(ctx, iss)
	if err != nil {
		return Token{}, "", err
	}
	ctx, cancel := context.WithTimeout(withClient(ctx, c.Client), 15*time.Second)
	defer cancel()
	id, err := p.Verifier(&oidc.Config{SkipClientIDCheck: true}).Verify(ctx, raw)
	if err != nil {
		return refuse("the identity token is not good", printable(err.Error()), "make a new one in the job that uses it")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return refuse("the claims of the identity token cannot be read", "", "")
	}
	audience := false
	for _, t := range trusts {
		if !slices.Contains(id.Audience, t.Audience) {
			continue
		}
		audience = true
		if t.matches(claims) {
			return a.trusted(ctx, t, id.Subject)
		}
	}
	if !audience {
		return refuse("the identity token is for somebody else", "its audience is "+printable(strings.Join(id.Audience, ", ")), "ask the CI system for one whose audience is the address of this server")
	}
	return refuse("no trust is for this job", "its subject is "+printable(id.Subject), ask)
}

// trusted makes the token.
func (a *Accounts) trusted(ctx context.Context, t Trust, subject string) (Token, string, error) {
	user, err := a.enabled(ctx, t.User)
	if err != nil {
		return Token{}, "", err
	}
	if user.Role != Robot {
		return Token{}, "", &mirror.Problem{Kind: mirror.ErrSignIn, What: "the account of this trust is no robot any more", Do: "ask an administrator"}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	if err := a.Store.UsedTrust(ctx, t.ID, now); err != nil {
		return Token{}, "", err
	}
	have, err := a.Store.Tokens(ctx, t.User)
	if err != nil {
		return Token{}, "", err
	}
	if len(have) >= maxTrusted {
		return Token{}, "", &mirror.Problem{Kind: mirror.ErrBusy, What: "too many jobs have a token now", Do: "try again later, or have the trust give shorter ones"}
	}
	name := []rune(printable(subject))
	secret := newToken()
	token := Token{
		ID: xid.New().String(), User: t.User, Name: string(name[:min(len(name), maxNameText)]), Scope: t.Scope, Hash: hashToken(secret),
		Created: now, Expires: now.Add(t.TTL), Trust: t.Name,
	}
	if err := a.Store.AddToken(ctx, token); err != nil {
		return Token{}, "", err
	}
	a.Log.Info("token made by trust", "trust", t.Name, "user", user.Name, "token", token.ID, "subject", subject)
	return token, secret, nil
}

// provider is what an issuer says about itself, or said before it went silent.
func (c *CI) provider(ctx context.Context, url string) (*oidc.Provider, error) {
	c.mu.Lock()
	i := c.issuers[url]
	if i == nil {
		if c.issuers == nil || len(c.issuers) > maxTrusts {
			c.issuers = map[string]*issuer{}
		}
		i = &issuer{}
		c.issuers[url] = i
	}
	c.mu.Unlock()
	p, err := i.ask(ctx, c.Client, url)
	if p == nil {
		return nil, &mirror.Problem{Code: mirror.CodeConnect, Kind: mirror.ErrUpstream, What: "the issuer cannot be asked for its keys", Why: silence(err), Do: "try again; if it stays, an administrator checks the trust"}
	}
	return p, nil
}

// unverifiedIssuer reads whose token it says it is, to know whom to ask.
func unverifiedIssuer(raw string) string {
	parts := strings.Split(raw, ".")
	if len(raw) > maxIdentityToken || len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return ""
	}
	return c.Issuer
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost"
}
