package modproxy

import (
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// refused notes that a rule refused something.
func (h *Handler) refused(e mirror.ModuleEvent) {
	h.state().refused.Add(1)
	if h.Log != nil {
		h.Log.Info("module refused", "module", e.Module, "version", e.Version, "kind", string(e.Kind), "user", e.User, "addr", e.Address, "reason", e.Text)
	}
	h.note(e)
}

// note has an event stored, and passes it on.
func (h *Handler) note(e mirror.ModuleEvent) {
	h.Usage.refuse(e)
	if h.OnEvent != nil {
		h.OnEvent(e)
	}
}

// Trim drops what is kept, as Store.Trim does.
func (h *Handler) Trim(before time.Time, bytes int64) (files int, freed int64) {
	if h.Store == nil {
		return 0, 0
	}
	return h.Store.Trim(before, bytes)
}

// Spare is what Trim would drop now, as Store.Spare says.
func (h *Handler) Spare(before time.Time, bytes int64) (files int, freed int64) {
	if h.Store == nil {
		return 0, 0
	}
	return h.Store.Spare(before, bytes)
}

// State is how everything does.
func (h *Handler) State() mirror.ModuleCacheState {
	s := h.state()
	c := mirror.ModuleCacheState{
		Hits: s.hits.Load(), Misses: s.misses.Load(), Stale: s.stale.Load(), Refused: s.refused.Load(), Forged: s.forged.Load(),
		Proxies: h.Proxies.State(),
	}
	if h.Store != nil {
		h.Store.State(&c)
	}
	return c
}
