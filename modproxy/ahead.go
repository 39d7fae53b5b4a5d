package modproxy

import (
	"context"
	"errors"
	"go/version"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// ahead fetches what a client is about to ask for, while module proxies are far
// away: the go command asks for two or a few files at a time and waits for each.
// What follows from what (cmd/go/internal/modload.readModGraph): of a module whose
// go.mod is from before graph pruning (go < 1.17) the go.mod of everything in its
// graph, and of a later one, likely, the go.mod of what it requires, of each module
// the highest version: that is the one a build selects, and some requirement names
// it. Of a go.mod that was asked for, the .info; of an .info, the zip. Nothing
// is fetched twice, and what nobody asks for afterwards has its bounds: see spend.
// The zero value fetches nothing; start makes it ready.
type ahead struct {
	small chan struct{} // places for .info and .mod
	zips  chan struct{}

	mu     sync.Mutex
	ctx    context.Context // nil = not started, or stopped
	credit int64
	unused map[string]int64 // what was fetched ahead and not asked for since: its bytes by key
	queued int
	tops   map[string]top
	work   sync.WaitGroup
}

// Bounds of what is fetched ahead: files at the same time, and waiting; the bytes
// that may be there unasked for, which grow by one in aheadShare that is asked
// for, up to a limit.
const (
	aheadSmall  = 16
	aheadZips   = 4
	aheadQueue  = 4_000
	aheadCredit = 8 << 20
	aheadMost   = 64 << 20
	aheadShare  = 64
	maxUnused   = 20_000
	topFor      = time.Minute
)

// top is the highest version of a module that was required within topFor: what one
// build selects says little about the next.
type top struct {
	version string
	at      time.Time
}

// isTop tells whether none higher was required lately, and notes that this was.
func (a *ahead) isTop(m module.Version) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx == nil {
		return false
	}
	now := time.Now()
	if known, ok := a.tops[m.Path]; ok && now.Sub(known.at) < topFor && semver.Compare(m.Version, known.version) <= 0 {
		return false
	}
	if len(a.tops) >= maxUnused {
		clear(a.tops)
	}
	a.tops[m.Path] = top{m.Version, now}
	return true
}

func (a *ahead) start(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ctx, a.credit, a.unused = ctx, aheadCredit, map[string]int64{}
	a.tops = map[string]top{}
	a.small, a.zips = make(chan struct{}, aheadSmall), make(chan struct{}, aheadZips)
}

// stop begins nothing more, and waits for what goes on; the context of start has
// ended.
func (a *ahead) stop() {
	a.mu.Lock()
	a.ctx = nil
	a.mu.Unlock()
	a.work.Wait()
}

// run does one thing in a place for its kind, if there is room for it.
func (a *ahead) run(kind string, do func(ctx context.Context)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx == nil || a.credit <= 0 || a.queued >= aheadQueue {
		return
	}
	ctx, place := a.ctx, a.small
	if kind == "zip" {
		place = a.zips
	}
	a.queued++
	a.work.Go(func() {
		select {
		case place <- struct{}{}:
			if a.affordable() { // those before may have used it up
				do(ctx)
			}
			<-place
		case <-ctx.Done():
		}
		a.mu.Lock()
		a.queued--
		a.mu.Unlock()
	})
}

func (a *ahead) affordable() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.credit > 0
}

// spend notes that something was fetched that nobody has asked for yet.
func (a *ahead) spend(key string, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx == nil {
		return
	}
	if len(a.unused) >= maxUnused {
		clear(a.unused) // what it cost is lost
	}
	a.credit -= bytes - a.unused[key]
	a.unused[key] = bytes
}

// asked notes that a client has asked for a file, of so many bytes as far as is
// known. first tells that it was fetched ahead, and nobody had asked for it.
func (a *ahead) asked(key string, bytes int64) (first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx == nil {
		return false
	}
	_, first = a.unused[key]
	a.credit = min(a.credit+a.unused[key]+bytes/aheadShare, aheadMost)
	delete(a.unused, key)
	return first
}

