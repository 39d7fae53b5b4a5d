package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type pinRow struct {
	Module  string `gorm:"primaryKey"`
	Version string `gorm:"primaryKey"`
	Until   *int64
	ByUser  string
	Reason  string
	At      int64
}

// TableName is where gorm finds the rows.
func (pinRow) TableName() string { return "module_pins" }

// PinModules implements mirror.ModuleStore.
func (db *DB) PinModules(ctx context.Context, pins []mirror.ModulePin) error {
	rows := make([]pinRow, 0, len(pins))
	for _, p := range pins {
		rows = append(rows, pinRow{
			Module: clean(p.Module), Version: clean(p.Version), Until: micros(p.Until), ByUser: clean(p.By), Reason: clean(p.Reason), At: p.At.UnixMicro(),
		})
	}
	slices.SortFunc(rows, func(a, b pinRow) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Version, b.Version))
	})
	for part := range slices.Chunk(rows, usedAtOnce) {
		err := db.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			return table[pinRow](tx, clause.OnConflict{
				Columns:   []clause.Column{{Name: "module"}, {Name: "version"}},
				DoUpdates: clause.AssignmentColumns([]string{"until", "by_user", "reason", "at"}),
				Where:     clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: `excluded.by_user <> '' OR module_pins.by_user = '' AND module_pins.until < excluded.until`}}},
			}).CreateInBatches(ctx, &part, 200)
		})
		if err != nil {
			return known(err)
		}
	}
	return nil
}

// UnpinModule implements mirror.ModuleStore.
func (db *DB) UnpinModule(ctx context.Context, module, version string) error {
	n, err := 0, error(nil)
	if storable(module) && storable(version) {
		n, err = table[pinRow](db.write).Where("module = ? AND version = ?", module, version).Delete(ctx)
	}
	if err == nil && n == 0 {
		err = mirror.ErrNotFound
	}
	what := clean(module)
	if version != "" {
		what += "@" + clean(version)
	}
	return about("pin of", what, err)
}

// ModulePins implements mirror.ModuleStore.
func (db *DB) ModulePins(ctx context.Context, q mirror.PinQuery) ([]mirror.ModulePin, error) {
	if !storable(q.Module) || q.After != nil && !storable(q.After.Module+q.After.Version) {
		return nil, nil
	}
	rows := table[pinRow](db.read).Where("(until IS NULL OR until > ?)", q.Now.UnixMicro())
	if q.Module != "" {
		rows = rows.Where("module = ?", q.Module)
	}
	if q.After != nil {
		rows = rows.Where("(module, version) > (?, ?)", q.After.Module, q.After.Version)
	}
	if q.Limit > 0 {
		rows = rows.Limit(q.Limit)
	}
	found, err := rows.Order("module, version").Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	list := make([]mirror.ModulePin, len(found))
	for i, row := range found {
		list[i] = mirror.ModulePin{Module: row.Module, Version: row.Version, Until: moment(row.Until), By: row.ByUser, Reason: row.Reason, At: moment(&row.At)}
	}
	return list, nil
}

type moduleRuleRow struct {
	ID       int64 `gorm:"primaryKey"`
	Position int64
	Action   string
	Pattern  string
	Versions string
	AgeUs    int64
	Mode     string
	Reason   string
	ByUser   string
	At       int64
}

// TableName is where gorm finds the rows.
func (moduleRuleRow) TableName() string { return "module_rules" }

// maxModuleRules bounds the rules for modules: each is looked at for each question.
const maxModuleRules = 2_000

// AddModuleRule implements mirror.ModuleStore.
func (db *DB) AddModuleRule(ctx context.Context, r mirror.ModuleRule, before int64) (int64, error) {
	row := moduleRuleRow{
		Action: string(r.Action), Pattern: clean(r.Pattern), Versions: clean(r.Versions), AgeUs: r.Age.Microseconds(), Mode: string(r.Mode),
		Reason: clean(r.Reason), ByUser: clean(r.By), At: r.At.UnixMicro(),
	}
	err := db.in(ctx, func(tx *gorm.DB) error {
		var have struct{ N, First, Last int64 }
		err := tx.WithContext(ctx).Raw("SELECT count(*) AS n, coalesce(min(position), 0) AS first, coalesce(max(position), 0) AS last FROM module_rules").Scan(&have).Error
		if err != nil {
			return err
		}
		if have.N >= maxModuleRules {
			return &mirror.Problem{Kind: mirror.ErrInvalid, What: fmt.Sprintf("there are %d rules for modules already", have.N), Do: "remove some, or join them to patterns"}
		}
		switch {
		case before == 0:
			row.Position = have.Last + 1
		case before < 0:
			row.Position = have.First - 1
		default:
			next, err := table[moduleRuleRow](tx).Where("id = ?", before).Take(ctx)
			if err != nil {
				return about("rule for modules", strconv.FormatInt(before, 10), err)
			}
			row.Position = next.Position
			if err := tx.WithContext(ctx).Exec("UPDATE module_rules SET position = position + 1 WHERE position >= ?", row.Position).Error; err != nil {
				return err
			}
		}
		return table[moduleRuleRow](tx).Create(ctx, &row)
	})
	return row.ID, err
}

// RemoveModuleRule implements mirror.ModuleStore.
func (db *DB) RemoveModuleRule(ctx context.Context, id int64) error {
	return about("rule for modules", strconv.FormatInt(id, 10), db.in(ctx, func(tx *gorm.DB) error {
		n, err := table[moduleRuleRow](tx).Where("id = ?", id).Delete(ctx)
		if err == nil && n == 0 {
			err = mirror.ErrNotFound
		}
		return err
	}))
}

// ModuleRules implements mirror.ModuleStore.
func (db *DB) ModuleRules(ctx context.Context) ([]mirror.ModuleRule, error) {
	rows, err := table[moduleRuleRow](db.read).Order("position, id").Limit(2 * maxModuleRules).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	list := make([]mirror.ModuleRule, len(rows))
	for i, row := range rows {
		list[i] = mirror.ModuleRule{
			ID: row.ID, Action: mirror.ModuleAction(row.Action), Pattern: row.Pattern, Versions: row.Versions,
			Age: time.Duration(row.AgeUs) * time.Microsecond, Mode: mirror.ModuleMode(row.Mode), Reason: row.Reason, By: row.ByUser, At: moment(&row.At),
		}
	}
	return list, nil
}

// ModuleRulesMark implements mirror.ModuleStore. Rules are added and removed, and
// no ID is used twice.
func (db *DB) ModuleRulesMark(ctx context.Context) (string, error) {
	var mark struct{ N, Last, Sum int64 }
	err := db.read.WithContext(ctx).Raw("SELECT count(*) AS n, coalesce(max(id), 0) AS last, CAST(coalesce(sum(id), 0) AS bigint) AS sum FROM module_rules").Scan(&mark).Error
	return fmt.Sprint(mark.N, mark.Last, mark.Sum), known(err)
}
