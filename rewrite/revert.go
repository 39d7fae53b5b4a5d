package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// Reverted is what a revert did.
type Reverted struct {
	Edits []Edit `json:"edits"`
	// Notes say what was not simply restored, and what could not be.
	Notes []string `json:"notes,omitempty"`
}

// Reverter takes rewrites back. The zero value needs no server.
type Reverter struct {
	// Host of the mirror, for projects without a marked statement and without a
	// record (their replaces were edited in place); empty = left alone.
	Host string
	// Known is a plan made of the project as it is now. It is used where there
	// is no record (another clone): it knows the original checksums.
	Known *Plan
}

// Revert gives back the bytes from before the first rewrite. In files that were
// edited since, and where the record is missing (it is not committed), it takes
// out only what a rewrite wrote. Afterwards the record is gone.
func (r Reverter) Revert(root *os.Root, dirs ...string) (*Reverted, error) {
	unlock, err := lock(root)
	if err != nil {
		return nil, err
	}
	defer unlock()
	done, err := r.Plan(root.FS(), dirs...)
	if err != nil {
		return nil, err
	}
	err = changeAll(root, done.Edits, func() error { return nil })
	if err != nil {
		return nil, err
	}
	for _, name := range []string{recordName, ignoreName} {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, unwritable(name, err)
		}
	}
	return done, nil
}

// Plan works out what Revert would do and writes nothing.
func (r Reverter) Plan(fsys fs.FS, dirs ...string) (*Reverted, error) {
	past, err := readRecord(fsys)
	if err == nil {
		err = past.intact()
	}
	if err != nil {
		return nil, err
	}
	w := &unwinder{reader: newReader(), ours: map[module.Version]module.Version{}, guess: past == nil}
	if past != nil {
		w.hosts = []string{past.Host}
		w.inPlace, w.sums = past.InPlace, past.Sums
	}
	if r.Host != "" {
		w.hosts = append(w.hosts, r.Host)
	}
	if r.Known != nil {
		w.sums = append(slices.Clone(w.sums), r.Known.sums...)
		w.inPlace = append(slices.Clone(w.inPlace), r.Known.inPlace...)
	}
	names, err := r.names(fsys, past, dirs, w)
	if err != nil {
		return nil, err
	}
	done := &Reverted{Edits: []Edit{}}
	sums := func(name string) int { // after the go.mod files, which explain them
		if strings.HasSuffix(name, ".sum") {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(names, func(a, b string) int { return sums(a) - sums(b) })
	for _, name := range names {
		if err := r.one(fsys, past, w, name, done); err != nil {
			return nil, err
		}
	}
	if len(w.guessed) > 0 {
		done.Notes = append(done.Notes, "there is no record of what these replaced; look at them: "+list(w.guessed, 10))
	}
	if len(w.lost) > 0 {
		done.Notes = append(done.Notes, fmt.Sprintf("the checksums of %s could not be restored without the mirror; run `go mod tidy`", list(w.lost, 10)))
	}
	return done, nil
}

// names are the files to look at: those of the record, and those of the project
// that may hold work of another checkout's run.
func (r Reverter) names(fsys fs.FS, past *record, dirs []string, w *unwinder) ([]string, error) {
	var names []string
	if past != nil {
		for _, f := range past.Files {
			names = append(names, f.Name)
		}
	}
	proj, _, err := readProject(fsys, dirs)
	if err != nil {
		if len(names) > 0 {
			slices.Sort(names)
			return names, nil // the record is enough
		}
		return nil, err
	}
	found := r.Host != ""
	add := func(files ...string) { names = append(names, files...) }
	for _, m := range proj.modules {
		found = w.learn(m.mod) || found
		add(m.mod.name, m.sum.name)
		if m.vendor != nil {
			add(m.vendor.name)
		}
	}
	if proj.work != nil {
		add(proj.work.mod.name, proj.work.sum.name)
		if proj.work.vendor != nil {
			add(proj.work.vendor.name)
		}
	}
	if past == nil && !found {
		return nil, nil
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// one works out what becomes of one file.
func (r Reverter) one(fsys fs.FS, past *record, w *unwinder, name string, done *Reverted) error {
	data, ok, err := readFile(fsys, name, maxGoSum)
	if err != nil {
		return err
	}
	f, known := past.file(name)
	switch {
	case !ok && known && !f.Missing:
		done.Notes = append(done.Notes, name+" is gone and was not restored")
		return nil
	case !ok:
		return nil
	case known && sumOf(data) == f.BeforeSum && !f.Missing:
		return nil
	case known && sumOf(data) == f.AfterSum:
		done.Edits = append(done.Edits, Edit{Name: name, Before: Text(data), After: Text(past.content(f)), Removed: f.Missing})
		return nil
	}
	after, err := w.file(name, data)
	if err != nil {
		return err
	}
	if bytes.Equal(after, data) {
		return nil
	}
	if known {
		done.Notes = append(done.Notes, name+" was edited since the rewrite; only gitmirror's part was taken out")
	}
	done.Edits = append(done.Edits, Edit{Name: name, Before: Text(data), After: Text(after)})
	return nil
}

// Rewritten tells whether the project holds a marked statement or a record:
// whether there is something to revert.
func Rewritten(fsys fs.FS, dirs ...string) (bool, error) {
	past, err := readRecord(fsys)
	if err != nil || past != nil {
		return past != nil, err
	}
	proj, _, err := readProject(fsys, dirs)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(proj.modules, func(m *member) bool { return len(m.mod.blocks) > 0 }), nil
}

// lock keeps a second rewrite out, and takes away what a killed one left of its
// record. The directory it makes goes again when it
// holds nothing else.
func lock(root *os.Root) (unlock func(), err error) {
	if err := root.Mkdir(recordDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, unwritable(recordDir, err)
	}
	if info, err := root.Lstat(recordDir); err != nil || !info.IsDir() {
		return nil, badProject(recordDir+" is not a directory", "", "move it away; gitmirror keeps the record of its rewrites there")
	}
	release, err := lockFile(root, lockName)
	if errors.Is(err, errLocked) {
		return nil, &mirror.Problem{
			Code: CodeFiles, Kind: mirror.ErrBusy, What: "another rewrite of this project is going on", Do: "wait for it; nothing was changed",
		}
	}
	if err != nil {
		return nil, unwritable(lockName, err)
	}
	if d, err := newWriter(root).open(recordDir); err == nil {
		sweep(d, []Edit{{Name: recordName}, {Name: ignoreName}})
		d.Close()
	}
	return func() {
		release()
		root.Remove(recordDir) // fails when the record is in it, as it should
	}, nil
}

var errLocked = errors.New("locked")

// Diff is the unified diff of edits, for people and for patch.
func Diff(edits []Edit) string {
	var b strings.Builder
	for _, e := range edits {
		b.WriteString(e.diff(path.Clean(e.Name)))
	}
	return b.String()
}
