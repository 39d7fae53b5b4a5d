package modproxy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// UsageStore is where a Usage tells what it counted; *store.DB is one.
type UsageStore interface {
	AddModuleUse(ctx context.Context, list []mirror.ModuleUse) error
	AddModuleRefusals(ctx context.Context, list []mirror.ModuleRefusal) error
	PinModules(ctx context.Context, pins []mirror.ModulePin) error
	ThinModules(ctx context.Context, now time.Time) error
}

// Usage counts what is served of modules, what is refused, and what projects
// need. It counts in memory, without allocating for what was counted a moment ago,
// and tells a store now and then. A nil one counts nothing.
type Usage struct {
	Store UsageStore
	// PinFor is how long what a project needed is pinned; zero = it is not.
	PinFor time.Duration
	// OnPins is told that pins were stored; may be nil.
	OnPins func(ctx context.Context)
	Log    *slog.Logger // nil = nobody

	mu       sync.RWMutex
	counts   map[mirror.ModuleVersion]*useCount
	refusals map[refusalKey]*mirror.ModuleRefusal
	needs    map[mirror.ModuleVersion]string // why
	lost     atomic.Int64

	telling sync.Mutex
	thinned time.Time
	failing bool
}

// useCount is what was served of a version since it was last told.
type useCount struct {
	requests, hits, downloads, bytes atomic.Int64
	last                             atomic.Int64 // in Unix microseconds
	facts                            atomic.Pointer[useFacts]
	news                             atomic.Bool // facts were not told yet
}

// useFacts are what is known of a version.
type useFacts struct {
	repo     mirror.ID
	private  bool
	source   string
	size     int64
	zip, mod string // sums
	proven   bool
}

// served is one answer.
type served struct {
	facts    useFacts
	hit      bool
	download bool
	bytes    int64
}

// refusalKey is what makes two refusals the same.
type refusalKey struct {
	kind                                 mirror.ModuleEventKind
	module, version, user, address, from string
	day                                  int64
}

// What was counted is told every tellEvery. In between, and while the store does
// not take it, so many versions, refusals and needs are remembered.
const (
	tellEvery   = 10 * time.Second
	thinEvery   = 12 * time.Hour
	tellWait    = time.Minute
	tellAtOnce  = 500     // versions in one transaction
	maxCounts   = 100_000 // about 400 bytes each
	maxRefusing = 10_000
	maxNeeds    = 20_000
)

// merge takes over what other facts know.
func (f useFacts) merge(other useFacts) useFacts {
	if other.source != "" {
		f.source, f.repo, f.private = other.source, other.repo, other.private
	}
	if other.size != 0 {
		f.size = other.size
	}
	if other.zip != "" {
		f.zip = other.zip
	}
	if other.mod != "" {
		f.mod = other.mod
	}
	f.proven = f.proven || other.proven
	return f
}

// count notes an answer about a module; version is empty when it is about none.
func (u *Usage) count(module, version string, s served) {
	if u == nil {
		return
	}
	u.on(mirror.ModuleVersion{Path: module, Version: version}, s, true)
}

// learn notes facts about a version that nobody may have asked for.
func (u *Usage) learn(module, version string, facts useFacts) {
	if u == nil {
		return
	}
	u.on(mirror.ModuleVersion{Path: module, Version: version}, served{facts: facts}, false)
}

// on adds under the lock for reading, which tell takes for writing: nothing is
// counted in between that nobody is told.
func (u *Usage) on(key mirror.ModuleVersion, s served, asked bool) {
	u.mu.RLock()
	c := u.counts[key]
	if c != nil {
		c.add(s, asked)
		u.mu.RUnlock()
		return
	}
	u.mu.RUnlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if c = u.counts[key]; c == nil {
		if len(u.counts) >= maxCounts {
			u.lost.Add(1)
			return
		}
		if u.counts == nil {
			u.counts = map[mirror.ModuleVersion]*useCount{}
		}
		c = &useCount{}
		u.counts[key] = c
	}
	c.add(s, asked)
}

func (c *useCount) add(s served, asked bool) {
	if asked {
		c.requests.Add(1)
	}
	if s.hit {
		c.hits.Add(1)
	}
	if s.download {
		c.downloads.Add(1)
	}
	c.bytes.Add(s.bytes)
	c.last.Store(time.Now().UnixMicro())
	for {
		old := c.facts.Load()
		var had useFacts
		if old != nil {
			had = *old
		}
		merged := had.merge(s.facts)
		if merged == had {
			return
		}
		fresh := new(useFacts)
		*fresh = merged
		if c.facts.CompareAndSwap(old, fresh) {
			c.news.Store(true)
			return
		}
	}
}

// refuse notes a refusal.
func (u *Usage) refuse(e mirror.ModuleEvent) {
	if u == nil {
		return
	}
	key := refusalKey{e.Kind, e.Module, e.Version, e.User, e.Address, e.From, e.At.Unix() / (24 * 60 * 60)}
	u.mu.Lock()
	defer u.mu.Unlock()
	r := u.refusals[key]
	switch {
	case r != nil:
		r.Times++
		r.ModuleEvent = e
	case len(u.refusals) >= maxRefusing:
		u.lost.Add(1)
	default:
		if u.refusals == nil {
			u.refusals = map[refusalKey]*mirror.ModuleRefusal{}
		}
		u.refusals[key] = &mirror.ModuleRefusal{ModuleEvent: e, First: e.At, Times: 1}
	}
}

