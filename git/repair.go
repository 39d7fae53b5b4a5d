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
	"time"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

// rescued is where repositories are kept that were replaced although something
// in them could not be carried over. Nothing deletes them.
const rescued = "rescued"

// Refetch brings single objects again. See mirror.Keeper. They are fetched into
// a repository of their own: nothing that is damaged can come between.
func (d *Disk) Refetch(ctx context.Context, id mirror.ID, from mirror.Remote, missing []string) error {
	repo, err := d.existing(id)
	if err != nil {
		return err
	}
	var want []mirror.Ref
	for _, oid := range missing {
		if !isHash(oid) {
			return &mirror.Problem{Kind: mirror.ErrInvalid, What: quote(oid) + " is not an object id"}
		}
		want = append(want, mirror.Ref{Name: "refs/gitmirror/missing/" + oid, Hash: oid})
	}
	in, err := d.apart(ctx, id, from, want)
	if err != nil {
		return err
	}
	in.shut()
	staged := in.repo
	in.repo = repo
	err = in.movePacks()
	d.state.objects.forget(id)
	return errors.Join(d.asLocal("move the packs in", err), d.discard(staged))
}

// apart fetches, and checks, into a new repository in staging, whose objects are
// then in the quarantine. The caller discards in.repo.
func (d *Disk) apart(ctx context.Context, id mirror.ID, from mirror.Remote, want []mirror.Ref) (*incoming, error) {
	in := &incoming{disk: d, id: id, live: filepath.Join(d.Root, "staging", "apart-"+xid.New().String())}
	begun, err := in.begin()
	if err != nil {
		return nil, err
	}
	if err := begun.fill(ctx, from, want, nil); err != nil {
		return nil, errors.Join(d.explain(ctx, err, from), d.discard(begun.repo))
	}
	return begun, nil
}

func (d *Disk) asLocal(doing string, err error) error {
	if err == nil {
		return nil
	}
	return d.local(doing, err)
}

// Rebuild clones the repository again beside what there is and replaces it. See
// mirror.Keeper. What is served stays as it is until the new one was checked.
func (d *Disk) Rebuild(ctx context.Context, id mirror.ID, from mirror.Remote) (lost []mirror.Ref, err error) {
	repo, err := d.existing(id)
	if err != nil {
		return nil, err
	}
	size, err := d.Bytes(ctx, id)
	if err == nil {
		err = d.room(size + size/5)
	}
	if err != nil {
		return nil, err
	}
	from.Known = ""
	upstream, err := d.List(ctx, from)
	if err != nil {
		return nil, err
	}
	in, err := d.apart(ctx, id, from, upstream.Refs)
	if err != nil {
		return nil, err
	}
	shadow := &shadow{Disk: d, id: id, old: repo, repo: in.repo, upstream: upstream}
	defer func() { err = errors.Join(err, d.discard(shadow.repo)) }()
	if err := in.movePacks(); err != nil {
		return nil, d.local("move the packs in", err)
	}
	if err := d.discard(in.quarantine); err != nil {
		return nil, err
	}
	err = d.whenFree(ctx, id, func(ctx context.Context) error {
		return d.maintaining(id, func(string) error { return shadow.replace(ctx) })
	})
	return shadow.lost, err
}

// whenFree is alone for work that is not given up: it waits for a fetch.
func (d *Disk) whenFree(ctx context.Context, id mirror.ID, do func(context.Context) error) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		begun := false
		err := d.alone(ctx, id, false, func(ctx context.Context) error {
			begun = true
			return do(ctx)
		})
		if begun || !errors.Is(err, mirror.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case <-tick.C:
		}
	}
}

// shadow is a repository that is to take the place of a damaged one.
type shadow struct {
	*Disk
	id        mirror.ID
	old, repo string
	upstream  mirror.Listing
	lost      []mirror.Ref
}

// replace carries over what only the old repository has, checks the new one and
// puts it in place.
func (s *shadow) replace(ctx context.Context) error {
	have, err := s.Refs(ctx, s.id)
	if err != nil {
		return err
	}
	refs, err := s.carry(ctx, have.Refs)
	if err != nil {
		return err
	}
	if len(refs) == 0 { // the old one had lost them all
		for _, ref := range s.upstream.Refs {
			refs[ref.Name] = ref
		}
	}
	head := have.Head
	if _, ok := refs[head]; !ok {
		head = s.upstream.Head
	}
	if head == "" {
		head = likelyHead(refs)
	}
	_, err = refs.write(s.repo)
	if err := errors.Join(err, replaceFile(filepath.Join(s.repo, "HEAD"), "HEAD.new", "ref: "+head+"\n")); err != nil {
		return s.local("write the refs", err)
	}
	found, err := s.fsck(ctx, s.repo, true)
	if err != nil {
		return s.localGit(ctx, "check the new copy", err)
	}
	if found.Any() {
		return &mirror.Problem{Code: mirror.CodeDamaged, Kind: mirror.ErrIntegrity, What: "a new copy of the repository was damaged, too",
			Why: "this server's disk or memory changes what is written", Do: "look at the disk, the memory and the server's log",
			Raw: strings.Join(append(found.Damaged, found.Missing...), "\n")}
	}
	return s.swap()
}

