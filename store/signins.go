package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/auth"
)

type signInRow struct {
	ID      string `gorm:"primaryKey"`
	UserID  string
	Via     string
	Addr    string
	Agent   string
	Created int64
	Seen    int64
	Expires int64
}

// TableName is where gorm finds the rows.
func (signInRow) TableName() string { return "sign_ins" }

func (row signInRow) signIn() auth.SignIn {
	return auth.SignIn{
		ID: row.ID, User: row.UserID, Via: auth.Via(row.Via), Addr: row.Addr, Agent: row.Agent,
		Created: moment(&row.Created), Seen: moment(&row.Seen), Expires: moment(&row.Expires),
	}
}

// AddSignIn implements auth.SignInStore.
func (db *DB) AddSignIn(ctx context.Context, s auth.SignIn) error {
	row := signInRow{
		ID: s.ID, UserID: s.User, Via: string(s.Via), Addr: clean(s.Addr), Agent: clean(s.Agent),
		Created: s.Created.UnixMicro(), Seen: s.Seen.UnixMicro(), Expires: s.Expires.UnixMicro(),
	}
	return about("session", s.ID, table[signInRow](db.write).Create(ctx, &row))
}

// SignIn implements auth.SignInStore.
func (db *DB) SignIn(ctx context.Context, id string) (auth.SignIn, error) {
	row, err := one[signInRow](ctx, db, "id = ?", id)
	if err == nil && row.Expires <= time.Now().UnixMicro() {
		err = gorm.ErrRecordNotFound
	}
	if err != nil {
		return auth.SignIn{}, about("session", id, err)
	}
	return row.signIn(), nil
}

// SignIns implements auth.SignInStore.
func (db *DB) SignIns(ctx context.Context, user string) ([]auth.SignIn, error) {
	rows, err := table[signInRow](db.read).Where("user_id = ? AND expires > ?", clean(user), time.Now().UnixMicro()).
		Order("seen DESC, id DESC").Limit(bounded(0)).Find(ctx)
	list := make([]auth.SignIn, len(rows))
	for i, row := range rows {
		list[i] = row.signIn()
	}
	return list, known(err)
}

// SawSignIn implements auth.SignInStore; of one that is gone it is no error.
func (db *DB) SawSignIn(ctx context.Context, id string, at time.Time) error {
	_, err := table[signInRow](db.write).Where("id = ?", id).Update(ctx, "seen", at.UnixMicro())
	return known(err)
}

// RemoveSignIn implements auth.SignInStore.
func (db *DB) RemoveSignIn(ctx context.Context, user, id string) error {
	if user == "" {
		return about("session", id, remove[signInRow](ctx, db, "id = ?", id))
	}
	return about("session", id, remove[signInRow](ctx, db, "id = ? AND user_id = ?", id, user))
}

// RemoveSignIns implements auth.SignInStore.
func (db *DB) RemoveSignIns(ctx context.Context, user, but string) (int, error) {
	n, err := table[signInRow](db.write).Where("user_id = ? AND id <> ?", clean(user), clean(but)).Delete(ctx)
	return n, known(err)
}
