package store

import (
	"context"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

// RenameRepo implements mirror.RepoStore. It is one transaction: whoever reads
// finds the mirror and what names it under one path or the other.
func (db *DB) RenameRepo(ctx context.Context, r mirror.Repo, alias bool) error {
	renamed, err := newRepoRow(r)
	if err != nil {
		return err
	}
	was := repoRow{}
	defer func() {
		db.memory.repos.forget(was.PathKey)
		db.memory.repos.forget(renamed.PathKey)
	}()
	return about("repository", string(r.Path), db.in(ctx, func(tx *gorm.DB) error {
		if was, err = db.locked(ctx, tx, r.ID); err != nil {
			return err
		}
		if was.Version != r.Version {
			return fmt.Errorf("it was changed meanwhile: %w", mirror.ErrExists)
		}
		renamed.Version = was.Version + 1
		if err := update(ctx, tx, r.ID, renamed, "path", "path_key", "updated", "version"); err != nil {
			return err
		}
		if err := renameAliases(ctx, tx, was, renamed, alias); err != nil {
			return err
		}
		return renameGrants(ctx, tx, was, renamed)
	}))
}

func renameAliases(ctx context.Context, tx *gorm.DB, was, now repoRow, alias bool) error {
	// The mirror's own path goes before an alias, which would only be in the way later.
	if _, err := table[aliasRow](tx).Where("lower(prefix) = ?", now.PathKey).Delete(ctx); err != nil {
		return err
	}
	_, err := table[aliasRow](tx).Where("repo_key = ?", was.PathKey).Select("repo", "repo_key").
		Updates(ctx, aliasRow{Repo: now.Path, RepoKey: now.PathKey})
	if err != nil || !alias {
		return err
	}
	row := aliasRow{Prefix: was.Path, Repo: now.Path, RepoKey: now.PathKey, Found: mirror.FoundRenamed}
	return table[aliasRow](tx, clause.OnConflict{
		Columns:   []clause.Column{{Name: "prefix"}},
		DoUpdates: clause.AssignmentColumns([]string{"repo", "repo_key", "dir", "found"}),
	}).Create(ctx, &row)
}

// renameGrants has grants of exactly the old path be of the new one.
func renameGrants(ctx context.Context, tx *gorm.DB, was, now repoRow) error {
	rows, err := table[grantRow](tx).Where("pattern_key = ?", was.PathKey).Order("group_id").Find(ctx)
	if err != nil || len(rows) == 0 {
		return err
	}
	if _, err := table[grantRow](tx).Where("pattern_key = ?", was.PathKey).Delete(ctx); err != nil {
		return err
	}
	for _, row := range rows {
		row.Pattern, row.PatternKey = now.Path, strings.ToLower(now.Path)
		if err := table[grantRow](tx, clause.OnConflict{DoNothing: true}).Create(ctx, &row); err != nil {
			return err
		}
	}
	return nil
}
