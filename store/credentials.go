package store

import (
	"context"

	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type credentialRow struct {
	Name    string `gorm:"primaryKey"`
	Host    string
	Login   string
	Secret  []byte
	Created int64
}

// TableName is where gorm finds the rows.
func (credentialRow) TableName() string { return "credentials" }

func newCredentialRow(c mirror.SealedCredential) credentialRow {
	return credentialRow{Name: c.Name, Host: c.Host, Login: c.User, Secret: c.Secret, Created: c.Created.UnixMicro()}
}

func (row credentialRow) credential() mirror.SealedCredential {
	return mirror.SealedCredential{
		Name: row.Name, Host: row.Host, User: row.Login, Secret: row.Secret, Created: moment(&row.Created),
	}
}

// AddCredential implements mirror.CredentialStore.
func (db *DB) AddCredential(ctx context.Context, c mirror.SealedCredential) error {
	row := newCredentialRow(c)
	return about("credential", c.Name, table[credentialRow](db.write, clause.OnConflict{
		Columns:   []clause.Column{{Name: "name"}},
		DoUpdates: clause.AssignmentColumns([]string{"host", "login", "secret", "created"}),
	}).Create(ctx, &row))
}

// Credential implements mirror.CredentialStore.
func (db *DB) Credential(ctx context.Context, name string) (mirror.SealedCredential, error) {
	row, err := one[credentialRow](ctx, db, "name = ?", name)
	if err != nil {
		return mirror.SealedCredential{}, about("credential", name, err)
	}
	return row.credential(), nil
}

// Credentials implements mirror.CredentialStore.
func (db *DB) Credentials(ctx context.Context) ([]mirror.SealedCredential, error) {
	rows, err := table[credentialRow](db.read).Order("name").Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	credentials := make([]mirror.SealedCredential, len(rows))
	for i, row := range rows {
		credentials[i] = row.credential()
	}
	return credentials, nil
}

// RemoveCredential implements mirror.CredentialStore.
func (db *DB) RemoveCredential(ctx context.Context, name string) error {
	return about("credential", name, remove[credentialRow](ctx, db, "name = ?", name))
}
