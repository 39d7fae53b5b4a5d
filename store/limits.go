package store

import (
	"context"
	"time"

	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type cooldownRow struct {
	What  string `gorm:"primaryKey"`
	Until int64
	Why   string
}

// TableName is where gorm finds the rows.
func (cooldownRow) TableName() string { return "cooldowns" }

// SaveCooldown implements mirror.LimitStore.
func (db *DB) SaveCooldown(ctx context.Context, c mirror.Cooldown) error {
	row := cooldownRow{What: clean(c.What), Until: c.Until.UnixMicro(), Why: clean(c.Why)}
	return known(table[cooldownRow](db.write, clause.OnConflict{
		Columns:   []clause.Column{{Name: "what"}},
		DoUpdates: clause.AssignmentColumns([]string{"until", "why"}),
		Where:     clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "cooldowns.until < excluded.until"}}},
	}).Create(ctx, &row))
}

// Cooldowns implements mirror.LimitStore.
func (db *DB) Cooldowns(ctx context.Context, now time.Time) ([]mirror.Cooldown, error) {
	rows, err := table[cooldownRow](db.read).Order("what").Limit(100_000).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	var live []mirror.Cooldown
	for _, row := range rows {
		if row.Until > now.UnixMicro() {
			live = append(live, mirror.Cooldown{What: row.What, Until: moment(&row.Until), Why: row.Why})
		}
	}
	if len(live) < len(rows) {
		if _, err := table[cooldownRow](db.write).Where("until <= ?", now.UnixMicro()).Delete(ctx); err != nil {
			return nil, known(err)
		}
	}
	return live, nil
}
