package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type factorRow struct {
	UserID    string `gorm:"primaryKey"`
	Secret    []byte
	Confirmed *int64
	LastStep  int64
	Codes     string // JSON
	Created   int64
}

// TableName is where gorm finds the rows.
func (factorRow) TableName() string { return "second_factors" }

// Factor implements auth.FactorStore.
func (db *DB) Factor(ctx context.Context, user string) (auth.Factor, error) {
	row, err := one[factorRow](ctx, db, "user_id = ?", user)
	if err != nil {
		return auth.Factor{}, about("second factor", user, err)
	}
	f := auth.Factor{User: row.UserID, Secret: row.Secret, Confirmed: moment(row.Confirmed), LastStep: row.LastStep, Created: moment(&row.Created)}
	if err := json.Unmarshal([]byte(row.Codes), &f.Codes); err != nil {
		return f, fmt.Errorf("stored recovery codes: %w", err)
	}
	return f, nil
}

// WithFactor implements auth.FactorStore.
func (db *DB) WithFactor(ctx context.Context) ([]string, error) {
	rows, err := table[factorRow](db.read).Select("user_id").Where("confirmed IS NOT NULL").Order("user_id").Find(ctx)
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.UserID
	}
	return ids, known(err)
}

// PutFactor implements auth.FactorStore.
func (db *DB) PutFactor(ctx context.Context, f auth.Factor) error {
	return about("second factor", f.User, db.in(ctx, func(tx *gorm.DB) error {
		if _, err := table[factorRow](tx).Where("user_id = ? AND confirmed IS NULL", f.User).Delete(ctx); err != nil {
			return err
		}
		row := factorRow{UserID: f.User, Secret: f.Secret, Codes: "[]", Created: f.Created.UnixMicro()}
		return table[factorRow](tx).Create(ctx, &row)
	}))
}

// ConfirmFactor implements auth.FactorStore.
func (db *DB) ConfirmFactor(ctx context.Context, f auth.Factor) error {
	codes, err := json.Marshal(f.Codes)
	if err != nil {
		return err
	}
	defer db.changed()
	n, err := table[factorRow](db.write).Where("user_id = ? AND confirmed IS NULL AND secret = ?", f.User, f.Secret).
		Select("confirmed", "last_step", "codes").Updates(ctx, factorRow{Confirmed: micros(f.Confirmed), LastStep: f.LastStep, Codes: string(codes)})
	return about("second factor", f.User, orExists(n, err))
}

// UseStep implements auth.FactorStore.
func (db *DB) UseStep(ctx context.Context, user string, step int64) error {
	n, err := table[factorRow](db.write).Where("user_id = ? AND last_step < ?", user, step).Update(ctx, "last_step", step)
	return about("second factor", user, orExists(n, err))
}

func orExists(n int, err error) error {
	if err == nil && n == 0 {
		return mirror.ErrExists
	}
	return err
}

// UseCode implements auth.FactorStore.
func (db *DB) UseCode(ctx context.Context, user, code string) error {
	return about("recovery code", user, db.in(ctx, func(tx *gorm.DB) error {
		row, err := table[factorRow](tx, db.forUpdate("")...).Where("user_id = ?", user).Take(ctx)
		if err != nil {
			return err
		}
		var codes []string
		if err := json.Unmarshal([]byte(row.Codes), &codes); err != nil {
			return err
		}
		i := slices.Index(codes, code)
		if i < 0 {
			return mirror.ErrNotFound
		}
		left, err := json.Marshal(slices.Delete(codes, i, i+1))
		if err != nil {
			return err
		}
		_, err = table[factorRow](tx).Where("user_id = ?", user).Update(ctx, "codes", string(left))
		return err
	}))
}

// RemoveFactor implements auth.FactorStore.
func (db *DB) RemoveFactor(ctx context.Context, user string) error {
	return about("second factor", user, remove[factorRow](ctx, db, "user_id = ?", user))
}
