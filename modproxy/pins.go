package modproxy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// PinStore is where pins are kept; *store.DB is one.
type PinStore interface {
	ModulePins(ctx context.Context, q mirror.PinQuery) ([]mirror.ModulePin, error)
	PinModules(ctx context.Context, pins []mirror.ModulePin) error
	UnpinModule(ctx context.Context, module, version string) error
}

// Pins are what is never dropped to make room, besides what rules pin. A nil one
// pins nothing.
type Pins struct {
	Store PinStore
	Log   *slog.Logger // nil = nobody

	held atomic.Pointer[map[mirror.ModuleVersion]time.Time] // until when; zero = for good
}

// Pins that another server set are seen within pinsEvery. So many are heeded.
const (
	pinsEvery = time.Minute
	maxPins   = 200_000
)

// Has tells whether a version, or all of its module, is pinned.
func (p *Pins) Has(module, version string) bool {
	if p == nil {
		return false
	}
	held := p.held.Load()
	if held == nil {
		return false
	}
	for _, v := range []string{version, ""} {
		until, ok := (*held)[mirror.ModuleVersion{Path: module, Version: v}]
		if ok && (until.IsZero() || time.Now().Before(until)) {
			return true
		}
	}
	return false
}

// Pinned tells whether the files of a version are never dropped: a rule or a pin
// says so.
func (h *Handler) Pinned(module, version string) bool {
	return h.Rules.Now().pinned(module) || h.Pins.Has(module, version)
}

// Read reads the pins again.
func (p *Pins) Read(ctx context.Context) error {
	list, err := p.Store.ModulePins(ctx, mirror.PinQuery{Now: time.Now(), Limit: maxPins})
	if err != nil {
		return err
	}
	held := make(map[mirror.ModuleVersion]time.Time, len(list))
	for _, one := range list {
		held[mirror.ModuleVersion{Path: one.Module, Version: one.Version}] = one.Until
	}
	p.held.Store(&held)
	return nil
}

// Run reads the pins now and then until ctx ends.
func (p *Pins) Run(ctx context.Context) error {
	tick := time.NewTicker(pinsEvery)
	defer tick.Stop()
	for {
		if err := p.Read(ctx); err != nil && p.Log != nil && ctx.Err() == nil {
			p.Log.Error("read the pins of modules", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
