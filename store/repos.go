package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

// repoRow is a row of repos. Zero Go values are written as they are; every
// update names its columns.
type repoRow struct {
	ID         string `gorm:"primaryKey"`
	Path       string
	PathKey    string
	Upstream   string
	Credential string
	Private    bool
	IntervalUs int64
	Tags       string
	Refs       string
	Paused     bool
	Archived   *int64
	Created    int64
	Updated    int64
	Version    int64

	Settled      string
	Digest       string
	Endpoint     string
	Generation   int64
	Head         string
	HeadCount    int64
	TagCount     int64
	Bytes        int64
	LastAttempt  *int64
	LastSuccess  *int64
	LastChange   *int64
	LastClient   *int64
	LastHook     *int64
	RefusedSince *int64
	HostID       int64
	Failures     int64
	Problem      *string

	NextSync     *int64
	AskedTrigger string
	AskedAt      *int64
	Urgency      int64
	LeaseOwner   string
	LeaseRun     int64
	LeaseToken   int64
	LeaseUntil   *int64
	Status       string `gorm:"->"` // the database makes it of the other columns
}

// TableName is where gorm finds the rows.
func (repoRow) TableName() string { return "repos" }

// stateColumns are those a run writes when it ends.
func stateColumns() []any {
	return []any{
		"digest", "endpoint", "generation", "head", "head_count", "tag_count", "bytes", "last_attempt",
		"last_success", "last_change", "refused_since", "failures", "problem", "next_sync",
	}
}

func newRepoRow(r mirror.Repo) (repoRow, error) {
	refs, err := refPolicyText(r.Refs)
	if err != nil {
		return repoRow{}, err
	}
	row := repoRow{
		ID: string(r.ID), Path: string(r.Path), PathKey: r.Path.Key(), Upstream: r.Upstream.String(),
		Credential: r.Credential, Private: r.Private, IntervalUs: r.Interval.Microseconds(), Tags: string(r.Tags),
		Refs: refs, Paused: r.Paused, Archived: micros(r.Archived), Created: r.Created.UnixMicro(), Updated: r.Updated.UnixMicro(), Version: r.Version,
	}
	return row, row.setState(r.State)
}

func (row *repoRow) setState(s mirror.State) (err error) {
	row.Settled = string(settled(s))
	row.Digest, row.Endpoint, row.HostID = s.Digest, s.Endpoint, s.HostID
	row.Generation, row.Head = s.Generation, clean(s.Head)
	row.LastClient, row.LastHook = micros(s.LastClient), micros(s.LastHook)
	row.HeadCount, row.TagCount, row.Bytes = int64(s.Heads), int64(s.Tags), s.Bytes
	row.LastAttempt, row.LastSuccess, row.LastChange = micros(s.LastAttempt), micros(s.LastSuccess), micros(s.LastChange)
	row.RefusedSince = micros(s.RefusedSince)
	row.Failures, row.NextSync = int64(s.Failures), micros(s.NextSync)
	row.Problem, err = problemText(s.Problem)
	return err
}

// settled is the status without what other columns say: that a sync runs, or a pause.
func settled(s mirror.State) mirror.Status {
	switch s.Status {
	case mirror.Queued, mirror.Ready, mirror.Retrying, mirror.Failed:
		return s.Status
	}
	return s.Resting()
}

func (row repoRow) repo() (mirror.Repo, error) {
	upstream := mirror.Upstream{}
	if row.Upstream != "" {
		var err error
		if upstream, _, err = mirror.ParseUpstream(row.Upstream); err != nil {
			return mirror.Repo{}, fmt.Errorf("stored repository %s: %s", row.ID, err) // not the user's fault: no kind
		}
	}
	problem, err := parseProblem(row.Problem)
	if err != nil {
		return mirror.Repo{}, fmt.Errorf("stored repository %s: %w", row.ID, err)
	}
	refs, err := parseRefPolicy(row.Refs)
	if err != nil {
		return mirror.Repo{}, fmt.Errorf("stored repository %s: %w", row.ID, err)
	}
	return mirror.Repo{
		ID: mirror.ID(row.ID), Path: mirror.Path(row.Path), Upstream: upstream, Credential: row.Credential,
		Private: row.Private, Interval: time.Duration(row.IntervalUs) * time.Microsecond, Tags: mirror.TagPolicy(row.Tags), Refs: refs,
		Paused: row.Paused, Archived: moment(row.Archived), Created: moment(&row.Created), Updated: moment(&row.Updated), Version: row.Version,
		State: mirror.State{
			Status: mirror.Status(row.Status), Digest: row.Digest, Endpoint: row.Endpoint, HostID: row.HostID, Generation: row.Generation, Head: row.Head,
			Heads: int(row.HeadCount), Tags: int(row.TagCount), Bytes: row.Bytes,
			LastAttempt: moment(row.LastAttempt), LastSuccess: moment(row.LastSuccess), LastChange: moment(row.LastChange),
			LastClient: moment(row.LastClient), LastHook: moment(row.LastHook), RefusedSince: moment(row.RefusedSince),
			NextSync: moment(row.NextSync), Failures: int(row.Failures), Problem: problem,
		},
	}, nil
}

