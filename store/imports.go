package store

import (
	"context"

	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type aliasRow struct {
	Prefix  string `gorm:"primaryKey"`
	Repo    string
	RepoKey string
	Dir     string
	Found   string
}

// TableName is where gorm finds the rows.
func (aliasRow) TableName() string { return "aliases" }

func newAliasRow(a mirror.Alias) aliasRow {
	return aliasRow{Prefix: a.Prefix, Repo: string(a.Repo), RepoKey: a.Repo.Key(), Dir: a.Dir, Found: a.Found}
}

func (row aliasRow) alias() mirror.Alias {
	return mirror.Alias{Prefix: row.Prefix, Repo: mirror.Path(row.Repo), Dir: row.Dir, Found: row.Found}
}

// AddAlias implements mirror.ImportStore.
func (db *DB) AddAlias(ctx context.Context, a mirror.Alias) error {
	defer db.changed()
	row := newAliasRow(a)
	return about("alias", a.Prefix, table[aliasRow](db.write, clause.OnConflict{
		Columns:   []clause.Column{{Name: "prefix"}},
		DoUpdates: clause.AssignmentColumns([]string{"repo", "repo_key", "dir", "found"}),
	}).Create(ctx, &row))
}

// RemoveAlias implements mirror.ImportStore.
func (db *DB) RemoveAlias(ctx context.Context, prefix string) error {
	return about("alias", prefix, remove[aliasRow](ctx, db, "prefix = ?", prefix))
}

// Aliases implements mirror.ImportStore.
func (db *DB) Aliases(ctx context.Context) ([]mirror.Alias, error) {
	rows, err := table[aliasRow](db.read).Order("prefix").Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	aliases := make([]mirror.Alias, len(rows))
	for i, row := range rows {
		aliases[i] = row.alias()
	}
	return aliases, nil
}

// remove deletes the row that a condition selects; ErrNotFound when there is none.
func remove[T any](ctx context.Context, db *DB, where string, values ...any) error {
	for _, v := range values {
		if s, ok := v.(string); ok && !storable(s) {
			return mirror.ErrNotFound
		}
	}
	defer db.changed()
	n, err := table[T](db.write).Where(where, values...).Delete(ctx)
	if err == nil && n == 0 {
		return mirror.ErrNotFound
	}
	return err
}
