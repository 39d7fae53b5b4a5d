package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/auth"
)

type trustRow struct {
	ID       string `gorm:"primaryKey"`
	Name     string
	NameKey  string
	Issuer   string
	Audience string
	Claims   string // JSON
	UserID   string
	Scope    string
	TtlUs    int64
	Created  int64
	LastUsed *int64
}

// TableName is where gorm finds the rows.
func (trustRow) TableName() string { return "trusts" }

// AddTrust implements auth.TrustStore.
func (db *DB) AddTrust(ctx context.Context, t auth.Trust) error {
	claims, err := json.Marshal(t.Claims)
	if err != nil {
		return err
	}
	row := trustRow{
		ID: t.ID, Name: t.Name, NameKey: foldName(t.Name), Issuer: clean(t.Issuer), Audience: clean(t.Audience), Claims: clean(string(claims)),
		UserID: t.User, Scope: string(t.Scope), TtlUs: t.TTL.Microseconds(), Created: t.Created.UnixMicro(),
	}
	return about("trust", t.Name, table[trustRow](db.write).Create(ctx, &row))
}

// Trusts implements auth.TrustStore.
func (db *DB) Trusts(ctx context.Context) ([]auth.Trust, error) {
	rows, err := table[trustRow](db.read).Order("name_key").Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	list := make([]auth.Trust, len(rows))
	for i, row := range rows {
		list[i] = auth.Trust{
			ID: row.ID, Name: row.Name, Issuer: row.Issuer, Audience: row.Audience, User: row.UserID, Scope: auth.Scope(row.Scope),
			TTL: time.Duration(row.TtlUs) * time.Microsecond, Created: moment(&row.Created), LastUsed: moment(row.LastUsed),
		}
		if err := json.Unmarshal([]byte(row.Claims), &list[i].Claims); err != nil {
			return nil, fmt.Errorf("stored trust %s: %w", row.Name, err)
		}
	}
	return list, nil
}

// RemoveTrust implements auth.TrustStore.
func (db *DB) RemoveTrust(ctx context.Context, id string) error {
	return about("trust", id, remove[trustRow](ctx, db, "id = ?", id))
}

// UsedTrust implements auth.TrustStore.
func (db *DB) UsedTrust(ctx context.Context, id string, at time.Time) error {
	return about("trust", id, db.in(ctx, func(tx *gorm.DB) error {
		if _, err := table[tokenRow](tx).Where("trust <> '' AND expires <= ?", at.UnixMicro()).Delete(ctx); err != nil {
			return err
		}
		_, err := table[trustRow](tx).Where("id = ?", id).Update(ctx, "last_used", at.UnixMicro())
		return err
	}))
}
