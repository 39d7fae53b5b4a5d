package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type keyRow struct {
	ID          string `gorm:"primaryKey"`
	UserID      string
	Name        string
	Fingerprint string
	Public      string
	Created     int64
	LastUsed    *int64
	LastAddr    string
}

// TableName is where gorm finds the rows.
func (keyRow) TableName() string { return "keys" }

func newKeyRow(k auth.Key) keyRow {
	return keyRow{
		ID: k.ID, UserID: k.User, Name: k.Name, Fingerprint: k.Fingerprint, Public: k.Public,
		Created: k.Created.UnixMicro(), LastUsed: micros(k.LastUsed), LastAddr: k.LastAddr,
	}
}

func (row keyRow) key() auth.Key {
	return auth.Key{
		ID: row.ID, User: row.UserID, Name: row.Name, Fingerprint: row.Fingerprint, Public: row.Public,
		Created: moment(&row.Created), LastUsed: moment(row.LastUsed), LastAddr: row.LastAddr,
	}
}

type tokenRow struct {
	ID       string `gorm:"primaryKey"`
	UserID   string
	Name     string
	Scope    string
	Hash     []byte
	Created  int64
	Expires  *int64
	LastUsed *int64
	LastAddr string
	Trust    string
}

// TableName is where gorm finds the rows.
func (tokenRow) TableName() string { return "tokens" }

func newTokenRow(t auth.Token) tokenRow {
	return tokenRow{
		ID: t.ID, UserID: t.User, Name: t.Name, Scope: string(t.Scope), Hash: t.Hash,
		Created: t.Created.UnixMicro(), Expires: micros(t.Expires), LastUsed: micros(t.LastUsed),
		LastAddr: t.LastAddr, Trust: t.Trust,
	}
}

func (row tokenRow) token() auth.Token {
	return auth.Token{
		ID: row.ID, User: row.UserID, Name: row.Name, Scope: auth.Scope(row.Scope), Hash: row.Hash,
		Created: moment(&row.Created), Expires: moment(row.Expires), LastUsed: moment(row.LastUsed),
		LastAddr: row.LastAddr, Trust: row.Trust,
	}
}

// AddKey implements auth.Store; ErrNotFound when there is no such user.
func (db *DB) AddKey(ctx context.Context, k auth.Key) error {
	row := newKeyRow(k)
	return about("key", k.Fingerprint, table[keyRow](db.write).Create(ctx, &row))
}

// KeyByFingerprint implements auth.Store.
func (db *DB) KeyByFingerprint(ctx context.Context, fingerprint string) (auth.Key, error) {
	return recalled(ctx, db, &db.memory.keys, fingerprint, 0, func(ctx context.Context) (auth.Key, error) {
		row, err := one[keyRow](ctx, db, "fingerprint = ?", fingerprint)
		if err != nil {
			return auth.Key{}, about("key", fingerprint, err)
		}
		return row.key(), nil
	})
}

// Keys implements auth.Store.
func (db *DB) Keys(ctx context.Context, user string) ([]auth.Key, error) {
	rows, err := table[keyRow](db.read).Scopes(ofUser(user)).Order("name, id").Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	keys := make([]auth.Key, len(rows))
	for i, row := range rows {
		keys[i] = row.key()
	}
	return keys, nil
}

// RemoveKey implements auth.Store.
func (db *DB) RemoveKey(ctx context.Context, user, id string) error {
	defer db.forgetAccounts()
	return about("key", id, remove[keyRow](ctx, db, "id = ? AND user_id = ?", id, user))
}

// AddToken implements auth.Store; ErrNotFound when there is no such user.
func (db *DB) AddToken(ctx context.Context, t auth.Token) error {
	row := newTokenRow(t)
	return about("token", t.ID, table[tokenRow](db.write).Create(ctx, &row))
}

// TokenByHash implements auth.Store.
func (db *DB) TokenByHash(ctx context.Context, hash []byte) (auth.Token, error) {
	return recalled(ctx, db, &db.memory.tokens, string(hash), 0, func(ctx context.Context) (auth.Token, error) {
		row, err := table[tokenRow](db.read).Where("hash = ?", hash).Take(ctx)
		if err != nil {
			return auth.Token{}, about("token", "of that secret", err)
		}
		return row.token(), nil
	})
}

// Tokens implements auth.Store.
func (db *DB) Tokens(ctx context.Context, user string) ([]auth.Token, error) {
	rows, err := table[tokenRow](db.read).Scopes(ofUser(user)).Order("created DESC, id DESC").Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	tokens := make([]auth.Token, len(rows))
	for i, row := range rows {
		tokens[i] = row.token()
	}
	return tokens, nil
}

// RemoveToken implements auth.Store.
func (db *DB) RemoveToken(ctx context.Context, user, id string) error {
	defer db.forgetAccounts()
	return about("token", id, remove[tokenRow](ctx, db, "id = ? AND user_id = ?", id, user))
}

// usedEvery is how exact LastUsed is: a client that comes often does not make
// each of its reads a write.
const usedEvery = time.Minute

// Used implements auth.Store. LastUsed is exact to a minute.
func (db *DB) Used(ctx context.Context, keyOrToken string, at time.Time, addr string) error {
	if !storable(keyOrToken) {
		return nil
	}
	const stale = "id = ? AND (last_used IS NULL OR last_used <= ?)"
	before, now := at.Add(-usedEvery).UnixMicro(), at.UnixMicro()
	n, err := table[keyRow](db.read).Where(stale, keyOrToken, before).Count(ctx, "*")
	if err != nil {
		return known(err)
	}
	if n > 0 {
		_, err = table[keyRow](db.write).Where(stale, keyOrToken, before).Select("last_used", "last_addr").
			Updates(ctx, keyRow{LastUsed: &now, LastAddr: clean(addr)})
		return known(err)
	}
	n, err = table[tokenRow](db.read).Where(stale, keyOrToken, before).Count(ctx, "*")
	if err != nil || n == 0 {
		return known(err)
	}
	_, err = table[tokenRow](db.write).Where(stale, keyOrToken, before).Select("last_used", "last_addr").
		Updates(ctx, tokenRow{LastUsed: &now, LastAddr: clean(addr)})
	return known(err)
}

// ofUser selects what belongs to a user; to anybody when user is empty.
func ofUser(user string) func(*gorm.Statement) {
	return func(stmt *gorm.Statement) {
		if user != "" {
			where(stmt, "user_id = ?", clean(user))
		}
	}
}

var _ interface {
	mirror.Store
	auth.Store
} = (*DB)(nil)
