package mirror

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Push is what a webhook told: something happened to a repository on its host.
// Whoever makes one has checked its signature.
type Push struct {
	// Delivery tells this delivery from others; the same one is heard once.
	Delivery string
	Host     string // "github.com"
	HostID   int64  // the host's number of the repository, across renames
	FullName string // "spf13/cobra"
}

const (
	// hookDebounce is how long the pushes of a repository are collected before it
	// is synced: a release is a dozen of them.
	hookDebounce = 5 * time.Second
	// rememberDeliveries is longer than hosts go on delivering again.
	rememberDeliveries = 7 * 24 * time.Hour
)

// Heard has the mirrors synced that a push is about, soon. That there is none is
// no error, and not told: who may send webhooks need not know what is mirrored.
// fresh is false for a delivery that was heard before: nothing is done then.
func (c *Catalog) Heard(ctx context.Context, p Push) (fresh bool, err error) {
	now := c.Syncer.now()
	if seen, err := c.Store.HasDelivery(ctx, p.Delivery); err != nil || seen {
		return false, err
	}
	repos, err := c.pushed(ctx, p)
	if err != nil {
		return false, err
	}
	for _, r := range repos {
		if p.HostID != 0 && r.State.HostID != p.HostID {
			if err := c.Store.SetHostID(ctx, r.ID, p.HostID); err != nil && !errors.Is(err, ErrNotFound) {
				return false, err
			}
		}
		if r.Paused {
			continue
		}
		_, err := c.Syncer.ask(ctx, r.ID, ByHook, hookDebounce)
		var held *Problem
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.As(err, &held) {
			return false, err // a Problem says that nothing is synced now: the schedule does it later
		}
	}
	// Last: a delivery that failed is to be sent again.
	return c.Store.AddDelivery(ctx, p.Delivery, now, now.Add(-rememberDeliveries))
}

// pushed are the mirrors of a repository: those known by its number on that
// host, else the one at its place.
func (c *Catalog) pushed(ctx context.Context, p Push) ([]Repo, error) {
	var repos []Repo
	if p.HostID != 0 {
		known, err := c.Store.ReposByHostID(ctx, p.HostID)
		if err != nil {
			return nil, err
		}
		for _, r := range known { // hosts count each for themselves
			if r.Upstream.Host == p.Host || strings.HasPrefix(r.Path.Key(), p.Host+"/") {
				repos = append(repos, r)
			}
		}
	}
	if len(repos) > 0 {
		return repos, nil
	}
	path, err := ParsePath(p.Host + "/" + p.FullName)
	if err != nil {
		return nil, nil // no mirror can be there
	}
	r, err := c.Find(ctx, path)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return []Repo{r}, err
}
