package store

import (
	"context"
	"fmt"
	"strconv"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

type runRow struct {
	ID      int64 `gorm:"primaryKey"`
	RepoID  string
	Owner   string
	Trigger string
	Started int64
	Ended   *int64
	Outcome string
	Created int64
	Updated int64
	Deleted int64
	Bytes   int64
	Problem *string
}

// TableName is where gorm finds the rows.
func (runRow) TableName() string { return "runs" }

// endedRow holds the columns that the end of a run writes.
func endedRow(r mirror.Run) (runRow, error) {
	problem, err := problemText(r.Problem)
	return runRow{
		Ended: micros(r.Ended), Outcome: string(r.Outcome), Created: int64(r.Created), Updated: int64(r.Updated),
		Deleted: int64(r.Deleted), Bytes: r.Bytes, Problem: problem,
	}, err
}

func (row runRow) run() (mirror.Run, error) {
	problem, err := parseProblem(row.Problem)
	if err != nil {
		return mirror.Run{}, fmt.Errorf("stored run %d: %w", row.ID, err)
	}
	return mirror.Run{
		ID: row.ID, Repo: mirror.ID(row.RepoID), Trigger: mirror.Trigger(row.Trigger), Started: moment(&row.Started),
		Ended: moment(row.Ended), Outcome: mirror.Outcome(row.Outcome), Created: int(row.Created),
		Updated: int(row.Updated), Deleted: int(row.Deleted), Bytes: row.Bytes, Problem: problem,
	}, nil
}

type eventRow struct {
	ID     int64 `gorm:"primaryKey"`
	RepoID string
	RunID  int64
	At     int64
	Kind   string
	Ref    string
	Old    string
	New    string
	Text   string
}

// TableName is where gorm finds the rows.
func (eventRow) TableName() string { return "events" }

func newEventRow(e mirror.Event, repo string, run int64) eventRow {
	return eventRow{
		RepoID: repo, RunID: run, At: e.At.UnixMicro(), Kind: string(e.Kind),
		Ref: clean(e.Ref), Old: clean(e.Old), New: clean(e.New), Text: clean(e.Text),
	}
}

func (row eventRow) event() mirror.Event {
	return mirror.Event{
		ID: row.ID, Repo: mirror.ID(row.RepoID), Run: row.RunID, At: moment(&row.At), Kind: mirror.EventKind(row.Kind),
		Ref: row.Ref, Old: row.Old, New: row.New, Text: row.Text,
	}
}

// closeRun writes how a run ended and what happened in it.
func closeRun(ctx context.Context, tx *gorm.DB, id int64, run mirror.Run, events []mirror.Event) error {
	row, err := endedRow(run)
	if err != nil {
		return err
	}
	open, err := table[runRow](tx).Where("id = ?", id).Take(ctx)
	if err != nil {
		return err
	}
	_, err = table[runRow](tx).Where("id = ?", id).
		Select("ended", "outcome", "created", "updated", "deleted", "bytes", "problem").Updates(ctx, row)
	if err != nil || len(events) == 0 {
		return err
	}
	rows := make([]eventRow, len(events))
	for i, e := range events {
		rows[i] = newEventRow(e, open.RepoID, id)
	}
	return table[eventRow](tx).CreateInBatches(ctx, &rows, 500)
}

// Runs implements mirror.QueueStore; an empty repo means all.
func (db *DB) Runs(ctx context.Context, repo mirror.ID, before int64, limit int) ([]mirror.Run, error) {
	if !storable(string(repo)) {
		return nil, nil
	}
	return runsOf(ctx, table[runRow](db.read).Scopes(behind(repo, before)).Order("id DESC").Limit(bounded(limit)))
}

// NewestRuns implements mirror.QueueStore.
func (db *DB) NewestRuns(ctx context.Context, sight *mirror.Sight, limit int) ([]mirror.Run, error) {
	q := table[runRow](db.read).Order("id DESC").Limit(bounded(limit))
	if sql, values := visible(sight); sql != "" {
		q = q.Where("repo_id IN (SELECT id FROM repos WHERE "+sql+")", values...)
	}
	return runsOf(ctx, q)
}

func runsOf(ctx context.Context, q query[runRow]) ([]mirror.Run, error) {
	rows, err := q.Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	runs := make([]mirror.Run, len(rows))
	for i, row := range rows {
		if runs[i], err = row.run(); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// Run implements mirror.QueueStore.
func (db *DB) Run(ctx context.Context, id int64) (mirror.Run, error) {
	row, err := table[runRow](db.read).Where("id = ?", id).Take(ctx)
	if err != nil {
		return mirror.Run{}, about("run", strconv.FormatInt(id, 10), err)
	}
	return row.run()
}

// Events implements mirror.QueueStore.
func (db *DB) Events(ctx context.Context, repo mirror.ID, before int64, limit int) ([]mirror.Event, error) {
	if !storable(string(repo)) {
		return nil, nil
	}
	rows, err := table[eventRow](db.read).Scopes(behind(repo, before)).Order("id DESC").Limit(bounded(limit)).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	events := make([]mirror.Event, len(rows))
	for i, row := range rows {
		events[i] = row.event()
	}
	return events, nil
}

// behind selects what is older than the row with the id before, if that is given.
func behind(repo mirror.ID, before int64) func(*gorm.Statement) {
	return func(stmt *gorm.Statement) {
		if repo != "" {
			where(stmt, "repo_id = ?", string(repo))
		}
		if before > 0 {
			where(stmt, "id < ?", before)
		}
	}
}
