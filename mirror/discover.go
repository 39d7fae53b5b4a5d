package mirror

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

// Discovered is what the host of an import path says about it in the go-import
// tag of its page (go.dev/ref/mod#vcs-find).
type Discovered struct {
	Prefix   string // the import path of the repository's root, or of Dir in it
	Upstream Upstream
	Dir      string // as in Alias
}

// Discoverer asks the host of an import path where the repository is. The error
// is a *Problem: CodeNoImport when the page names no repository that can be
// mirrored, another of kind ErrUpstream or ErrDenied when there was no page.
type Discoverer interface {
	Discover(ctx context.Context, importPath string) (Discovered, error)
}

const (
	// maxDiscoveries are asked for at once, by all callers together.
	maxDiscoveries = 16
	// keptDiscoveries are remembered at most.
	keptDiscoveries = 10_000
	// discoveryAge is how long an answer is good; noAnswerAge how long a host that
	// gave none is left alone.
	discoveryAge = 10 * time.Minute
	noAnswerAge  = time.Minute
)

// discoveries remembers what was found and what was not, and asks about an
// import path once however many want to know.
type discoveries struct {
	once   sync.Once
	kept   *lru.Cache[string, remembered]
	flight singleflight.Group
	places chan struct{}
}

type remembered struct {
	Discovered
	err   error
	until time.Time
}

func (d *discoveries) init() {
	d.once.Do(func() {
		d.kept, _ = lru.New[string, remembered](keptDiscoveries) // fails for sizes below one only
		d.places = make(chan struct{}, maxDiscoveries)
	})
}

// discover asks the host of an import path, unless the answer is known. The
// asking goes on when ctx ends: others may want the answer.
func (c *Catalog) discover(ctx context.Context, importPath string) (Discovered, error) {
	d := &c.discoveries
	d.init()
	if known, ok := d.kept.Get(importPath); ok && time.Now().Before(known.until) {
		return known.Discovered, known.err
	}
	answer := d.flight.DoChan(importPath, func() (any, error) {
		d.places <- struct{}{}
		defer func() { <-d.places }()
		found, err := c.Discoverer.Discover(context.WithoutCancel(ctx), importPath)
		age := discoveryAge
		if err != nil && AsProblem(err).Code != CodeNoImport {
			age = noAnswerAge
		}
		d.kept.Add(importPath, remembered{found, err, time.Now().Add(age)})
		return found, err
	})
	select {
	case <-ctx.Done():
		return Discovered{}, context.Cause(ctx)
	case got := <-answer:
		found, _ := got.Val.(Discovered)
		return found, got.Err
	}
}

// discoverLocation is the place of the repository that a host names for an
// import path.
func (c *Catalog) discoverLocation(ctx context.Context, importPath string) (Location, error) {
	found, err := c.discover(ctx, importPath)
	if err != nil {
		return Location{}, err
	}
	path, up, _, err := ParseMapping(found.Upstream.String())
	if err != nil {
		return Location{}, err
	}
	return Location{Path: path, Upstream: up, Prefix: found.Prefix, Dir: found.Dir, Found: "go-import"}, nil
}
