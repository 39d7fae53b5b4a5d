package auth

import (
	"context"
	"time"
)

// Store is the database as accounts need it. A missing row is
// mirror.ErrNotFound, a taken name mirror.ErrExists.
type Store interface {
	AddUser(ctx context.Context, u User) error
	User(ctx context.Context, id string) (User, error)
	UserByName(ctx context.Context, name string) (User, error) // any case
	Users(ctx context.Context) ([]User, error)                 // by name
	// EditUser writes name, role, password hash, Disabled and Epoch, if the
	// stored Epoch is the one before u.Epoch; else ErrExists: somebody was faster.
	EditUser(ctx context.Context, u User) error
	// RemoveUser drops the user with keys and tokens.
	RemoveUser(ctx context.Context, id string) error

	AddKey(ctx context.Context, k Key) error // the fingerprint is unique over all users
	KeyByFingerprint(ctx context.Context, fingerprint string) (Key, error)
	Keys(ctx context.Context, user string) ([]Key, error) // by name; user empty = all
	RemoveKey(ctx context.Context, user, id string) error // ErrNotFound when it is somebody else's

	AddToken(ctx context.Context, t Token) error
	TokenByHash(ctx context.Context, hash []byte) (Token, error)
	Tokens(ctx context.Context, user string) ([]Token, error) // newest first; user empty = all
	RemoveToken(ctx context.Context, user, id string) error   // ErrNotFound when it is somebody else's

	// Used records that a key or token was used, from which address; errors only when the database is in trouble.
	Used(ctx context.Context, keyOrToken string, at time.Time, addr string) error

	GroupStore
	SignInStore
	FactorStore
	ExternalStore
	TrustStore
}

// User is an account.
type User struct {
	ID           string // xid
	Name         string // unique in any case
	Role         Role
	PasswordHash string // argon2id in PHC form; empty = cannot sign in with a password
	Disabled     bool
	// Epoch grows when password or role change or the user is disabled: sessions
	// of an older epoch are over.
	Epoch   int64
	Created time.Time
}

// Key is an SSH public key of a user.
type Key struct {
	ID          string // xid
	User        string
	Name        string
	Fingerprint string // "SHA256:…"
	Public      string // authorized_keys form, without comment
	Created     time.Time
	LastUsed    time.Time
	LastAddr    string // of the peer that used it then; empty = not known
}

// Token is an API token. The secret itself is never stored.
type Token struct {
	ID       string // xid
	User     string
	Name     string
	Scope    Scope
	Hash     []byte // SHA-256 of the secret
	Created  time.Time
	Expires  time.Time // zero = never
	LastUsed time.Time
	LastAddr string // of the peer that used it then; empty = not known
	Trust    string // name of the Trust that made it; empty = a person did
}
