package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

// Accounts turns credentials into identities and manages users, keys and
// tokens. Every credential is looked up when it is used, so a disabled user or
// a removed key is out with the next request.
//
// Errors are *mirror.Problem of kind ErrSignIn (credential not good), ErrBusy
// (too many failed attempts), ErrInvalid, ErrExists, ErrNotFound; anything
// else is trouble with the store.
type Accounts struct {
	Store Store
	Trail *Trail       // gets the sign-ins that fail; may be nil
	Log   *slog.Logger // nil = discard
	// Vault seals the secrets of second factors; nil = there are none.
	Vault mirror.Vault
	// RequireFactor wants a second factor of everybody who has a password.
	RequireFactor bool

	once    sync.Once
	hashing chan struct{} // one place per password hash at work: 19 MiB each
	names   *throttle     // failed sign-ins by user name
	peers   *throttle     // failed sign-ins by peer address
	recent  *lru.Cache[[32]byte, time.Time]
	noted   *lru.Cache[string, time.Time] // keys and tokens whose use was recorded
	secret  [32]byte                      // keys the entries of recent

	edit sync.Mutex // one change of users at a time: the last admin must stay
}

const (
	maxHashing  = 4                // 76 MiB of memory at most
	recentFor   = 5 * time.Minute  // a verified password of basic authentication is not hashed again
	noteEvery   = time.Minute      // how often the use of a key or token is written down
	noteWait    = 5 * time.Second  // for that: whoever signs in waits for it
	hashWait    = 10 * time.Second // for a place among the hashing
	maxPerUser  = 200              // keys, and tokens
	maxNameText = 100              // characters of the name of a key or token
)

func (a *Accounts) init() {
	a.once.Do(func() {
		a.hashing = make(chan struct{}, maxHashing)
		a.names = newThrottle(10, 6*time.Second)
		a.peers = newThrottle(20, 3*time.Second)
		a.recent = kept[[32]byte, time.Time](1000)
		a.noted = kept[string, time.Time](10000)
		rand.Read(a.secret[:]) // never fails: crypto/rand
		if a.Log == nil {
			a.Log = slog.New(slog.DiscardHandler)
		}
	})
}

// Password signs in with a user name and a password. peer is the network
// address of the caller ("ip" or "ip:port"). An unknown user, a wrong password
// and a disabled user get the same error after the same time.
func (a *Accounts) Password(ctx context.Context, name, password, peer string) (Identity, error) {
	return a.password(ctx, name, password, peer, false)
}

// BasicCode is Basic with a code of the second factor beside the password, for
// programs that make themselves a token with it.
func (a *Accounts) BasicCode(ctx context.Context, user, password, code, peer string) (Identity, error) {
	id, err := a.Password(ctx, user, password, peer)
	if err != nil {
		return Identity{}, err
	}
	return id, a.CheckFactor(ctx, id.User, code, peer)
}

// Basic signs in with the two fields of HTTP basic authentication: a token as
// password (the user name does not matter), a token as user name (with no
// password, or one of the fillers other git hosts made customary), or a user's
// name and password, which is not enough where there is, or must be, a second
// factor.
func (a *Accounts) Basic(ctx context.Context, user, password, peer string) (Identity, error) {
	switch {
	case strings.HasPrefix(password, tokenPrefix):
		return a.TokenFrom(ctx, password, peer)
	case strings.HasPrefix(user, tokenPrefix) && (password == "" || password == "x-oauth-basic"):
		return a.TokenFrom(ctx, user, peer)
	}
	id, err := a.password(ctx, user, password, peer, true)
	if err != nil {
		return Identity{}, err
	}
	return id, a.passwordAlone(ctx, id)
}

func (a *Accounts) password(ctx context.Context, name, password, peer string, remember bool) (Identity, error) {
	a.init()
	name = fold(name)
	user, err := a.Store.UserByName(ctx, name)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return Identity{}, err
	}
	good := err == nil && !user.Disabled && user.Role != Robot && user.PasswordHash != ""
	var mark [32]byte
	if good && remember {
		mark = a.mark(user, password)
		if until, ok := a.recent.Get(mark); ok && time.Now().Before(until) {
			return identity(user, ScopeAdmin, ByPassword), nil
		}
	}
	hash := user.PasswordHash
	if !good {
		hash = dummyHash
	}
	matches, err := a.attempt(ctx, name, peer, func() bool { return checkPassword(hash, password) && good })
	if err != nil {
		return Identity{}, err
	}
	if !matches {
		a.Log.Info("sign-in refused", "user", cmp.Or(user.Name, "(unknown)"), "addr", peer) // who errs may have typed a password for a name
		a.Trail.signInFailed(ctx, user.Name, user.ID != "", peer, errCredentials())
		return Identity{}, errCredentials()
	}
	if remember {
		a.recent.Add(mark, time.Now().Add(recentFor))
	}
	return identity(user, ScopeAdmin, ByPassword), nil
}

// attempt runs check in one of the places for hashing, unless name or peer
// failed too often of late. The throttles are asked with the place in hand, so
// that a burst of parallel guesses gets no further than a row of them.
func (a *Accounts) attempt(ctx context.Context, name, peer string, check func() bool) (bool, error) {
	peer = peerKey(peer)
	if a.names.spent(name) || a.peers.spent(peer) {
		return false, errTooMany()
	}
	wait, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-wait.Done():
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return false, errTooMany()
	}
	if a.names.spent(name) || a.peers.spent(peer) {
		return false, errTooMany()
	}
	if check() {
		return true, nil
	}
	a.names.charge(name)
	a.peers.charge(peer)
	return false, nil
}