// AddRepo implements mirror.RepoStore.
func (db *DB) AddRepo(ctx context.Context, r mirror.Repo) error {
	defer db.changed()
	row, err := newRepoRow(r)
	if err != nil {
		return err
	}
	row.Version = max(row.Version, 1)
	row.AskedTrigger, row.Urgency = string(mirror.ByAdd), int64(mirror.ByAdd.Urgency())
	if row.NextSync == nil {
		row.NextSync = &row.Created
	}
	if row.Paused {
		row.NextSync = nil
	}
	return about("repository", string(r.Path), table[repoRow](db.write).Create(ctx, &row))
}

// Repo implements mirror.RepoStore.
func (db *DB) Repo(ctx context.Context, path mirror.Path) (mirror.Repo, error) {
	return db.repoWhere(ctx, string(path), "path_key = ?", path.Key())
}

// RepoByID implements mirror.RepoStore.
func (db *DB) RepoByID(ctx context.Context, id mirror.ID) (mirror.Repo, error) {
	return db.repoWhere(ctx, string(id), "id = ?", string(id))
}

func (db *DB) repoWhere(ctx context.Context, name, where, value string) (mirror.Repo, error) {
	row, err := one[repoRow](ctx, db, where, value)
	if err != nil {
		return mirror.Repo{}, about("repository", name, err)
	}
	return row.repo()
}

// repoOrder is SQL for an order; paths are in lower case.
func repoOrder(s mirror.RepoSort) string {
	switch s {
	case mirror.SortAge:
		return "COALESCE(last_success, 0), path_key"
	case mirror.SortNext:
		return "next_sync IS NULL, next_sync, path_key"
	case mirror.SortSize:
		return "bytes DESC, path_key"
	case mirror.SortFailures:
		return "failures DESC, path_key"
	case mirror.SortChange:
		return "COALESCE(last_change, 0) DESC, path_key"
	}
	return "path_key"
}

// Repos implements mirror.RepoStore.
func (db *DB) Repos(ctx context.Context, q mirror.RepoQuery) ([]mirror.Repo, error) {
	list := table[repoRow](db.read).Where("path_key > ?", q.After.Key()).Scopes(selected(q)).
		Order(repoOrder(q.Sort)).Offset(max(0, q.Offset)).Limit(bounded(q.Limit))
	if q.Sort != mirror.SortPath { // only ids are sorted, not whole rows: there may be 100,000
		var ids []string
		if err := list.Select("id").Scan(ctx, &ids); err != nil || len(ids) == 0 {
			return []mirror.Repo{}, known(err)
		}
		list = table[repoRow](db.read).Where("id IN ?", ids).Order(repoOrder(q.Sort))
	}
	rows, err := list.Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	repos := make([]mirror.Repo, 0, len(rows))
	for _, row := range rows {
		r, err := row.repo()
		if err != nil {
			return nil, err
		}
		repos = append(repos, r)
	}
	return repos, nil
}

// CountRepos implements mirror.RepoStore.
func (db *DB) CountRepos(ctx context.Context, q mirror.RepoQuery) (map[mirror.Status]int, error) {
	var rows []struct {
		Status string
		N      int
	}
	err := table[repoRow](db.read).Scopes(selected(q)).Select("status, count(*) AS n").Group("status").Scan(ctx, &rows)
	if err != nil {
		return nil, known(err)
	}
	counts := make(map[mirror.Status]int, len(rows))
	for _, row := range rows {
		counts[mirror.Status(row.Status)] = row.N
	}
	return counts, nil
}

