package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// maxWalk bounds the commits that Rewound keeps in memory.
	maxWalk = 500_000
	// maxSteps is how many commits it reads before it asks git.
	maxSteps = 2000
)

// incoming is a quarantine that passed its checks.
type incoming struct {
	disk       *Disk
	id         mirror.ID
	live       string // where the repository is served from
	repo       string // live, or in staging while it is the first clone
	first      bool
	stepwise   bool // the first clone goes in steps, which are kept when it fails
	quarantine string
	bytes      int64
	opened     *packs // nil until they are looked at
	whole      bool   // packed-refs held nothing but our refs

	mu    sync.Mutex
	ended bool
}

// Bytes is the size of the packs that came.
func (in *incoming) Bytes() int64 { return in.bytes }

// Discard drops the quarantine, and the repository when it was to be cloned.
func (in *incoming) Discard() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.end()
}

func (in *incoming) end() error {
	if in.ended {
		return nil
	}
	in.ended = true
	in.shut()
	defer in.disk.release(in.id)
	if in.repo != in.live && !in.stepwise {
		return in.disk.discard(in.repo)
	}
	// Published, it is empty; otherwise this does nothing.
	if os.Remove(filepath.Join(in.quarantine, "pack")) == nil && os.Remove(in.quarantine) == nil {
		return nil
	}
	return in.disk.discard(in.quarantine)
}

// Rewound follows each move from its new end, over the new commits at first:
// nearly always the old end is found there. What a short walk does not find,
// git is asked about.
func (in *incoming) Rewound(ctx context.Context, moves []mirror.RefUpdate) (map[string]bool, error) {
	rewound := map[string]bool{}
	var unsure []mirror.RefUpdate
	budget := maxSteps
	for _, m := range moves {
		if m.Old == "" || m.New == "" || m.Old == m.New {
			continue
		}
		if !isHash(m.Old) || !isHash(m.New) {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the move of " + quote(m.Name) + " has no valid object ids"}
		}
		if !in.forward(m, &budget) {
			unsure = append(unsure, m)
		}
	}
	// A single rev-list over all ends cannot tell: a branch may be rewound while
	// another one keeps its old end.
	parents, err := in.newCommits(ctx, unsure)
	if err != nil {
		return nil, err
	}
	for _, m := range unsure {
		if reaches(parents, m.New, m.Old) {
			continue
		}
		yes, err := in.disk.ancestor(ctx, in.command(command{}), m.Old, m.New)
		if err != nil {
			return nil, err
		}
		if !yes {
			rewound[m.Name] = true
		}
	}
	return rewound, nil
}

// forward tells whether a walk of a few steps from the new end finds the old one.
func (in *incoming) forward(m mirror.RefUpdate, budget *int) bool {
	p, err := in.packs()
	if err != nil {
		return false
	}
	from, _ := parseID(m.New)
	to, _ := parseID(m.Old)
	if from, _, err = p.peel(from); err != nil {
		return false
	}
	if to, _, err = p.peel(to); err != nil {
		return false
	}
	seen := map[objectID]bool{from: true}
	for todo := []objectID{from}; len(todo) > 0; todo = todo[1:] {
		if todo[0] == to {
			return true
		}
		if *budget--; *budget < 0 {
			return false
		}
		kind, data, err := p.read(todo[0])
		if err != nil || kind != kindCommit {
			return false
		}
		for _, id := range parentsOf(data) {
			if !seen[id] {
				seen[id] = true
				todo = append(todo, id)
			}
		}
	}
	return false
}

// newCommits maps the commits that are reachable from a new end and from no old
// one to their parents. It is a help, not the judge: empty when there are too many.
func (in *incoming) newCommits(ctx context.Context, moves []mirror.RefUpdate) (map[string][]string, error) {
	var ends strings.Builder
	for _, m := range moves {
		if isHash(m.Old) && isHash(m.New) {
			fmt.Fprintf(&ends, "%s\n^%s\n", m.New, m.Old)
		}
	}
	if ends.Len() == 0 {
		return nil, nil
	}
	out, err := in.disk.output(ctx, maxWalk*100, in.command(command{
		args: []string{"rev-list", "--parents", fmt.Sprint("--max-count=", maxWalk), "--stdin"}, stdin: strings.NewReader(ends.String()),
	}))
	if ctx.Err() != nil {
		return nil, interrupted(ctx)
	}
	if err != nil {
		return nil, nil // a tag of something that is no commit; merge-base decides
	}
	parents := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		ids := strings.Fields(line)
		parents[ids[0]] = ids[1:]
	}
	return parents, nil
}

