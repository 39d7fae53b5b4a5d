package modproxy

import (
	"context"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/gitmirror/gitmirror/mirror"
)

// unhashed are zips that nobody vouches for and that are known by their bytes so
// far. To hash a zip all of it must be unpacked, several times the work of passing
// it on: that waits until nothing is fetched. The zero value is ready.
type unhashed struct {
	mu        sync.Mutex
	transfers int
	ended     time.Time // the last of them
	queue     []Kept
}

const (
	unhashedRest  = 2 * time.Second // without a transfer, before anything is hashed
	unhashedQueue = 10_000          // of more, the bytes go on to be what is known
)

func (u *unhashed) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.transfers++
}

func (u *unhashed) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.transfers--
	u.ended = time.Now()
}

func (u *unhashed) add(k Kept) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.queue) < unhashedQueue {
		u.queue = append(u.queue, k)
	}
}

// next is the next to hash, if now is a time to.
func (u *unhashed) next() (k Kept, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.transfers > 0 || len(u.queue) == 0 || time.Since(u.ended) < unhashedRest {
		return Kept{}, false
	}
	k, u.queue = u.queue[0], u.queue[1:]
	return k, true
}

// hashUnhashed hashes what is left to, one after the other, until ctx ends.
func (h *Handler) hashUnhashed(ctx context.Context) error {
	look := time.NewTicker(unhashedRest)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		for ctx.Err() == nil {
			k, ok := h.state().unhashed.next()
			if !ok {
				break
			}
			if err := h.settle(ctx, k); err != nil && ctx.Err() == nil && h.Log != nil {
				h.Log.WarnContext(ctx, "hash a module that was first seen", "module", show(k.Module+"@"+k.Version), "err", err)
			}
		}
	}
}

// settle has a zip be known by what is in it as well: "h1:… sha256:…". One that was
// dropped meanwhile stays known by its bytes.
func (h *Handler) settle(ctx context.Context, k Kept) error {
	if now, ok := h.Store.look(k.Key); !ok || now.Sum != k.Sum {
		return nil
	}
	f, err := h.Store.Open(k)
	if err != nil {
		return err
	}
	defer f.Close()
	if k.H1, err = dirhash.HashZip(f.Name(), dirhash.Hash1); err != nil {
		return err
	}
	h.Usage.learn(k.Module, k.Version, k.facts())
	return h.Seen.SettleModuleSum(ctx, mirror.SeenSum{Module: k.Module, Version: k.Version, Kind: k.Kind, Sum: k.H1 + " " + bytesSum(k)}, bytesSum(k))
}