// next fetches what is likely to be asked for after a file of a version.
func (o *proxied) next(q question, by how, text []byte) {
	h := o.h
	a := &h.state().ahead
	if !h.Ahead || !o.fetch || o.hidden || h.Store == nil || q.version != module.CanonicalVersion(q.version) {
		return
	}
	first := a.asked(o.key(q), int64(len(text)))
	if !h.Proxies.far() {
		return
	}
	switch q.kind {
	case "info":
		o.zipAhead(a, q.version)
	case "mod":
		if by == byMiss || first {
			a.isTop(module.Version{Path: o.path, Version: q.version})
			o.graphAhead(a, text, false)
		}
		o.infoAhead(a, q.version)
	}
}

func (o *proxied) infoAhead(a *ahead, version string) {
	key := o.key(question{kind: "info", version: version})
	if o.h.Store.Has(key) {
		return
	}
	a.run("info", func(ctx context.Context) {
		if info, err := o.info(ctx, version); err == nil && info.how == byMiss {
			a.spend(key, int64(len(info.text)))
		}
	})
}

// zipAhead begins the transfer of a zip. It goes on in fills as any other.
func (o *proxied) zipAhead(a *ahead, version string) {
	file, key, err := o.versioned(version, ".zip")
	if err != nil || o.h.Store.Has(key) || o.h.state().isGone(key) != nil {
		return
	}
	a.run("zip", func(ctx context.Context) {
		if o.h.Store.Has(key) || o.h.state().fills.has(key) {
			return // somebody was faster
		}
		f, err := o.fill(ctx, version, file, key)
		if err != nil {
			return
		}
		defer f.leave()
		if f.begin(ctx) == nil {
			a.spend(key, max(f.length(), 0))
		}
		_ = f.whole(ctx)
	})
}

// graphAhead fetches the go.mod files of what a go.mod requires that somebody asked
// for: of an old one, or with unpruned, all of its graph, which the go command is
// going to read; else of each module the highest version.
func (o *proxied) graphAhead(a *ahead, text []byte, unpruned bool) {
	f, err := modfile.ParseLax("go.mod", text, nil)
	if err != nil {
		return
	}
	unpruned = unpruned || isUnpruned(f)
	for _, r := range f.Require {
		if r.Mod.Version != "" && r.Mod.Version == module.CanonicalVersion(r.Mod.Version) && (a.isTop(r.Mod) || unpruned) {
			o.modAhead(a, r.Mod, unpruned)
		}
	}
}

// isUnpruned tells whether the whole graph of a module is read (go < 1.17).
func isUnpruned(f *modfile.File) bool {
	return f.Go == nil || version.Compare("go"+f.Go.Version, "go1.17") < 0
}

// modAhead fetches a go.mod, and with deep, or when it is an old one, all of its graph.
func (o *proxied) modAhead(a *ahead, m module.Version, deep bool) {
	key := (&proxied{path: m.Path}).key(question{kind: "mod", version: m.Version})
	if key == "" || o.h.Store.Has(key) {
		return
	}
	a.run("mod", func(ctx context.Context) {
		to := o.h.proxiedOnly(ctx, m.Path)
		if to == nil {
			return
		}
		text, by, err := to.mod(ctx, m.Version)
		if err != nil || by != byMiss {
			return
		}
		a.spend(key, int64(len(text)))
		if f, err := modfile.ParseLax("go.mod", text, nil); err == nil && (deep || isUnpruned(f)) {
			to.graphAhead(a, text, true)
		}
	})
}

// proxiedOnly is a module that is had of proxies for certain; nil for one that is
// mirrored, or whose name is for nobody.
func (h *Handler) proxiedOnly(ctx context.Context, modPath string) *proxied {
	mode, _ := h.Rules.Now().mode(modPath)
	if mode == mirror.MirrorOnly || mode == mirror.Offline || h.own(modPath) || module.MatchPrefixPatterns(h.NoSum, modPath) || !strings.Contains(modPath, ".") {
		return nil
	}
	nobody := auth.Identity{}
	if _, err := h.module(auth.With(ctx, nobody), modPath, placeKey{path: modPath, id: nobody}); !errors.Is(err, mirror.ErrNotFound) {
		return nil
	}
	return &proxied{h: h, path: modPath, fetch: true, mode: mode}
}