// selected is the WHERE that a listing and its counts share.
func selected(q mirror.RepoQuery) func(*gorm.Statement) {
	return func(stmt *gorm.Statement) {
		if q.Status != "" {
			where(stmt, "status = ?", string(q.Status))
		}
		if q.Search != "" {
			pattern := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(clean(q.Search)))
			where(stmt, `path_key LIKE ? ESCAPE '\'`, "%"+pattern+"%")
		}
		within(stmt, q.Sight)
		if !q.Late.IsZero() { // mirror.LateAfter
			where(stmt, `NOT paused AND last_success < ? - CASE WHEN interval_us = 0 THEN 172800000000
				WHEN interval_us * 3 < 600000000 THEN 600000000 ELSE interval_us * 3 END`, q.Late.UnixMicro())
		}
		if q.Held {
			where(stmt, "id IN (SELECT repo_id FROM holds WHERE decision = ? AND settled IS NULL)", "")
		}
	}
}

func where(stmt *gorm.Statement, sql string, value any) {
	stmt.AddClause(clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: sql, Vars: []any{value}}}})
}

// EditRepo implements mirror.RepoStore.
func (db *DB) EditRepo(ctx context.Context, r mirror.Repo) error {
	defer db.memory.repos.forget(r.Path.Key())
	edited, err := newRepoRow(r)
	if err != nil {
		return err
	}
	return about("repository", string(r.Path), db.in(ctx, func(tx *gorm.DB) error {
		row, err := db.locked(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		if row.Version != r.Version {
			return fmt.Errorf("it was changed meanwhile: %w", mirror.ErrExists)
		}
		edited.Version, edited.Digest = row.Version+1, ""
		if edited.Paused {
			edited.NextSync = nil
		} else if edited.NextSync == nil {
			edited.NextSync = &edited.Updated
		}
		return update(ctx, tx, r.ID, edited, "settled", "upstream", "credential", "private", "interval_us", "tags", "refs", "paused", "archived",
			"updated", "version", "digest", "next_sync")
	}))
}

// RemoveRepo implements mirror.RepoStore. Runs and events go with the row.
func (db *DB) RemoveRepo(ctx context.Context, id mirror.ID) error {
	key := ""
	defer func() { db.memory.repos.forget(key) }()
	return about("repository", string(id), db.in(ctx, func(tx *gorm.DB) error {
		row, err := db.locked(ctx, tx, id)
		if err != nil {
			return err
		}
		key = row.PathKey
		if _, err := table[aliasRow](tx).Where("repo_key = ?", row.PathKey).Delete(ctx); err != nil {
			return err
		}
		_, err = table[repoRow](tx).Where("id = ?", row.ID).Delete(ctx)
		return err
	}))
}

// locked reads a row that the transaction is going to write. In SQLite the
// transaction is alone in any case.
func (db *DB) locked(ctx context.Context, tx *gorm.DB, id mirror.ID) (repoRow, error) {
	if !storable(string(id)) {
		return repoRow{}, mirror.ErrNotFound
	}
	return table[repoRow](tx, db.forUpdate("")...).Where("id = ?", string(id)).Take(ctx)
}

// forUpdate is the clause that locks the rows a SELECT returns; options may be "SKIP LOCKED".
func (db *DB) forUpdate(options string) []clause.Expression {
	if !db.rowLocks {
		return nil
	}
	return []clause.Expression{clause.Locking{Strength: "UPDATE", Options: options}}
}

// update writes the named columns of a repository, zero values too.
func update(ctx context.Context, tx *gorm.DB, id mirror.ID, row repoRow, column string, more ...any) error {
	n, err := table[repoRow](tx).Where("id = ?", string(id)).Select(column, more...).Updates(ctx, row)
	if err == nil && n == 0 {
		return mirror.ErrNotFound
	}
	return err
}

// one reads the row a condition on text selects; gorm.ErrRecordNotFound when
// there is none. where is a constant, and true for one row at most: there is no
// LIMIT, because SQLite compiles a statement anew whenever that is bound.
func one[T any](ctx context.Context, db *DB, where, value string) (T, error) {
	if !storable(value) {
		var none T
		return none, mirror.ErrNotFound
	}
	rows, err := table[T](db.often).Where(where, value).Find(ctx)
	if err == nil && len(rows) == 0 {
		err = gorm.ErrRecordNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return rows[0], nil
}

// bounded is the limit of a list: 100 unless said, at most 1,000.
func bounded(limit int) int {
	if limit <= 0 {
		return 100
	}
	return min(limit, 1000)
}
