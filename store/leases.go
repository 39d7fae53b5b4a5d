package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

// leaseItem is a lease in a list that a statement works on.
type leaseItem struct {
	ID    string `json:"id"`
	Owner string `json:"owner"`
	Token int64  `json:"token"`
	Until int64  `json:"until"`
}

// Renew implements mirror.QueueStore.
func (db *DB) Renew(ctx context.Context, claims []mirror.Claim, until time.Time) (lost []mirror.Claim, err error) {
	items := make([]leaseItem, len(claims))
	for i, c := range claims {
		items[i] = leaseItem{ID: string(c.Repo.ID), Owner: c.Owner, Token: c.Token}
	}
	from, list, err := db.list(items, "id text", "owner text", "token bigint")
	if err != nil || len(claims) == 0 {
		return nil, err
	}
	type lease struct {
		ID         string
		LeaseToken int64
	}
	var held []lease
	err = db.in(ctx, func(tx *gorm.DB) error {
		if err := db.lockList(ctx, tx, from, list); err != nil {
			return err
		}
		return tx.WithContext(ctx).Raw(`UPDATE repos SET lease_until = ? FROM `+from+`
			WHERE repos.id = v.id AND lease_owner = v.owner AND lease_token = v.token RETURNING repos.id, lease_token`, until.UnixMicro(), list).Scan(&held).Error
	})
	if err != nil {
		return nil, err
	}
	kept := make(map[lease]bool, len(held))
	for _, l := range held {
		kept[l] = true
	}
	for _, c := range claims {
		if !kept[lease{string(c.Repo.ID), c.Token}] {
			lost = append(lost, c)
		}
	}
	return lost, nil
}

// held locks the row of a claim whose lease is still its own.
func (db *DB) held(ctx context.Context, tx *gorm.DB, c mirror.Claim) (repoRow, error) {
	row, err := db.locked(ctx, tx, c.Repo.ID)
	if err == nil && (row.LeaseOwner != c.Owner || row.LeaseToken != c.Token) {
		return row, fmt.Errorf("another run has it now: %w", mirror.ErrExists)
	}
	return row, err
}

// Abandon implements mirror.QueueStore.
func (db *DB) Abandon(ctx context.Context, owner string, now time.Time) error {
	return db.in(ctx, func(tx *gorm.DB) error {
		rows, err := table[repoRow](tx, db.forUpdate("")...).
			Where("lease_owner = ? AND lease_owner <> ''", owner).Order("id").Find(ctx)
		if err != nil {
			return err
		}
		return release(ctx, tx, rows, now)
	})
}

// Leases implements mirror.QueueStore.
func (db *DB) Leases(ctx context.Context) ([]mirror.Lease, error) {
	rows, err := table[repoRow](db.read).Select("id", "lease_owner", "lease_token", "lease_until").
		Where("lease_owner <> ''").Order("id").Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	leases := make([]mirror.Lease, len(rows))
	for i, row := range rows {
		leases[i] = mirror.Lease{Repo: mirror.ID(row.ID), Owner: row.LeaseOwner, Token: row.LeaseToken, Until: moment(row.LeaseUntil)}
	}
	return leases, nil
}

// Release implements mirror.QueueStore.
func (db *DB) Release(ctx context.Context, leases []mirror.Lease, now time.Time) error {
	items := make([]leaseItem, len(leases))
	for i, l := range leases {
		items[i] = leaseItem{ID: string(l.Repo), Owner: l.Owner, Token: l.Token, Until: l.Until.UnixMicro()}
	}
	from, list, err := db.list(items, "id text", "owner text", "token bigint", "until bigint")
	if err != nil || len(leases) == 0 {
		return err
	}
	return db.in(ctx, func(tx *gorm.DB) error {
		rows, err := table[repoRow](tx, db.forUpdate("SKIP LOCKED")...).
			Where(`lease_owner <> '' AND EXISTS (SELECT 1 FROM `+from+`
				WHERE v.id = repos.id AND v.owner = lease_owner AND v.token = lease_token AND v.until = lease_until)`, list).
			Order("id").Find(ctx)
		if err != nil {
			return err
		}
		return release(ctx, tx, rows, now)
	})
}

