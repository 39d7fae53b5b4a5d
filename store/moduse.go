package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type moduleRow struct {
	Path      string `gorm:"primaryKey"`
	RepoID    string
	Private   bool
	Source    string
	Versions  int64
	Requests  int64
	Hits      int64
	Downloads int64
	Bytes     int64
	FirstUsed int64
	LastUsed  int64
}

// TableName is where gorm finds the rows.
func (moduleRow) TableName() string { return "modules" }

type moduleVersionRow struct {
	Module    string `gorm:"primaryKey"`
	Version   string `gorm:"primaryKey"`
	Source    string
	Size      int64
	ZipSum    string
	ModSum    string
	Proven    bool
	Requests  int64
	Hits      int64
	Downloads int64
	Bytes     int64
	FirstUsed int64
	LastUsed  int64
}

// TableName is where gorm finds the rows.
func (moduleVersionRow) TableName() string { return "module_versions" }

type moduleDayRow struct {
	Module    string `gorm:"primaryKey"`
	Day       int64  `gorm:"primaryKey;autoIncrement:false"`
	Requests  int64
	Downloads int64
	Bytes     int64
}

// TableName is where gorm finds the rows.
func (moduleDayRow) TableName() string { return "module_days" }

const dayUs = 24 * 60 * 60 * 1e6

// usedAtOnce is how many versions one transaction adds to: others want to write, too.
const usedAtOnce = 500

// AddModuleUse implements mirror.ModuleStore. Nothing that is remembered of a
// mirror depends on it, so it is no change.
func (db *DB) AddModuleUse(ctx context.Context, list []mirror.ModuleUse) error {
	list = slices.Clone(list)
	// In one order, so that two servers on one database do not wait for each other
	// for ever.
	slices.SortFunc(list, func(a, b mirror.ModuleUse) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Version, b.Version))
	})
	for part := range slices.Chunk(list, usedAtOnce) {
		err := db.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return addUse(ctx, tx, part) })
		if err != nil {
			return known(err)
		}
	}
	return nil
}

func addUse(ctx context.Context, tx *gorm.DB, list []mirror.ModuleUse) error {
	modules := map[string]*moduleRow{}
	versions := map[[2]string]*moduleVersionRow{}
	days := map[moduleDayRow]*moduleDayRow{}
	for _, u := range list {
		name, version, at := clean(u.Module), clean(u.Version), u.At.UnixMicro()
		m := modules[name]
		if m == nil {
			m = &moduleRow{Path: name, FirstUsed: at}
			modules[name] = m
		}
		if u.Repo != "" || u.Source != "" {
			m.RepoID, m.Private, m.Source = clean(string(u.Repo)), u.Private, clean(u.Source)
		}
		m.Requests, m.Hits, m.Downloads, m.Bytes = m.Requests+u.Requests, m.Hits+u.Hits, m.Downloads+u.Downloads, m.Bytes+u.Bytes
		m.FirstUsed, m.LastUsed = min(m.FirstUsed, at), max(m.LastUsed, at)
		key := moduleDayRow{Module: name, Day: at / dayUs}
		d := days[key]
		if d == nil {
			d = &moduleDayRow{Module: name, Day: at / dayUs}
			days[key] = d
		}
		d.Requests, d.Downloads, d.Bytes = d.Requests+u.Requests, d.Downloads+u.Downloads, d.Bytes+u.Bytes
		if version == "" {
			continue
		}
		v := versions[[2]string{name, version}]
		if v == nil {
			v = &moduleVersionRow{Module: name, Version: version, FirstUsed: at}
			versions[[2]string{name, version}] = v
		}
		if u.Source != "" {
			v.Source = clean(u.Source)
		}
		v.Size, v.Proven = max(v.Size, u.Size), v.Proven || u.Proven
		v.ZipSum, v.ModSum = cmp.Or(clean(u.Sums.Zip), v.ZipSum), cmp.Or(clean(u.Sums.Mod), v.ModSum)
		v.Requests, v.Hits, v.Downloads, v.Bytes = v.Requests+u.Requests, v.Hits+u.Hits, v.Downloads+u.Downloads, v.Bytes+u.Bytes
		v.FirstUsed, v.LastUsed = min(v.FirstUsed, at), max(v.LastUsed, at)
	}
	names := slices.Sorted(maps.Keys(modules))
	if err := upsert(ctx, tx, values(modules, func(a, b moduleRow) int { return cmp.Compare(a.Path, b.Path) }),
		[]string{"path"}, map[string]string{
			"repo_id": later("modules", "repo_id", "excluded.source <> ''"), "private": later("modules", "private", "excluded.source <> ''"),
			"source": later("modules", "source", "excluded.source <> ''"), "last_used": newer("modules"),
		}, "modules", "requests", "hits", "downloads", "bytes"); err != nil {
		return err
	}
	if err := upsert(ctx, tx, values(versions, func(a, b moduleVersionRow) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Version, b.Version))
	}), []string{"module", "version"}, map[string]string{
		"source":    later("module_versions", "source", "excluded.source <> ''"),
		"size":      later("module_versions", "size", "excluded.size <> 0"),
		"zip_sum":   later("module_versions", "zip_sum", "excluded.zip_sum <> ''"),
		"mod_sum":   later("module_versions", "mod_sum", "excluded.mod_sum <> ''"),
		"proven":    "module_versions.proven OR excluded.proven",
		"last_used": newer("module_versions"),
	}, "module_versions", "requests", "hits", "downloads", "bytes"); err != nil {
		return err
	}
	if len(versions) > 0 {
		if err := tx.WithContext(ctx).Exec(`UPDATE modules SET versions = (SELECT count(*) FROM module_versions WHERE module = modules.path) WHERE path IN ?`, names).Error; err != nil {
			return err
		}
	}
	return upsert(ctx, tx, values(days, func(a, b moduleDayRow) int { return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Day, b.Day)) }),
		[]string{"module", "day"}, map[string]string{}, "module_days", "requests", "downloads", "bytes")
}

