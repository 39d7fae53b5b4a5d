package auth

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

// SignIn is a sign-in to the console that is not over: one browser.
type SignIn struct {
	ID      string // xid
	User    string
	Via     Via
	Addr    string // of the browser, when it signed in
	Agent   string // User-Agent, cut
	Created time.Time
	Seen    time.Time // to within some minutes
	Expires time.Time
}

// SignInStore keeps sign-ins. What has expired is not there.
type SignInStore interface {
	AddSignIn(ctx context.Context, s SignIn) error
	SignIn(ctx context.Context, id string) (SignIn, error)
	SignIns(ctx context.Context, user string) ([]SignIn, error) // the last seen first
	SawSignIn(ctx context.Context, id string, at time.Time) error
	// RemoveSignIn is ErrNotFound when it is somebody else's; user empty = anybody's.
	RemoveSignIn(ctx context.Context, user, id string) error
	// RemoveSignIns ends all of a user but one, and returns how many.
	RemoveSignIns(ctx context.Context, user, but string) (int, error)
}

const maxAgent = 300 // bytes of a User-Agent that are kept

// Begin records a sign-in to the console, which Session asks for from then on.
func (a *Accounts) Begin(ctx context.Context, userID string, via Via, addr, agent string, life time.Duration) (SignIn, error) {
	a.init()
	agent = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, agent)
	if len(agent) > maxAgent {
		agent = strings.ToValidUTF8(agent[:maxAgent], "")
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	s := SignIn{ID: xid.New().String(), User: userID, Via: via, Addr: addr, Agent: agent, Created: now, Seen: now, Expires: now.Add(life)}
	return s, a.Store.AddSignIn(ctx, s)
}

// SignIns lists those of a user, the last seen first.
func (a *Accounts) SignIns(ctx context.Context, userID string) ([]SignIn, error) {
	return a.Store.SignIns(ctx, userID)
}

// Saw notes that a sign-in was used.
func (a *Accounts) Saw(ctx context.Context, signIn string, at time.Time) error {
	return a.Store.SawSignIn(ctx, signIn, at)
}

// SignOut ends a sign-in of the user; ErrNotFound when it is somebody else's.
func (a *Accounts) SignOut(ctx context.Context, userID, signIn string) error {
	a.init()
	err := a.Store.RemoveSignIn(ctx, userID, signIn)
	if err == nil {
		a.Log.Info("signed out", "user", userID, "session", signIn)
	}
	return err
}

// SignOutAll ends all sign-ins of a user but one (empty = all), and says how many.
func (a *Accounts) SignOutAll(ctx context.Context, userID, but string) (int, error) {
	a.init()
	n, err := a.Store.RemoveSignIns(ctx, userID, but)
	if err == nil {
		a.Log.Info("signed out", "user", userID, "sessions", n)
	}
	return n, err
}

// Session continues a session that began when the user's Epoch was epoch, with
// the sign-in of that id. It is ErrSignIn when the sign-in was ended, the user
// disabled or removed, or password or role have changed since.
func (a *Accounts) Session(ctx context.Context, userID string, epoch int64, signIn string) (Identity, error) {
	a.init()
	user, err := a.enabled(ctx, userID)
	if err != nil {
		return Identity{}, err
	}
	over := &mirror.Problem{
		Code: mirror.CodeSignIn, Kind: mirror.ErrSignIn, What: "your session is over",
		Why: "the account's password or role was changed", Do: "sign in again",
	}
	if user.Epoch != epoch {
		return Identity{}, over
	}
	s, err := a.Store.SignIn(ctx, signIn)
	if errors.Is(err, mirror.ErrNotFound) || err == nil && s.User != userID {
		over.Why = "it was ended from another browser, or by an administrator"
		return Identity{}, over
	}
	if err != nil {
		return Identity{}, err
	}
	id := identity(user, ScopeAdmin, BySession)
	id.SignIn, id.First = signIn, s.Via
	if a.RequireFactor && s.Via == ByPassword {
		on, err := a.HasFactor(ctx, userID)
		if err != nil {
			return Identity{}, err
		}
		id.Enrol = !on
	}
	return id, nil
}
