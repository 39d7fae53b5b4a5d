package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

// A repository is in the queue while next_sync is set, and leased while
// lease_owner is. A lease belongs to one run: an owner that lost it and has it
// again is somebody else, as far as the older run goes.

// Ask implements mirror.QueueStore.
func (db *DB) Ask(ctx context.Context, id mirror.ID, why mirror.Trigger, now time.Time) (last int64, err error) {
	err = about("repository", string(id), db.in(ctx, func(tx *gorm.DB) error {
		row, err := db.locked(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := tx.Raw("SELECT coalesce(max(id), 0) FROM runs WHERE repo_id = ?", string(id)).Scan(&last).Error; err != nil {
			return err
		}
		if row.AskedTrigger == "" || urgent(why) && !row.Urgent {
			row.AskedTrigger, row.Urgent = string(why), urgent(why)
		}
		if row.AskedAt == nil {
			row.AskedAt = micros(now)
		}
		if !row.Paused && (row.NextSync == nil || *row.NextSync > now.UnixMicro()) {
			row.NextSync = micros(now)
		}
		return update(ctx, tx, id, row, "asked_trigger", "asked_at", "urgent", "next_sync")
	}))
	return last, err
}

// urgent tells whether somebody waits.
func urgent(why mirror.Trigger) bool { return why == mirror.ByHand || why == mirror.ByClient }

// Claim implements mirror.QueueStore.
func (db *DB) Claim(ctx context.Context, owner string, now time.Time, lease time.Duration, limit int) ([]mirror.Claim, error) {
	if owner == "" {
		return nil, fmt.Errorf("claim without an owner: %w", mirror.ErrInvalid)
	}
	var claims []mirror.Claim
	asked := time.Now()
	err := db.in(ctx, func(tx *gorm.DB) error {
		expired := gorm.G[repoRow](tx, db.forUpdate("SKIP LOCKED")...).
			Where("lease_owner <> '' AND lease_until <= ?", now.UnixMicro()).Order("lease_until, id").Limit(1000)
		if err := release(ctx, tx, expired, now); err != nil {
			return err
		}
		rows, err := db.due(ctx, tx, now, limit)
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
func (db *DB) due(ctx context.Context, tx *gorm.DB, now time.Time, limit int) ([]repoRow, error) {
	var rows []repoRow
	for _, urgent := range []bool{true, false} {
		if len(rows) >= limit {
			break
		}
		// The conditions without a parameter are those of the index repos_due.
		more, err := gorm.G[repoRow](tx, db.forUpdate("SKIP LOCKED")...).
			Where("urgent = ? AND next_sync <= ? AND lease_owner = '' AND NOT paused", urgent, now.UnixMicro()).
			Order("next_sync, id").Limit(limit - len(rows)).Find(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// leaseRows opens a run for each row and gives its lease to owner.
func leaseRows(ctx context.Context, tx *gorm.DB, rows []repoRow, owner string, start, until time.Time) ([]mirror.Claim, error) {
	runs := make([]runRow, len(rows))
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
		runs[i] = runRow{RepoID: row.ID, Owner: owner, Trigger: row.AskedTrigger, Started: start.UnixMicro()}
		if row.AskedTrigger == "" {
			runs[i].Trigger = string(mirror.BySchedule)
		}
	}
	if err := gorm.G[runRow](tx).CreateInBatches(ctx, &runs, 500); err != nil {
		return nil, err
	}
	err := gorm.G[repoRow](tx).Exec(ctx, `UPDATE repos SET
		asked_trigger = '', asked_at = NULL, urgent = FALSE, lease_owner = ?, lease_until = ?,
		lease_run = (SELECT max(id) FROM runs WHERE repo_id = repos.id)
		WHERE id IN ?`, owner, until.UnixMicro(), ids)
	if err != nil {
		return nil, err
	}
	claims := make([]mirror.Claim, len(rows))
	for i, row := range rows {
		row.Status = string(mirror.Syncing)
		if row.LastSuccess == nil {
			row.Status = string(mirror.Cloning)
		}
		repo, err := row.repo()
		if err != nil {
			return nil, err
		}
		run, err := runs[i].run()
		if err != nil {
			return nil, err
		}
		claims[i] = mirror.Claim{Repo: repo, Run: run, Owner: owner, Until: time.UnixMicro(until.UnixMicro()).UTC()}
	}
	return claims, nil
}

// release closes the runs of leased rows as interrupted and takes the leases
// away. The repositories are still due.
func release(ctx context.Context, tx *gorm.DB, leased gorm.ChainInterface[repoRow], now time.Time) error {
	rows, err := leased.Find(ctx)
	if err != nil || len(rows) == 0 {
		return err
	}
	for _, row := range rows {
		problem, err := problemText(&mirror.Problem{
			Code: mirror.CodeInterrupted, Kind: mirror.ErrBusy, What: "the sync was interrupted",
			Why: "the server that ran it stopped before it ended", Do: "nothing: it is tried again",
		})
		if err != nil {
			return err
		}
		_, err = gorm.G[runRow](tx).Where("id = ? AND ended IS NULL", row.LeaseRun).Select("ended", "outcome", "problem").
			Updates(ctx, runRow{Ended: micros(now), Outcome: string(mirror.Interrupted), Problem: problem})
		if err != nil {
			return err
		}
		if err := update(ctx, tx, mirror.ID(row.ID), repoRow{}, "lease_owner", "lease_run", "lease_until"); err != nil {
			return err
		}
	}
	return nil
}

// Renew implements mirror.QueueStore.
func (db *DB) Renew(ctx context.Context, c mirror.Claim, until time.Time) error {
	return about("lease of", string(c.Repo.Path), db.in(ctx, func(tx *gorm.DB) error {
		if _, err := db.held(ctx, tx, c); err != nil {
			return err
		}
		return update(ctx, tx, c.Repo.ID, repoRow{LeaseUntil: micros(until)}, "lease_until")
	}))
}

// held locks the row of a claim whose lease is still its own.
func (db *DB) held(ctx context.Context, tx *gorm.DB, c mirror.Claim) (repoRow, error) {
	row, err := db.locked(ctx, tx, c.Repo.ID)
	if err == nil && (row.LeaseOwner != c.Owner || row.LeaseRun != c.Run.ID) {
		return row, fmt.Errorf("another run has it now: %w", mirror.ErrExists)
	}
	return row, err
}

// EndRun implements mirror.QueueStore. A mapping that was edited or asked for
// while the run was going is due at once, and compared in full.
func (db *DB) EndRun(ctx context.Context, c mirror.Claim, end mirror.Ending) error {
	return about("lease of", string(c.Repo.Path), db.in(ctx, func(tx *gorm.DB) error {
		row, err := db.held(ctx, tx, c)
		if err != nil {
			return err
		}
		ended := repoRow{}
		if err := ended.setState(end.State); err != nil {
			return err
		}
		if row.AskedTrigger != "" || row.Version != c.Repo.Version {
			ended.NextSync = row.NextSync
		}
		if row.Version != c.Repo.Version {
			ended.Digest = ""
		}
		if end.Holds != nil {
			news, err := settleHolds(ctx, tx, c.Repo.ID, end.Run.Ended, end.Holds)
			if err != nil {
				return err
			}
			if news {
				ended.Digest, ended.NextSync = "", micros(end.Run.Ended)
			}
		}
		if row.Paused {
			ended.NextSync = nil
		}
		columns := append(stateColumns(), "lease_owner", "lease_run", "lease_until")
		if err := update(ctx, tx, c.Repo.ID, ended, "settled", columns...); err != nil {
			return err
		}
		return closeRun(ctx, tx, c.Run.ID, end.Run, end.Events)
	}))
}

// Abandon implements mirror.QueueStore.
func (db *DB) Abandon(ctx context.Context, owner string, now time.Time) error {
	return db.in(ctx, func(tx *gorm.DB) error {
		return release(ctx, tx, gorm.G[repoRow](tx, db.forUpdate("")...).
			Where("lease_owner = ? AND lease_owner <> ''", owner).Order("id"), now)
	})
}

// NextDue implements mirror.QueueStore. A lease that nobody renews ends in
// somebody's turn too.
func (db *DB) NextDue(ctx context.Context) (time.Time, error) {
	var at *int64
	err := db.read.WithContext(ctx).Raw(`SELECT min(at) FROM (
		SELECT min(next_sync) AS at FROM repos WHERE lease_owner = '' AND NOT paused
		UNION ALL
		SELECT min(lease_until) FROM repos WHERE lease_owner <> ''
	) AS queue`).Scan(&at).Error
	return moment(at), known(err)
}
