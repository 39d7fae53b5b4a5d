package store

import (
	"context"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type moduleSumRow struct {
	Module  string `gorm:"primaryKey"`
	Version string `gorm:"primaryKey"`
	Kind    string `gorm:"primaryKey"`
	Sum     string
	Source  string
	At      int64
}

// TableName is where gorm finds the rows.
func (moduleSumRow) TableName() string { return "module_sums" }

func (row moduleSumRow) sum() mirror.SeenSum {
	return mirror.SeenSum{Module: row.Module, Version: row.Version, Kind: row.Kind, Sum: row.Sum, From: row.Source, At: moment(&row.At)}
}

// FirstModuleSum implements mirror.ModuleStore.
func (db *DB) FirstModuleSum(ctx context.Context, s mirror.SeenSum) (mirror.SeenSum, error) {
	row := moduleSumRow{Module: clean(s.Module), Version: clean(s.Version), Kind: s.Kind, Sum: clean(s.Sum), Source: clean(s.From), At: s.At.UnixMicro()}
	look := func(from *gorm.DB) (mirror.SeenSum, error) {
		found, err := table[moduleSumRow](from).Where("module = ? AND version = ? AND kind = ?", row.Module, row.Version, row.Kind).Take(ctx)
		return found.sum(), err
	}
	first, err := look(db.read)
	if !errors.Is(err, gorm.ErrRecordNotFound) {
		return first, known(err)
	}
	err = table[moduleSumRow](db.write, clause.OnConflict{DoNothing: true}).Create(ctx, &row)
	if err != nil {
		return mirror.SeenSum{}, known(err)
	}
	first, err = look(db.write) // another server may have been faster
	return first, known(err)
}

// SettleModuleSum implements mirror.ModuleStore.
func (db *DB) SettleModuleSum(ctx context.Context, s mirror.SeenSum, was string) error {
	_, err := table[moduleSumRow](db.write).Where("module = ? AND version = ? AND kind = ? AND sum = ?", clean(s.Module), clean(s.Version), s.Kind, clean(was)).
		Update(ctx, "sum", clean(s.Sum))
	return known(err)
}

// ForgetModuleSums implements mirror.ModuleStore.
func (db *DB) ForgetModuleSums(ctx context.Context, module, version string) error {
	n, err := 0, error(nil)
	if storable(module) && storable(version) {
		n, err = table[moduleSumRow](db.write).Where("module = ? AND version = ?", module, version).Delete(ctx)
	}
	if err == nil && n == 0 {
		err = mirror.ErrNotFound
	}
	return about("hash first seen of", clean(module)+"@"+clean(version), err)
}
