package rewrite_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing/fstest"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// publicMirror is a mirror of public modules: it answers for any version the
// module proxy has, under the prefixes of a mapping. Module rules and hashes
// are the server's own ([modproxy.Repos]); only the disk below them is another,
// made of the files of module zips, because the commits that real
// pseudo-versions name cannot be made again. What runs on real repositories is
// TestSealedCases at the root.
type publicMirror struct {
	mirror.Reader // nil: of its methods only those below are used
	mapping       map[string]string
	known         *publicModules
	repos         modproxy.Repos

	mu    sync.Mutex
	disks map[mirror.ID]*publicRepo
}

// publicRepo is a repository as far as somebody asked for it.
type publicRepo struct {
	list    mirror.Listing
	commits map[string]*publicCommit // by hash
}

// publicCommit has one or more modules, each in its directory.
type publicCommit struct {
	mirror.Commit
	modules map[string]*gittest.Public
}

func newPublicMirror(mapping map[string]string, known *publicModules) *publicMirror {
	p := &publicMirror{mapping: mapping, known: known, disks: map[mirror.ID]*publicRepo{}}
	p.repos.Catalog, p.repos.Reader, p.repos.Site = p, p, testSite
	return p
}

// Resolve first gets what is asked about, then answers as the server does.
func (p *publicMirror) Resolve(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	var mods []gittest.Module
	for _, q := range queries {
		if _, _, ok := p.prefix(q.Path); ok && !strings.HasPrefix(q.Path, testHost+"/") {
			mods = append(mods, gittest.Module{Path: q.Path, Version: q.Version})
		}
	}
	all, err := p.known.list(mods)
	if err != nil {
		return nil, err
	}
	zips := map[gittest.Module]bool{}
	for _, q := range queries {
		zips[gittest.Module{Path: q.Path, Version: q.Version}] = !q.ModOnly
	}
	var fetch []*gittest.Public
	for _, m := range all {
		if m.Err == nil {
			p.add(m)
			if zips[m.Module] || m.Absent() {
				fetch = append(fetch, m)
			}
		}
	}
	if err := gittest.FetchPublic(fetch...); err != nil {
		return nil, err
	}
	return p.repos.Resolve(ctx, queries)
}

// prefix is the longest of the mapping that a module path is under.
func (p *publicMirror) prefix(path string) (prefix, repo string, ok bool) {
	for q := range p.mapping {
		if (path == q || strings.HasPrefix(path, q+"/")) && len(q) > len(prefix) {
			prefix = q
		}
	}
	return prefix, p.mapping[prefix], prefix != ""
}

// Import is the server's catalog.
func (p *publicMirror) Import(_ context.Context, path string) (mirror.Import, error) {
	prefix, repo, ok := p.prefix(path)
	if !ok {
		return mirror.Import{}, mirror.NotMirrored(path)
	}
	return mirror.Import{Prefix: prefix, Repo: mirror.Repo{ID: mirror.ID(repo), Path: mirror.Path(repo)}}, nil
}

// Imports is Import for many.
func (p *publicMirror) Imports(context.Context) (func(context.Context, string) (mirror.Import, error), error) {
	return p.Import, nil
}

// add puts a module version into its repository: a commit, and a tag unless it
// is a pseudo-version.
func (p *publicMirror) add(m *gittest.Public) {
	p.mu.Lock()
	defer p.mu.Unlock()
	prefix, repo, _ := p.prefix(m.Path)
	dir := ""
	if stem, _, ok := module.SplitPathVersion(m.Path); ok && strings.HasPrefix(stem, prefix+"/") {
		dir = stem[len(prefix)+1:]
	}
	r := p.disks[mirror.ID(repo)]
	if r == nil {
		r = &publicRepo{list: mirror.Listing{Head: "refs/heads/main"}, commits: map[string]*publicCommit{}}
		p.disks[mirror.ID(repo)] = r
	}
	version := strings.TrimSuffix(m.Version, "+incompatible")
	hash := ""
	if rev, err := module.PseudoVersionRev(version); err == nil {
		hash = rev + hashOf(rev)[len(rev):]
		if base, err := module.PseudoVersionBase(version); err == nil && base != "" {
			r.tag(dir, base) // the proxy has looked that it is there
		}
	} else {
		hash = r.tag(dir, version)
	}
	c := r.commits[hash]
	if c == nil {
		c = &publicCommit{Commit: mirror.Commit{Hash: hash, Time: m.Time.UTC()}, modules: map[string]*gittest.Public{}}
		r.commits[hash] = c
	}
	c.modules[dir] = m
}