func reaches(parents map[string][]string, from, to string) bool {
	seen := map[string]bool{}
	todo := []string{from}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if id == to {
			return true
		}
		if !seen[id] {
			seen[id] = true
			todo = append(todo, parents[id]...)
		}
	}
	return false
}

// Publish moves the packs in, then replaces packed-refs whole, so that no reader
// ever sees a part of the transaction. A repository cloned for the first time
// appears by the rename of its directory. On an error nothing is visible, the
// quarantine is gone and the Incoming has ended.
func (in *incoming) Publish(ctx context.Context, tx mirror.Transaction) (err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ended {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: "this fetch has ended already"}
	}
	defer func() { err = errors.Join(err, in.end()) }()
	if err := checkHead(tx.Head); err != nil {
		return err
	}
	defer in.disk.state.publishing.wait(in.id)()
	if err := in.packLoose(ctx); err != nil {
		return err
	}
	unlock, err := lockPacked(ctx, in.repo)
	if err != nil {
		return in.disk.local("lock the refs", err)
	}
	defer unlock()
	refs, err := in.judge(ctx, tx)
	if err != nil {
		return err
	}
	in.shut()
	if err := in.movePacks(); err != nil {
		return in.disk.local("move the packs in", err)
	}
	if len(tx.Updates) > 0 || in.first {
		if err := in.replace(refs); err != nil {
			return err
		}
	}
	if err := in.setHead(tx.Head); err != nil {
		return in.disk.local("write HEAD", err)
	}
	if !in.first {
		return nil
	}
	unlock()
	if err := in.appear(); err != nil {
		return in.disk.local("put the repository in place", err)
	}
	return nil
}

// judge computes the refs after the transaction, and checks them.
func (in *incoming) judge(ctx context.Context, tx mirror.Transaction) (packed, error) {
	refs, complete, err := in.present()
	if err != nil {
		return nil, in.disk.local("read the refs", err)
	}
	if err := refs.apply(tx.Updates); err != nil {
		return nil, err
	}
	var names []string
	if complete {
		for _, u := range tx.Updates {
			if u.New != "" {
				names = append(names, u.Name)
			}
		}
	} else {
		for name := range refs {
			names = append(names, name)
		}
	}
	return refs, in.check(ctx, refs, names)
}

// packLoose folds refs that somebody wrote with git into packed-refs: they
// would hide what we write there.
func (in *incoming) packLoose(ctx context.Context) error {
	n, err := looseRefs(in.repo)
	if err != nil {
		return in.disk.local("look for loose refs", err)
	}
	if n == 0 {
		return nil
	}
	err = in.disk.run(ctx, command{args: []string{"pack-refs", "--all", "--prune"}, repo: in.repo})
	if err != nil {
		return in.disk.localGit(ctx, "pack the refs", err)
	}
	return nil
}

func looseRefs(repo string) (int, error) {
	n := 0
	err := filepath.WalkDir(filepath.Join(repo, "refs"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && !strings.HasSuffix(e.Name(), ".lock") {
			n++
		}
		return err
	})
	return n, err
}

// movePacks makes the objects visible: the index last, because git looks for
// packs by their index.
func (in *incoming) movePacks() error {
	from, to := filepath.Join(in.quarantine, "pack"), filepath.Join(in.repo, "objects", "pack")
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	order := func(name string) int {
		return slices.Index([]string{".keep", ".pack", ".rev", ".idx"}, filepath.Ext(name))
	}
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int { return order(a.Name()) - order(b.Name()) })
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "pack-") || order(e.Name()) < 1 {
			continue
		}
		name := filepath.Join(from, e.Name())
		if err := syncFile(name); err != nil {
			return err
		}
		if err := os.Rename(name, filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return syncDir(to)
}

// setHead points HEAD to a branch; empty leaves it.
func (in *incoming) setHead(head string) error {
	if head == "" {
		return nil
	}
	name, want := filepath.Join(in.repo, "HEAD"), "ref: "+head+"\n"
	if have, err := os.ReadFile(name); err == nil && string(have) == want {
		return nil
	}
	return replaceFile(name, "HEAD.new", want)
}

// appear moves a complete first clone from staging to where it is served.
func (in *incoming) appear() error {
	if err := in.disk.discard(in.quarantine); err != nil {
		return err
	}
	if err := errors.Join(removeIfThere(filepath.Join(in.repo, checkpointName)), removeIfThere(filepath.Join(in.repo, originName))); err != nil {
		return err
	}
	err := filepath.WalkDir(in.repo, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return syncDir(name)
		}
		return syncFile(name)
	})
	if err != nil {
		return err
	}
	if err := os.Rename(in.repo, in.live); err != nil {
		return err
	}
	in.repo = in.live
	return syncDir(filepath.Dir(in.live))
}
