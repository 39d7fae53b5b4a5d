package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type upkeepRow struct {
	RepoID    string `gorm:"primaryKey"`
	Condition string
	Since     int64
	Tidied    *int64
	Repacked  *int64
	Checked   *int64
	Verified  *int64
	Due       int64
	Failures  int64
	Problem   *string
}

// TableName is where gorm finds the rows.
func (upkeepRow) TableName() string { return "upkeep" }

func newUpkeepRow(u mirror.Upkept) (upkeepRow, error) {
	problem, err := problemText(u.Problem)
	return upkeepRow{
		RepoID: string(u.Repo), Condition: string(u.Condition), Since: u.Since.UnixMicro(), Tidied: micros(u.Tidied),
		Repacked: micros(u.Repacked), Checked: micros(u.Checked), Verified: micros(u.Verified), Due: u.Due.UnixMicro(),
		Failures: int64(u.Failures), Problem: problem,
	}, err
}

func (row upkeepRow) upkept() (mirror.Upkept, error) {
	problem, err := parseProblem(row.Problem)
	if err != nil {
		return mirror.Upkept{}, fmt.Errorf("stored upkeep of %s: %w", row.RepoID, err)
	}
	return mirror.Upkept{
		Repo: mirror.ID(row.RepoID), Condition: mirror.Condition(row.Condition), Since: moment(&row.Since), Tidied: moment(row.Tidied),
		Repacked: moment(row.Repacked), Checked: moment(row.Checked), Verified: moment(row.Verified), Due: moment(&row.Due),
		Failures: int(row.Failures), Problem: problem,
	}, nil
}

// AdoptUpkeep implements mirror.UpkeepStore.
func (db *DB) AdoptUpkeep(ctx context.Context, limit int, first func(mirror.ID) mirror.Upkept) (int, error) {
	var ids []string
	err := db.in(ctx, func(tx *gorm.DB) error {
		err := tx.Raw(`SELECT id FROM repos WHERE last_success IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM upkeep WHERE repo_id = repos.id) ORDER BY id LIMIT ?`, bounded(limit)).Scan(&ids).Error
		if err != nil || len(ids) == 0 {
			return err
		}
		rows := make([]upkeepRow, len(ids))
		for i, id := range ids {
			if rows[i], err = newUpkeepRow(first(mirror.ID(id))); err != nil {
				return err
			}
		}
		// Another server may have adopted the same ones meanwhile.
		return table[upkeepRow](tx, clause.OnConflict{DoNothing: true}).CreateInBatches(ctx, &rows, 500)
	})
	return len(ids), err
}

// DueUpkeep implements mirror.UpkeepStore.
func (db *DB) DueUpkeep(ctx context.Context, now time.Time, limit int) ([]mirror.Upkept, error) {
	rows, err := table[upkeepRow](db.read).Where("due <= ?", now.UnixMicro()).Order("due, repo_id").Limit(bounded(limit)).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	list := make([]mirror.Upkept, len(rows))
	for i, row := range rows {
		if list[i], err = row.upkept(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Upkept implements mirror.UpkeepStore.
func (db *DB) Upkept(ctx context.Context, id mirror.ID) (mirror.Upkept, error) {
	row, err := one[upkeepRow](ctx, db, "repo_id = ?", string(id))
	if err != nil {
		return mirror.Upkept{}, about("upkeep of", string(id), err)
	}
	return row.upkept()
}

// SaveUpkept implements mirror.UpkeepStore.
func (db *DB) SaveUpkept(ctx context.Context, u mirror.Upkept, events []mirror.Event, resync bool) error {
	row, err := newUpkeepRow(u)
	if err != nil {
		return err
	}
	return about("upkeep of", string(u.Repo), db.in(ctx, func(tx *gorm.DB) error {
		repo, err := db.locked(ctx, tx, u.Repo)
		if err != nil {
			return err
		}
		err = table[upkeepRow](tx, clause.OnConflict{Columns: []clause.Column{{Name: "repo_id"}}, UpdateAll: true}).Create(ctx, &row)
		if err != nil {
			return err
		}
		for _, e := range events {
			event := newEventRow(e, repo.ID, 0)
			if err := table[eventRow](tx).Create(ctx, &event); err != nil {
				return err
			}
		}
		if !resync {
			return nil
		}
		// A run that is open has perhaps looked before: as for an edit, the version
		// makes it leave the digest empty.
		repo.Digest, repo.Version = "", repo.Version+1
		if !repo.Paused {
			repo.NextSync = micros(time.Now().UTC())
		}
		return update(ctx, tx, u.Repo, repo, "digest", "version", "next_sync")
	}))
}

// CountDegraded implements mirror.UpkeepStore.
func (db *DB) CountDegraded(ctx context.Context) (int, error) {
	n, err := table[upkeepRow](db.read).Where("condition = 'degraded'").Count(ctx, "*")
	return int(n), known(err)
}