// tag makes the tag of a module version, if it is not there, and returns the
// hash of its commit.
func (r *publicRepo) tag(dir, version string) string {
	name := "refs/tags/" + strings.TrimPrefix(dir+"/"+version, "/")
	if _, ok := r.list.Ref(name); !ok {
		r.list.Refs = append(slices.Clone(r.list.Refs), mirror.Ref{Name: name, Hash: hashOf(name)})
		r.list.Sort()
	}
	return hashOf(name)
}

func hashOf(name string) string {
	sum := sha1.Sum([]byte(name))
	return hex.EncodeToString(sum[:])
}

func (p *publicMirror) repo(id mirror.ID) *publicRepo {
	if r := p.disks[id]; r != nil {
		return r
	}
	return &publicRepo{}
}

// Refs, Commit, Advertised, Ancestor, Tree and Archive are the disk.
func (p *publicMirror) Refs(_ context.Context, id mirror.ID) (mirror.Listing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.repo(id).list, nil
}

func (p *publicMirror) commit(id mirror.ID, rev string) (*publicCommit, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for hash, c := range p.repo(id).commits {
		if strings.HasPrefix(hash, rev) {
			return c, nil
		}
	}
	return nil, mirror.ErrNotFound
}

func (p *publicMirror) Commit(_ context.Context, id mirror.ID, rev string) (mirror.Commit, error) {
	c, err := p.commit(id, rev)
	if err != nil {
		return mirror.Commit{}, err
	}
	return c.Commit, nil
}

func (p *publicMirror) Advertised(context.Context, mirror.ID, string) (bool, error) { return true, nil }

func (p *publicMirror) Ancestor(context.Context, mirror.ID, string, string) (bool, error) {
	return true, nil
}

func (p *publicMirror) Tree(_ context.Context, id mirror.ID, commit string) (fs.FS, error) {
	c, err := p.commit(id, commit)
	return publicTree{c}, err
}

func (p *publicMirror) Archive(_ context.Context, id mirror.ID, commit, dir string) (io.ReadCloser, error) {
	c, err := p.commit(id, commit)
	if err != nil {
		return nil, err
	}
	files, err := c.modules[dir].Files()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(files[name])), Mode: 0o644}); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	return io.NopCloser(&b), w.Close()
}

// publicTree is what is read of a commit by name: go.mod files and a LICENSE.
type publicTree struct{ *publicCommit }

func (t publicTree) Open(name string) (fs.File, error) {
	for dir, m := range t.modules {
		rest, ok := strings.CutPrefix(name, strings.TrimPrefix(dir+"/", "/"))
		if !ok {
			continue
		}
		if rest == "go.mod" && !m.Absent() {
			return fstest.MapFS{name: {Data: m.GoMod}}.Open(name)
		}
		files, err := m.Files()
		if err != nil {
			return nil, err
		}
		if data, ok := files[rest]; ok {
			return fstest.MapFS{name: {Data: data}}.Open(name)
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// publicModules remembers what the module proxy said.
type publicModules struct {
	mu    sync.Mutex
	known map[gittest.Module]*gittest.Public
}

func (k *publicModules) list(mods []gittest.Module) ([]*gittest.Public, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[gittest.Module]*gittest.Public{}
	}
	var unknown []gittest.Module
	for _, m := range mods {
		if k.known[m] == nil {
			unknown = append(unknown, m)
		}
	}
	if len(unknown) > 0 {
		found, err := gittest.ListPublic(unknown)
		if err != nil {
			return nil, fmt.Errorf("ask the module proxy: %w", err)
		}
		for i, m := range unknown {
			k.known[m] = found[i]
		}
	}
	all := make([]*gittest.Public, len(mods))
	for i, m := range mods {
		all[i] = k.known[m]
	}
	return all, nil
}
