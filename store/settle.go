package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

// BeginRun implements mirror.QueueStore.
func (db *DB) BeginRun(ctx context.Context, c mirror.Claim, now time.Time) (mirror.Run, error) {
	var run runRow
	err := about("lease of", string(c.Repo.Path), db.in(ctx, func(tx *gorm.DB) error {
		row, err := db.held(ctx, tx, c)
		if err != nil {
			return err
		}
		run = runRow{RepoID: row.ID, Owner: c.Owner, Trigger: string(c.Run.Trigger), Started: now.UnixMicro()}
		if row.AskedTrigger != "" {
			run.Trigger = row.AskedTrigger
		}
		if err := table[runRow](tx).Create(ctx, &run); err != nil {
			return err
		}
		return update(ctx, tx, c.Repo.ID, repoRow{LeaseRun: run.ID}, "lease_run", "asked_trigger", "asked_at", "urgency")
	}))
	if err != nil {
		return mirror.Run{}, err
	}
	return run.run()
}

// Settle implements mirror.QueueStore.
func (db *DB) Settle(ctx context.Context, settled []mirror.Settlement) error {
	type item struct {
		leaseItem
		Version int64  `json:"version"`
		At      *int64 `json:"at"`
		Next    *int64 `json:"next"`
	}
	items := make([]item, len(settled))
	for i, s := range settled {
		items[i] = item{
			leaseItem: leaseItem{ID: string(s.Claim.Repo.ID), Owner: s.Claim.Owner, Token: s.Claim.Token},
			Version:   s.Claim.Repo.Version, At: micros(s.At), Next: micros(s.Next),
		}
	}
	from, list, err := db.list(items, "id text", "owner text", "token bigint", "version bigint", "at bigint", "next bigint")
	if err != nil || len(settled) == 0 {
		return err
	}
	return db.in(ctx, func(tx *gorm.DB) error {
		if err := db.lockList(ctx, tx, from, list); err != nil {
			return err
		}
		return table[repoRow](tx).Exec(ctx, `UPDATE repos SET
			last_attempt = coalesce(v.at, last_attempt), last_success = coalesce(v.at, last_success),
			settled = CASE WHEN v.at IS NULL THEN settled ELSE 'ready' END,
			next_sync = CASE WHEN paused THEN NULL WHEN asked_trigger <> '' OR repos.version <> v.version THEN next_sync ELSE v.next END,
			lease_owner = '', lease_until = NULL
			FROM `+from+` WHERE repos.id = v.id AND lease_owner = v.owner AND lease_token = v.token AND lease_run = 0`, list)
	})
}

// EndRun implements mirror.QueueStore. A mapping that was edited or asked for
// while the run was going is due at once, and compared in full.
func (db *DB) EndRun(ctx context.Context, c mirror.Claim, end mirror.Ending) error {
	return about("lease of", string(c.Repo.Path), db.in(ctx, func(tx *gorm.DB) error {
		row, err := db.held(ctx, tx, c)
		if err != nil {
			return err
		}
		if end.Run.ID == 0 { // it was not known before that there would be something to tell
			open := runRow{RepoID: row.ID, Owner: c.Owner, Trigger: string(end.Run.Trigger), Started: end.Run.Started.UnixMicro()}
			if err := table[runRow](tx).Create(ctx, &open); err != nil {
				return err
			}
			end.Run.ID = open.ID
		}
		if err := endRow(ctx, tx, row, c, end); err != nil {
			return err
		}
		if err := sampleSize(ctx, tx, c.Repo.ID, end); err != nil {
			return err
		}
		return closeRun(ctx, tx, end.Run.ID, end.Run, end.Events)
	}))
}

func endRow(ctx context.Context, tx *gorm.DB, row repoRow, c mirror.Claim, end mirror.Ending) error {
	ended := row
	if err := ended.setState(end.State); err != nil {
		return err
	}
	if end.Run.Outcome == mirror.Interrupted {
		at := end.State.NextSync
		if at.IsZero() {
			at = time.Now().UTC()
		}
		ended.askAgain(end.Run.Trigger, at)
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
	ended.LeaseOwner, ended.LeaseRun, ended.LeaseUntil = "", 0, nil
	columns := append(stateColumns(), "lease_owner", "lease_run", "lease_until", "asked_trigger", "asked_at", "urgency")
	// Others write these while the run goes on; what it did not change is theirs.
	if end.State.HostID != c.Repo.State.HostID {
		columns = append(columns, "host_id")
	}
	if !end.State.LastHook.Equal(c.Repo.State.LastHook) {
		columns = append(columns, "last_hook")
	}
	return update(ctx, tx, c.Repo.ID, ended, "settled", columns...)
}
