package modproxy

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/mod/module"

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

// maxPinReason bounds what a person writes to a pin, in bytes.
const maxPinReason = 500

// Pin pins a version, or with an empty one all versions of a module, for
// somebody: p.By is not empty. It holds when Pin returns.
func (h *Handler) Pin(ctx context.Context, p mirror.ModulePin) error {
	if h.Pins == nil {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: "nothing can be pinned here"}
	}
	bad := func(why string) error {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: show(p.Module+"@"+p.Version) + " cannot be pinned", Why: why, Do: "write it as in go.mod: github.com/spf13/pflag v1.0.5"}
	}
	if err := module.CheckPath(p.Module); err != nil {
		return bad("this is no module path")
	}
	if p.Version != "" && p.Version != module.CanonicalVersion(p.Version) {
		return bad("this is no version")
	}
	if len(p.Reason) > maxPinReason || strings.ContainsFunc(p.Reason, unicode.IsControl) {
		return bad("the reason is too long, or of more than one line")
	}
	p.At = time.Now().UTC()
	if !p.Until.IsZero() && !p.Until.After(p.At) {
		return bad("the time it is pinned until is over")
	}
	if err := h.Pins.Store.PinModules(ctx, []mirror.ModulePin{p}); err != nil {
		return err
	}
	return h.Pins.Read(ctx)
}

// Unpin takes a pin away, whoever set it.
func (h *Handler) Unpin(ctx context.Context, modPath, version string) error {
	if h.Pins == nil {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: show(modPath) + " is not pinned"}
	}
	if err := h.Pins.Store.UnpinModule(ctx, modPath, version); err != nil {
		return err
	}
	return h.Pins.Read(ctx)
}

// Keeps tells whether the zip of a version that was had of a proxy is here.
func (h *Handler) Keeps(modPath, version string) bool {
	_, key, err := (&proxied{h: h, path: modPath}).versioned(version, ".zip")
	if err != nil {
		return false
	}
	_, ok := h.Store.look(key)
	return ok
}

// ModuleRules are the rules in force, in their order.
func (h *Handler) ModuleRules() []mirror.ModuleRule { return h.Rules.All() }

// AddModuleRule is RuleBook.Add.
func (h *Handler) AddModuleRule(ctx context.Context, r mirror.ModuleRule, before int64) (mirror.ModuleRule, error) {
	return h.Rules.Add(ctx, r, before)
}

// RemoveModuleRule is RuleBook.Remove.
func (h *Handler) RemoveModuleRule(ctx context.Context, id int64) error {
	return h.Rules.Remove(ctx, id)
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
