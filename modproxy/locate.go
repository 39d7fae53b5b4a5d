package modproxy

import (
	"context"
	"errors"
	"path"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Catalog says which mirror serves an import path; *mirror.Catalog does.
type Catalog interface {
	Import(ctx context.Context, importPath string) (mirror.Import, error)
	// Imports is an Import for many paths of one question.
	Imports(ctx context.Context) (func(ctx context.Context, importPath string) (mirror.Import, error), error)
}

// maxPathBytes bounds module paths and versions from outside.
const maxPathBytes = 500

// home is where a module lives (newCodeRepo).
type home struct {
	path string // module path as asked for
	// prefix and major are path split by module.SplitPathVersion; major is "",
	// "/v2" or, for gopkg.in, ".v2".
	prefix, major string
	// root is the import path that stands for the root of the repository.
	root string
	// dir is the module's directory without major, "" or "cmd/tool".
	dir string
	// sub is the directory that root itself stands for, almost always "".
	sub  string
	repo mirror.Repo
}

// tagPrefix is what the names of the module's tags begin with, "" or "cmd/tool/".
func (h *home) tagPrefix() string {
	if h.dir == "" {
		return ""
	}
	return h.dir + "/"
}

// gopkg tells whether the path has the rules of gopkg.in.
func (h *home) gopkg() bool { return strings.HasPrefix(h.major, ".") }

// locate finds the repository and directory of a module path. Paths that begin
// with the mirror's own host are replacements made by Resolve.
func (r *Repos) locate(ctx context.Context, modPath string) (*home, error) {
	return r.locateBy(ctx, r.Catalog.Import, modPath)
}

func (r *Repos) locateBy(ctx context.Context, find func(context.Context, string) (mirror.Import, error), modPath string) (*home, error) {
	if len(modPath) > maxPathBytes || module.CheckPath(modPath) != nil {
		return nil, &mirror.Problem{
			Code: mirror.CodeBadPath, Kind: mirror.ErrInvalid, What: show(modPath) + " is not a module path",
			Do: "write it as in go.mod, for example golang.org/x/mod",
		}
	}
	h := &home{path: modPath}
	h.prefix, h.major, _ = module.SplitPathVersion(modPath)

	asked, own := r.withoutHost(modPath), ""
	if strings.HasPrefix(modPath, r.Site.Root()+"/") {
		own = r.Site.Root() + "/"
	}
	dotGit := strings.HasPrefix(modPath+"/", own+asked+".git/")
	imp, err := find(ctx, asked)
	if errors.Is(err, mirror.ErrNotFound) {
		return nil, notMirrored(asked)
	}
	if err != nil {
		return nil, err
	}
	if err := r.reads(ctx, imp.Repo); err != nil {
		return nil, hidden(asked, err)
	}
	h.repo, h.sub = imp.Repo, imp.Dir
	h.root = own + imp.Prefix
	if dotGit {
		if imp.Prefix != asked {
			return nil, notMirrored(asked)
		}
		h.root += ".git"
	}
	switch {
	case h.root == modPath: // a root that ends in /vN itself, or gopkg.in
	case h.prefix == h.root:
	case strings.HasPrefix(h.prefix, h.root+"/"):
		h.dir = h.prefix[len(h.root)+1:]
	default:
		return nil, notMirrored(asked)
	}
	if h.sub != "" {
		h.dir = path.Join(h.sub, h.dir)
	}
	return h, nil
}

// notMirrored depends on nothing but what was asked, so that it reads the same
// for what does not exist and for what the caller may not see.
func notMirrored(asked string) error {
	if p, err := mirror.ParsePath(asked); err == nil {
		asked = string(mirror.RepositoryRoot(p))
	}
	return mirror.NotMirrored(asked)
}

// show puts a stranger's text into a message.
func show(s string) string {
	if len(s) > 120 {
		s = s[:120] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// withoutHost is a module path as its repository's import path: without the
// mirror's own host in front and from ".git" on.
func (r *Repos) withoutHost(modPath string) string {
	if root := r.Site.Root(); root != "" {
		modPath = strings.TrimPrefix(modPath, root+"/")
	}
	before, _, _ := strings.Cut(modPath+"/", ".git/")
	return strings.TrimSuffix(before, "/")
}

// readerKey is who asks, where the identity of the context is another: that of
// nobody keeps rules for new mirrors from being applied.
type readerKey struct{}

// reads says whether the caller may know of a mirror.
func (r *Repos) reads(ctx context.Context, repo mirror.Repo) error {
	if r.Policy == nil {
		return nil
	}
	id, ok := ctx.Value(readerKey{}).(auth.Identity)
	if !ok {
		id = auth.From(ctx)
	}
	return r.Policy.Reads(ctx, id, repo.Path, repo.Private)
}

// hidden makes what one may not know of look like what is not mirrored.
func hidden(asked string, err error) error {
	if errors.Is(err, mirror.ErrDenied) || errors.Is(err, mirror.ErrSignIn) {
		return &hiddenError{notMirrored(asked)}
	}
	return err
}
