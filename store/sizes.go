package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type sizeRow struct {
	RepoID string `gorm:"primaryKey"`
	Day    int64  `gorm:"primaryKey;autoIncrement:false"`
	Bytes  int64
	Refs   int64
}

// TableName is where gorm finds the rows.
func (sizeRow) TableName() string { return "repo_sizes" }

// sampleSize notes how large a mirror is after a sync, over what an earlier one of
// the same day noted, and forgets what is too old.
func sampleSize(ctx context.Context, tx *gorm.DB, id mirror.ID, end mirror.Ending) error {
	if !end.State.Served() || end.Run.Outcome != mirror.Updated && end.Run.Outcome != mirror.Unchanged {
		return nil
	}
	row := sizeRow{
		RepoID: string(id), Day: end.Run.Ended.UnixMicro() / dayUs, Bytes: end.State.Bytes, Refs: int64(end.State.Heads + end.State.Tags),
	}
	err := table[sizeRow](tx, clause.OnConflict{Columns: []clause.Column{{Name: "repo_id"}, {Name: "day"}}, UpdateAll: true}).Create(ctx, &row)
	if err != nil {
		return err
	}
	_, err = table[sizeRow](tx).Where("repo_id = ? AND day < ?", row.RepoID, end.Run.Ended.Add(-mirror.SizesKept).UnixMicro()/dayUs).Delete(ctx)
	return err
}

// Sizes implements mirror.QueueStore.
func (db *DB) Sizes(ctx context.Context, repo mirror.ID, since time.Time) ([]mirror.SizeSample, error) {
	const most = 1000 // there is one a day, for SizesKept
	rows, err := table[sizeRow](db.read).Where("repo_id = ? AND day >= ?", string(repo), since.UnixMicro()/dayUs).Order("day").Limit(most).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	list := make([]mirror.SizeSample, len(rows))
	for i, row := range rows {
		list[i] = mirror.SizeSample{Day: time.UnixMicro(row.Day * dayUs).UTC(), Bytes: row.Bytes, Refs: int(row.Refs)}
	}
	return list, nil
}
