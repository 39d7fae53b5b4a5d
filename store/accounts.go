package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type userRow struct {
	ID           string `gorm:"primaryKey"`
	Name         string
	NameKey      string
	Role         string
	PasswordHash string
	Disabled     bool
	Epoch        int64
	Created      int64
}

// TableName is where gorm finds the rows.
func (userRow) TableName() string { return "users" }

func newUserRow(u auth.User) userRow {
	return userRow{
		ID: u.ID, Name: u.Name, NameKey: foldName(u.Name), Role: string(u.Role), PasswordHash: u.PasswordHash,
		Disabled: u.Disabled, Epoch: u.Epoch, Created: u.Created.UnixMicro(),
	}
}

func (row userRow) user() auth.User {
	return auth.User{
		ID: row.ID, Name: row.Name, Role: auth.Role(row.Role), PasswordHash: row.PasswordHash,
		Disabled: row.Disabled, Epoch: row.Epoch, Created: moment(&row.Created),
	}
}

// AddUser implements auth.Store.
func (db *DB) AddUser(ctx context.Context, u auth.User) error {
	row := newUserRow(u)
	return about("user", u.Name, table[userRow](db.write).Create(ctx, &row))
}

// User implements auth.Store.
func (db *DB) User(ctx context.Context, id string) (auth.User, error) {
	return recalled(ctx, db, &db.memory.users, id, 0, func(ctx context.Context) (auth.User, error) {
		row, err := one[userRow](ctx, db, "id = ?", id)
		if err != nil {
			return auth.User{}, about("user", id, err)
		}
		return row.user(), nil
	})
}

// UserByName implements auth.Store.
func (db *DB) UserByName(ctx context.Context, name string) (auth.User, error) {
	row, err := one[userRow](ctx, db, "name_key = ?", foldName(name))
	if err != nil {
		return auth.User{}, about("user", name, err)
	}
	return row.user(), nil
}

// Users implements auth.Store.
func (db *DB) Users(ctx context.Context) ([]auth.User, error) {
	rows, err := table[userRow](db.read).Order("name_key").Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	users := make([]auth.User, len(rows))
	for i, row := range rows {
		users[i] = row.user()
	}
	return users, nil
}

// EditUser implements auth.Store.
func (db *DB) EditUser(ctx context.Context, u auth.User) error {
	defer db.forgetAccounts()
	return about("user", u.Name, db.in(ctx, func(tx *gorm.DB) error {
		n, err := table[userRow](tx).Where("id = ? AND epoch = ?", u.ID, u.Epoch-1).
			Select("name", "name_key", "role", "password_hash", "disabled", "epoch").Updates(ctx, newUserRow(u))
		if err != nil || n > 0 {
			return err
		}
		if _, err := table[userRow](tx).Where("id = ?", u.ID).Take(ctx); err != nil {
			return err
		}
		return fmt.Errorf("it was changed meanwhile: %w", mirror.ErrExists)
	}))
}

// RemoveUser implements auth.Store. Keys and tokens go with the row.
func (db *DB) RemoveUser(ctx context.Context, id string) error {
	defer db.forgetAccounts()
	return about("user", id, remove[userRow](ctx, db, "id = ?", id))
}
