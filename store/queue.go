package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

// A repository is in the queue while next_sync is set, and leased while
// lease_owner is. A lease is known by its token: an owner that lost it and has
// it again is somebody else, as far as the older lease goes.

// Ask implements mirror.QueueStore. Asking for what is asked for already, which
// is what a storm of webhooks does, writes nothing.
func (db *DB) Ask(ctx context.Context, id mirror.ID, why mirror.Trigger, at time.Time) (last int64, err error) {
	if !storable(string(id)) {
		return 0, about("repository", string(id), mirror.ErrNotFound)
	}
	// First the run, then the row: one that is opened in between answers, too.
	if last, err = newestRun(ctx, db.read, id); err != nil {
		return 0, err
	}
	if row, err := one[repoRow](ctx, db, "id = ?", string(id)); err != nil {
		return 0, about("repository", string(id), err)
	} else if row.asked(why, at) && row.LeaseOwner == "" {
		return last, nil // nobody has claimed it: the run that answers is yet to come
	}
	err = about("repository", string(id), db.in(ctx, func(tx *gorm.DB) error {
		row, err := db.locked(ctx, tx, id)
		if err != nil {
			return err
		}
		if last, err = newestRun(ctx, tx, id); err != nil {
			return err
		}
		if row.asked(why, at) {
			return nil
		}
		if why == mirror.ByClient && row.LeaseRun != 0 {
			last = row.LeaseRun - 1
			return nil
		}
		row.ask(why, at)
		return update(ctx, tx, id, row, "asked_trigger", "asked_at", "urgency", "next_sync")
	}))
	return last, err
}

// asked tells whether asking would change nothing.
func (row *repoRow) asked(why mirror.Trigger, at time.Time) bool {
	return row.AskedTrigger != "" && row.Urgency >= int64(why.Urgency()) &&
		(row.Paused || row.NextSync != nil && *row.NextSync <= at.UnixMicro())
}

// ask changes the columns asked_trigger, asked_at, urgency and next_sync.
func (row *repoRow) ask(why mirror.Trigger, at time.Time) {
	if row.AskedTrigger == "" || int64(why.Urgency()) > row.Urgency {
		row.AskedTrigger, row.Urgency = string(why), int64(why.Urgency())
	}
	// While it is leased, next_sync is the time that lease was for.
	done := row.LeaseOwner != "" && row.AskedAt == nil
	if !row.Paused && (done || row.NextSync == nil || *row.NextSync > at.UnixMicro()) {
		row.NextSync = micros(at)
	}
	if row.AskedAt == nil {
		row.AskedAt = micros(at)
	}
}

func newestRun(ctx context.Context, tx *gorm.DB, id mirror.ID) (last int64, err error) {
	err = tx.WithContext(ctx).Raw("SELECT coalesce(max(id), 0) FROM runs WHERE repo_id = ?", string(id)).Scan(&last).Error
	return last, err
}

// Claim implements mirror.QueueStore.
func (db *DB) Claim(ctx context.Context, owner string, now time.Time, lease time.Duration, room mirror.Room) ([]mirror.Claim, error) {
	if owner == "" {
		return nil, fmt.Errorf("claim without an owner: %w", mirror.ErrInvalid)
	}
	var claims []mirror.Claim
	asked := time.Now()
	err := db.in(ctx, func(tx *gorm.DB) error {
		rows, err := db.due(ctx, tx, now, room)
		if err != nil || len(rows) == 0 {
			return err
		}
		// The runs start when the database lets us, not when we asked it.
		claims, err = leaseRows(ctx, tx, rows, owner, now.Add(time.Since(asked)), now.Add(lease))
		return err
	})
	if err != nil {
		return nil, err
	}
	return claims, nil
}

