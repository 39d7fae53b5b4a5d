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

	mu    sync.Mutex
	temps map[string]string // file → its new content
	dirs  map[string]bool
}

// flushes is how many files are made durable at a time: the disk does many as
// fast as one.
const flushes = 16

func newWriter(root *os.Root) *writer {
	return &writer{root: root, temps: map[string]string{}, dirs: map[string]bool{}}
}

// stage writes the new content of a file beside it, with the file's mode.
func (w *writer) stage(name string, data []byte, mode fs.FileMode) error {
	temp := path.Join(path.Dir(name), "."+path.Base(name)+tempMark+rand.Text())
	f, err := w.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm())
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
	if err := w.root.Rename(w.temps[name], name); err != nil {
		return unwritable(name, err)
	}
	delete(w.temps, name)
	w.dirs[path.Dir(name)] = true
	return nil
}

// close removes what was staged and not committed, and makes renames durable.
func (w *writer) close() error {
	var errs []error
	for _, temp := range w.temps {
		errs = append(errs, w.root.Remove(temp))
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

// current checks that a file is still what the plan was made from, and is one
// that may be replaced. It returns its mode.
func current(root *os.Root, e Edit) (fs.FileMode, error) {
	data, ok, err := readFile(root.FS(), e.Name, maxGoSum)
	if err != nil {
		return 0, err
	}
	if ok == e.Created || !bytes.Equal(data, bytesOf(e.Before)) {
		return 0, &mirror.Problem{
			Code: CodeFiles, Kind: mirror.ErrBusy, What: e.Name + " changed while the rewrite was planned",
			Do: "run it again; nothing was changed",
		}
	}
	if !ok {
		return 0o644, nil
	}
	info, err := root.Lstat(e.Name)
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
	var g errgroup.Group
	g.SetLimit(flushes)
	for _, e := range edits {
		g.Go(func() error {
			sweep(root, e.Name)
			mode, err := current(root, e)
			if err != nil {
				return err
			}
			w.mu.Lock()
			modes[e.Name] = mode
			w.mu.Unlock()
			if e.Removed {
				return nil
			}
			return w.stage(e.Name, bytesOf(e.After), mode)
		})
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

// sweep removes what a killed run staged for a file. Only the holder of the lock
// stages anything.
func sweep(root *os.Root, name string) {
	entries, err := fs.ReadDir(root.FS(), path.Dir(name))
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+path.Base(name)+tempMark) && e.Type().IsRegular() {
			root.Remove(path.Join(path.Dir(name), e.Name()))
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