// Need notes that a project needs a version, and why in a word: it is pinned.
func (u *Usage) Need(module, version, why string) {
	if u == nil || u.PinFor <= 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.needs) >= maxNeeds {
		u.lost.Add(1)
		return
	}
	if u.needs == nil {
		u.needs = map[mirror.ModuleVersion]string{}
	}
	u.needs[mirror.ModuleVersion{Path: module, Version: version}] = why
}

// Run tells the store what was counted until ctx ends, and once more then.
func (u *Usage) Run(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			u.report(ctx, u.Tell(ctx))
			if u.Store != nil && time.Since(u.thinned) > thinEvery {
				u.thinned = time.Now()
				u.report(ctx, u.Store.ThinModules(ctx, time.Now()))
			}
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellWait)
			defer cancel()
			u.report(ctx, u.Tell(ctx))
			return nil
		}
	}
}

// report says once that the store takes nothing, and once that it does again.
func (u *Usage) report(ctx context.Context, err error) {
	if u.Log == nil || ctx.Err() != nil {
		return
	}
	if lost := u.lost.Swap(0); lost > 0 {
		u.Log.Warn("uses of modules not counted", "n", lost)
	}
	switch {
	case err != nil && !u.failing:
		u.Log.Error("store what was served of modules", "err", err)
	case err == nil && u.failing:
		u.Log.Info("what was served of modules is stored again")
	}
	u.failing = err != nil
}

// Tell tells the store what was counted so far. What it does not take is told
// the next time.
func (u *Usage) Tell(ctx context.Context) error {
	if u == nil || u.Store == nil {
		return nil
	}
	u.telling.Lock()
	defer u.telling.Unlock()
	uses, refusals, pins := u.take(time.Now().UTC())
	for n := 0; n < len(uses); n += tellAtOnce {
		if err := u.Store.AddModuleUse(ctx, uses[n:min(n+tellAtOnce, len(uses))]); err != nil {
			u.giveBack(uses[n:], refusals, pins)
			return err
		}
	}
	if len(refusals) > 0 {
		if err := u.Store.AddModuleRefusals(ctx, refusals); err != nil {
			u.giveBack(nil, refusals, pins)
			return err
		}
	}
	if len(pins) > 0 {
		if err := u.Store.PinModules(ctx, pins); err != nil {
			u.giveBack(nil, nil, pins)
			return err
		}
		if u.OnPins != nil {
			u.OnPins(ctx)
		}
	}
	return nil
}

// take empties the counts. Those nobody asked for since the last time go.
func (u *Usage) take(now time.Time) (uses []mirror.ModuleUse, refusals []mirror.ModuleRefusal, pins []mirror.ModulePin) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, c := range u.counts {
		use := mirror.ModuleUse{
			Module: key.Path, Version: key.Version, Requests: c.requests.Swap(0), Hits: c.hits.Swap(0),
			Downloads: c.downloads.Swap(0), Bytes: c.bytes.Swap(0), At: time.UnixMicro(c.last.Load()).UTC(),
		}
		if use.Requests == 0 && !c.news.Load() {
			delete(u.counts, key)
			continue
		}
		c.news.Store(false)
		if f := c.facts.Load(); f != nil {
			use.Repo, use.Private, use.Source, use.Size, use.Sums, use.Proven = f.repo, f.private, f.source, f.size, mirror.Sums{Zip: f.zip, Mod: f.mod}, f.proven
		}
		uses = append(uses, use)
	}
	for _, r := range u.refusals {
		refusals = append(refusals, *r)
	}
	for m, why := range u.needs {
		pins = append(pins, mirror.ModulePin{Module: m.Path, Version: m.Version, Until: now.Add(u.PinFor), Reason: why, At: now})
	}
	u.refusals, u.needs = nil, nil
	return uses, refusals, pins
}

// giveBack counts again what the store did not take.
func (u *Usage) giveBack(uses []mirror.ModuleUse, refusals []mirror.ModuleRefusal, pins []mirror.ModulePin) {
	u.mu.Lock()
	for _, use := range uses {
		if c := u.counts[mirror.ModuleVersion{Path: use.Module, Version: use.Version}]; c != nil {
			c.requests.Add(use.Requests)
			c.hits.Add(use.Hits)
			c.downloads.Add(use.Downloads)
			c.bytes.Add(use.Bytes)
			c.news.Store(true)
		}
	}
	for _, r := range refusals {
		key := refusalKey{r.Kind, r.Module, r.Version, r.User, r.Address, r.From, r.At.Unix() / (24 * 60 * 60)}
		if have := u.refusals[key]; have != nil {
			have.Times += r.Times
			have.First = r.First
			continue
		}
		if u.refusals == nil {
			u.refusals = map[refusalKey]*mirror.ModuleRefusal{}
		}
		u.refusals[key] = &r
	}
	u.mu.Unlock()
	for _, p := range pins {
		u.Need(p.Module, p.Version, p.Reason)
	}
}
