package mirror

import (
	"context"
	"errors"
	"slices"
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
	live, err := a.Store.LiveHolds(ctx, a.repo.ID)
	if err != nil {
		return err
	}
	c := planChanges(planning{
		have: have, upstream: upstream, tags: a.repo.Tags, refs: a.repo.Refs, live: live, authoritative: !a.secondary,
	})
	if !fresh && c.empty() {
		a.conclude(&c, upstream)
		return nil
	}
	if fresh {
		a.board.expect(a.repo.ID, upstream)
	}
	began := time.Now()
	in, err := a.Disk.Fetch(ctx, a.repo.ID, remote, c.want, a.report)
	a.transferred(ctx, time.Since(began), in, err)
	if err != nil {
		return err
	}
	defer in.Discard()
	rewound, err := in.Rewound(ctx, c.updates())
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
	if !fresh {
		a.lookAtTags(ctx, &c)
	}
	a.conclude(&c, upstream)
	if fresh || tx.serves() {
		state.Generation++
		state.LastChange = now
		a.run.Outcome = Updated
	}
	return a.measure(publish, fresh)
}

// conclude notes what the plan leaves behind. What an endpoint that is not
// authoritative could not tell keeps us from being in step.
func (a *attempt) conclude(c *changes, upstream Listing) {
	a.events = c.events.all()
	a.repo.State.Digest = upstream.Fingerprint
	if c.left {
		a.repo.State.Digest = ""
	}
	a.holds = nil
	if !a.secondary {
		a.holds = append([]Hold{}, c.holds...)
	}
}

// offBranchLimit bounds the look at new tags, which may walk a long history.
const offBranchLimit = 30 * time.Second

// lookAtTags warns of new and moved tags whose commits are on no branch. A
// first clone is not looked at: many old releases are like that.
func (a *attempt) lookAtTags(ctx context.Context, c *changes) {
	if len(c.fresh) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, offBranchLimit)
	defer cancel()
	commits := make([]string, len(c.fresh))
	for i, tag := range c.fresh {
		commits[i] = tag.Commit()
	}
	off, err := a.Disk.OffBranch(ctx, a.repo.ID, commits)
	if err != nil {
		a.Log.Warn("look at new tags", "repo", a.repo.Path, "err", err)
		return
	}
	for _, tag := range c.fresh {
		if !slices.Contains(off, tag.Commit()) {
			continue
		}
		c.events.add(Event{Kind: TagOffBranch, Ref: tag.Name, New: tag.Commit(), Text: "the commit of the tag is on no branch: make sure that it is a release"})
		for i, h := range c.holds {
			if h.Kind == HoldTag && h.Ref == tag.Name {
				c.holds[i].Text += ". Its new commit is on no branch"
			}
		}
	}
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
