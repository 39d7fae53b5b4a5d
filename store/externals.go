package store

import (
	"context"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type externalRow struct {
	Issuer   string `gorm:"primaryKey"`
	Subject  string `gorm:"primaryKey"`
	UserID   string
	Email    string
	Created  int64
	LastUsed *int64
}

// TableName is where gorm finds the rows.
func (externalRow) TableName() string { return "external_identities" }

func (row externalRow) external() auth.External {
	return auth.External{
		Issuer: row.Issuer, Subject: row.Subject, User: row.UserID, Email: row.Email,
		Created: moment(&row.Created), LastUsed: moment(row.LastUsed),
	}
}

// External implements auth.ExternalStore.
func (db *DB) External(ctx context.Context, issuer, subject string) (auth.External, error) {
	if !storable(issuer) || !storable(subject) {
		return auth.External{}, about("external identity", "", mirror.ErrNotFound)
	}
	row, err := table[externalRow](db.read).Where("issuer = ? AND subject = ?", issuer, subject).Take(ctx)
	if err != nil {
		return auth.External{}, about("external identity", "of that subject", err)
	}
	return row.external(), nil
}

// Externals implements auth.ExternalStore.
func (db *DB) Externals(ctx context.Context, user string) ([]auth.External, error) {
	rows, err := table[externalRow](db.read).Where("user_id = ?", clean(user)).Order("issuer, subject").Find(ctx)
	list := make([]auth.External, len(rows))
	for i, row := range rows {
		list[i] = row.external()
	}
	return list, known(err)
}

// AddExternal implements auth.ExternalStore.
func (db *DB) AddExternal(ctx context.Context, e auth.External) error {
	row := externalRow{Issuer: e.Issuer, Subject: e.Subject, UserID: e.User, Email: clean(e.Email), Created: e.Created.UnixMicro(), LastUsed: micros(e.LastUsed)}
	return about("external identity", e.User, table[externalRow](db.write).Create(ctx, &row))
}

// UsedExternal implements auth.ExternalStore.
func (db *DB) UsedExternal(ctx context.Context, e auth.External) error {
	_, err := table[externalRow](db.write).Where("issuer = ? AND subject = ?", e.Issuer, e.Subject).
		Select("email", "last_used").Updates(ctx, externalRow{Email: clean(e.Email), LastUsed: micros(e.LastUsed)})
	return known(err)
}

// RemoveExternal implements auth.ExternalStore.
func (db *DB) RemoveExternal(ctx context.Context, user, issuer, subject string) error {
	return about("external identity", user, remove[externalRow](ctx, db, "user_id = ? AND issuer = ? AND subject = ?", user, issuer, subject))
}
