package git

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	maxRefsBytes = 512 << 20
	// keptRefs is how much of packed-refs files is kept parsed, in bytes of these
	// files; in memory it is about half as much again.
	keptRefs = 64 << 20
)

// snapshot is a packed-refs file as it was read. The file is only ever replaced
// whole, by git as by us, so it is known by its identity.
type snapshot struct {
	file  os.FileInfo
	refs  []mirror.Ref
	whole bool // the file holds no other refs
}

// Refs lists branches, tags and our own refs. See mirror.Reader.
func (d *Disk) Refs(ctx context.Context, id mirror.ID) (mirror.Listing, error) {
	repo, err := d.existing(id)
	if err != nil {
		return mirror.Listing{}, err
	}
	l := mirror.Listing{}
	// Loose refs first: git packs them before it takes them away.
	loose, err := looseRefs(repo)
	if err == nil && loose == 0 {
		l.Refs, err = d.packedRefs(id, repo)
	}
	if err == nil && loose > 0 || errors.Is(err, errNotPeeled) {
		l.Refs, err = d.showRefs(ctx, repo)
	}
	if err != nil {
		return mirror.Listing{}, d.gone(ctx, id, "list the refs", err)
	}
	head, err := os.ReadFile(filepath.Join(repo, "HEAD"))
	if err != nil {
		return mirror.Listing{}, d.gone(ctx, id, "read HEAD", err)
	}
	if target, ok := strings.CutPrefix(strings.TrimSpace(string(head)), "ref: "); ok {
		if _, there := l.Ref(target); there {
			l.Head = target
		}
	}
	return l, nil
}

// packedRefs is what packed-refs holds, or held when it was last replaced.
func (d *Disk) packedRefs(id mirror.ID, repo string) ([]mirror.Ref, error) {
	f, err := os.Open(filepath.Join(repo, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if s, ok := d.state.refs.get(id); ok && sameFile(s.file, info) {
		return s.refs, nil
	}
	var text strings.Builder
	text.Grow(int(min(info.Size(), maxRefsBytes)) + 1)
	if _, err := io.Copy(&text, io.LimitReader(f, maxRefsBytes)); err != nil {
		return nil, err
	}
	all, complete, err := parsePacked(text.String())
	if err != nil {
		return nil, err
	}
	if !complete {
		return nil, errNotPeeled
	}
	l := mirror.Listing{Refs: make([]mirror.Ref, 0, len(all))}
	for _, ref := range all {
		if ours(ref.Name) {
			l.Refs = append(l.Refs, ref)
		}
	}
	l.Sort()
	l.Refs = l.Refs[:len(l.Refs):len(l.Refs)] // it is shared: who appends gets a copy
	d.state.refs.put(id, &snapshot{file: info, refs: l.Refs, whole: len(l.Refs) == len(all)}, text.Len()+256)
	return l.Refs, nil
}

// showRefs has git look, for repositories in which somebody worked with git.
func (d *Disk) showRefs(ctx context.Context, repo string) ([]mirror.Ref, error) {
	out, err := d.output(ctx, maxRefsBytes, command{args: []string{"show-ref", "--dereference"}, repo: repo})
	var f *failure
	if errors.As(err, &f) && f.code == 1 && f.stderr == "" && len(out) == 0 {
		err = nil // there are none
	}
	if err != nil {
		return nil, err
	}
	var l mirror.Listing
	for line := range strings.Lines(string(out)) {
		hash, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if base, ok := strings.CutSuffix(name, "^{}"); ok {
			if n := len(l.Refs); n > 0 && l.Refs[n-1].Name == base {
				l.Refs[n-1].Peeled = hash
			}
			continue
		}
		if ours(name) {
			l.Refs = append(l.Refs, mirror.Ref{Name: name, Hash: hash})
		}
	}
	l.Sort()
	return l.Refs, nil
}
