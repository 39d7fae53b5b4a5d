package modproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	modzip "golang.org/x/mod/zip"

	"github.com/gitmirror/gitmirror/mirror"
)

// view is a repository during one question. It is not shared between goroutines.
type view struct {
	*home
	*index
	repos  *Repos // for what it remembers
	reader mirror.Reader
	trees  map[string]fs.FS
	// retracted is filled on first use.
	retracted func(version string) bool
}

// view opens the repository of a module as it is now.
func (r *Repos) view(ctx context.Context, h *home) (*view, error) {
	list, err := r.Reader.Refs(ctx, h.repo.ID)
	return r.viewOf(h, list, err)
}

// viewOf is the view of refs that were read already.
func (r *Repos) viewOf(h *home, list mirror.Listing, err error) (*view, error) {
	r.init()
	if errors.Is(err, mirror.ErrNotFound) {
		p := &mirror.Problem{
			Code: mirror.CodeNotMirrored, Kind: mirror.ErrUpstream,
			What: fmt.Sprintf("%s has not been fetched yet", h.repo.Path),
			Do:   fmt.Sprintf("wait for its first sync, or run: gitmirror mirror sync %s --wait", h.repo.Path),
		}
		if h.repo.State.Problem != nil {
			p.Why = h.repo.State.Problem.Error()
		}
		return nil, p
	}
	if err != nil {
		return nil, err
	}
	return &view{home: h, index: r.index(h.repo.ID, list), repos: r, reader: r.Reader, trees: map[string]fs.FS{}}, nil
}

// versionError says why a revision or version is none; the text is for the user.
type versionError struct{ text string }

func (e *versionError) Error() string { return e.text }

func unfit(format string, args ...any) error { return &versionError{fmt.Sprintf(format, args...)} }

// revision is a commit and how it was found.
type revision struct {
	mirror.Commit
	tag string // name of the tag that was asked for; else empty
	ref string // full name of the ref it was found by; else empty
}

// short is the commit as pseudo-versions have it.
func (r revision) short() string { return r.Hash[:min(12, len(r.Hash))] }

// revision resolves what stands behind the @ of a query, in the order of
// codehost.gitRepo.stat. Only full names of refs we have listed and hex digits
// go to the reader.
func (v *view) revision(ctx context.Context, rev string) (revision, error) {
	key := revisionKey{rev: rev}
	if v.gopkg() {
		key.gopkgMajor = v.major
	}
	if known, ok := v.index.get(key); ok {
		return known, nil
	}
	found, err := v.lookUp(ctx, rev)
	if err == nil {
		v.index.put(key, found)
	}
	return found, err
}

func (v *view) lookUp(ctx context.Context, rev string) (revision, error) {
	if isHash(rev) {
		c, err := v.reader.Commit(ctx, v.repo.ID, rev)
		if err == nil {
			ok, err := v.reachable(ctx, c.Hash)
			if err != nil {
				return revision{}, err
			}
			if ok {
				return revision{Commit: c}, nil
			}
		} else if !errors.Is(err, mirror.ErrNotFound) {
			return revision{}, err
		}
	}
	if hash, ok := v.tags[rev]; ok {
		return v.commitAt(ctx, hash, rev, "refs/tags/"+rev)
	}
	if v.gopkg() && (rev == "HEAD" || rev == "master") {
		return v.gopkgHead(ctx)
	}
	if ref, ok := v.list.Ref("refs/heads/" + rev); ok {
		return v.commitAt(ctx, ref.Commit(), "", ref.Name)
	}
	if rev == "HEAD" {
		if ref, ok := v.list.Ref(v.list.Head); ok {
			return v.commitAt(ctx, ref.Commit(), "", ref.Name)
		}
	}
	return revision{}, unfit("unknown revision %s", show(rev))
}

// commitAt reads the commit a ref leads to.
func (v *view) commitAt(ctx context.Context, hash, tag, ref string) (revision, error) {
	key := commitKey{v.repo.ID, hash}
	if c, ok := v.repos.commits.Get(key); ok {
		return revision{c, tag, ref}, nil
	}
	c, err := v.reader.Commit(ctx, v.repo.ID, hash)
	if errors.Is(err, mirror.ErrNotFound) {
		return revision{}, unfit("%s does not lead to a commit", ref)
	}
	if err == nil {
		v.repos.commits.Add(key, c)
	}
	return revision{c, tag, ref}, err
}

