package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/mod/modfile"
	"golang.org/x/sync/errgroup"
)

// Limits of what is read. The go command itself refuses a dependency's go.mod
// above 16 MB.
const (
	maxGoMod   = 16 << 20
	maxGoSum   = 64 << 20
	maxVendor  = 64 << 20
	maxModules = 1000 // go.mod files of one project
)

// project is what is on disk.
type project struct {
	*reader
	fsys    fs.FS
	modules []*member
	work    *workspace // nil = none
}

// member is one main module with its files.
type member struct {
	dir    string // "." or a path below the project
	mod    *gomod
	sum    *gosum
	vendor *text // nil = not vendored
	inWork bool
}

// workspace is a go.work at the root of the project.
type workspace struct {
	mod    *gomod // its replaces
	file   *modfile.WorkFile
	sum    *gosum
	vendor *text
}

// text is a file as it is.
type text struct {
	name string
	data []byte
}

// readProject reads the modules in dirs ("." when there are none; "x/..." means
// every module below x). When the project has a go.work and one of them is in
// it, all its members are read: they share one build.
func readProject(fsys fs.FS, dirs []string) (*project, []string, error) {
	p := &project{reader: newReader(), fsys: fsys}
	var warnings []string
	work, uses, outside, err := p.readWork(fsys)
	if err != nil {
		return nil, nil, err
	}
	for _, dir := range outside {
		warnings = append(warnings, fmt.Sprintf("go.work: %s is outside of this directory; left alone", printable(dir)))
	}
	wanted, err := expand(fsys, dirs, work != nil)
	if err != nil {
		return nil, nil, err
	}
	if work != nil && slices.ContainsFunc(wanted, func(dir string) bool { return dir == "." || slices.Contains(uses, dir) }) {
		p.work = work
		more := wanted
		wanted = slices.Clone(uses)
		for _, dir := range more {
			has, _ := exists(fsys, path.Join(dir, "go.mod"))
			if !slices.Contains(wanted, dir) && (has || dir != ".") {
				wanted = append(wanted, dir)
			}
		}
	}
	if len(wanted) > maxModules {
		return nil, nil, badProject(fmt.Sprintf("there are more than %d go.mod files", maxModules), "", "name the directories to rewrite")
	}
	p.modules = make([]*member, len(wanted))
	errs := make([]error, len(wanted))
	var g errgroup.Group
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(wanted)) {
		g.Go(func() error {
			var room []byte
			for i := int(next.Add(1)) - 1; i < len(wanted); i = int(next.Add(1)) - 1 {
				p.modules[i], room, errs[i] = p.readMember(fsys, wanted[i], room)
			}
			return nil
		})
	}
	_ = g.Wait()
	for _, err := range errs { // the first of the files, whoever was first to fail
		if err != nil {
			return nil, nil, err
		}
	}
	used := map[string]bool{}
	for _, dir := range uses {
		used[dir] = p.work != nil
	}
	for _, m := range p.modules {
		m.inWork = used[m.dir]
	}
	return p, warnings, nil
}

// readMember reads the files of one module. It uses room, and returns it for the next.
func (r *reader) readMember(fsys fs.FS, dir string, room []byte) (*member, []byte, error) {
	name := path.Join(dir, "go.mod")
	data, ok, err := readFile(fsys, name, maxGoMod)
	if err != nil {
		return nil, room, err
	}
	if !ok {
		return nil, room, badProject("there is no "+name, "", "run it in the directory of a Go module, or name that directory")
	}
	m := &member{dir: dir}
	if m.mod, err = r.parseGoMod(name, data); err != nil {
		return nil, room, err
	}
	if m.sum, room, err = r.readSum(fsys, path.Join(dir, "go.sum"), room); err != nil {
		return nil, room, err
	}
	m.vendor, err = readVendor(fsys, dir)
	return m, room, err
}

func readVendor(fsys fs.FS, dir string) (*text, error) {
	name := path.Join(dir, "vendor", "modules.txt")
	data, ok, err := readFile(fsys, name, maxVendor)
	if err != nil || !ok {
		return nil, err
	}
	return &text{name: name, data: data}, nil
}

