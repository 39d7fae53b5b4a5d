package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

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
