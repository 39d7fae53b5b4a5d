package gittest

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
)

// Universe is what a rewrite case needs to be played on real repositories: the
// mapped modules as upstream repositories, and the case told in their terms.
//
// Where no mapped module has a pseudo-version the case stays as it is, byte for
// byte. A pseudo-version names a commit that only the real repository has; here
// the commit with the module's files has another hash. So it gets its local name
// everywhere – in the case, and in the go.mod of every module that requires it –
// and all hashes that depend on it are computed anew with golang.org/x/mod. Such
// a case then proves the same of other bytes; that the true bytes come out is
// proven by the tests of package rewrite on the same case.
type Universe struct {
	// Upstreams are the URLs of the repositories, by their path on the mirror.
	Upstreams map[string]string
	// Proxy is a GOPROXY directory with the modules that are not what they are
	// elsewhere: the renamed, and those that require them.
	Proxy string
	// Public are the modules that are not mirrored.
	Public []*Public

	pairs []string // old, new, …
	mods  []*caseModule
}

// caseModule is a mapped module version.
type caseModule struct {
	*Public
	loc     location
	version string            // its local name
	real    map[string][]byte // its files
	files   map[string][]byte // with its local go.mod
}

// commitOf is what is one commit: modules of a repository at one revision.
type commitOf struct{ repo, rev string }

// AddCase makes the repositories of a case below /NAME of the upstream.
func (up *Upstream) AddCase(tb testing.TB, name string, c RewriteCase) *Universe {
	tb.Helper()
	return up.addUniverse(tb, name, c, CaseModules(c), false)
}

// AddProject does the same for a whole project and what else its module graph
// names. A module of which go.sum has nothing but the go.mod gets nothing but
// that: no go command asks for its zip.
func (up *Upstream) AddProject(tb testing.TB, name string, c RewriteCase, graph []Module) *Universe {
	tb.Helper()
	mods := CaseModules(c)
	for _, m := range graph {
		if !slices.Contains(mods, m) {
			mods = append(mods, m)
		}
	}
	return up.addUniverse(tb, name, c, mods, true)
}

func (up *Upstream) addUniverse(tb testing.TB, name string, c RewriteCase, mods []Module, lean bool) *Universe {
	tb.Helper()
	u := &Universe{Upstreams: map[string]string{}, Proxy: tb.TempDir()}
	if err := u.collect(c, mods, lean); err != nil {
		tb.Fatal(err)
	}
	b := &universeBuilder{up: up, name: name, u: u, repos: map[string]*builder{}, groups: map[commitOf][]*caseModule{}, done: map[commitOf]bool{}}
	if err := b.build(); err != nil {
		tb.Fatal(err)
	}
	if err := u.alter(c); err != nil {
		tb.Fatal(err)
	}
	return u
}

// Text is a text of the case in the terms of the universe.
func (u *Universe) Text(text string) string { return strings.NewReplacer(u.pairs...).Replace(text) }

// Altered tells whether any is different.
func (u *Universe) Altered() bool { return len(u.pairs) > 0 }

// CaseModules are the module versions that the files of a case name, without
// the replacements.
func CaseModules(c RewriteCase) (mods []Module) {
	seen := map[Module]bool{}
	add := func(m module.Version) {
		found := Module{m.Path, m.Version}
		if m.Version != "" && !seen[found] && !strings.HasPrefix(m.Path, CaseHost+"/") {
			seen[found] = true
			mods = append(mods, found)
		}
	}
	for _, files := range []map[string]string{c.In, c.Want} {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			switch base := filepath.Base(name); base {
			case "go.sum", "go.work.sum":
				for line := range strings.Lines(files[name]) {
					if w := strings.Fields(line); len(w) == 3 {
						add(module.Version{Path: w[0], Version: strings.TrimSuffix(w[1], "/go.mod")})
					}
				}
			case "go.mod", "go.work":
				var replaces []*modfile.Replace
				if f, err := modfile.Parse(name, []byte(files[name]), nil); err == nil && base == "go.mod" {
					for _, r := range f.Require {
						add(r.Mod)
					}
					replaces = f.Replace
				} else if f, err := modfile.ParseWork(name, []byte(files[name]), nil); err == nil {
					replaces = f.Replace
				}
				for _, r := range replaces {
					if strings.HasPrefix(r.New.Path, CaseHost+"/") {
						add(r.Old)
					}
					add(r.New)
				}
			}
		}
	}
	return mods
}

