package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
	"github.com/gitmirror/gitmirror/web"
)

// resolver asks the server about modules.
type resolver struct{ *client }

// Resolve gives one answer per query, in the same order, and those that will be
// asked for next.
func (r resolver) Resolve(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	var out web.ResolvedModules
	// The first question about a version reads its files: no time limit but the user's patience.
	if err := r.exchange(ctx, http.MethodPost, api+"/modules/resolve", web.ResolveModules{Modules: queries, Graph: true}, &out); err != nil {
		return nil, err
	}
	if len(out.Answers) < len(queries) {
		return nil, r.odd(api+"/modules/resolve", fmt.Errorf("%d answers to %d questions", len(out.Answers), len(queries)))
	}
	return out.Answers, nil
}

// site asks where clients find the server.
func (c *client) site(ctx context.Context) (mirror.Site, error) {
	var s web.Site
	if err := c.call(ctx, http.MethodGet, api+"/site", nil, &s); err != nil {
		return mirror.Site{}, err
	}
	return mirror.Site{URL: s.URL, SSH: s.SSH}, nil
}

// project is somebody's Go code: a directory nothing outside of which is
// touched, and which modules in it are meant (none = the one at its root).
type project struct {
	*os.Root
	dirs []string
}

// openProject finds the project args mean: "./..." patterns and several
// directories are below the present one; one directory, or none, means the
// module it is in, and the workspace that uses it.
func (p *program) openProject(args []string) (*project, error) {
	start, dirs := ".", args
	if len(args) == 1 && !strings.HasSuffix(args[0], "...") {
		start, dirs = args[0], nil
	}
	start, err := filepath.Abs(start)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(start); errors.Is(err, fs.ErrNotExist) {
		return nil, &mirror.Problem{Code: rewrite.CodeProject, Kind: mirror.ErrNotFound, What: "there is no " + start, Do: "name the directory of a Go module"}
	}
	dir := start
	if len(dirs) == 0 {
		if dir, dirs, err = p.moduleOf(start); err != nil {
			return nil, err
		}
	}
	for i, d := range dirs {
		dirs[i] = filepath.ToSlash(d)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &mirror.Problem{Code: rewrite.CodeProject, Kind: mirror.ErrInvalid, What: dir + " cannot be opened", Why: err.Error(), Do: "name the directory of a Go module"}
	}
	return &project{Root: root, dirs: dirs}, nil
}

// moduleOf walks up to the go.mod that rules dir, as the go command does, and
// on to a go.work that uses it.
func (p *program) moduleOf(dir string) (root string, dirs []string, err error) {
	module := up(dir, "go.mod")
	work := up(dir, "go.work")
	if p.lookup("GOWORK") == "off" {
		work = ""
	}
	switch {
	case module == "" && work == "":
		return "", nil, &mirror.Problem{Code: rewrite.CodeProject, Kind: mirror.ErrNotFound, What: "there is no Go module in " + dir,
			Why: "neither it nor a directory above has a go.mod", Do: "change into a Go project, or name its directory"}
	case module == "" || work == module:
		return work, nil, nil
	case work == "":
		return module, nil, nil
	}
	member, err := filepath.Rel(work, module)
	if err != nil {
		return module, nil, nil
	}
	text, err := readRegular(filepath.Join(work, "go.work"))
	if err != nil {
		return "", nil, &mirror.Problem{Code: rewrite.CodeProject, Kind: mirror.ErrInvalid, What: filepath.Join(work, "go.work") + " cannot be read",
			Why: err.Error(), Do: "mend it, or set GOWORK=off to leave it alone"}
	}
	file, err := modfile.ParseWork("go.work", text, nil)
	if err != nil {
		return "", nil, &mirror.Problem{Code: rewrite.CodeProject, Kind: mirror.ErrInvalid, What: filepath.Join(work, "go.work") + " cannot be read",
			Why: err.Error(), Do: "mend it, or set GOWORK=off to leave it alone"}
	}
	for _, use := range file.Use {
		if path.Clean(use.Path) == filepath.ToSlash(member) {
			return work, []string{filepath.ToSlash(member)}, nil
		}
	}
	return module, nil, nil
}

// up is the nearest directory, dir or above it, that has a file; "" = none.
func up(dir, name string) string {
	for {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// outside reads a go.mod that a replace with a directory above the project names.
func (pr *project) outside(name string) ([]byte, error) {
	if path.Base(name) != "go.mod" {
		return nil, fs.ErrInvalid
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(pr.Name(), filepath.FromSlash(name))
	}
	return readRegular(name)
}

// readRegular reads a file that somebody else may have put there: a pipe would
// wait for ever, a device might not end.
func readRegular(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > maxList:
		return nil, fmt.Errorf("it is larger than %d MB", maxList>>20)
	}
	return os.ReadFile(name)
}
