package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

// holdRow is a row of holds. It is live until settled is set; there is one live
// row for each change of upstream.
type holdRow struct {
	ID        int64 `gorm:"primaryKey"`
	RepoID    string
	Kind      string
	Ref       string
	Old       string
	New       string
	Refs      string
	RefCount  int64
	Text      string
	Opened    int64
	Decision  string
	DecidedBy string
	Decided   *int64
	Reason    string
	Settled   *int64
}

// TableName is where gorm finds the rows.
func (holdRow) TableName() string { return "holds" }

func newHoldRow(h mirror.Hold) (holdRow, error) {
	names := h.Refs
	if names == nil {
		names = []string{}
	}
	refs, err := json.Marshal(names)
	return holdRow{
		RepoID: string(h.Repo), Kind: string(h.Kind), Ref: clean(h.Ref), Old: clean(h.Old), New: clean(h.New),
		Refs: clean(string(refs)), RefCount: int64(h.Count), Text: clean(h.Text), Opened: h.Opened.UnixMicro(),
	}, err
}

func (row holdRow) hold() (mirror.Hold, error) {
	h := mirror.Hold{
		ID: row.ID, Repo: mirror.ID(row.RepoID), Kind: mirror.HoldKind(row.Kind), Ref: row.Ref, Old: row.Old, New: row.New,
		Count: int(row.RefCount), Text: row.Text, Opened: moment(&row.Opened),
		Decision: mirror.Decision(row.Decision), DecidedBy: row.DecidedBy, DecidedAt: moment(row.Decided), Reason: row.Reason,
		Settled: moment(row.Settled),
	}
	var err error
	if row.Refs != "[]" {
		err = json.Unmarshal([]byte(row.Refs), &h.Refs)
	}
	if err != nil {
		return h, fmt.Errorf("stored hold %d: %w", row.ID, err)
	}
	return h, nil
}

func holds(rows []holdRow, err error) ([]mirror.Hold, error) {
	if err != nil {
		return nil, known(err)
	}
	out := make([]mirror.Hold, len(rows))
	for i, row := range rows {
		if out[i], err = row.hold(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Holds implements mirror.HoldStore.
func (db *DB) Holds(ctx context.Context, q mirror.HoldQuery) ([]mirror.Hold, error) {
	if !storable(string(q.Repo)) {
		return nil, nil
	}
	rows := table[holdRow](db.read).Scopes(behind(q.Repo, q.Before))
	if sql, values := visible(q.Sight); sql != "" {
		rows = rows.Where("repo_id IN (SELECT id FROM repos WHERE "+sql+")", values...)
	}
	switch q.State {
	case "open":
		rows = rows.Where("decision = '' AND settled IS NULL")
	case "decided":
		rows = rows.Where("decision <> ''")
	}
	return holds(rows.Order("id DESC").Limit(bounded(q.Limit)).Find(ctx))
}

// Hold implements mirror.HoldStore.
func (db *DB) Hold(ctx context.Context, id int64) (mirror.Hold, error) {
	row, err := table[holdRow](db.read).Where("id = ?", id).Take(ctx)
	if err != nil {
		return mirror.Hold{}, about("approval", strconv.FormatInt(id, 10), err)
	}
	return row.hold()
}

// LiveHolds implements mirror.HoldStore.
func (db *DB) LiveHolds(ctx context.Context, repo mirror.ID) ([]mirror.Hold, error) {
	if !storable(string(repo)) {
		return nil, nil
	}
	return holds(table[holdRow](db.read).Where("repo_id = ? AND settled IS NULL", string(repo)).Order("id").Find(ctx))
}

// CountHolds implements mirror.HoldStore.
func (db *DB) CountHolds(ctx context.Context, repo mirror.ID) (int, error) {
	if !storable(string(repo)) {
		return 0, nil
	}
	n, err := table[holdRow](db.read).Scopes(behind(repo, 0)).Where("decision = '' AND settled IS NULL").Count(ctx, "*")
	return int(n), known(err)
}

// DecideHold implements mirror.HoldStore. The repository is locked first, as the
// end of a run does.
func (db *DB) DecideHold(ctx context.Context, id int64, d mirror.Decision, by, reason string, now time.Time) (mirror.Hold, error) {
	h, err := db.Hold(ctx, id)
	if err != nil {
		return h, err
	}
	err = about("approval", strconv.FormatInt(id, 10), db.in(ctx, func(tx *gorm.DB) error {
		if _, err := db.locked(ctx, tx, h.Repo); err != nil {
			return err
		}
		row, err := table[holdRow](tx).Where("id = ?", id).Take(ctx)
		if err != nil {
			return err
		}
		switch {
		case row.Decision == string(d):
		case row.Decision != "" || row.Settled != nil:
			return fmt.Errorf("it is settled already: %w", mirror.ErrExists)
		default:
			row.Decision, row.DecidedBy, row.Decided, row.Reason = string(d), clean(by), micros(now), clean(reason)
			_, err = table[holdRow](tx).Where("id = ?", id).Select("decision", "decided_by", "decided", "reason").Updates(ctx, row)
			if err == nil {
				err = update(ctx, tx, h.Repo, repoRow{}, "digest")
			}
		}
		if err == nil {
			h, err = row.hold()
		}
		return err
	}))
	return h, err
}

// keptHolds is how many holds of a repository are remembered as history.
const keptHolds = 200

// settleHolds compares what a run found with the live holds of its repository,
// whose row is locked. news is true when a decision came that the run did not know.
func settleHolds(ctx context.Context, tx *gorm.DB, repo mirror.ID, now time.Time, found []mirror.Hold) (news bool, err error) {
	live, err := holds(table[holdRow](tx).Where("repo_id = ? AND settled IS NULL", string(repo)).Order("id").Find(ctx))
	if err != nil {
		return false, err
	}
	moves := slices.ContainsFunc(found, func(h mirror.Hold) bool { return h.Kind == mirror.HoldMove })
	var over []int64
	for _, l := range live {
		i := slices.IndexFunc(found, l.Same)
		switch {
		case i >= 0 && l.Kind != mirror.HoldMove:
			news = news || found[i].Decision != l.Decision
		case i < 0 && (!moves || l.Kind == mirror.HoldMove):
			over = append(over, l.ID)
		}
	}
	if len(over) > 0 {
		_, err := table[holdRow](tx).Where("id IN ?", over).Select("settled").Updates(ctx, holdRow{Settled: micros(now)})
		if err != nil {
			return false, err
		}
	}
	var opened []holdRow
	for _, h := range found {
		if slices.ContainsFunc(live, h.Same) {
			continue
		}
		h.Repo = repo
		row, err := newHoldRow(h)
		if err != nil {
			return false, err
		}
		opened = append(opened, row)
	}
	if len(opened) > 0 {
		if err := table[holdRow](tx).CreateInBatches(ctx, &opened, 100); err != nil {
			return false, err
		}
	}
	if len(over) == 0 {
		return news, nil
	}
	return news, table[holdRow](tx).Exec(ctx, `DELETE FROM holds WHERE repo_id = ? AND settled IS NOT NULL AND id <= (
		SELECT id FROM holds WHERE repo_id = ? AND settled IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?)`, string(repo), string(repo), keptHolds)
}
