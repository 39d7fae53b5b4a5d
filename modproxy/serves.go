package modproxy

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Bounds of looking for the modules of a repository.
const (
	servesWait     = 10 * time.Second
	servesEntries  = 100_000 // files and directories of the newest commit
	servesModules  = 200
	servesRemember = 10 * time.Minute // aliases change without the repository
	maxServes      = 500
)

// knownServes is what a repository serves, as long as its refs are the same.
type knownServes struct {
	index *index
	at    time.Time
	mirror.RepoModules
}

// Serves lists the Go modules that a mirror serves: what the go.mod files of its
// newest commit and of the newest version of each major version declare, as far as
// these paths lead here, and the paths of aliases. The caller may read repo.
func (r *Repos) Serves(ctx context.Context, repo mirror.Repo, aliases []mirror.Alias) (mirror.RepoModules, error) {
	r.init()
	list, err := r.Reader.Refs(ctx, repo.ID)
	if errors.Is(err, mirror.ErrNotFound) {
		return mirror.RepoModules{}, nil // not cloned yet
	}
	if err != nil {
		return mirror.RepoModules{}, err
	}
	x := r.index(repo.ID, list)
	if known, ok := r.serves.Get(repo.ID); ok && known.index == x && time.Since(known.at) < servesRemember {
		return known.RepoModules, nil
	}
	asker := auth.From(ctx)
	done := r.flight.DoChan("serves "+string(repo.ID), func() (any, error) {
		// Nobody's identity: a path that is not mirrored is not mirrored for this question.
		ctx, cancel := context.WithTimeout(auth.With(context.WithoutCancel(ctx), auth.Identity{}), servesWait)
		defer cancel()
		s := &serving{repos: r, repo: repo, list: list, index: x, paths: map[string]bool{}}
		out, err := s.find(context.WithValue(ctx, readerKey{}, asker), aliases)
		if err == nil {
			r.serves.Add(repo.ID, knownServes{x, time.Now(), out})
		}
		return out, err
	})
	select {
	case got := <-done:
		out, _ := got.Val.(mirror.RepoModules)
		return out, got.Err
	case <-ctx.Done():
		return mirror.RepoModules{}, ctx.Err()
	}
}

// serving is one look for the modules of a repository.
type serving struct {
	repos *Repos
	repo  mirror.Repo
	list  mirror.Listing
	index *index
	paths map[string]bool // of modules that may be here
	more  bool
}

