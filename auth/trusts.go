package auth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

// Trust says whose identity tokens are exchanged for API tokens: those of an
// issuer, made for an audience, whose claims match. CI systems give each job one.
type Trust struct {
	ID       string // xid
	Name     string // unique in any case
	Issuer   string // URL
	Audience string
	// Claims are patterns by the name of the claim; all must match. "*" stands for
	// any run of characters.
	Claims   map[string]string
	User     string // id of the robot whose token it becomes
	Scope    Scope
	TTL      time.Duration
	Created  time.Time
	LastUsed time.Time
}

// TrustStore keeps trusts, and the tokens that come of them.
type TrustStore interface {
	AddTrust(ctx context.Context, t Trust) error
	Trusts(ctx context.Context) ([]Trust, error) // by name
	RemoveTrust(ctx context.Context, id string) error
	// UsedTrust notes it, and drops the expired tokens of trusts.
	UsedTrust(ctx context.Context, id string, at time.Time) error
}

const (
	minTrustTTL = time.Minute
	maxTrustTTL = 24 * time.Hour
	maxTrusts   = 500
	maxClaims   = 20
	maxTrusted  = 5000 // live tokens of one robot
)

// AddTrust checks and stores a trust.
func (a *Accounts) AddTrust(ctx context.Context, t Trust) (Trust, error) {
	a.init()
	bad := func(what, do string) (Trust, error) {
		return Trust{}, &mirror.Problem{Kind: mirror.ErrInvalid, What: what, Do: do}
	}
	name, err := parseName(t.Name)
	if err != nil {
		return bad(printable(t.Name)+" cannot be the name of a trust", "use letters, digits and . _ -, for example github-acme")
	}
	t.Name = name
	t.Issuer = strings.TrimSpace(t.Issuer)
	u, err := url.Parse(t.Issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return bad("the issuer must be an https:// URL", "take it from the CI system: its tokens have it in the claim iss")
	}
	if t.Audience = strings.TrimSpace(t.Audience); t.Audience == "" || len(t.Audience) > 500 {
		return bad("the audience is missing", "use the address of this server: jobs ask for tokens that are good for nothing else")
	}
	if len(t.Claims) == 0 || len(t.Claims) > maxClaims {
		return bad("at least one claim must be matched", "name the repository, such as repository=acme/app; else anybody's job would be trusted")
	}
	narrow := false
	for claim, pattern := range t.Claims {
		if claim == "" || len(claim) > 100 || pattern == "" || len(pattern) > 500 {
			return bad("the claim "+printable(claim)+" has no pattern", "write claim=pattern")
		}
		narrow = narrow || strings.Trim(pattern, "*") != ""
	}
	if !narrow {
		return bad("no claim narrows down whose jobs are trusted", "name the repository, such as repository=acme/app")
	}
	if t.TTL == 0 {
		t.TTL = time.Hour
	}
	if t.TTL < minTrustTTL || t.TTL > maxTrustTTL {
		return bad(fmt.Sprintf("tokens of a trust live from %s to %s", minTrustTTL, maxTrustTTL), "give a time between them, such as 1h")
	}
	if t.Scope == "" {
		t.Scope = ScopeRead
	}
	if t.Scope != ScopeRead && t.Scope != ScopeWrite {
		return bad("tokens of a trust have the scope read or write", "")
	}
	user, err := a.Store.User(ctx, t.User)
	if err != nil {
		return Trust{}, err
	}
	if user.Role != Robot {
		return bad(user.Name+" is not a robot", "make one for it: gitmirror user add NAME --role robot")
	}
	have, err := a.Store.Trusts(ctx)
	if err != nil {
		return Trust{}, err
	}
	if len(have) >= maxTrusts {
		return bad("there are too many trusts already", "remove those that are no longer used; one pattern may stand for many repositories")
	}
	t.ID, t.Created = xid.New().String(), time.Now().UTC().Truncate(time.Millisecond)
	err = a.Store.AddTrust(ctx, t)
	if errors.Is(err, mirror.ErrExists) {
		return Trust{}, &mirror.Problem{Kind: mirror.ErrExists, What: "there is a trust named " + t.Name + " already", Do: "choose another name"}
	}
	if err == nil {
		a.Log.Info("trust added", "trust", t.Name, "issuer", t.Issuer, "user", user.Name, "scope", t.Scope)
	}
	return t, err
}

// Trusts lists all by name.
func (a *Accounts) Trusts(ctx context.Context) ([]Trust, error) { return a.Store.Trusts(ctx) }

// RemoveTrust ends a trust. Tokens made of it live to their end, which is near.
func (a *Accounts) RemoveTrust(ctx context.Context, idOrName string) error {
	a.init()
	trusts, err := a.Store.Trusts(ctx)
	if err != nil {
		return err
	}
	for _, t := range trusts {
		if t.ID == idOrName || t.Name == fold(idOrName) {
			err := a.Store.RemoveTrust(ctx, t.ID)
			if err == nil {
				a.Log.Info("trust removed", "trust", t.Name)
			}
			return err
		}
	}
	return &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no trust " + printable(idOrName), Do: `"gitmirror trust list" lists them`}
}

// matches tells whether claims are those of a job the trust is for.
func (t Trust) matches(claims map[string]any) bool {
	for name, pattern := range t.Claims {
		ok := false
		for _, text := range texts(scalar(claims[name])) {
			ok = ok || like(pattern, text)
		}
		if !ok {
			return false
		}
	}
	return true
}

// scalar makes text of the numbers and booleans a claim may be.
func scalar(claim any) any {
	switch v := claim.(type) {
	case bool:
		return fmt.Sprint(v)
	case float64:
		return fmt.Sprintf("%.0f", v)
	}
	return claim
}

// like matches text with a pattern in which "*" stands for any run of characters.
func like(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}
