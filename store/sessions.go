package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/alexedwards/scs/v2"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type sessionRow struct {
	Hash    []byte `gorm:"primaryKey"`
	Data    []byte
	Expires int64
}

// TableName is where gorm finds the rows.
func (sessionRow) TableName() string { return "sessions" }

// Sessions keeps the sessions of the console for package scs. It stores the
// SHA-256 of a token, so whoever reads the database cannot continue a session.
type Sessions struct{ db *DB }

var _ scs.CtxStore = (*Sessions)(nil)

// Sessions returns the sessions of this database.
func (db *DB) Sessions() *Sessions { return &Sessions{db} }

// FindCtx returns the data of a session; found is false when there is none, or
// it has expired.
func (s *Sessions) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	row, err := table[sessionRow](s.db.read).
		Where("hash = ? AND expires > ?", hashed(token), time.Now().UnixMicro()).Take(ctx)
	if err = known(err); errors.Is(err, mirror.ErrNotFound) {
		return nil, false, nil
	}
	return row.Data, err == nil, err
}

// CommitCtx stores a session, replacing what it held.
func (s *Sessions) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	if data == nil {
		data = []byte{}
	}
	row := sessionRow{Hash: hashed(token), Data: data, Expires: expiry.UnixMicro()}
	return known(table[sessionRow](s.db.write, clause.OnConflict{
		Columns:   []clause.Column{{Name: "hash"}},
		DoUpdates: clause.AssignmentColumns([]string{"data", "expires"}),
	}).Create(ctx, &row))
}

// DeleteCtx ends a session; one that does not exist is no error.
func (s *Sessions) DeleteCtx(ctx context.Context, token string) error {
	_, err := table[sessionRow](s.db.write).Where("hash = ?", hashed(token)).Delete(ctx)
	return known(err)
}

// Prune drops the sessions that have expired and returns how many. Nothing
// depends on it but the size of the table: once an hour is often enough.
func (s *Sessions) Prune(ctx context.Context) (int, error) {
	now := time.Now().UnixMicro()
	if _, err := table[signInRow](s.db.write).Where("expires <= ?", now).Delete(ctx); err != nil {
		return 0, known(err)
	}
	n, err := table[sessionRow](s.db.write).Where("expires <= ?", now).Delete(ctx)
	return n, known(err)
}

// Find is FindCtx for scs.Store.
func (s *Sessions) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit is CommitCtx for scs.Store.
func (s *Sessions) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// Delete is DeleteCtx for scs.Store.
func (s *Sessions) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

func hashed(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