// collect finds out what the case names, and which of it there is.
func (u *Universe) collect(c RewriteCase, mods []Module, lean bool) error {
	all, err := ListPublic(mods)
	if err != nil {
		return err
	}
	zips := zipLines(c)
	var mapped []*Public
	for _, p := range all {
		if p.Err != nil {
			continue // the case is about its absence
		}
		prefix, repo := c.Prefix(p.Path)
		if repo == "" {
			u.Public = append(u.Public, p)
			continue
		}
		stem, major, ok := module.SplitPathVersion(p.Path)
		if !ok {
			return fmt.Errorf("%s: malformed module path", p.Module)
		}
		loc := location{repo: repo}
		if strings.HasPrefix(stem, prefix+"/") {
			loc.dir = stem[len(prefix)+1:]
			loc.prefix = loc.dir + "/"
		}
		if !module.IsPseudoVersion(p.Version) {
			loc.tag = loc.prefix + strings.TrimSuffix(p.Version, "+incompatible")
		}
		if majorDir(p.Path) {
			loc.dir = strings.TrimPrefix(loc.dir+major, "/")
		}
		m := &caseModule{Public: p, loc: loc, version: p.Version}
		u.mods = append(u.mods, m)
		switch {
		case !lean || zips[p.Module]:
			mapped = append(mapped, p)
		case p.Absent() && loc.dir == "" && !strings.HasPrefix(major, "/"): // other modules have a go.mod, or would not be found
			m.real = map[string][]byte{"README": []byte(p.String() + "\n")}
		default:
			m.real = map[string][]byte{"go.mod": p.GoMod}
		}
	}
	if err := FetchPublic(mapped...); err != nil {
		return err
	}
	for _, m := range u.mods {
		if m.real == nil {
			if m.real, err = m.Files(); err != nil {
				return err
			}
		}
		m.files = m.real
	}
	slices.SortStableFunc(u.mods, func(a, b *caseModule) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Path, b.Path))
	})
	return nil
}

// rev is the commit in a pseudo-version as it stands there, "20060102150405-abcdef012345";
// empty for other versions.
func rev(version string) string {
	version = strings.TrimSuffix(version, "+incompatible")
	hash, err := module.PseudoVersionRev(version)
	if err != nil {
		return ""
	}
	return version[len(version)-len("20060102150405-")-len(hash):]
}

// universeBuilder makes the commits, those that others name first.
type universeBuilder struct {
	up     *Upstream
	name   string
	u      *Universe
	repos  map[string]*builder
	groups map[commitOf][]*caseModule
	done   map[commitOf]bool
}

func (b *universeBuilder) build() error {
	for _, m := range b.u.mods {
		key := m.commit()
		b.groups[key] = append(b.groups[key], m)
	}
	for _, m := range b.u.mods {
		if err := b.make(m.commit()); err != nil {
			return err
		}
	}
	return nil
}

func (m *caseModule) commit() commitOf {
	return commitOf{m.loc.repo, cmp.Or(m.loc.tag, rev(m.Version))}
}

// make commits the modules of a revision.
func (b *universeBuilder) make(key commitOf) error {
	if b.done[key] {
		return nil
	}
	b.done[key] = true
	group := b.groups[key]
	for _, m := range group {
		if err := b.makeRequired(m); err != nil {
			return err
		}
	}
	r, err := b.repo(key.repo)
	if err != nil {
		return err
	}
	first := group[0]
	if err := b.makeBase(r, first); err != nil {
		return err
	}
	for _, m := range group {
		r.latest[m.loc.dir] = m.files
	}
	tree := r.tree(first.loc.dir)
	for _, m := range group[1:] { // of one commit: all of them
		for name, data := range m.files {
			tree[filepath.ToSlash(filepath.Join(m.loc.dir, name))] = data
		}
	}
	if first.loc.tag != "" {
		_, err := r.commit(tree, first.Time, key.rev, tagIt(first.loc.tag)...)
		return err
	}
	commit, err := r.commit(tree, first.Time, key.rev)
	if err != nil {
		return err
	}
	local := key.rev[:len("20060102150405-")] + commit[:12]
	b.u.pairs = append(b.u.pairs, key.rev, local)
	for _, m := range group {
		m.version = strings.Replace(m.Version, key.rev, local, 1)
	}
	return nil
}

// makeRequired makes the commits that a module's go.mod names, and gives it a
// go.mod with their local names.
func (b *universeBuilder) makeRequired(m *caseModule) error {
	gomod, ok := m.files["go.mod"]
	if !ok {
		return nil
	}
	for key, group := range b.groups {
		if group[0].loc.tag == "" && strings.Contains(string(gomod), key.rev) {
			if err := b.make(key); err != nil {
				return err
			}
		}
	}
	if text := b.u.Text(string(gomod)); text != string(gomod) {
		m.files = maps.Clone(m.files)
		m.files["go.mod"] = []byte(text)
	}
	return nil
}

// makeBase makes the tag that a pseudo-version is based on, unless it is there
// or will be: nobody asks for its content.
func (b *universeBuilder) makeBase(r *builder, m *caseModule) error {
	base, err := module.PseudoVersionBase(strings.TrimSuffix(m.Version, "+incompatible"))
	if m.loc.tag != "" || err != nil || base == "" {
		return nil
	}
	tag := m.loc.prefix + base
	key := commitOf{m.loc.repo, tag}
	if b.groups[key] != nil {
		return b.make(key)
	}
	if hasRef(r.dir, "refs/tags/"+tag) {
		return nil
	}
	_, err = r.commit(map[string][]byte{"BASE": []byte(tag + "\n")}, m.Time.Add(-time.Second), tag, tagIt(tag)...)
	return err
}