// readWork reads go.work at the root. uses are its members inside the project.
func (r *reader) readWork(fsys fs.FS) (w *workspace, uses, outside []string, err error) {
	data, ok, err := readFile(fsys, "go.work", maxGoMod)
	if err != nil || !ok {
		return nil, nil, nil, err
	}
	w = &workspace{}
	if w.mod, w.file, err = r.parseGoWork("go.work", data); err != nil {
		return nil, nil, nil, err
	}
	if w.sum, _, err = r.readSum(fsys, "go.work.sum", nil); err != nil {
		return nil, nil, nil, err
	}
	if w.vendor, err = readVendor(fsys, "."); err != nil {
		return nil, nil, nil, err
	}
	if w.vendor != nil && !strings.HasPrefix(string(w.vendor.data), "## workspace") {
		w.vendor = nil // made by go mod vendor: the root module's
	}
	for _, u := range w.file.Use {
		dir := path.Clean(u.Path)
		if !fs.ValidPath(dir) {
			outside = append(outside, u.Path)
		} else if !slices.Contains(uses, dir) {
			uses = append(uses, dir)
		}
	}
	return w, uses, outside, nil
}

// expand cleans the directories asked for and finds the modules below "x/...".
func expand(fsys fs.FS, dirs []string, work bool) ([]string, error) {
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	var found []string
	for _, dir := range dirs {
		base, all := strings.CutSuffix(dir, "...")
		base = path.Clean(strings.TrimSuffix(base, "/"))
		if !fs.ValidPath(base) {
			return nil, badProject(printable(dir)+" is not a directory of the project", "", "name a directory below the one you are in")
		}
		if !all {
			found = append(found, base)
			continue
		}
		below, err := modulesBelow(fsys, base)
		if err != nil {
			return nil, err
		}
		if len(below) == 0 && !(work && base == ".") {
			return nil, badProject("there is no go.mod in or below "+base, "", "run it where a Go module is")
		}
		found = append(found, below...)
		if work && base == "." {
			found = append(found, ".")
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

func modulesBelow(fsys fs.FS, base string) ([]string, error) {
	var found []string
	err := fs.WalkDir(fsys, base, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return badProject(name+" cannot be read", reason(err), "check its permissions")
		}
		if d.IsDir() {
			b := path.Base(name)
			if name != base && (b == "vendor" || b == "testdata" || b == "node_modules" || strings.HasPrefix(b, ".") || strings.HasPrefix(b, "_")) {
				return fs.SkipDir
			}
			// A checkout inside of this one is another project.
			if nested, _ := exists(fsys, path.Join(name, ".git")); nested && name != base {
				return fs.SkipDir
			}
			return nil
		}
		if path.Base(name) == "go.mod" {
			found = append(found, path.Dir(name))
		}
		if len(found) > maxModules {
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}

func exists(fsys fs.FS, name string) (bool, error) {
	_, err := fs.Lstat(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// readFile reads a regular file of at most limit bytes; ok is false when there
// is none. Links, pipes, devices and directories are refused before they are
// opened: what would be written is not the file that was named.
func readFile(fsys fs.FS, name string, limit int64) (data []byte, ok bool, err error) {
	return readInto(nil, fsys, name, name, limit)
}

// readInto is readFile into the room of buf. In messages the file is called shown.
func readInto(buf []byte, fsys fs.FS, name, shown string, limit int64) (data []byte, ok bool, err error) {
	info, err := fs.Lstat(fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, badProject(shown+" cannot be read", reason(err), "check the path and its permissions")
	}
	if why := irregular(info); why != "" {
		return nil, false, badProject(shown+" is "+why+", not a regular file of the project", "",
			"put a regular file there; gitmirror does not write through it")
	}
	if info.Size() > limit {
		return nil, false, tooLarge(shown, limit)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, false, badProject(shown+" cannot be read", reason(err), "check its permissions")
	}
	defer f.Close()
	text := bytes.NewBuffer(buf[:0])
	text.Grow(int(info.Size()) + bytes.MinRead)
	_, err = text.ReadFrom(io.LimitReader(f, limit+1))
	data = text.Bytes()
	if err != nil {
		return nil, false, badProject(shown+" cannot be read", reason(err), "check its permissions")
	}
	if int64(len(data)) > limit {
		return nil, false, tooLarge(shown, limit)
	}
	return data, true, nil
}

func tooLarge(name string, limit int64) error {
	return badProject(fmt.Sprintf("%s is larger than %d MB", name, limit>>20), "", "no go command reads such a file; look at how it was made")
}

// irregular names what a file is when it is not a plain one.
func irregular(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return ""
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// reason is the cause of a file error without the path, which is said already.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return printable(err.Error())
}
