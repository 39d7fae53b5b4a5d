package rewrite

import (
	"bytes"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"
)

// Apply writes the plan into the project and records how to revert it. Each
// file is exchanged at once; when something fails before the last one, the
// project is as it was. A second Apply or Revert at the same time is refused
// with mirror.ErrBusy.
func Apply(root *os.Root, plan *Plan) (err error) {
	if plan.Empty() {
		return nil
	}
	unlock, err := lock(root)
	if err != nil {
		return err
	}
	defer unlock()
	past, err := readRecord(root.FS())
	if err != nil || past.intact() != nil {
		past = nil // the plan warned of it
	}
	rec, err := plan.record(past)
	if err != nil {
		return err
	}
	return changeAll(root, plan.Edits, func() error { return writeRecord(root, rec) })
}

// record is what revert will need when the plan is applied on top of past.
func (p *Plan) record(past *record) (*record, error) {
	rec := &record{Format: recordFormat, Host: p.Host, InPlace: p.inPlace, Sums: p.sums}
	w := p.unwinder(past)
	first := past == nil && len(w.ours) == 0 && len(p.inPlace) == 0 // nothing of ours is in the files
	contents := map[string]Content{}
	for _, e := range p.Edits {
		f := recordFile{Name: e.Name, Missing: e.Created}
		old, known := past.file(e.Name)
		var before Content = Text(nil)
		switch {
		case known && old.AfterSum == sumOf(bytesOf(e.Before)):
			before, f.Missing = Text(past.content(old)), old.Missing
		case !e.Created && first:
			before = e.Before
		case !e.Created:
			data, err := w.file(e.Name, bytesOf(e.Before))
			if err != nil {
				return nil, err
			}
			before = Text(data)
		}
		contents[e.Name] = before
		rec.Files = append(rec.Files, f)
	}
	hashFiles(rec.Files, p.Edits, contents)
	if past != nil {
		for _, f := range past.Files {
			if _, again := contents[f.Name]; !again {
				contents[f.Name] = Text(past.content(f))
				rec.Files = append(rec.Files, f)
			}
		}
		rec.InPlace = append(rec.InPlace, past.InPlace...)
		rec.Sums = append(rec.Sums, past.Sums...)
	}
	slices.SortFunc(rec.Files, func(a, b recordFile) int { return strings.Compare(a.Name, b.Name) })
	ordered := make([]Content, len(rec.Files))
	for i, f := range rec.Files {
		ordered[i] = contents[f.Name]
	}
	rec.pack(ordered)
	rec.InPlace = once(rec.InPlace)
	rec.Sums = once(rec.Sums)
	return rec, nil
}

// hashFiles fills in the hashes of files before and after edits, which are many bytes.
func hashFiles(files []recordFile, edits []Edit, before map[string]Content) {
	var g errgroup.Group
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(files)) {
		g.Go(func() error {
			var room []byte
			for i := int(next.Add(1)) - 1; i < len(files); i = int(next.Add(1)) - 1 {
				f := &files[i]
				room = before[f.Name].AppendTo(room[:0])
				f.BeforeSum = sumOf(room)
				room = edits[i].After.AppendTo(room[:0])
				f.AfterSum = sumOf(room)
			}
			return nil
		})
	}
	_ = g.Wait()
}

// unwinder knows the work of earlier runs, by their record and by what the plan
// found in the files.
func (p *Plan) unwinder(past *record) *unwinder {
	w := &unwinder{reader: newReader(), hosts: []string{p.Host}, ours: map[module.Version]module.Version{}}
	if past != nil {
		w.hosts = append(w.hosts, past.Host)
		w.inPlace, w.sums = past.InPlace, past.Sums
	}
	w.inPlace = append(slices.Clone(w.inPlace), p.inPlace...)
	w.sums = append(slices.Clone(w.sums), p.sums...)
	for _, e := range p.Edits {
		if !strings.HasSuffix(e.Name, "go.mod") || !bytes.Contains(bytesOf(e.Before), []byte(markerHead)) {
			continue
		}
		if m, err := w.parseGoMod(e.Name, bytesOf(e.Before)); err == nil {
			w.learn(m)
		}
	}
	return w
}

// learn notes the marked statements of a go.mod.
func (w *unwinder) learn(m *gomod) (found bool) {
	for _, r := range m.replaces {
		if r.ours {
			w.ours[r.new] = r.old
		}
	}
	for _, b := range m.blocks {
		if !slices.Contains(w.hosts, b.host) {
			w.hosts = append(w.hosts, b.host)
		}
	}
	return len(m.blocks) > 0
}

func once[T comparable](list []T) []T {
	seen := map[T]bool{}
	return slices.DeleteFunc(list, func(v T) bool {
		dup := seen[v]
		seen[v] = true
		return dup
	})
}

// writeRecord replaces the record.
func writeRecord(root *os.Root, rec *record) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	if err := enc.Encode(rec); err != nil {
		return err
	}
	w := newWriter(root)
	err := w.stage(recordName, text.Bytes(), 0o644)
	if err == nil {
		err = w.stage(ignoreName, []byte("*\n"), 0o644)
	}
	for _, name := range []string{ignoreName, recordName} {
		if err == nil {
			err = w.commit(name)
		}
	}
	if cerr := w.close(); err == nil && cerr != nil {
		err = unwritable(recordName, cerr)
	}
	return err
}