// reachable tells whether a commit may stand in a pseudo-version: from a branch
// or tag, or from one that upstream has taken away and we have kept.
func (v *view) reachable(ctx context.Context, hash string) (bool, error) {
	ok, err := v.reader.Advertised(ctx, v.repo.ID, hash)
	if ok || err != nil {
		return ok, err
	}
	for _, ref := range v.list.Refs {
		if !strings.HasPrefix(ref.Name, mirror.KeptPrefix) {
			continue
		}
		if ok, err := v.ancestor(ctx, hash, ref.Commit()); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// ancestor tells whether the commit old can be reached from new.
func (v *view) ancestor(ctx context.Context, old, new string) (bool, error) {
	key := ancestryKey{v.repo.ID, old, new}
	if yes, ok := v.repos.ancestry.Get(key); ok {
		return yes, nil
	}
	yes, err := v.reader.Ancestor(ctx, v.repo.ID, old, new)
	if err == nil {
		v.repos.ancestry.Add(key, yes)
	}
	return yes, err
}

// gopkgRef is a branch or tag that gopkg.in counts as a version.
var gopkgRef = regexp.MustCompile(`^v(0|[1-9][0-9]{0,8})(?:\.(0|[1-9][0-9]{0,8}))?(?:\.(0|[1-9][0-9]{0,8}))?(-unstable)?$`)

// gopkgHead emulates gopkg.in: HEAD and master of pkg.vN are the highest branch
// or tag of major version N; of pkg.v0 without any, the real HEAD.
func (v *view) gopkgHead(ctx context.Context) (revision, error) {
	major := strings.TrimPrefix(module.PathMajorPrefix(v.major), "v")
	unstable := strings.HasSuffix(v.major, "-unstable")
	var best mirror.Ref
	var high [2]int
	for _, ref := range v.list.Refs {
		m := gopkgRef.FindStringSubmatch(ref.Short())
		if m == nil || m[1] != major || (m[4] != "") != unstable || !ref.IsTag() && !ref.IsHead() {
			continue
		}
		number := [2]int{-1, -1}
		for i, s := range m[2:4] {
			if s != "" {
				number[i], _ = strconv.Atoi(s)
			}
		}
		if best.Name == "" || slices.Compare(number[:], high[:]) > 0 {
			best, high = ref, number
		}
	}
	if best.Name == "" && major == "0" {
		best, _ = v.list.Ref(v.list.Head)
	}
	if best.Name == "" {
		return revision{}, unfit("the repository has no branch or tag v%s, as gopkg.in wants it", major)
	}
	return v.commitAt(ctx, best.Commit(), "", best.Name)
}

// isHash tells whether s is what the go command takes for a commit hash.
func isHash(s string) bool {
	return len(s) >= 7 && len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// revOf is the name of the revision behind a version (revToRev).
func (v *view) revOf(version string) string {
	if !semver.IsValid(version) {
		return version
	}
	if module.IsPseudoVersion(version) {
		rev, _ := module.PseudoVersionRev(version)
		return rev
	}
	return v.tagPrefix() + strings.TrimSuffix(version, "+incompatible")
}

// file reads a file of a commit of at most 16 MiB; a symbolic link reads as its
// target's name. fs.ErrNotExist when there is none. The caller must not change it.
func (v *view) file(ctx context.Context, commit, name string) ([]byte, error) {
	key := fileKey{v.repo.ID, commit, name}
	if known, ok := v.repos.files.Get(key); ok {
		if known.absent {
			return nil, fs.ErrNotExist
		}
		return known.data, nil
	}
	data, err := v.readFile(ctx, commit, name)
	if absent := errors.Is(err, fs.ErrNotExist); absent || err == nil && len(data) <= maxFile {
		v.repos.files.Add(key, knownFile{data, absent})
	}
	return data, err
}

func (v *view) readFile(ctx context.Context, commit, name string) ([]byte, error) {
	tree := v.trees[commit]
	if tree == nil {
		var err error
		if tree, err = v.reader.Tree(ctx, v.repo.ID, commit); err != nil {
			return nil, err
		}
		v.trees[commit] = tree
	}
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fs.ErrNotExist
	}
	data, err := io.ReadAll(io.LimitReader(f, modzip.MaxGoMod+1))
	if err == nil && len(data) > modzip.MaxGoMod {
		return nil, unfit("%s is larger than 16 MiB", show(name))
	}
	return data, err
}

// has tells whether a commit has a file of this name.
func (v *view) has(ctx context.Context, commit, name string) (bool, error) {
	_, err := v.file(ctx, commit, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var big *versionError
	if errors.As(err, &big) {
		return true, nil
	}
	return err == nil, err
}
