package rewrite

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/mirror"
)

const tempMark = ".gitmirror-"

// unwritable is the Problem of a file that cannot be written.
func unwritable(name string, err error) error {
	return &mirror.Problem{
		Code: CodeFiles, What: name + " cannot be written", Why: reason(err),
		Do: "check permissions and free space; nothing was changed",
	}
}

// writer changes several files, each at once: a reader sees the old or the new
// file, never half of one. New content is written and synced beside each file
// first, so that what can fail fails before anything is changed.
type writer struct {
	root *os.Root
	last *folder // the one of the last commit

	mu    sync.Mutex
	temps map[string]string // file → the name in its directory of its new content
	dirs  map[string]bool
	free  []*scratch
}

// folder is an open directory of the project: to what is in it there is no way to
// be walked any more, which is most of the work where files are many.
type folder struct {
	*os.Root
	dir string // in the project
}

// scratch is room for the contents of one file.
type scratch struct{ old, new []byte }

// flushes is how many files are made durable at a time: the disk does many as
// fast as one.
const flushes = 16

func newWriter(root *os.Root) *writer {
	return &writer{root: root, temps: map[string]string{}, dirs: map[string]bool{}}
}

func (w *writer) open(dir string) (*folder, error) {
	root, err := w.root.OpenRoot(dir)
	return &folder{root, dir}, err
}

// stage writes the new content of a file beside it, with the file's mode.
func (w *writer) stage(name string, data []byte, mode fs.FileMode) error {
	d, err := w.open(path.Dir(name))
	if err != nil {
		return unwritable(name, err)
	}
	defer d.Close()
	return w.stageIn(d, name, data, mode)
}

func (w *writer) stageIn(d *folder, name string, data []byte, mode fs.FileMode) error {
	temp := "." + path.Base(name) + tempMark + rand.Text()
	f, err := d.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm())
	if err != nil {
		return unwritable(name, err)
	}
	w.mu.Lock()
	w.temps[name] = temp
	w.mu.Unlock()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode.Perm())
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return unwritable(name, err)
	}
	return nil
}

// commit moves one staged file into its place.
func (w *writer) commit(name string) error {
	dir := path.Dir(name)
	if w.last == nil || w.last.dir != dir {
		d, err := w.open(dir)
		if err != nil {
			return unwritable(name, err)
		}
		if w.last != nil {
			w.last.Close()
		}
		w.last = d
	}
	if err := w.last.Rename(w.temps[name], path.Base(name)); err != nil {
		return unwritable(name, err)
	}
	delete(w.temps, name)
	w.dirs[dir] = true
	return nil
}

// close removes what was staged and not committed, and makes renames durable.
func (w *writer) close() error {
	var errs []error
	if w.last != nil {
		errs = append(errs, w.last.Close())
	}
	for name, temp := range w.temps {
		errs = append(errs, w.root.Remove(path.Join(path.Dir(name), temp)))
	}
	var g errgroup.Group
	g.SetLimit(flushes)
	for dir := range w.dirs {
		g.Go(func() error { return w.flush(dir) })
	}
	return errors.Join(append(errs, g.Wait())...)
}

// flush makes the names in a directory durable.
func (w *writer) flush(dir string) error {
	d, err := w.root.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// take and give lend scratch.
func (w *writer) take() *scratch {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.free)
	if n == 0 {
		return &scratch{}
	}
	s := w.free[n-1]
	w.free = w.free[:n-1]
	return s
}

func (w *writer) give(s *scratch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = append(w.free, s)
}

// current checks that a file is still what the plan was made from, and is one
// that may be replaced. It returns its mode.
func current(d *folder, e Edit, s *scratch) (mode fs.FileMode, err error) {
	in, ok, err := readInto(s.old, d.FS(), path.Base(e.Name), e.Name, maxGoSum)
	if err != nil {
		return 0, err
	}
	if s.new = s.new[:0]; e.Before != nil {
		s.new = e.Before.AppendTo(s.new)
	}
	if ok == e.Created || !bytes.Equal(in, s.new) {
		return 0, &mirror.Problem{
			Code: CodeFiles, Kind: mirror.ErrBusy, What: e.Name + " changed while the rewrite was planned",
			Do: "run it again; nothing was changed",
		}
	}
	if !ok {
		return 0o644, nil
	}
	s.old = in
	info, err := d.Lstat(path.Base(e.Name))
	if err != nil {
		return 0, unwritable(e.Name, err)
	}
	if n := links(info); n > 1 {
		return 0, badProject(fmt.Sprintf("%s has %d names (hard links)", e.Name, n),
			"the others would keep the old content", "make it a file of its own: copy it and move the copy over it")
	}
	if info.Mode().Perm()&0o222 == 0 {
		return 0, badProject(e.Name+" is read-only", "somebody does not want it changed", "make it writable first (chmod u+w)")
	}
	return info.Mode(), nil
}

// changeAll applies edits as one: before is called when all content is on disk
// and nothing is visible yet. When a step fails, the files already exchanged
// get their old content back.
func changeAll(root *os.Root, edits []Edit, before func() error) (err error) {
	w := newWriter(root)
	defer func() {
		if cerr := w.close(); err == nil && cerr != nil {
			err = fmt.Errorf("syncing the rewritten files: %w", cerr)
		}
	}()
	modes := map[string]fs.FileMode{}
	byDir := map[string][]Edit{}
	for _, e := range edits {
		byDir[path.Dir(e.Name)] = append(byDir[path.Dir(e.Name)], e)
	}
	var g errgroup.Group
	g.SetLimit(flushes)
	for dir, edits := range byDir {
		g.Go(func() error { return w.stageAll(dir, edits, modes) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := before(); err != nil {
		return err
	}
	for i, e := range edits {
		if e.Removed {
			err = root.Remove(e.Name)
		} else {
			err = w.commit(e.Name)
		}
		if err != nil {
			return errors.Join(err, putBack(root, edits[:i], modes))
		}
	}
	return nil
}

// stageAll stages the edits of one directory.
func (w *writer) stageAll(dir string, edits []Edit, modes map[string]fs.FileMode) error {
	d, err := w.open(dir)
	if err != nil {
		return unwritable(edits[0].Name, err)
	}
	defer d.Close()
	s := w.take()
	defer w.give(s)
	sweep(d, edits)
	for _, e := range edits {
		mode, err := current(d, e, s)
		if err != nil {
			return err
		}
		w.mu.Lock()
		modes[e.Name] = mode
		w.mu.Unlock()
		if e.Removed {
			continue
		}
		s.new = e.After.AppendTo(s.new[:0])
		if err := w.stageIn(d, e.Name, s.new, mode); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes what a killed run staged for files of a directory. Only the
// holder of the lock stages anything.
func sweep(d *folder, edits []Edit) {
	entries, err := fs.ReadDir(d.FS(), ".")
	if err != nil {
		return
	}
	for _, entry := range entries {
		for _, e := range edits {
			if strings.HasPrefix(entry.Name(), "."+path.Base(e.Name)+tempMark) && entry.Type().IsRegular() {
				d.Remove(entry.Name())
			}
		}
	}
}

func putBack(root *os.Root, done []Edit, modes map[string]fs.FileMode) error {
	w := newWriter(root)
	var errs []error
	for _, e := range done {
		if e.Created {
			errs = append(errs, root.Remove(e.Name))
			continue
		}
		err := w.stage(e.Name, bytesOf(e.Before), modes[e.Name])
		if err == nil {
			err = w.commit(e.Name)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, w.close())...)
}
