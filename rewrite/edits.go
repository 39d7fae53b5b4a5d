package rewrite

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// edits writes the chosen replacements into every file.
func (b *builder) edits() error {
	after := map[*unit]*gomod{}
	for _, u := range b.all() {
		mod, err := b.editMod(u)
		if err != nil {
			return err
		}
		after[u] = mod
	}
	for _, u := range b.all() {
		b.editSum(u)
	}
	for _, u := range b.units {
		if u.m.vendor != nil && !(u.m.inWork && b.proj.work.vendor != nil && b.proj.work.vendor.name == u.m.vendor.name) {
			b.editVendor(u.m.vendor, []*gomod{u.mod}, []*gomod{after[u]})
		}
	}
	if w := b.proj.work; w != nil && w.vendor != nil {
		before, now := []*gomod{b.work.mod}, []*gomod{after[b.work]}
		for _, u := range b.members() {
			before, now = append(before, u.mod), append(now, after[u])
		}
		b.editVendor(w.vendor, before, now)
	}
	slices.SortFunc(b.plan.Edits, func(x, y Edit) int { return bytes.Compare([]byte(x.Name), []byte(y.Name)) })
	return nil
}

func (b *builder) edit(name string, before, after []byte, existed bool) {
	if !bytes.Equal(before, after) {
		b.plan.Edits = append(b.plan.Edits, Edit{Name: name, Before: before, After: after, Created: !existed})
	}
}

// wanted are the replaces for the marked statement of u.
func (b *builder) wanted(u *unit) []replacement {
	if u == b.work {
		return nil
	}
	var wanted []replacement
	for _, m := range sorted(u.versions) {
		if a := b.chosen[m]; a != nil {
			wanted = append(wanted, replacement{m, module.Version(a.Replacement)})
			continue
		}
		if now, ok := u.now[m]; ok && u.base.sums(m) == (mirror.Sums{}) && u.base.sums(now) != (mirror.Sums{}) {
			// Mirrored once, and go.sum knows only the replacement.
			wanted = append(wanted, replacement{m, now})
			b.plan.Warnings = append(b.plan.Warnings, fmt.Sprintf("%s: %s is no longer served by the mirror; its replacement stays", u.name(), m))
		}
	}
	slices.SortFunc(wanted, replacement.compare)
	return wanted
}

func (b *builder) editMod(u *unit) (*gomod, error) {
	inPlace := map[*replaceLine]module.Version{}
	for line, to := range u.targets {
		a := b.chosen[to]
		if a == nil {
			continue
		}
		now := module.Version(a.Replacement)
		b.plan.inPlace = append(b.plan.inPlace, recordEdit{File: u.name(), Old: mirror.ModuleVersion(line.old), Was: mirror.ModuleVersion(to), Now: a.Replacement})
		if now != line.new {
			inPlace[line] = now
		}
	}
	wanted := b.wanted(u)
	data := u.mod.edit(b.host, wanted, inPlace)
	data = u.settle(data, b.host, wanted)
	b.edit(u.name(), u.mod.data, data, true)
	if u == b.work {
		mod, _, err := parseGoWork(u.name(), data)
		return mod, err
	}
	mod, err := parseGoMod(u.name(), data)
	if err != nil {
		return nil, fmt.Errorf("the edited %s does not parse: %w", u.name(), err)
	}
	for _, w := range wanted { // the file as written must mean what was planned
		if r, ok := mod.replaced(w.old); !ok || r.new != w.new {
			return nil, badProject(u.name()+" is written in a way that cannot be edited", "the replace for "+w.old.String()+" would be lost", "run `go mod edit -fmt`")
		}
	}
	return mod, nil
}

// settle edits again until nothing changes: markers a merge left behind may come
// to stand above another statement.
func (u *unit) settle(data []byte, host string, wanted []replacement) []byte {
	for range 5 {
		mod, err := parseGoMod(u.name(), data)
		if err != nil {
			return data
		}
		next := mod.edit(host, wanted, nil)
		if bytes.Equal(next, data) {
			break
		}
		data = next
	}
	return data
}

// editSum exchanges the lines of what is replaced.
func (b *builder) editSum(u *unit) {
	to := map[module.Version][]*mirror.ModuleAnswer{}
	for m := range b.promised(u) {
		if a := b.chosen[m]; a != nil {
			to[m] = append(to[m], a)
		}
	}
	earlier := b.replacements(u)
	out := u.base.exchange(func(l sumLine) (lines []sumLine, ok bool) {
		as := to[l.mod]
		if old, ours := earlier[l.mod]; ours && b.chosen[old] != nil {
			as = []*mirror.ModuleAnswer{b.chosen[old]}
		}
		for _, a := range as {
			now, was := exchanged(a, l.file)
			lines = append(lines, now)
			b.plan.sums = append(b.plan.sums, recordSum{Was: was.text(), Now: now.text()})
		}
		if len(lines) == 1 && lines[0].text() == l.text() {
			return nil, false // as it is, in its own spelling
		}
		return lines, len(as) > 0
	}, b.freshLines(u))
	b.edit(u.base.name, b.rawSum(u).data, out.data, b.rawSum(u).exists)
}

// exchanged is the go.sum line of a replacement, and the one of the original.
func exchanged(a *mirror.ModuleAnswer, file string) (now, was sumLine) {
	hashNow, hashWas := a.Replaced.Zip, a.Original.Zip
	if file != "" {
		hashNow, hashWas = a.Replaced.Mod, a.Original.Mod
	}
	return newSumLine(module.Version(a.Replacement), file, hashNow),
		newSumLine(module.Version{Path: a.Path, Version: a.Version}, file, hashWas)
}

func (b *builder) rawSum(u *unit) *gosum {
	if u == b.work {
		return b.proj.work.sum
	}
	return u.m.sum
}

// freshLines are the lines for modules go.sum said nothing about: go.mod for
// what is loaded, the zip too for what is selected.
func (b *builder) freshLines(u *unit) (lines []sumLine) {
	if u == b.work {
		return nil
	}
	for _, m := range b.fresh(u) {
		a := b.chosen[m]
		if u.selected[m.Path] == m.Version && a.Replaced.Zip != "" {
			now, _ := exchanged(a, "")
			lines = append(lines, now)
		}
		if u.loaded[m] {
			now, _ := exchanged(a, "/go.mod")
			lines = append(lines, now)
		}
	}
	return lines
}

// editVendor writes modules.txt anew where replaces of ours are or were.
func (b *builder) editVendor(file *text, before, after []*gomod) {
	same := true
	for i := range before {
		same = same && bytes.Equal(before[i].data, after[i].data) && len(after[i].blocks) == 0
	}
	if !same {
		b.edit(file.name, file.data, rewriteVendor(file.data, after), true)
	}
}
