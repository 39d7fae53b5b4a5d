package store

import (
	"context"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// servedRow is a row of modules with what its mirror is now.
type servedRow struct {
	Row      moduleRow `gorm:"embedded"`
	RepoPath string
}

// servedFrom joins modules to their mirrors: a mirror that became private takes
// its figures with it.
const servedFrom = `SELECT m.path, m.repo_id, coalesce(r.private, m.private) AS private, m.source, m.versions, m.requests, m.hits,
	m.downloads, m.bytes, m.first_used, m.last_used, coalesce(r.path, '') AS repo_path
	FROM modules m LEFT JOIN repos r ON r.id = m.repo_id`

func (r servedRow) served() mirror.ServedModule {
	row := r.Row
	return mirror.ServedModule{
		Path: row.Path, Repo: mirror.ID(row.RepoID), RepoPath: mirror.Path(r.RepoPath), Private: row.Private, Source: row.Source,
		Versions: int(row.Versions), Requests: row.Requests, Hits: row.Hits, Downloads: row.Downloads, Bytes: row.Bytes,
		FirstUsed: moment(&row.FirstUsed), LastUsed: moment(&row.LastUsed),
	}
}

// ServedModules implements mirror.ModuleStore.
func (db *DB) ServedModules(ctx context.Context, q mirror.ServedQuery) ([]mirror.ServedModule, error) {
	if !storable(q.Search) || q.After != nil && !storable(q.After.Path) {
		return nil, nil
	}
	column, figure := "", int64(0)
	after := mirror.ServedModule{}
	if q.After != nil {
		after = *q.After
	}
	switch q.Sort {
	case mirror.ModulesByDownloads:
		column, figure = "downloads", after.Downloads
	case mirror.ModulesByBytes:
		column, figure = "bytes", after.Bytes
	case mirror.ModulesByUse:
		column, figure = "last_used", after.LastUsed.UnixMicro()
	}
	var conditions []string
	var args []any
	if q.Search != "" {
		pattern := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(q.Search))
		conditions, args = append(conditions, `lower(m.path) LIKE ? ESCAPE '\'`), append(args, "%"+pattern+"%")
	}
	if q.Public {
		conditions = append(conditions, "NOT coalesce(r.private, m.private)")
	}
	order := "m.path"
	if column != "" {
		order = "m." + column + " DESC, m.path DESC"
	}
	switch {
	case q.After == nil:
	case column == "":
		conditions, args = append(conditions, "m.path > ?"), append(args, after.Path)
	default:
		conditions, args = append(conditions, "(m."+column+", m.path) < (?, ?)"), append(args, figure, after.Path)
	}
	sql := servedFrom
	if len(conditions) > 0 {
		sql += " WHERE " + strings.Join(conditions, " AND ")
	}
	var rows []servedRow
	if err := db.read.WithContext(ctx).Raw(sql+" ORDER BY "+order+" LIMIT ?", append(args, bounded(q.Limit))...).Scan(&rows).Error; err != nil {
		return nil, known(err)
	}
	list := make([]mirror.ServedModule, len(rows))
	for i, row := range rows {
		list[i] = row.served()
	}
	return list, nil
}

// ServedModule implements mirror.ModuleStore.
func (db *DB) ServedModule(ctx context.Context, path string) (mirror.ServedModule, error) {
	var rows []servedRow
	if storable(path) {
		if err := db.read.WithContext(ctx).Raw(servedFrom+" WHERE m.path = ?", path).Scan(&rows).Error; err != nil {
			return mirror.ServedModule{}, known(err)
		}
	}
	if len(rows) == 0 {
		return mirror.ServedModule{}, about("module", clean(path), mirror.ErrNotFound)
	}
	return rows[0].served(), nil
}

// maxVersions bounds one answer.
const maxVersions = 10_000

// ServedVersions implements mirror.ModuleStore.
func (db *DB) ServedVersions(ctx context.Context, path string, limit int) ([]mirror.ServedVersion, error) {
	if !storable(path) {
		return nil, nil
	}
	if limit <= 0 || limit > maxVersions {
		limit = maxVersions
	}
	rows, err := table[moduleVersionRow](db.read).Where("module = ?", path).Order("last_used DESC, version").Limit(limit).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	list := make([]mirror.ServedVersion, len(rows))
	for i, row := range rows {
		list[i] = mirror.ServedVersion{
			Module: row.Module, Version: row.Version, Source: row.Source, Size: row.Size, Sums: mirror.Sums{Zip: row.ZipSum, Mod: row.ModSum},
			Proven: row.Proven, Requests: row.Requests, Hits: row.Hits, Downloads: row.Downloads, Bytes: row.Bytes,
			FirstUsed: moment(&row.FirstUsed), LastUsed: moment(&row.LastUsed),
		}
	}
	return list, nil
}

// ServedDays implements mirror.ModuleStore.
func (db *DB) ServedDays(ctx context.Context, module string, since time.Time) ([]mirror.ServedDay, error) {
	if !storable(module) {
		return nil, nil
	}
	first := int64(0)
	if !since.IsZero() {
		first = since.UnixMicro() / dayUs
	}
	sql, args := `SELECT day, CAST(sum(requests) AS bigint) AS requests, CAST(sum(downloads) AS bigint) AS downloads, CAST(sum(bytes) AS bigint) AS bytes
		FROM module_days WHERE day >= ?`, []any{first}
	if module != "" {
		sql, args = sql+" AND module = ?", append(args, module)
	}
	var rows []moduleDayRow
	if err := db.read.WithContext(ctx).Raw(sql+" GROUP BY day ORDER BY day", args...).Scan(&rows).Error; err != nil {
		return nil, known(err)
	}
	list := make([]mirror.ServedDay, len(rows))
	for i, row := range rows {
		list[i] = mirror.ServedDay{Day: time.UnixMicro(row.Day * dayUs).UTC(), Requests: row.Requests, Downloads: row.Downloads, Bytes: row.Bytes}
	}
	return list, nil
}

// ServedTotals implements mirror.ModuleStore.
func (db *DB) ServedTotals(ctx context.Context) ([]mirror.ServedTotal, error) {
	var rows []struct {
		RepoID, RepoPath                           string
		Private                                    bool
		Modules                                    int
		Versions, Requests, Hits, Downloads, Bytes int64
	}
	err := db.read.WithContext(ctx).Raw(`SELECT CASE WHEN private THEN repo_id ELSE '' END AS repo_id, CASE WHEN private THEN max(repo_path) ELSE '' END AS repo_path, private,
		count(*) AS modules, CAST(sum(versions) AS bigint) AS versions, CAST(sum(requests) AS bigint) AS requests, CAST(sum(hits) AS bigint) AS hits,
		CAST(sum(downloads) AS bigint) AS downloads, CAST(sum(bytes) AS bigint) AS bytes
		FROM (` + servedFrom + `) AS s GROUP BY private, CASE WHEN private THEN repo_id ELSE '' END ORDER BY private, 1`).Scan(&rows).Error
	if err != nil {
		return nil, known(err)
	}
	list := make([]mirror.ServedTotal, len(rows))
	for i, row := range rows {
		list[i] = mirror.ServedTotal{
			Repo: mirror.ID(row.RepoID), RepoPath: mirror.Path(row.RepoPath), Private: row.Private, Modules: row.Modules, Versions: int(row.Versions),
			Requests: row.Requests, Hits: row.Hits, Downloads: row.Downloads, Bytes: row.Bytes,
		}
	}
	return list, nil
}
