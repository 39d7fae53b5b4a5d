package auth

import (
	"context"
	"errors"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// External is who somebody is at an OpenID provider.
type External struct {
	Issuer, Subject string
	User            string // id here
	Email           string // as the provider last had it
	Created         time.Time
	LastUsed        time.Time
}

// ExternalStore keeps who is who.
type ExternalStore interface {
	External(ctx context.Context, issuer, subject string) (External, error)
	Externals(ctx context.Context, user string) ([]External, error) // by issuer
	// AddExternal is ErrExists when somebody is that already.
	AddExternal(ctx context.Context, e External) error
	UsedExternal(ctx context.Context, e External) error // stores Email and LastUsed
	RemoveExternal(ctx context.Context, user, issuer, subject string) error
}

// Externals lists who a user is elsewhere.
func (a *Accounts) Externals(ctx context.Context, userID string) ([]External, error) {
	return a.Store.Externals(ctx, userID)
}

// Link lets whom issuer calls subject sign in as the user.
func (a *Accounts) Link(ctx context.Context, userID, issuer, subject, email string) (External, error) {
	a.init()
	user, err := a.Store.User(ctx, userID)
	if err != nil {
		return External{}, err
	}
	if user.Role == Robot {
		return External{}, errRobotKey(user.Name)
	}
	if issuer == "" || subject == "" || len(issuer) > 500 || len(subject) > 500 {
		return External{}, &mirror.Problem{Kind: mirror.ErrInvalid, What: "an external identity is an issuer and a subject", Do: "take both from the provider: the claims iss and sub"}
	}
	e := External{Issuer: issuer, Subject: subject, User: userID, Email: email, Created: time.Now().UTC().Truncate(time.Millisecond)}
	err = a.Store.AddExternal(ctx, e)
	if errors.Is(err, mirror.ErrExists) {
		before, lookErr := a.Store.External(ctx, issuer, subject)
		if lookErr == nil && before.User == userID {
			return before, nil
		}
		return External{}, &mirror.Problem{Kind: mirror.ErrExists, What: "this external identity belongs to another account", Do: "unlink it there first"}
	}
	if err == nil {
		a.Log.Info("external identity linked", "user", user.Name, "issuer", issuer)
	}
	return e, err
}

// Unlink takes an external identity from a user.
func (a *Accounts) Unlink(ctx context.Context, userID, issuer, subject string) error {
	a.init()
	err := a.Store.RemoveExternal(ctx, userID, issuer, subject)
	if errors.Is(err, mirror.ErrNotFound) {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "this account has no such external identity"}
	}
	if err == nil {
		a.Log.Info("external identity unlinked", "user", userID, "issuer", issuer)
	}
	return err
}