// Token signs in with an API token.
func (a *Accounts) Token(ctx context.Context, secret string) (Identity, error) {
	return a.TokenFrom(ctx, secret, "")
}

// TokenFrom is Token for a caller whose address is known ("ip" or "ip:port").
func (a *Accounts) TokenFrom(ctx context.Context, secret, peer string) (Identity, error) {
	a.init()
	if !wellFormedToken(secret) {
		return Identity{}, errToken("it is not a token of gitmirror, or not all of it was copied")
	}
	hash := hashToken(secret)
	t, err := a.Store.TokenByHash(ctx, hash)
	if errors.Is(err, mirror.ErrNotFound) || err == nil && subtle.ConstantTimeCompare(t.Hash, hash) != 1 {
		return Identity{}, errToken("it was removed, or belongs to another server")
	}
	if err != nil {
		return Identity{}, err
	}
	if !t.Expires.IsZero() && !time.Now().Before(t.Expires) {
		return Identity{}, errToken("it expired on " + t.Expires.UTC().Format(time.DateOnly))
	}
	user, err := a.enabled(ctx, t.User)
	if err != nil {
		return Identity{}, err
	}
	a.note(ctx, t.ID, t.LastUsed, peer)
	id := identity(user, t.Scope, ByToken)
	id.Token = t.ID
	return id, nil
}

// Key signs in with an SSH key whose ownership the caller has already
// verified; fingerprint is "SHA256:…". A key reads; it has no wider scope.
func (a *Accounts) Key(ctx context.Context, fingerprint string) (Identity, error) {
	return a.KeyFrom(ctx, fingerprint, "")
}

// KeyFrom is Key for a caller whose address is known.
func (a *Accounts) KeyFrom(ctx context.Context, fingerprint, peer string) (Identity, error) {
	id, k, err := a.key(ctx, fingerprint)
	if err == nil {
		a.note(ctx, k.ID, k.LastUsed, peer)
	}
	return id, err
}

// OfferedKey tells whether Key would accept a key somebody only claims to
// have: it is not yet used, and nobody is identified by it.
func (a *Accounts) OfferedKey(ctx context.Context, fingerprint string) error {
	_, _, err := a.key(ctx, fingerprint)
	return err
}

func (a *Accounts) key(ctx context.Context, fingerprint string) (Identity, Key, error) {
	a.init()
	k, err := a.Store.KeyByFingerprint(ctx, fingerprint)
	if errors.Is(err, mirror.ErrNotFound) || err == nil && k.Fingerprint != fingerprint {
		return Identity{}, Key{}, &mirror.Problem{
			Code: mirror.CodeSSHKey, Kind: mirror.ErrSignIn, What: "the key " + printable(fingerprint) + " is not registered",
			Do: "add it to your account in the console, or choose another with ssh -i",
		}
	}
	if err != nil {
		return Identity{}, Key{}, err
	}
	user, err := a.enabled(ctx, k.User)
	if err != nil {
		return Identity{}, Key{}, err
	}
	if user.Role == Robot {
		return Identity{}, Key{}, errRobotKey(user.Name)
	}
	id := identity(user, ScopeRead, ByKey)
	id.Key = fingerprint
	return id, k, nil
}

// enabled returns the user behind a credential; it is ErrSignIn when there is
// none any more or it is disabled.
func (a *Accounts) enabled(ctx context.Context, id string) (User, error) {
	user, err := a.Store.User(ctx, id)
	if errors.Is(err, mirror.ErrNotFound) || err == nil && user.Disabled {
		return User{}, &mirror.Problem{
			Code: mirror.CodeSignIn, Kind: mirror.ErrSignIn, What: "this account is disabled or was removed", Do: "ask an administrator",
		}
	}
	return user, err
}

// note records the use of a key or token, at most once in noteEvery. Trouble
// is logged and stops nobody.
func (a *Accounts) note(ctx context.Context, keyOrToken string, last time.Time, peer string) {
	now := time.Now().UTC()
	if before, ok := a.noted.Get(keyOrToken); now.Sub(last) < noteEvery || ok && now.Sub(before) < noteEvery {
		return
	}
	a.noted.Add(keyOrToken, now)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteWait)
	defer cancel()
	if err := a.Store.Used(ctx, keyOrToken, now, address(peer)); err != nil {
		a.Log.Error("use of a key or token not recorded", "err", err)
	}
}

func identity(u User, scope Scope, via Via) Identity {
	return Identity{User: u.ID, Name: u.Name, Role: u.Role, Scope: scope, Via: via}
}

func errCredentials() error {
	return &mirror.Problem{
		Code: mirror.CodeCredentials, Kind: mirror.ErrSignIn, What: "user name or password is wrong",
		Do: "try again, or use an API token as the password",
	}
}

func errToken(why string) error {
	return &mirror.Problem{
		Code: mirror.CodeCredentials, Kind: mirror.ErrSignIn, What: "the API token is not accepted", Why: why,
		Do: "create one in the console or with: gitmirror token create NAME",
	}
}

func errTooMany() error {
	return &mirror.Problem{
		Code: mirror.CodeTooMany, Kind: mirror.ErrBusy, What: "too many failed sign-ins",
		Do: "wait a minute and try again; tokens, keys and open sessions keep working",
	}
}

func errRobotKey(name string) error {
	return &mirror.Problem{
		Kind: mirror.ErrInvalid, What: name + " is a robot, and robots sign in with tokens only",
		Do: "create a token for it: gitmirror token create NAME",
	}
}
