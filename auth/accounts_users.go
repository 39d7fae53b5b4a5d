package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/rs/xid"
)

// FirstAdmin is the name of the user Bootstrap makes.
const FirstAdmin = "admin"

// Bootstrap makes the user "admin" when there is no user at all. With an empty
// password it generates one and returns it, for the caller to show once.
func (a *Accounts) Bootstrap(ctx context.Context, password string) (generated string, created bool, err error) {
	users, err := a.Users(ctx)
	if err != nil || len(users) > 0 {
		return "", false, err
	}
	if password == "" {
		generated = generatePassword()
		password = generated
	}
	_, err = a.AddUser(ctx, FirstAdmin, Admin, password)
	if errors.Is(err, mirror.ErrExists) {
		return "", false, nil // another server on the same database was faster
	}
	if err != nil {
		return "", false, err
	}
	return generated, true, nil
}

// AddUser makes an account. A robot has no password; anybody else may get one
// later.
func (a *Accounts) AddUser(ctx context.Context, name string, role Role, password string) (User, error) {
	a.init()
	name, err := parseName(name)
	if err != nil {
		return User{}, err
	}
	if role, err = ParseRole(string(role)); err != nil {
		return User{}, err
	}
	u := User{ID: xid.New().String(), Name: name, Role: role, Created: time.Now().UTC().Truncate(time.Millisecond)}
	if password != "" {
		if u.PasswordHash, err = a.newHash(ctx, u, password); err != nil {
			return User{}, err
		}
	}
	err = a.Store.AddUser(ctx, u)
	if errors.Is(err, mirror.ErrExists) {
		return User{}, &mirror.Problem{Kind: mirror.ErrExists, What: "there is a user named " + name + " already", Do: "choose another name"}
	}
	if err != nil {
		return User{}, err
	}
	a.Log.Info("user added", "user", name, "role", role)
	return u, nil
}

// parseName folds a user name to lower case and checks it.
func parseName(text string) (string, error) {
	name := fold(strings.TrimSpace(text))
	ok := len(name) >= 1 && len(name) <= 39
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		ok = ok && (letter || i > 0 && strings.IndexByte("._-", c) >= 0)
	}
	if !ok {
		return "", &mirror.Problem{
			Kind: mirror.ErrInvalid, What: printable(text) + " cannot be a user name",
			Why: "names have 1 to 39 letters, digits and . _ -, the first a letter or digit", Do: "choose another, for example ada.l",
		}
	}
	return name, nil
}

