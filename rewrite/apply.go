package rewrite

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/module"
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
	if err != nil {
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
	contents := map[string][]byte{}
	w := p.unwinder(past)
	first := past == nil && len(w.ours) == 0 && len(p.inPlace) == 0 // nothing of ours is in the files
	for _, e := range p.Edits {
		f := recordFile{Name: e.Name, Missing: e.Created, AfterSum: sumOf(bytesOf(e.After))}
		old, known := past.file(e.Name)
		var before []byte
		switch {
		case known && old.AfterSum == sumOf(bytesOf(e.Before)):
			before, f.Missing = past.content(old), old.Missing
		case !e.Created && first:
			before = bytesOf(e.Before)
		case !e.Created:
			var err error
			if before, err = w.file(e.Name, bytesOf(e.Before)); err != nil {
				return nil, err
			}
		}
		f.BeforeSum, contents[e.Name] = sumOf(before), before
		rec.Files = append(rec.Files, f)
	}
	if past != nil {
		for _, f := range past.Files {
			if _, again := contents[f.Name]; !again {
				contents[f.Name] = past.content(f)
				rec.Files = append(rec.Files, f)
			}
		}
		rec.InPlace = append(rec.InPlace, past.InPlace...)
		rec.Sums = append(rec.Sums, past.Sums...)
	}
	slices.SortFunc(rec.Files, func(a, b recordFile) int { return strings.Compare(a.Name, b.Name) })
	ordered := make([][]byte, len(rec.Files))
	for i, f := range rec.Files {
		ordered[i] = contents[f.Name]
	}
	rec.pack(ordered)
	rec.InPlace = once(rec.InPlace)
	rec.Sums = once(rec.Sums)
	return rec, nil
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
		if data := bytesOf(e.Before); strings.HasSuffix(e.Name, "go.mod") && bytes.Contains(data, []byte(markerHead)) {
			if m, err := w.parseGoMod(e.Name, data); err == nil {
				w.learn(m)
			}
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
