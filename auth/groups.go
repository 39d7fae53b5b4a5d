package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

// Group is people who may read the same private mirrors.
type Group struct {
	ID      string // xid
	Name    string // unique in any case
	Created time.Time
}

// Member is somebody in a group.
type Member struct {
	Group, User string // ids
	// Origin is the issuer whose groups claim says so; empty = an administrator did.
	Origin string
}

// Grant lets a group read private mirrors. A private mirror that some grant
// reaches is for the groups of its grants only.
type Grant struct {
	Pattern string // as mirror.CheckReach takes it
	Group   string // id
	Created time.Time
}

// AccessTable is who may read what: all grants and memberships.
type AccessTable struct {
	Grants  []Grant
	Members []Member
}

// GroupStore keeps groups. A missing row is mirror.ErrNotFound, a taken name
// mirror.ErrExists.
type GroupStore interface {
	AddGroup(ctx context.Context, g Group) error
	Groups(ctx context.Context) ([]Group, error)         // by name
	RemoveGroup(ctx context.Context, id string) error    // with memberships and grants
	Join(ctx context.Context, m Member) error            // joining twice is joining once
	Leave(ctx context.Context, group, user string) error // ErrNotFound when not a member
	// SetMemberships makes the groups of a user that origin says exactly those;
	// those that others say stay.
	SetMemberships(ctx context.Context, user, origin string, groups []string) error
	AddGrant(ctx context.Context, g Grant) error // of the same twice is one
	RemoveGrant(ctx context.Context, pattern, group string) error
	Access(ctx context.Context) (AccessTable, error) // grants by pattern
}

// maxGrants bounds the terms of the queries that are made of grants.
const maxGrants = 400

// AddGroup makes a group of nobody. Names are those of users.
func (a *Accounts) AddGroup(ctx context.Context, name string) (Group, error) {
	a.init()
	name, err := parseName(name)
	if err != nil {
		p := *mirror.AsProblem(err)
		p.What = strings.Replace(p.What, "a user name", "the name of a group", 1)
		p.Do = "choose another, for example backend"
		return Group{}, &p
	}
	g := Group{ID: xid.New().String(), Name: name, Created: time.Now().UTC().Truncate(time.Millisecond)}
	err = a.Store.AddGroup(ctx, g)
	if errors.Is(err, mirror.ErrExists) {
		return Group{}, &mirror.Problem{Kind: mirror.ErrExists, What: "there is a group named " + name + " already", Do: "choose another name"}
	}
	if err == nil {
		a.Log.Info("group added", "group", name)
	}
	return g, err
}

// Groups lists all groups by name.
func (a *Accounts) Groups(ctx context.Context) ([]Group, error) { return a.Store.Groups(ctx) }

// Group finds one by id or name.
func (a *Accounts) Group(ctx context.Context, idOrName string) (Group, error) {
	groups, err := a.Store.Groups(ctx)
	if err != nil {
		return Group{}, err
	}
	i := slices.IndexFunc(groups, func(g Group) bool { return g.ID == idOrName || g.Name == fold(idOrName) })
	if i < 0 {
		return Group{}, &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no group " + printable(idOrName), Do: `"gitmirror group list" lists them`}
	}
	return groups[i], nil
}

// RemoveGroup ends a group. What only it could read is then open to whom other
// grants say, or to everybody who is signed in.
func (a *Accounts) RemoveGroup(ctx context.Context, g Group) error {
	a.init()
	err := a.Store.RemoveGroup(ctx, g.ID)
	if err == nil {
		a.Log.Info("group removed", "group", g.Name)
	}
	return err
}

// Join puts a user into a group.
func (a *Accounts) Join(ctx context.Context, g Group, u User) error {
	a.init()
	err := a.Store.Join(ctx, Member{Group: g.ID, User: u.ID})
	if err == nil {
		a.Log.Info("joined group", "group", g.Name, "user", u.Name)
	}
	return err
}

// Leave takes a user out of a group.
func (a *Accounts) Leave(ctx context.Context, g Group, u User) error {
	a.init()
	err := a.Store.Leave(ctx, g.ID, u.ID)
	if errors.Is(err, mirror.ErrNotFound) {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: u.Name + " is not in the group " + g.Name}
	}
	if err == nil {
		a.Log.Info("left group", "group", g.Name, "user", u.Name)
	}
	return err
}

// Grant lets a group read the private mirrors a pattern reaches.
func (a *Accounts) Grant(ctx context.Context, g Group, pattern string) (Grant, error) {
	a.init()
	pattern, err := mirror.CheckReach(pattern)
	if err != nil {
		return Grant{}, err
	}
	table, err := a.Store.Access(ctx)
	if err != nil {
		return Grant{}, err
	}
	if len(table.Grants) >= maxGrants {
		return Grant{}, &mirror.Problem{Kind: mirror.ErrInvalid, What: "there are too many grants already", Do: "grant a folder with /* behind it instead of many repositories"}
	}
	made := Grant{Pattern: pattern, Group: g.ID, Created: time.Now().UTC().Truncate(time.Millisecond)}
	if err := a.Store.AddGrant(ctx, made); err != nil {
		return Grant{}, err
	}
	a.Log.Info("access granted", "group", g.Name, "pattern", pattern)
	return made, nil
}

// Revoke takes a grant back.
func (a *Accounts) Revoke(ctx context.Context, g Group, pattern string) error {
	a.init()
	err := a.Store.RemoveGrant(ctx, strings.TrimSpace(pattern), g.ID)
	if errors.Is(err, mirror.ErrNotFound) {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "the group " + g.Name + " has no grant of " + printable(pattern), Do: `"gitmirror group show ` + g.Name + `" lists them`}
	}
	if err == nil {
		a.Log.Info("access revoked", "group", g.Name, "pattern", pattern)
	}
	return err
}

// AccessTable is who may read what.
func (a *Accounts) AccessTable(ctx context.Context) (AccessTable, error) { return a.Store.Access(ctx) }