// carry brings the objects of refs that upstream does not have, or has no more,
// and returns the refs that are then complete.
func (s *shadow) carry(ctx context.Context, have []mirror.Ref) (packed, error) {
	refs := packed{}
	in := &incoming{disk: s.Disk, id: s.id, repo: s.repo, quarantine: filepath.Join(s.repo, "objects")}
	defer in.shut()
	var ids []string
	for _, ref := range have {
		refs[ref.Name] = ref
		ids = append(ids, ref.Hash)
	}
	slices.Sort(ids)
	absent, err := in.missing(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	if len(absent) == 0 {
		return refs, nil
	}
	if err := s.salvage(ctx); err != nil {
		return nil, err
	}
	gone := map[string]bool{}
	if err := s.pack(ctx, absent, gone); err != nil {
		return nil, err
	}
	if err := s.discard(filepath.Join(s.repo, "salvage")); err != nil {
		return nil, err
	}
	for _, ref := range have {
		if gone[ref.Hash] {
			delete(refs, ref.Name)
			s.lost = append(s.lost, ref)
		}
	}
	return refs, nil
}

// pack copies the histories of objects from the old repository into a pack of
// the new one. When that fails it does so by halves, down to those that are
// incomplete.
func (s *shadow) pack(ctx context.Context, ids []string, gone map[string]bool) error {
	var ask strings.Builder
	for _, id := range ids {
		fmt.Fprintln(&ask, id)
	}
	ask.WriteString("--not\n")
	seen := map[string]bool{}
	for _, ref := range s.upstream.Refs {
		if !seen[ref.Hash] {
			seen[ref.Hash] = true
			fmt.Fprintln(&ask, ref.Hash)
		}
	}
	dirs := []string{alternate(filepath.Join(s.repo, "objects")), alternate(filepath.Join(s.repo, "salvage"))}
	err := s.run(ctx, command{
		args: []string{"pack-objects", "-q", "--revs", "--delta-base-offset", filepath.Join(s.repo, "objects", "pack", "pack")},
		repo: s.old, stdin: strings.NewReader(ask.String()), stdout: &capped{limit: 1 << 10}, background: true,
		env:    []string{"GIT_ALTERNATE_OBJECT_DIRECTORIES=" + strings.Join(dirs, string(filepath.ListSeparator))},
		config: [][2]string{{"core.commitGraph", "false"}, {"pack.useBitmaps", "false"}},
	})
	f := (*failure)(nil)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, !errors.As(err, &f), f.full, f.code < 0:
		return s.localGit(ctx, "carry over what only this server has", err)
	case len(ids) == 1:
		s.Log.Warn("object cannot be carried over", "repo", s.id, "object", ids[0], "err", f)
		gone[ids[0]] = true
		return nil
	}
	return errors.Join(s.pack(ctx, ids[:len(ids)/2], gone), s.pack(ctx, ids[len(ids)/2:], gone))
}

// salvage gets what can be read out of packs that were set aside.
func (s *shadow) salvage(ctx context.Context) error {
	into := filepath.Join(s.repo, "salvage")
	if err := os.MkdirAll(filepath.Join(into, "pack"), 0o755); err != nil {
		return s.local("make a directory", err)
	}
	names, _ := filepath.Glob(filepath.Join(s.old, damagedDir, "*.pack"))
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return s.local("read a damaged pack", err)
		}
		err = s.run(ctx, command{
			args: []string{"unpack-objects", "-r", "-q"}, repo: s.repo, stdin: f, background: true,
			env: []string{
				"GIT_OBJECT_DIRECTORY=" + into,
				"GIT_ALTERNATE_OBJECT_DIRECTORIES=" + alternate(filepath.Join(s.repo, "objects")),
			},
		})
		_ = f.Close()
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
		if failed := (*failure)(nil); err != nil && (!errors.As(err, &failed) || failed.full) {
			return s.localGit(ctx, "read a damaged pack", err)
		} // that it is damaged is known
	}
	return nil
}

// swap puts the new repository in place of the old one, which goes to the trash
// or, when it may hold what the new one has not, to where nothing deletes it.
func (s *shadow) swap() error {
	if err := syncTree(s.repo); err != nil {
		return s.local("make the new copy durable", err)
	}
	kept := s.repo // after an exchange the old one has this name
	err := exchange(s.repo, s.old)
	if err != nil { // not every file system can; for a moment there is none then
		kept = filepath.Join(s.Root, "trash", filepath.Base(s.old)+"-"+xid.New().String())
		if err = os.Rename(s.old, kept); err == nil {
			if err = os.Rename(s.repo, s.old); err != nil {
				err = errors.Join(err, os.Rename(kept, s.old))
			}
		}
	}
	if err != nil {
		return s.local("put the new copy in place", err)
	}
	if err := errors.Join(syncDir(filepath.Dir(s.old)), syncDir(filepath.Dir(kept))); err != nil {
		return s.local("put the new copy in place", err)
	}
	s.forgetRefs(s.id)
	s.state.objects.forget(s.id)
	if len(s.lost) == 0 {
		s.repo = kept
		return nil // Rebuild discards it
	}
	dir := filepath.Join(s.Root, rescued)
	aside := filepath.Join(dir, string(s.id)+"-"+time.Now().UTC().Format("20060102T150405Z")+".git")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Rename(kept, aside)); err != nil {
		return s.local("keep the old copy aside", err)
	}
	s.Log.Warn("kept damaged repository aside", "repo", s.id, "dir", aside)
	return nil
}

// syncTree makes a directory with all that is in it durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return syncDir(name)
		}
		return syncFile(name)
	})
}
