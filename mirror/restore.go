package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// RestoredPrefix is where kept refs come back when no other name is asked for.
const RestoredPrefix = "refs/heads/restored/"

// Kept lists what upstream took from a repository, the newest first.
func (c *Catalog) Kept(ctx context.Context, id ID) ([]Kept, error) {
	l, err := c.Disk.Refs(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil // not cloned yet
	}
	return l.Kept(), err
}

// Restore serves a kept ref again as a branch, or as a tag when as begins with
// refs/tags/; empty = below RestoredPrefix. It is ours then: syncs leave it
// until upstream wants the name. The kept ref stays.
func (c *Catalog) Restore(ctx context.Context, id ID, kept, as string) (Ref, error) {
	l, err := c.Disk.Refs(ctx, id)
	if err != nil {
		return Ref{}, err
	}
	from, ok := l.findKept(kept)
	if !ok {
		return Ref{}, noKept(kept)
	}
	to := Ref{Name: restoredName(from, as), Hash: from.Ref.Commit()}
	if to.IsTag() {
		to.Hash, to.Peeled = from.Ref.Hash, from.Ref.Peeled
	}
	if !to.IsHead() && !to.IsTag() {
		return Ref{}, &Problem{Kind: ErrInvalid, What: quote(to.Name) + " is neither a branch nor a tag", Do: "give the name of a branch, or one that begins with refs/heads/ or refs/tags/"}
	}
	if there, taken := l.Ref(to.Name); taken {
		if there.Hash == to.Hash && l.Ours(to.Name) {
			return there, nil
		}
		return Ref{}, &Problem{Kind: ErrExists, What: quote(to.Name) + " is there already", Do: "choose another name with --as"}
	}
	err = c.Disk.Update(ctx, id, Transaction{Updates: []RefUpdate{
		{Name: to.Name, New: to.Hash}, {Name: oursName(to.Name), New: to.Hash},
	}})
	return to, err
}

// restoredName makes a full name of what a person typed.
func restoredName(k Kept, as string) string {
	as = strings.TrimSpace(as)
	switch {
	case as == "":
		short := strings.TrimPrefix(strings.TrimPrefix(Ref{Name: k.Name}.Short(), "refs/pull/"), "refs/")
		return RestoredPrefix + short
	case strings.HasPrefix(as, "refs/"):
		return as
	}
	return "refs/heads/" + as
}

// findKept finds by the whole name, or the newest that was called so: "main",
// "refs/heads/main".
func (l Listing) findKept(name string) (Kept, bool) {
	if r, ok := l.Ref(name); ok && strings.HasPrefix(name, KeptPrefix) {
		return ParseKept(r)
	}
	for _, k := range l.Kept() {
		if k.Name == name || (Ref{Name: k.Name}).Short() == name {
			return k, true
		}
	}
	return Kept{}, false
}

func noKept(name string) error {
	return &Problem{Kind: ErrNotFound, What: "nothing that is kept is called " + quote(name), Do: "list what is: gitmirror mirror kept PATH"}
}

// Purge forgets a kept ref, or takes a restored one away again, and returns
// what went. Its objects stay on disk, and whoever knows their ids can fetch
// them, until the repository is pruned.
func (c *Catalog) Purge(ctx context.Context, id ID, name string) (Ref, error) {
	l, err := c.Disk.Refs(ctx, id)
	if err != nil {
		return Ref{}, err
	}
	if r, ok := l.Ref(name); ok && l.Ours(name) {
		mark, _ := l.Ref(oursName(name))
		if name == l.Head {
			return Ref{}, &Problem{Kind: ErrInvalid, What: quote(name) + " is the default branch", Why: "a clone would be empty without it"}
		}
		return r, c.Disk.Update(ctx, id, Transaction{Updates: []RefUpdate{{Name: name, Old: r.Hash}, {Name: mark.Name, Old: mark.Hash}}})
	}
	r, ok := l.Ref(name)
	if !ok || !strings.HasPrefix(name, KeptPrefix) {
		return Ref{}, noKept(name)
	}
	return r, c.Disk.Update(ctx, id, Transaction{Updates: []RefUpdate{{Name: r.Name, Old: r.Hash}}})
}

// PurgeBefore forgets all that was kept before a moment, as Purge does, and
// tells how many there were.
func (c *Catalog) PurgeBefore(ctx context.Context, id ID, before time.Time) (int, error) {
	l, err := c.Disk.Refs(ctx, id)
	if err != nil {
		return 0, err
	}
	var tx Transaction
	for _, k := range l.Kept() {
		if k.At.Before(before) {
			tx.Updates = append(tx.Updates, RefUpdate{Name: k.Ref.Name, Old: k.Ref.Hash})
		}
	}
	if len(tx.Updates) == 0 {
		return 0, nil
	}
	if err := c.Disk.Update(ctx, id, tx); err != nil {
		return 0, fmt.Errorf("forget kept refs: %w", err)
	}
	return len(tx.Updates), nil
}
