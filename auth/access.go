package auth

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Access answers which private mirrors somebody may read, from a copy of the
// AccessTable that is at most accessFresh old, or older for accessStale while
// the database does not answer. Public mirrors and administrators cost nothing.
type Access struct {
	Store interface {
		Access(ctx context.Context) (AccessTable, error)
	}
	// Strict leaves private mirrors that no grant reaches to administrators; else
	// whoever is signed in reads them.
	Strict bool
	// Changes counts what this process may have changed: a copy made before the
	// last change is not used. nil = the age decides alone.
	Changes func() uint64

	mu      sync.Mutex
	table   *sorted
	at      time.Time
	changes uint64
}

const (
	accessFresh = time.Second
	accessStale = 5 * time.Minute
)

// sorted is an AccessTable by user.
type sorted struct {
	closed []string            // all patterns
	open   map[string][]string // user id → patterns
}

// Sight is which private mirrors an identity may know of: nil = all. An anonymous
// one sees none, whatever Sight says; the caller has asked Policy.May before.
func (a *Access) Sight(ctx context.Context, id Identity) (*mirror.Sight, error) {
	if a == nil || id.Role == Admin {
		return nil, nil
	}
	t, err := a.now(ctx)
	if err != nil {
		return nil, err
	}
	if len(t.closed) == 0 && !a.Strict {
		return nil, nil
	}
	return &mirror.Sight{Open: t.open[id.User], Closed: t.closed, Strict: a.Strict}, nil
}

func (a *Access) now(ctx context.Context) (*sorted, error) {
	changes := uint64(0)
	if a.Changes != nil {
		changes = a.Changes()
	}
	a.mu.Lock()
	table, age, same := a.table, time.Since(a.at), a.changes == changes
	a.mu.Unlock()
	if table != nil && same && age < accessFresh {
		return table, nil
	}
	began := time.Now()
	read, err := a.Store.Access(ctx)
	if err != nil {
		if table != nil && same && age < accessStale && ctx.Err() == nil {
			return table, nil
		}
		return nil, err
	}
	table = sortAccess(read)
	a.mu.Lock()
	defer a.mu.Unlock()
	if began.After(a.at) {
		a.table, a.at, a.changes = table, began, changes
	}
	return table, nil
}

func sortAccess(t AccessTable) *sorted {
	out := &sorted{open: map[string][]string{}}
	byGroup := map[string][]string{}
	for _, g := range t.Grants {
		byGroup[g.Group] = append(byGroup[g.Group], g.Pattern)
		if !slices.ContainsFunc(out.closed, func(p string) bool { return strings.EqualFold(p, g.Pattern) }) {
			out.closed = append(out.closed, g.Pattern)
		}
	}
	for _, m := range t.Members {
		out.open[m.User] = append(out.open[m.User], byGroup[m.Group]...)
	}
	return out
}

// Sight is which private mirrors id may know of; nil = all.
func (p Policy) Sight(ctx context.Context, id Identity) (*mirror.Sight, error) {
	return p.Access.Sight(ctx, id)
}

// Reads returns nil when id may read the mirror at a path. Else the error is of
// kind ErrSignIn (nobody signed in) or ErrDenied, and means the same to callers
// as ErrNotFound: what one may not read does not exist. Any other error is
// trouble with the database.
func (p Policy) Reads(ctx context.Context, id Identity, path mirror.Path, private bool) error {
	if err := p.May(id, Read, private); err != nil || !private {
		return err
	}
	sight, err := p.Access.Sight(ctx, id)
	if err != nil {
		return err
	}
	if !sight.Sees(path, private) {
		return &mirror.Problem{
			Code: mirror.CodeMayNot, Kind: mirror.ErrDenied, What: id.Name + " may not read " + string(path),
			Why: "it is for groups this account is not in", Do: "ask an administrator",
		}
	}
	return nil
}
