package git

import (
	"context"
	"errors"

	"github.com/gitmirror/gitmirror/mirror"
)

// A fetch counts on objects that no ref leads to yet, so nothing may take
// objects away while an Incoming is open, and nothing else may write refs. Both
// therefore take the repository: a fetch is refused while another fetch has it,
// ends a repack that has it, and waits for anything else.

// errGaveWay is why a repack was ended: somebody wants to sync.
var errGaveWay = errors.New("a sync wants the repository")

// holder is work that has a repository for itself and is no fetch.
type holder struct {
	cancel context.CancelCauseFunc // nil = it is short: wait for it
	done   chan struct{}
}

// claim takes a repository for a fetch.
func (d *Disk) claim(ctx context.Context, id mirror.ID) bool {
	for {
		d.state.mu.Lock()
		has := d.state.alone[id]
		if has == nil && !d.state.fetching[id] {
			d.state.fetching[id] = true
			d.state.mu.Unlock()
			return true
		}
		d.state.mu.Unlock()
		if has == nil {
			return false
		}
		if has.cancel != nil {
			has.cancel(errGaveWay)
		}
		select {
		case <-has.done:
		case <-ctx.Done():
			return false
		}
	}
}

func (d *Disk) release(id mirror.ID) {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	delete(d.state.fetching, id)
}

// alone runs do with the repository to itself, or returns ErrBusy at once when
// a fetch has it. A fetch that comes meanwhile ends do when it gives way, which
// is then ErrBusy too, and else waits for it.
func (d *Disk) alone(ctx context.Context, id mirror.ID, givesWay bool, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := &holder{done: make(chan struct{})}
	if givesWay {
		h.cancel = cancel
	}
	d.state.mu.Lock()
	if d.state.fetching[id] || d.state.alone[id] != nil {
		d.state.mu.Unlock()
		return inUse()
	}
	d.state.alone[id] = h
	d.state.mu.Unlock()
	defer func() {
		d.state.mu.Lock()
		delete(d.state.alone, id)
		d.state.mu.Unlock()
		close(h.done)
	}()
	err := do(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errGaveWay) {
		return inUse()
	}
	return err
}

func inUse() error {
	return &mirror.Problem{Kind: mirror.ErrBusy, What: "this repository is being synced", Do: "it is tried again later by itself"}
}
