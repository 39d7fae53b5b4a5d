package rewrite

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/mirror"
)

// edited is what becomes of the files of one unit.
type edited struct {
	mod      *gomod // as it will be
	files    []Edit
	inPlace  []recordEdit
	sums     []recordSum
	warnings []string
}

// edits writes the chosen replacements into every file, for several units at a time.
func (b *builder) edits() error {
	b.pairUp()
	all := b.all()
	results := make([]*edited, len(all))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, u := range all {
		g.Go(func() error {
			e := &edited{}
			results[i] = e
			if err := b.editMod(u, e); err != nil {
				return err
			}
			b.editSum(u, e)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	after := map[*unit]*gomod{}
	seen := map[recordSum]bool{}
	for i, e := range results {
		after[all[i]] = e.mod
		b.plan.Edits = append(b.plan.Edits, e.files...)
		b.plan.inPlace = append(b.plan.inPlace, e.inPlace...)
		b.plan.Warnings = append(b.plan.Warnings, e.warnings...)
		for _, s := range e.sums {
			if !seen[s] {
				seen[s] = true
				b.plan.sums = append(b.plan.sums, s)
			}
		}
	}
	b.editVendors(after)
	slices.SortFunc(b.plan.Edits, func(x, y Edit) int { return strings.Compare(x.Name, y.Name) })
	return nil
}

func (b *builder) editVendors(after map[*unit]*gomod) {
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
}

// edit notes a file if its bytes change.
func (e *edited) edit(name string, before, after []byte, existed bool) {
	if !bytes.Equal(before, after) {
		e.files = append(e.files, Edit{Name: name, Before: before, After: after, Created: !existed})
	}
}

// wanted are the replaces for the marked statement of u.
func (b *builder) wanted(u *unit, e *edited) []replacement {
	if u == b.work {
		return nil
	}
	var wanted []replacement
	for _, m := range sorted(u.versions) {
		if a := b.chosen[m]; a != nil {
			wanted = append(wanted, replacement{m, module.Version(a.Replacement)})
			continue
		}
		if now, ok := u.now(m); ok && u.base.sums(m) == (mirror.Sums{}) && u.base.sums(now) != (mirror.Sums{}) {
			// Mirrored once, and go.sum knows only the replacement.
			wanted = append(wanted, replacement{m, now})
			e.warnings = append(e.warnings, fmt.Sprintf("%s: %s is no longer served by the mirror; its replacement stays", u.name(), m))
		}
	}
	slices.SortFunc(wanted, replacement.compare)
	return wanted
}

func (b *builder) editMod(u *unit, e *edited) error {
	inPlace := map[*replaceLine]module.Version{}
	for line, to := range u.targets {
		a := b.chosen[to]
		if a == nil {
			continue
		}
		now := module.Version(a.Replacement)
		e.inPlace = append(e.inPlace, recordEdit{File: u.name(), Old: mirror.ModuleVersion(line.old), Was: mirror.ModuleVersion(to), Now: a.Replacement})
		if now != line.new {
			inPlace[line] = now
		}
	}
	wanted := b.wanted(u, e)
	data := u.mod.edit(b.host, wanted, inPlace)
	e.mod = u.mod
	if !bytes.Equal(data, u.mod.data) {
		var err error
		if e.mod, err = b.settle(u, data, wanted); err != nil {
			return fmt.Errorf("the edited %s does not parse: %w", u.name(), err)
		}
	}
	e.edit(u.name(), u.mod.data, e.mod.data, true)
	if u == b.work {
		return nil
	}
	for _, w := range wanted { // the file as written must mean what was planned
		if r, ok := e.mod.replaced(w.old); !ok || r.new != w.new {
			return badProject(u.name()+" is written in a way that cannot be edited", "the replace for "+w.old.String()+" would be lost", "run `go mod edit -fmt`")
		}
	}
	return nil
}

// onlyAdded is the file when all that was done to it is a statement at its end
// that needs no quotes. It means what was planned, by how it is written, and is
// not read again: a project may have a thousand of them. Nil where it needs to be.
func (b *builder) onlyAdded(u *unit, data []byte, wanted []replacement) *gomod {
	vendored := u == b.work || u.m.vendor != nil || b.proj.work != nil && b.proj.work.vendor != nil
	if vendored || !bytes.HasPrefix(data, u.mod.data) || bytes.Contains(u.mod.data, []byte(markerHead)) {
		return nil
	}
	mod := &gomod{name: u.mod.name, data: data, index: make(map[module.Version]*replaceLine, len(wanted))}
	for _, w := range wanted {
		for _, token := range []string{w.old.Path, w.old.Version, w.new.Path, w.new.Version} {
			if modfile.MustQuote(token) {
				return nil
			}
		}
		mod.index[w.old] = &replaceLine{old: w.old, new: w.new}
	}
	return mod
}

// settle reads what was edited, and edits again until nothing changes: markers a
// merge left behind may come to stand above another statement.
func (b *builder) settle(u *unit, data []byte, wanted []replacement) (*gomod, error) {
	if mod := b.onlyAdded(u, data, wanted); mod != nil {
		return mod, nil
	}
	for tries := 0; ; tries++ {
		var mod *gomod
		var err error
		if u == b.work {
			mod, _, err = parseGoWork(u.name(), data)
		} else {
			mod, err = parseGoMod(u.name(), data)
		}
		if err != nil || tries == 5 {
			return mod, err
		}
		if data = mod.edit(b.host, wanted, nil); bytes.Equal(data, mod.data) {
			return mod, nil
		}
	}
}

// editSum exchanges the lines of what is replaced.
func (b *builder) editSum(u *unit, e *edited) {
	to := map[module.Version][]*mirror.ModuleAnswer{}
	for m := range b.promised(u) {
		if a := b.chosen[m]; a != nil {
			to[m] = append(to[m], a)
		}
	}
	earlier := b.replacements(u)
	out := u.base.exchange(func(l *sumLine) (lines []*sumLine, ok bool) {
		as := to[l.mod]
		if old, ours := earlier[l.mod]; ours && b.chosen[old] != nil {
			as = []*mirror.ModuleAnswer{b.chosen[old]}
		}
		for _, a := range as {
			now, was := b.exchanged(a, l.file)
			lines = append(lines, now)
			e.sums = append(e.sums, recordSum{Was: was.text(), Now: now.text()})
		}
		if len(lines) == 1 && lines[0].text() == l.text() {
			return nil, false // as it is, in its own spelling
		}
		return lines, len(as) > 0
	}, b.freshLines(u))
	if raw := b.rawSum(u); !raw.same(out) {
		e.edit(u.base.name, raw.bytes(), out.bytes(), raw.exists)
	}
}

// sumOfAnswer names one of the two lines of a module.
type sumOfAnswer struct {
	answer *mirror.ModuleAnswer
	file   string
}

// pairUp makes the go.sum lines of all replacements and of their originals: the
// same ones go into many files.
func (b *builder) pairUp() {
	b.pairs = make(map[sumOfAnswer][2]*sumLine, 2*len(b.chosen))
	for _, a := range b.chosen {
		if a == nil {
			continue
		}
		now, was := module.Version(a.Replacement), module.Version{Path: a.Path, Version: a.Version}
		b.pairs[sumOfAnswer{a, ""}] = [2]*sumLine{newSumLine(now, "", a.Replaced.Zip), newSumLine(was, "", a.Original.Zip)}
		b.pairs[sumOfAnswer{a, "/go.mod"}] = [2]*sumLine{newSumLine(now, "/go.mod", a.Replaced.Mod), newSumLine(was, "/go.mod", a.Original.Mod)}
	}
}

// exchanged is the go.sum line of a replacement, and the one of the original.
func (b *builder) exchanged(a *mirror.ModuleAnswer, file string) (now, was *sumLine) {
	pair := b.pairs[sumOfAnswer{a, file}]
	return pair[0], pair[1]
}

func (b *builder) rawSum(u *unit) *gosum {
	if u == b.work {
		return b.proj.work.sum
	}
	return u.m.sum
}

// freshLines are the lines for modules go.sum said nothing about: go.mod for
// what is loaded, the zip too for what is selected.
func (b *builder) freshLines(u *unit) (lines []*sumLine) {
	if u == b.work {
		return nil
	}
	for _, m := range b.fresh(u) {
		a := b.chosen[m]
		if u.selected[m.Path] == m.Version && a.Replaced.Zip != "" {
			now, _ := b.exchanged(a, "")
			lines = append(lines, now)
		}
		if u.loaded[m] {
			now, _ := b.exchanged(a, "/go.mod")
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
		e := &edited{}
		e.edit(file.name, file.data, rewriteVendor(file.data, after), true)
		b.plan.Edits = append(b.plan.Edits, e.files...)
	}
}