func (b *universeBuilder) repo(path string) (*builder, error) {
	if r := b.repos[path]; r != nil {
		return r, nil
	}
	at := b.name + "/" + path
	r := &builder{dir: b.up.Dir(at), latest: map[string]map[string][]byte{}, tags: map[string][]string{}}
	b.repos[path] = r
	b.u.Upstreams[path] = b.up.URL(at)
	return r, initBare(r.dir)
}

// alter finds the hashes that changed, and writes the modules of the public
// proxy that did.
func (u *Universe) alter(c RewriteCase) error {
	if !u.Altered() {
		return nil
	}
	zips := zipLines(c)
	var hashes []string
	changed := func(old, new string) {
		if old != new {
			hashes = append(hashes, old, new)
		}
	}
	for _, m := range u.mods {
		gomod, has := m.files["go.mod"]
		if m.version == m.Version && string(gomod) == string(m.real["go.mod"]) {
			continue
		}
		changed(zipHash(m.Path, m.Version, m.real), zipHash(m.Path, m.version, m.files))
		if has {
			changed(goModHash(m.real["go.mod"]), goModHash(gomod))
		} else {
			gomod = m.GoMod
		}
		for to, sum := range replacements(c) {
			if zipHash(to.Path, to.Version, m.real) == sum {
				changed(sum, zipHash(to.Path, u.Text(to.Version), m.files))
			}
		}
		if err := u.publish(Module{m.Path, m.version}, m.Time, gomod, m.files); err != nil {
			return err
		}
	}
	for _, p := range u.Public {
		text := u.Text(string(p.GoMod))
		if text == string(p.GoMod) {
			continue
		}
		changed(goModHash(p.GoMod), goModHash([]byte(text)))
		var files map[string][]byte
		if zips[p.Module] {
			real, err := p.Files()
			if err != nil {
				return err
			}
			files = maps.Clone(real)
			files["go.mod"] = []byte(text)
			changed(zipHash(p.Path, p.Version, real), zipHash(p.Path, p.Version, files))
		}
		if err := u.publish(p.Module, p.Time, []byte(text), files); err != nil {
			return err
		}
	}
	u.pairs = append(u.pairs, hashes...)
	return nil
}

// zipLines are the modules of whose zips some go.sum has the hash.
func zipLines(c RewriteCase) map[Module]bool {
	found := map[Module]bool{}
	for m := range sumLines(c) {
		found[m] = true
	}
	return found
}

// replacements are those that name the mirror.
func replacements(c RewriteCase) map[Module]string {
	found := sumLines(c)
	maps.DeleteFunc(found, func(m Module, _ string) bool { return !strings.HasPrefix(m.Path, CaseHost+"/") })
	return found
}

func sumLines(c RewriteCase) map[Module]string {
	found := map[Module]string{}
	for _, files := range []map[string]string{c.In, c.Want} {
		for name, text := range files {
			if !strings.HasSuffix(name, ".sum") {
				continue
			}
			for line := range strings.Lines(text) {
				if w := strings.Fields(line); len(w) == 3 && !strings.HasSuffix(w[1], "/go.mod") {
					found[Module{w[0], w[1]}] = w[2]
				}
			}
		}
	}
	return found
}

// publish writes a module into the proxy directory; without files no zip.
func (u *Universe) publish(m Module, at time.Time, gomod []byte, files map[string][]byte) error {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return err
	}
	name := filepath.Join(u.Proxy, filepath.FromSlash(path), "@v", version)
	info := fmt.Sprintf(`{"Version":%q,"Time":%q}`, m.Version, at.UTC().Format(time.RFC3339))
	err = errors.Join(
		os.MkdirAll(filepath.Dir(name), 0o755),
		os.WriteFile(name+".info", []byte(info), 0o644),
		os.WriteFile(name+".mod", gomod, 0o644),
	)
	if err != nil || files == nil {
		return err
	}
	f, err := os.Create(name + ".zip")
	if err != nil {
		return err
	}
	defer f.Close()
	w := zip.NewWriter(f)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		e, err := w.Create(m.String() + "/" + name)
		if err == nil {
			_, err = e.Write(files[name])
		}
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// zipHash is the hash of a module zip, as go.sum has it.
func zipHash(path, version string, files map[string][]byte) string {
	prefix := path + "@" + version + "/"
	named := make(map[string][]byte, len(files))
	for name, data := range files {
		named[prefix+name] = data
	}
	return hash1(named)
}

func goModHash(text []byte) string { return hash1(map[string][]byte{"go.mod": text}) }

func hash1(files map[string][]byte) string {
	h, err := dirhash.Hash1(slices.Collect(maps.Keys(files)), func(name string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files[name])), nil
	})
	if err != nil {
		panic(err) // nothing of it can fail but a name with a newline
	}
	return h
}
