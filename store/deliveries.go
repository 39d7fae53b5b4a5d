package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

// AddDelivery implements mirror.HookStore.
func (db *DB) AddDelivery(ctx context.Context, id string, at, forget time.Time) (fresh bool, err error) {
	err = db.in(ctx, func(tx *gorm.DB) error {
		done := tx.WithContext(ctx).Exec("INSERT INTO deliveries (id, at) VALUES (?, ?) ON CONFLICT DO NOTHING", clean(id), at.UnixMicro())
		if fresh = done.RowsAffected > 0; done.Error != nil || !fresh {
			return done.Error
		}
		return tx.WithContext(ctx).Exec("DELETE FROM deliveries WHERE at < ?", forget.UnixMicro()).Error
	})
	return fresh, err
}

// HasDelivery implements mirror.HookStore.
func (db *DB) HasDelivery(ctx context.Context, id string) (seen bool, err error) {
	err = db.read.WithContext(ctx).Raw("SELECT EXISTS (SELECT 1 FROM deliveries WHERE id = ?)", clean(id)).Scan(&seen).Error
	return seen, known(err)
}

// ReposByHostID implements mirror.HookStore.
func (db *DB) ReposByHostID(ctx context.Context, id int64) ([]mirror.Repo, error) {
	if id == 0 {
		return nil, nil
	}
	// The condition without a parameter is that of the index repos_by_host_id.
	rows, err := table[repoRow](db.read).Where("host_id = ? AND host_id <> 0", id).Order("path_key").Limit(100).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	repos := make([]mirror.Repo, len(rows))
	for i, row := range rows {
		if repos[i], err = row.repo(); err != nil {
			return nil, err
		}
	}
	return repos, nil
}

// SetHostID implements mirror.HookStore.
func (db *DB) SetHostID(ctx context.Context, repo mirror.ID, id int64) error {
	return about("repository", string(repo), db.in(ctx, func(tx *gorm.DB) error {
		return update(ctx, tx, repo, repoRow{HostID: id}, "host_id")
	}))
}