// fold lower-cases ASCII letters and nothing else: "K" (the Kelvin sign) is
// not a way to write k.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// newHash hashes a password the user wants to have, in turn with the sign-ins.
func (a *Accounts) newHash(ctx context.Context, u User, password string) (string, error) {
	if u.Role == Robot {
		return "", &mirror.Problem{
			Kind: mirror.ErrInvalid, What: u.Name + " is a robot, and robots have no password",
			Do: "create a token for it: gitmirror token create NAME",
		}
	}
	if err := checkNewPassword(u.Name, password); err != nil {
		return "", err
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
		return hashPassword(password), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// User returns the account with the id.
func (a *Accounts) User(ctx context.Context, id string) (User, error) { return a.Store.User(ctx, id) }

// UserByName returns the account with the name, in any case of letters.
func (a *Accounts) UserByName(ctx context.Context, name string) (User, error) {
	return a.Store.UserByName(ctx, fold(name))
}

// Users lists all accounts by name.
func (a *Accounts) Users(ctx context.Context) ([]User, error) { return a.Store.Users(ctx) }

// SetPassword replaces the password and ends the user's sessions.
func (a *Accounts) SetPassword(ctx context.Context, userID, password string) error {
	a.init()
	return a.change(ctx, userID, "password changed", func(u *User) (err error) {
		u.PasswordHash, err = a.newHash(ctx, *u, password)
		return err
	})
}

// SetRole changes what the user may do and ends its sessions. Who becomes a
// robot loses the password.
func (a *Accounts) SetRole(ctx context.Context, userID string, role Role) error {
	a.init()
	role, err := ParseRole(string(role))
	if err != nil {
		return err
	}
	return a.change(ctx, userID, "role changed", func(u *User) error {
		u.Role = role
		if role == Robot {
			u.PasswordHash = ""
		}
		return nil
	})
}

// Disable takes every way in from the user, at once, or gives it back.
func (a *Accounts) Disable(ctx context.Context, userID string, disabled bool) error {
	a.init()
	what := "user enabled"
	if disabled {
		what = "user disabled"
	}
	return a.change(ctx, userID, what, func(u *User) error {
		u.Disabled = disabled
		return nil
	})
}

// UserEdit changes what is not nil, at once.
type UserEdit struct {
	// Version is the one the caller has seen; zero = any.
	Version  int64
	Role     *Role
	Disabled *bool
	Password *string
}

// Version grows with every edit, from 1.
func (u User) Version() int64 { return u.Epoch + 1 }

// EditUser edits an account; mirror.ErrExists when somebody else has, since
// e.Version was seen. It ends the user's sessions.
func (a *Accounts) EditUser(ctx context.Context, userID string, e UserEdit) (User, error) {
	a.init()
	var edited User
	err := a.change(ctx, userID, "user edited", func(u *User) (err error) {
		if e.Version != 0 && e.Version != u.Version() {
			return &mirror.Problem{Kind: mirror.ErrExists, What: u.Name + " was edited by somebody else meanwhile", Do: "look at the user again and repeat it"}
		}
		if e.Role != nil {
			if u.Role, err = ParseRole(string(*e.Role)); err != nil {
				return err
			}
			if u.Role == Robot {
				u.PasswordHash = ""
			}
		}
		if e.Disabled != nil {
			u.Disabled = *e.Disabled
		}
		if e.Password != nil {
			if u.PasswordHash, err = a.newHash(ctx, *u, *e.Password); err != nil {
				return err
			}
		}
		edited = *u
		return nil
	})
	edited.Epoch++
	return edited, err
}

// change edits a user with its Epoch grown by one.
func (a *Accounts) change(ctx context.Context, userID, what string, do func(*User) error) error {
	a.edit.Lock()
	defer a.edit.Unlock()
	before, err := a.Store.User(ctx, userID)
	if err != nil {
		return err
	}
	after := before
	if err := do(&after); err != nil {
		return err
	}
	if isAdmin(before) && !isAdmin(after) {
		if err := a.notLastAdmin(ctx, userID); err != nil {
			return err
		}
	}
	after.Epoch++
	if err := a.Store.EditUser(ctx, after); err != nil {
		return err
	}
	if _, err := a.Store.RemoveSignIns(ctx, userID, ""); err != nil { // the epoch has ended them; they need no list
		return err
	}
	a.Log.Info(what, "user", after.Name, "role", after.Role)
	return nil
}

// RemoveUser drops the account with its keys and tokens.
func (a *Accounts) RemoveUser(ctx context.Context, userID string) error {
	a.init()
	a.edit.Lock()
	defer a.edit.Unlock()
	u, err := a.Store.User(ctx, userID)
	if err != nil {
		return err
	}
	if isAdmin(u) {
		if err := a.notLastAdmin(ctx, userID); err != nil {
			return err
		}
	}
	if err := a.Store.RemoveUser(ctx, userID); err != nil {
		return err
	}
	a.Log.Info("user removed", "user", u.Name)
	return nil
}

func isAdmin(u User) bool { return u.Role == Admin && !u.Disabled }

func (a *Accounts) notLastAdmin(ctx context.Context, userID string) error {
	users, err := a.Store.Users(ctx)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.ID != userID && isAdmin(u) && u.PasswordHash != "" {
			return nil
		}
	}
	return &mirror.Problem{
		Kind: mirror.ErrInvalid, What: "this is the last administrator who can sign in",
		Why: "nobody else could manage users then", Do: fmt.Sprintf("make another first: gitmirror user add NAME --role %s", Admin),
	}
}
