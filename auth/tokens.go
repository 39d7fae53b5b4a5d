package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/rs/xid"
)

// A token is tokenPrefix, 32 random bytes in 43 digits of base 62, and their
// CRC-32 in 6: secret scanners find it, and a mistyped one is told from a
// removed one without asking the database. It needs no escaping anywhere and a
// double click selects all of it.
const (
	tokenPrefix   = "gmr_"
	tokenRandom   = 43
	tokenChecksum = 6
	base62        = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

func newToken() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand
	body := inBase62(new(big.Int).SetBytes(b[:]), tokenRandom)
	return tokenPrefix + body + tokenSum(body)
}

func tokenSum(body string) string {
	return inBase62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(body)))), tokenChecksum)
}

// inBase62 writes n with exactly digits digits; n must fit.
func inBase62(n *big.Int, digits int) string {
	out := make([]byte, digits)
	base, rest := big.NewInt(62), new(big.Int)
	for i := digits - 1; i >= 0; i-- {
		n.QuoRem(n, base, rest)
		out[i] = base62[rest.Int64()]
	}
	return string(out)
}

func wellFormedToken(s string) bool {
	body, ok := strings.CutPrefix(s, tokenPrefix)
	if !ok || len(body) != tokenRandom+tokenChecksum {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(tokenSum(body[:tokenRandom])), []byte(body[tokenRandom:])) == 1
}

// hashToken needs no salt and no stretching: a token has 256 random bits.
func hashToken(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// CreateToken makes an API token for a user. The secret is returned this once
// and never stored. expires zero = never. A scope wider than the owner's role
// gives no more than the role.
func (a *Accounts) CreateToken(ctx context.Context, userID, name string, scope Scope, expires time.Duration) (Token, string, error) {
	a.init()
	user, err := a.Store.User(ctx, userID)
	if err != nil {
		return Token{}, "", err
	}
	if user.Disabled {
		return Token{}, "", errDisabled(user.Name)
	}
	if scope, err = ParseScope(string(scope)); err != nil {
		return Token{}, "", err
	}
	if name, err = labelOf("token", name); err != nil {
		return Token{}, "", err
	}
	if expires < 0 {
		return Token{}, "", &mirror.Problem{Kind: mirror.ErrInvalid, What: "the token would have expired already", Do: "give a time from now, for example 90d"}
	}
	have, err := a.Store.Tokens(ctx, userID)
	if err != nil {
		return Token{}, "", err
	}
	if len(have) >= maxPerUser {
		return Token{}, "", errTooManyOf("tokens", user.Name)
	}
	secret := newToken()
	t := Token{
		ID: xid.New().String(), User: userID, Name: name, Scope: scope, Hash: hashToken(secret),
		Created: time.Now().UTC().Truncate(time.Millisecond),
	}
	if expires > 0 {
		t.Expires = t.Created.Add(expires)
	}
	if err := a.Store.AddToken(ctx, t); err != nil {
		return Token{}, "", err
	}
	a.Log.Info("token created", "user", user.Name, "token", t.ID, "scope", scope)
	return t, secret, nil
}

// Tokens lists the tokens of a user, newest first; userID empty = everybody's.
func (a *Accounts) Tokens(ctx context.Context, userID string) ([]Token, error) {
	return a.Store.Tokens(ctx, userID)
}

// RemoveToken ends a token of the user; ErrNotFound when it is somebody else's.
func (a *Accounts) RemoveToken(ctx context.Context, userID, tokenID string) error {
	a.init()
	if err := a.Store.RemoveToken(ctx, userID, tokenID); err != nil {
		return err
	}
	a.Log.Info("token removed", "user", userID, "token", tokenID)
	return nil
}

// labelOf checks the name a person gives to a key or token.
func labelOf(what, name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return what, nil
	}
	if len([]rune(name)) > maxNameText || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0xfffd }) {
		return "", &mirror.Problem{
			Kind: mirror.ErrInvalid, What: "this name of a " + what + " cannot be used",
			Why: fmt.Sprintf("it is longer than %d characters or holds control characters", maxNameText), Do: "choose a short one, for example laptop or ci",
		}
	}
	return name, nil
}

func errDisabled(name string) error {
	return &mirror.Problem{Kind: mirror.ErrInvalid, What: name + " is disabled", Do: "enable the account first"}
}

func errTooManyOf(what, name string) error {
	return &mirror.Problem{
		Kind: mirror.ErrInvalid, What: fmt.Sprintf("%s has %d %s already", name, maxPerUser, what), Do: "remove those that are no longer used",
	}
}
