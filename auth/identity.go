package auth

import (
	"context"
	"fmt"

	"github.com/gitmirror/gitmirror/mirror"
)

// Role is what a user is. The zero value may nothing.
type Role string

// The roles of CONTRACT, "Roles".
const (
	Developer Role = "developer"
	Robot     Role = "robot" // signs in with tokens only
	Admin     Role = "admin"
)

// ParseRole accepts the three role names.
func ParseRole(s string) (Role, error) {
	switch Role(s) {
	case Developer, Robot, Admin:
		return Role(s), nil
	}
	return "", &mirror.Problem{Kind: mirror.ErrInvalid, What: fmt.Sprintf("no role is called %q", s), Do: "use developer, robot or admin"}
}

// Scope bounds what a token can do with its owner's role. The zero value may nothing.
type Scope string

const (
	ScopeRead  Scope = "read"  // clone, fetch, modules, look at mirrors; ask for a sync
	ScopeWrite Scope = "write" // and manage mirrors
	ScopeAdmin Scope = "admin" // everything the owner may
)

// ParseScope accepts the three scope names.
func ParseScope(s string) (Scope, error) {
	switch Scope(s) {
	case ScopeRead, ScopeWrite, ScopeAdmin:
		return Scope(s), nil
	}
	return "", &mirror.Problem{Kind: mirror.ErrInvalid, What: fmt.Sprintf("no token scope is called %q", s), Do: "use read, write or admin"}
}

// Via is how somebody proved who they are.
type Via string

const (
	ByPassword Via = "password"
	ByOIDC     Via = "oidc"
	BySession  Via = "session"
	ByToken    Via = "token"
	ByKey      Via = "ssh-key"
)

// Identity is who is asking. The zero value is nobody: an anonymous caller.
type Identity struct {
	User  string // user id; empty = anonymous
	Name  string
	Role  Role
	Scope Scope // what the credential allows; sessions, passwords and keys have the full scope of their kind
	Via   Via
	Token string // token id, when Via is ByToken
	Key   string // key fingerprint, when Via is ByKey
	// SignIn is the id of the sign-in, and First how it was made, when Via is BySession.
	SignIn string
	First  Via
	// Enrol: a second factor must be set up before anything else is allowed.
	Enrol bool
}

// Anonymous tells whether nobody signed in.
func (id Identity) Anonymous() bool { return id.User == "" }

// Action is something that can be asked for. The zero value is never allowed.
type Action int

const (
	_          Action = iota
	Read              // clone, fetch, modules, look at a mirror
	Sync              // ask for a sync now
	Manage            // add, edit, pause, remove mirrors
	Administer        // users, settings, audit
)

func (a Action) String() string {
	return [...]string{"nothing", "read", "sync", "manage mirrors", "administer"}[a]
}

// Policy decides. Its zero value lets only signed-in people read.
type Policy struct {
	// AnonymousRead lets anybody read the mirrors of public upstreams.
	AnonymousRead bool
	// Access says which private mirrors are for whom; nil = all are for whoever is
	// signed in.
	Access *Access
}

// May returns nil when id may do a, on a private mirror or a public one. Else
// the error is of kind ErrSignIn (nobody signed in) or ErrDenied.
func (p Policy) May(id Identity, a Action, private bool) error {
	if id.Anonymous() {
		if a == Read && !private && p.AnonymousRead {
			return nil
		}
		return &mirror.Problem{
			Code: "E2101", Kind: mirror.ErrSignIn, What: "sign-in required to " + a.String(),
			Do: "sign in, or send a token as the password of HTTP basic authentication",
		}
	}
	if id.Enrol {
		return errEnrol()
	}
	if a >= Read && a <= Administer && allowed(id.Role, id.Scope) >= a {
		return nil
	}
	return &mirror.Problem{
		Code: "E2103", Kind: mirror.ErrDenied, What: fmt.Sprintf("%s may not %s", id.Name, a),
		Why: fmt.Sprintf("role %s, scope %s", id.Role, id.Scope), Do: "ask an administrator",
	}
}

// allowed is the highest action of a role within a scope; the actions are
// ordered so that each includes those before it.
func allowed(r Role, s Scope) Action {
	var byRole, byScope Action
	switch r {
	case Developer:
		byRole = Sync
	case Robot:
		byRole = Manage
	case Admin:
		byRole = Administer
	}
	switch s {
	case ScopeRead:
		byScope = Sync
	case ScopeWrite:
		byScope = Manage
	case ScopeAdmin:
		byScope = Administer
	}
	return min(byRole, byScope)
}

type contextKey struct{}

// With returns a context that carries who is asking.
func With(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// From returns who is asking; nobody when With was never called.
func From(ctx context.Context) Identity {
	id, _ := ctx.Value(contextKey{}).(Identity)
	return id
}
