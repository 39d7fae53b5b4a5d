package modproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/sync/singleflight"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Repos makes modules of mirrored repositories. Its methods fail with a *mirror.Problem of kind ErrNotFound (not
// mirrored, no such version), ErrInvalid (no module path, or no valid module
// zip can be made), ErrUpstream (mirrored and not fetched yet), or with an
// error for the log.
type Repos struct {
	Catalog Catalog
	Reader  mirror.Reader
	// Policy says who may know of which mirror; nil = the caller has asked.
	Policy *auth.Policy
	// Site is this mirror: module paths below its host are those of Resolve.
	Site mirror.Site
	// Temp is a directory for temporary files, "" = the system's. They are
	// as large as a module unpacked and are removed after use.
	Temp string
	// Log gets what answers to users leave out; nil = nobody.
	Log *slog.Logger
	// OnNeed is told of module versions that a project needs and no mirror has; may be nil.
	OnNeed func(module, version string)
	// Limit is how many archives are read at once; zero = GOMAXPROCS.
	Limit int

	spooled  int64 // bytes of one module that are kept unpacked; zero = as many as a zip may hold
	once     sync.Once
	slots    chan struct{}
	sums     *lru.Cache[sumKey, string]
	commits  *lru.Cache[commitKey, mirror.Commit]
	files    *lru.Cache[fileKey, knownFile]
	ancestry *lru.Cache[ancestryKey, bool]
	indexes  *lru.Cache[mirror.ID, *index]
	serves   *lru.Cache[mirror.ID, knownServes]
	flight   singleflight.Group
}

// Bounds of what is remembered. An entry of the first three takes about 300
// bytes, a file up to maxFile, an index about 200 bytes per tag.
const (
	maxSums     = 50_000
	maxCommits  = 50_000
	maxAncestry = 50_000
	maxFiles    = 10_000
	maxFile     = 8 << 10
	maxIndexes  = 128
)

// commitKey names a commit by its full hash.
type commitKey struct {
	repo mirror.ID
	hash string
}

// ancestryKey names two commits by their full hashes.
type ancestryKey struct {
	repo     mirror.ID
	old, new string
}

// fileKey names a file of a commit.
type fileKey struct {
	repo         mirror.ID
	commit, name string
}

// knownFile is what a file holds, or that there is none.
type knownFile struct {
	data   []byte
	absent bool
}

// readTimeout bounds the reading of one archive, which outlives its asker.
const readTimeout = 15 * time.Minute

func (r *Repos) init() {
	r.once.Do(func() {
		n := r.Limit
		if n <= 0 {
			n = runtime.GOMAXPROCS(0)
		}
		r.slots = make(chan struct{}, n)
		r.sums = kept[sumKey, string](maxSums)
		r.commits = kept[commitKey, mirror.Commit](maxCommits)
		r.files = kept[fileKey, knownFile](maxFiles)
		r.ancestry = kept[ancestryKey, bool](maxAncestry)
		r.indexes = kept[mirror.ID, *index](maxIndexes)
		r.serves = kept[mirror.ID, knownServes](maxServes)
	})
}

// kept is a map of the n results used last, of something that never changes.
func kept[K comparable, V any](n int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](n)
	if err != nil {
		panic(err) // n is a constant, and more than nothing
	}
	return c
}