// release takes leases away. Their runs are closed as interrupted, and asked for
// again by whoever asked for them.
func release(ctx context.Context, tx *gorm.DB, rows []repoRow, now time.Time) error {
	var idle []string
	for _, row := range rows {
		if row.LeaseRun == 0 {
			idle = append(idle, row.ID)
			continue
		}
		if err := interrupt(ctx, tx, row, now); err != nil {
			return err
		}
	}
	if len(idle) == 0 {
		return nil
	}
	return table[repoRow](tx).Exec(ctx, `UPDATE repos SET lease_owner = '', lease_until = NULL WHERE id IN ?`, idle)
}

func interrupt(ctx context.Context, tx *gorm.DB, row repoRow, now time.Time) error {
	problem, err := problemText(&mirror.Problem{
		Code: mirror.CodeInterrupted, Kind: mirror.ErrBusy, What: "the sync was interrupted",
		Why: "the server that ran it stopped before it ended", Do: "nothing: it is tried again",
	})
	if err != nil {
		return err
	}
	run, err := table[runRow](tx).Where("id = ?", row.LeaseRun).Take(ctx)
	if err != nil {
		return err
	}
	_, err = table[runRow](tx).Where("id = ? AND ended IS NULL", row.LeaseRun).Select("ended", "outcome", "problem").
		Updates(ctx, runRow{Ended: micros(now), Outcome: string(mirror.Interrupted), Problem: problem})
	if err != nil {
		return err
	}
	row.askAgain(mirror.Trigger(run.Trigger), now)
	row.LeaseOwner, row.LeaseRun, row.LeaseUntil = "", 0, nil
	return update(ctx, tx, mirror.ID(row.ID), row, "lease_owner", "lease_run", "lease_until",
		"asked_trigger", "asked_at", "urgency", "next_sync")
}

// askAgain keeps the reason of a run that was interrupted: whoever waits for it
// waits for the next one.
func (row *repoRow) askAgain(why mirror.Trigger, at time.Time) {
	if why.OpensRun() && !row.Paused {
		row.ask(why, at)
	}
}

// ahead is how far in the future a time may be that was recorded: clocks of
// servers that share a database differ a little.
const ahead = 5 * time.Minute

// Mend implements mirror.QueueStore.
func (db *DB) Mend(ctx context.Context, now time.Time) (int, error) {
	limit := now.Add(ahead).UnixMicro()
	// Reading is cheap and writing waits for others; there is nearly never anything to mend.
	const wrong = `(last_attempt > @limit OR last_change > @limit OR last_client > @limit OR last_hook > @limit
		OR asked_at > @limit OR updated > @limit OR next_sync > @far)`
	at := map[string]any{"now": now.UnixMicro(), "limit": limit, "far": now.Add(farthest).UnixMicro()}
	var n int
	err := db.read.WithContext(ctx).Raw(`SELECT count(*) FROM repos WHERE lease_owner = '' AND `+wrong, at).Scan(&n).Error
	if err != nil || n == 0 {
		return 0, known(err)
	}
	err = db.in(ctx, func(tx *gorm.DB) error {
		past := func(column string) string {
			return column + " = CASE WHEN " + column + " > @limit THEN @now ELSE " + column + " END"
		}
		done := tx.WithContext(ctx).Exec(`UPDATE repos SET
			next_sync = CASE WHEN next_sync > @now THEN @now ELSE next_sync END,
			`+past("last_attempt")+", "+past("last_success")+", "+past("last_change")+", "+past("last_client")+", "+
			past("last_hook")+", "+past("asked_at")+", "+past("updated")+`
			WHERE lease_owner = '' AND `+wrong, at)
		n = int(done.RowsAffected)
		return done.Error
	})
	return n, err
}

// farthest is how far ahead a sync can be due: the longest interval there may be, and jitter.
const farthest = 35 * 24 * time.Hour