// later is the new value when a condition holds, and else the old one.
func later(table, column, when string) string {
	return "CASE WHEN " + when + " THEN excluded." + column + " ELSE " + table + "." + column + " END"
}

func newer(table string) string {
	return later(table, "last_used", "excluded.last_used > "+table+".last_used")
}

func values[K comparable, V any](of map[K]*V, order func(a, b V) int) []V {
	list := make([]V, 0, len(of))
	for _, v := range of {
		list = append(list, *v)
	}
	slices.SortFunc(list, order)
	return list
}

// upsert adds rows; of those that are there the named columns are added up, and
// others set to an expression.
func upsert[T any](ctx context.Context, tx *gorm.DB, rows []T, key []string, set map[string]string, name string, add ...string) error {
	if len(rows) == 0 {
		return nil
	}
	columns := make([]clause.Column, len(key))
	for i, name := range key {
		columns[i].Name = name
	}
	to := map[string]any{}
	for column, expr := range set {
		to[column] = gorm.Expr(expr)
	}
	for _, column := range add {
		to[column] = gorm.Expr(name + "." + column + " + excluded." + column)
	}
	return table[T](tx, clause.OnConflict{Columns: columns, DoUpdates: clause.Assignments(to)}).CreateInBatches(ctx, &rows, 200)
}

// How long figures are kept, and of how many versions.
const (
	usedFor         = 400 * 24 * time.Hour
	refusedFor      = 180 * 24 * time.Hour
	maxUsedVersions = 500_000
	maxRefusals     = 200_000
	thinAtMost      = 5_000 // rows in one transaction
)

// ThinModules implements mirror.ModuleStore.
func (db *DB) ThinModules(ctx context.Context, now time.Time) error {
	old := now.Add(-usedFor).UnixMicro()
	type step struct {
		sql  string
		args []any
	}
	gone := int64(0)
	for _, step := range []step{
		{"DELETE FROM module_versions WHERE last_used < ?", []any{old}},
		{`DELETE FROM module_versions WHERE (module, version) IN (SELECT module, version FROM module_versions ORDER BY last_used DESC LIMIT ? OFFSET ?)`, []any{thinAtMost, maxUsedVersions}},
	} {
		done := db.write.WithContext(ctx).Exec(step.sql, step.args...)
		if done.Error != nil {
			return known(done.Error)
		}
		gone += done.RowsAffected
	}
	rest := []step{
		{"DELETE FROM module_days WHERE day < ?", []any{old / dayUs}},
		{"DELETE FROM module_refusals WHERE last_at < ?", []any{now.Add(-refusedFor).UnixMicro()}},
		{`DELETE FROM module_refusals WHERE id IN (SELECT id FROM module_refusals ORDER BY last_at DESC, id DESC LIMIT ? OFFSET ?)`, []any{thinAtMost, maxRefusals}},
		{"DELETE FROM module_pins WHERE until IS NOT NULL AND until < ?", []any{now.UnixMicro()}},
		{"DELETE FROM modules WHERE last_used < ? AND NOT EXISTS (SELECT 1 FROM module_versions WHERE module = modules.path)", []any{old}},
	}
	if gone > 0 {
		rest = append(rest, step{`UPDATE modules SET versions = (SELECT count(*) FROM module_versions WHERE module = modules.path)
			WHERE versions <> (SELECT count(*) FROM module_versions WHERE module = modules.path)`, nil})
	}
	for _, step := range rest {
		if err := db.write.WithContext(ctx).Exec(step.sql, step.args...).Error; err != nil {
			return known(err)
		}
	}
	return nil
}
