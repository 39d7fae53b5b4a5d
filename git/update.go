package git

import (
	"context"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gitmirror/gitmirror/mirror"
)

// turns gives out one lock for each repository, for as long as somebody has or
// wants it.
type turns struct {
	mu   sync.Mutex
	held map[mirror.ID]*turn
}

type turn struct {
	sync.Mutex
	users int
}

// wait returns when nobody else has the repository's turn; end gives it back.
func (t *turns) wait(id mirror.ID) (end func()) {
	t.mu.Lock()
	if t.held == nil {
		t.held = map[mirror.ID]*turn{}
	}
	one := t.held[id]
	if one == nil {
		one = &turn{}
		t.held[id] = one
	}
	one.users++
	t.mu.Unlock()
	one.Lock()
	return func() {
		one.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.held, id)
		}
	}
}

// Update changes refs without a fetch. See mirror.RefKeeper.
func (d *Disk) Update(ctx context.Context, id mirror.ID, tx mirror.Transaction) error {
	repo, err := d.existing(id)
	if err != nil {
		return err
	}
	if err := checkHead(tx.Head); err != nil {
		return err
	}
	defer d.state.publishing.wait(id)()
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	// An incoming that brought nothing: its quarantine is where the objects are.
	// It has ended already, since nothing of that may be discarded.
	in := &incoming{disk: d, id: id, live: repo, repo: repo, quarantine: filepath.Join(repo, "objects"), ended: true}
	defer in.shut()
	if err := in.packLoose(ctx); err != nil {
		return err
	}
	unlock, err := lockPacked(ctx, repo)
	if err != nil {
		return d.local("lock the refs", err)
	}
	defer unlock()
	refs, err := in.judge(ctx, tx)
	if err != nil {
		return err
	}
	if err := in.replace(refs); err != nil {
		return err
	}
	if err := in.setHead(tx.Head); err != nil {
		return d.local("write HEAD", err)
	}
	return nil
}

func checkHead(name string) error {
	if name != "" && (!wellFormed(name) || !strings.HasPrefix(name, "refs/heads/")) {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: quote(name) + " cannot be the default branch"}
	}
	return nil
}
