package mirror

import (
	"context"
	"errors"
	"time"
)

// apply brings the repository to what upstream lists.
func (a *attempt) apply(ctx context.Context, remote Remote, upstream Listing) error {
	have, err := a.Disk.Refs(ctx, a.repo.ID)
	fresh := errors.Is(err, ErrNotFound)
	if err != nil && !fresh {
		return err
	}
	state := &a.repo.State
	a.run.Outcome = Unchanged
	if remote.Known != "" && upstream.Fingerprint == remote.Known {
		if !fresh {
			return nil
		}
		remote.Known = "" // the disk lost it: everything is new
		if upstream, err = a.Disk.List(ctx, remote); err != nil {
			return err
		}
	}
	c := planChanges(have, upstream, a.repo.Tags)
	if !fresh && c.empty() {
		state.Digest = upstream.Fingerprint
		a.events = c.events
		return nil
	}
	in, err := a.Disk.Fetch(ctx, a.repo.ID, remote, c.want, a.report)
	if err != nil {
		return err
	}
	defer in.Discard()
	rewound, err := in.Rewound(ctx, c.moves)
	if err != nil {
		return err
	}
	a.report(Progress{Phase: Publishing, Bytes: in.Bytes()})
	now := time.Now().UTC()
	tx := c.transaction(rewound, now)
	// A cancelled sync may stop until here; a half-done publish helps nobody.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	publish := context.WithoutCancel(ctx)
	if err := in.Publish(publish, tx); err != nil {
		return err
	}
	a.count(tx, in.Bytes())
	a.events = c.events
	state.Digest = upstream.Fingerprint
	if fresh || c.served() {
		state.Generation++
		state.LastChange = now
		a.run.Outcome = Updated
	}
	return a.measure(publish, fresh)
}

func (a *attempt) count(tx Transaction, bytes int64) {
	a.run.Created, a.run.Updated, a.run.Deleted, a.run.Bytes = 0, 0, 0, bytes
	for _, u := range tx.Updates {
		switch r := (Ref{Name: u.Name}); {
		case !r.IsHead() && !r.IsTag():
		case u.Old == "":
			a.run.Created++
		case u.New == "":
			a.run.Deleted++
		default:
			a.run.Updated++
		}
	}
}

// measure notes what is on disk now.
func (a *attempt) measure(ctx context.Context, fresh bool) error {
	state := &a.repo.State
	refs, err := a.Disk.Refs(ctx, a.repo.ID)
	if err != nil {
		return err
	}
	state.Head, state.Heads, state.Tags = refs.Head, 0, 0
	for _, r := range refs.Refs {
		switch {
		case r.IsHead():
			state.Heads++
		case r.IsTag():
			state.Tags++
		}
	}
	if state.Bytes, err = a.Disk.Bytes(ctx, a.repo.ID); err != nil {
		return err
	}
	if fresh && refs.Head != "" {
		// A repository that has slept for years starts with a long interval.
		if tip, err := a.Disk.Commit(ctx, a.repo.ID, refs.Head); err == nil && tip.Time.Before(state.LastChange) {
			state.LastChange = tip.Time
		}
	}
	return nil
}