// due locks the most urgent rows. Rows that another claimer has locked are its own.
func (db *DB) due(ctx context.Context, tx *gorm.DB, now time.Time, room mirror.Room) ([]repoRow, error) {
	least, most := mirror.ByClient.Urgency(), mirror.ByHand.Urgency()
	if room.News > 0 {
		least = 1
	}
	if room.People <= 0 {
		most = mirror.ByHook.Urgency()
	}
	var rows []repoRow
	for _, q := range []struct{ least, most, limit int }{
		{least, most, max(room.People, 0) + max(room.News, 0)}, {0, 0, max(room.Routine, 0)},
	} {
		if q.limit == 0 || q.least > q.most {
			continue
		}
		// The conditions without a parameter are those of the index repos_due.
		more, err := table[repoRow](tx, db.forUpdate("SKIP LOCKED")...).
			Where("urgency BETWEEN ? AND ? AND next_sync <= ? AND lease_owner = '' AND NOT paused", q.least, q.most, now.UnixMicro()).
			Order("urgency DESC, next_sync, id").Limit(q.limit).Find(ctx)
		if err != nil {
			return nil, err
		}
		for _, row := range more {
			left := &room.Routine
			if row.Urgency >= int64(mirror.ByClient.Urgency()) {
				left = &room.People
			} else if row.Urgency > 0 {
				left = &room.News
			}
			if *left--; *left >= 0 {
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// leaseRows gives the lease of each row to owner, and opens a run for those whose
// trigger has one.
func leaseRows(ctx context.Context, tx *gorm.DB, rows []repoRow, owner string, start, until time.Time) ([]mirror.Claim, error) {
	ids := make([]string, len(rows))
	claims := make([]mirror.Claim, len(rows))
	var runs []runRow
	for i := range rows {
		row := &rows[i]
		ids[i] = row.ID
		trigger := mirror.BySchedule
		if row.AskedTrigger != "" {
			trigger = mirror.Trigger(row.AskedTrigger)
		}
		claims[i] = mirror.Claim{
			Run:   mirror.Run{Repo: mirror.ID(row.ID), Trigger: trigger, Started: time.UnixMicro(start.UnixMicro()).UTC()},
			Owner: owner, Token: row.LeaseToken + 1, Until: time.UnixMicro(until.UnixMicro()).UTC(),
		}
		if trigger.OpensRun() {
			runs = append(runs, runRow{RepoID: row.ID, Owner: owner, Trigger: string(trigger), Started: start.UnixMicro()})
			row.Status = string(mirror.Syncing)
			if row.LastSuccess == nil {
				row.Status = string(mirror.Cloning)
			}
		}
		var err error
		if claims[i].Repo, err = row.repo(); err != nil {
			return nil, err
		}
	}
	err := table[repoRow](tx).Exec(ctx, `UPDATE repos SET asked_trigger = '', asked_at = NULL, urgency = 0,
		lease_owner = ?, lease_until = ?, lease_token = lease_token + 1, lease_run = 0 WHERE id IN ?`, owner, until.UnixMicro(), ids)
	if err != nil || len(runs) == 0 {
		return claims, err
	}
	if err := table[runRow](tx).CreateInBatches(ctx, &runs, 500); err != nil {
		return nil, err
	}
	opened, ids := make(map[mirror.ID]int64, len(runs)), ids[:0]
	for _, run := range runs {
		opened[mirror.ID(run.RepoID)], ids = run.ID, append(ids, run.RepoID)
	}
	for i := range claims {
		claims[i].Run.ID = opened[claims[i].Repo.ID]
	}
	return claims, table[repoRow](tx).Exec(ctx, `UPDATE repos
		SET lease_run = (SELECT max(id) FROM runs WHERE repo_id = repos.id) WHERE id IN ?`, ids)
}

// NextDue implements mirror.QueueStore.
func (db *DB) NextDue(ctx context.Context) (time.Time, error) {
	var at *int64
	err := db.read.WithContext(ctx).Raw(`SELECT min(at) FROM (
		SELECT min(next_sync) AS at FROM repos WHERE urgency = 0 AND lease_owner = '' AND NOT paused
		UNION ALL
		SELECT min(next_sync) FROM repos WHERE urgency > 0 AND lease_owner = '' AND NOT paused
	) AS queue`).Scan(&at).Error
	return moment(at), known(err)
}

// Touch implements mirror.QueueStore.
func (db *DB) Touch(ctx context.Context, used map[mirror.ID]time.Time) error {
	if len(used) == 0 {
		return nil
	}
	type touch struct {
		ID string `json:"id"`
		At int64  `json:"at"`
	}
	var touches []touch
	for id, at := range used {
		if storable(string(id)) {
			touches = append(touches, touch{string(id), at.UnixMicro()})
		}
	}
	from, list, err := db.list(touches, "id text", "at bigint")
	if err != nil {
		return err
	}
	return db.in(ctx, func(tx *gorm.DB) error {
		if err := db.lockList(ctx, tx, from, list); err != nil {
			return err
		}
		return table[repoRow](tx).Exec(ctx, `UPDATE repos SET last_client = v.at FROM `+from+`
			WHERE repos.id = v.id AND (last_client IS NULL OR last_client < v.at)`, list)
	})
}

// list is a FROM item "v" with one parameter, a JSON array of objects, and its
// columns ("name type"): how many rows are changed by one statement.
func (db *DB) list(rows any, columns ...string) (from, parameter string, err error) {
	text, err := json.Marshal(rows)
	if err != nil {
		return "", "", err
	}
	if db.rowLocks {
		return "jsonb_to_recordset(CAST(? AS jsonb)) AS v(" + strings.Join(columns, ", ") + ")", string(text), nil
	}
	for i, c := range columns {
		name, _, _ := strings.Cut(c, " ")
		columns[i] = "value ->> '" + name + "' AS " + name
	}
	return "(SELECT " + strings.Join(columns, ", ") + " FROM json_each(?)) AS v", string(text), nil
}

// lockList locks the rows of repos that a list names by id, in the order that
// all transactions keep to which lock more than one.
func (db *DB) lockList(ctx context.Context, tx *gorm.DB, from, list string) error {
	if !db.rowLocks {
		return nil
	}
	var ids []string
	return tx.WithContext(ctx).Raw(`SELECT id FROM repos WHERE id IN (SELECT v.id FROM `+from+`) ORDER BY id FOR UPDATE`, list).Scan(&ids).Error
}