// slot waits until an archive may be read; the caller calls free afterwards.
func (r *Repos) slot(ctx context.Context) (free func(), err error) {
	r.init()
	select {
	case r.slots <- struct{}{}:
		return func() { <-r.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Info is what @v/VERSION.info says.
type Info struct {
	Version string
	Time    time.Time
	Origin  *Origin `json:",omitempty"`
}

// Origin tells where a version is from (cmd/go/internal/modfetch/codehost.Origin).
type Origin struct {
	VCS    string
	URL    string // the upstream's, not ours
	Subdir string `json:",omitempty"`
	Ref    string `json:",omitempty"`
	Hash   string
}

// Module is a module whose repository is mirrored.
type Module struct {
	Path string
	Repo mirror.Repo

	repos *Repos
	home  *home
}

// Module finds the repository of a module path. It does not look into it.
func (r *Repos) Module(ctx context.Context, modPath string) (*Module, error) {
	h, err := r.locate(ctx, modPath)
	if err != nil {
		return nil, err
	}
	return &Module{Path: modPath, Repo: h.repo, repos: r, home: h}, nil
}

// Versions lists the tagged versions in the order of @v/list. A directory
// without tags is ErrNotFound unless the default branch has a module there.
func (m *Module) Versions(ctx context.Context) ([]string, error) {
	v, err := m.repos.view(ctx, m.home)
	if err != nil {
		return nil, err
	}
	list, err := v.versions(ctx)
	if err != nil || len(list) > 0 {
		return list, v.problem(ctx, "", err)
	}
	rev, err := v.revision(ctx, "HEAD")
	if err == nil {
		_, err = v.convert(ctx, rev, "")
	}
	return nil, v.problem(ctx, "", err)
}

// Stat resolves a version, a branch, a tag, a commit or "latest".
func (m *Module) Stat(ctx context.Context, query string) (Info, error) {
	v, err := m.repos.view(ctx, m.home)
	if err != nil {
		return Info{}, err
	}
	var f found
	if query == "latest" {
		f, err = v.latest(ctx)
	} else {
		f, err = v.stat(ctx, query)
	}
	if err != nil {
		return Info{}, v.problem(ctx, query, err)
	}
	o := &Origin{VCS: "git", URL: m.Repo.Upstream.String(), Subdir: f.dir, Ref: f.ref, Hash: f.Hash}
	return Info{Version: f.version, Time: f.Time, Origin: o}, nil
}

// GoMod returns the go.mod of a canonical version, a made-up one where the
// revision has none.
func (m *Module) GoMod(ctx context.Context, version string) ([]byte, error) {
	v, f, err := m.version(ctx, version)
	if err != nil {
		return nil, err
	}
	return goMod(f.gomod, v.path), nil
}

// Zip writes the zip of a canonical version and returns its h1 hash.
func (m *Module) Zip(ctx context.Context, version string, w io.Writer) (hash string, err error) {
	v, f, err := m.version(ctx, version)
	if err != nil {
		return "", err
	}
	free, err := m.repos.slot(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	hash, err = v.writeZip(ctx, w, f, m.repos.Temp)
	return hash, v.zipProblem(version, err)
}

// version opens the repository and checks a version that must be canonical.
func (m *Module) version(ctx context.Context, version string) (*view, found, error) {
	v, err := m.repos.view(ctx, m.home)
	if err != nil {
		return nil, found{}, err
	}
	f, err := v.version(ctx, version)
	return v, f, err
}

// version is stat for versions that must mean themselves.
func (v *view) version(ctx context.Context, version string) (found, error) {
	if version != module.CanonicalVersion(version) {
		return found{}, v.problem(ctx, version, unfit("it is not a canonical version"))
	}
	if err := module.CheckPathMajor(version, v.major); err != nil {
		return found{}, v.problem(ctx, version, unfit("%v", err))
	}
	f, err := v.stat(ctx, version)
	if err != nil {
		return found{}, v.problem(ctx, version, err)
	}
	if f.version != version {
		return found{}, v.problem(ctx, version, unfit("it is %s", f.version))
	}
	return f, nil
}

// goMod is the module's go.mod, or the one cmd/go makes up (LegacyGoMod).
func goMod(text []byte, modPath string) []byte {
	if text != nil {
		return text
	}
	return fmt.Appendf(nil, "module %s\n", modfile.AutoQuote(modPath))
}

// problem explains a *versionError to a person; other errors pass.
func (v *view) problem(ctx context.Context, version string, err error) error {
	var no *versionError
	if !errors.As(err, &no) {
		return err
	}
	p := &mirror.Problem{Code: mirror.CodeNoVersion, Kind: mirror.ErrNotFound, Why: no.text}
	if version == "" {
		p.What = fmt.Sprintf("%s has no module %s", v.repo.Path, v.path)
		return p
	}
	p.What = fmt.Sprintf("%s@%s is not on the mirror", v.path, show(version))
	list, err := v.versions(ctx)
	if err == nil && len(list) > 0 {
		p.Do = "the mirror has " + strings.Join(nearest(list, version, 5), ", ") + "; "
	}
	p.Do += "if upstream has it, run: gitmirror mirror sync " + string(v.repo.Path) + " --wait"
	return p
}

// zipProblem explains why no zip can be made.
func (v *view) zipProblem(version string, err error) error {
	var no *versionError
	if !errors.As(err, &no) {
		return err
	}
	return &mirror.Problem{
		Code: mirror.CodeModuleBad, Kind: mirror.ErrInvalid,
		What: fmt.Sprintf("no module zip can be made of %s@%s", v.path, version), Why: no.text,
		Do: "use another version; the go command itself refuses this one",
	}
}

// nearest returns up to n versions around the place where version would be.
func nearest(list []string, version string, n int) []string {
	list = slices.Clone(list)
	slices.SortFunc(list, semver.Compare)
	i, _ := slices.BinarySearchFunc(list, version, semver.Compare)
	if !semver.IsValid(version) {
		i = len(list)
	}
	start := max(0, min(i-n/2, len(list)-n))
	return list[start:min(start+n, len(list))]
}