func (s *serving) find(ctx context.Context, aliases []mirror.Alias) (out mirror.RepoModules, err error) {
	own := &home{path: string(s.repo.Path), root: string(s.repo.Path), repo: s.repo}
	v, err := s.repos.viewOf(own, s.list, nil)
	if err != nil {
		return out, err
	}
	if err := s.look(ctx, v); err != nil {
		return out, err
	}
	for _, a := range aliases {
		if a.Repo == s.repo.Path && len(s.paths) < servesModules {
			s.paths[a.Prefix] = true
		}
	}
	for p := range s.paths {
		if ctx.Err() != nil {
			s.more = true
			break
		}
		m, ok, err := s.module(ctx, p)
		if err != nil && ctx.Err() == nil {
			return out, err
		}
		if ok {
			out.Modules = append(out.Modules, m)
		}
	}
	out.Partial = s.more
	// What a path that leads here declares is no fork under the repository's own path.
	out.Modules = slices.DeleteFunc(out.Modules, func(m mirror.RepoModule) bool {
		return m.Declares != "" && slices.ContainsFunc(out.Modules, func(o mirror.RepoModule) bool { return o.Path == m.Declares })
	})
	slices.SortFunc(out.Modules, func(a, b mirror.RepoModule) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}

// look collects the paths: of the newest commit, and of the newest tag of every
// major version in each directory that has a go.mod there.
func (s *serving) look(ctx context.Context, v *view) error {
	head, ok := s.list.Ref(s.list.Head)
	dirs := []string{""}
	if ok {
		found, err := s.walk(ctx, v, head.Commit())
		if err != nil {
			return err
		}
		dirs = append(dirs, found...)
	}
	newest := map[string]string{} // directory and major version → tag
	for tag := range v.tags {
		dir, version := path.Split(tag)
		dir = strings.TrimSuffix(dir, "/")
		if version != semver.Canonical(version) || version == "" || module.IsPseudoVersion(version) || !slices.Contains(dirs, dir) {
			continue
		}
		key := dir + " " + semver.Major(version)
		if best, ok := newest[key]; !ok || semver.Compare(version, path.Base(best)) > 0 {
			newest[key] = tag
		}
	}
	for key, tag := range newest {
		if ctx.Err() != nil || len(s.paths) >= servesModules {
			s.more = true
			return nil
		}
		dir, major, _ := strings.Cut(key, " ")
		for _, at := range []string{dir, path.Join(dir, major)} {
			if err := s.declared(ctx, v, v.tags[tag], at); err != nil {
				return err
			}
		}
	}
	return nil
}

// walk returns the directories of a commit that have a go.mod, but its root.
func (s *serving) walk(ctx context.Context, v *view, commit string) (dirs []string, err error) {
	tree, err := v.reader.Tree(ctx, s.repo.ID, commit)
	if errors.Is(err, mirror.ErrNotFound) {
		return nil, nil // the branch leads to no commit
	}
	if err != nil {
		return nil, err
	}
	entries, code, root := 0, false, false
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if entries++; entries > servesEntries || ctx.Err() != nil || len(dirs) >= servesModules {
			s.more = true
			return fs.SkipAll
		}
		base := path.Base(name)
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (base == "vendor" || base == "testdata" || base[0] == '_' || base[0] == '.'):
			return fs.SkipDir
		case base == "go.mod" && !d.IsDir():
			dir := strings.TrimPrefix(path.Dir(name), ".")
			if root = root || dir == ""; dir != "" {
				dirs = append(dirs, dir)
			}
			return s.declared(ctx, v, commit, dir)
		case strings.HasSuffix(base, ".go"):
			code = true
		}
		return nil
	})
	if err == nil && code && !root { // the go command makes a go.mod up
		s.paths[string(s.repo.Path)] = true
	}
	return dirs, err
}

// declared adds what the go.mod of a directory says, under the path it declares and
// under that of the repository.
func (s *serving) declared(ctx context.Context, v *view, commit, dir string) error {
	text, found, err := v.gomod(ctx, commit, path.Join(dir, "go.mod"))
	var unfit *versionError
	if errors.As(err, &unfit) || err == nil && !found {
		return nil
	}
	if err != nil {
		if ctx.Err() != nil {
			s.more = true
			return nil
		}
		return err
	}
	declares := modfile.ModulePath(text)
	if module.CheckPath(declares) != nil || len(declares) > maxPathBytes {
		return nil
	}
	s.paths[declares] = true
	_, major, _ := module.SplitPathVersion(declares)
	own := path.Join(string(s.repo.Path), dir)
	if strings.HasPrefix(major, "/") && !strings.HasSuffix(own, major) {
		own += major
	}
	if module.CheckPath(own) == nil {
		s.paths[own] = true
	}
	return nil
}

// module is the newest version of a module, if its path leads here.
func (s *serving) module(ctx context.Context, modPath string) (mirror.RepoModule, bool, error) {
	h, err := s.repos.locate(ctx, modPath)
	if p := mirror.AsProblem(err); err != nil && p.Kind != "" || err == nil && h.repo.ID != s.repo.ID {
		return mirror.RepoModule{}, false, nil
	}
	if err != nil {
		return mirror.RepoModule{}, false, err
	}
	v, err := s.repos.viewOf(h, s.list, nil)
	if err != nil {
		return mirror.RepoModule{}, false, err
	}
	list, err := v.versions(ctx)
	if err != nil {
		return mirror.RepoModule{}, false, err
	}
	newest, err := v.latest(ctx)
	var unfit *versionError
	if errors.As(err, &unfit) {
		return mirror.RepoModule{}, false, nil
	}
	if err != nil {
		return mirror.RepoModule{}, false, err
	}
	m := mirror.RepoModule{Path: modPath, Dir: newest.dir, Version: newest.version, At: newest.Time, Versions: len(list)}
	if declares := modfile.ModulePath(newest.gomod); declares != modPath && module.CheckPath(declares) == nil {
		m.Declares = declares
	}
	return m, true, nil
}
