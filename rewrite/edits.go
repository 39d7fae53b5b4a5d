package rewrite

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/mirror"
)

// edited is what becomes of the files of one unit.
type edited struct {
	mod      *gomod // as it will be
	files    []Edit
	inPlace  []recordEdit
	warnings []string
}

// hand edits the files of one unit after the other.
type hand struct {
	*exchanger
	earlier *earlier
	used    set // numbers of b.lines whose lines went into a go.sum, twice and one more for the go.mod's
}

// edits writes the chosen replacements into every file, with several hands.
func (b *builder) edits() error {
	b.pairUp()
	b.names.rank()
	b.proj.sums.rank()
	all := b.all()
	results := make([]*edited, len(all))
	hands := make([]*hand, min(runtime.GOMAXPROCS(0), len(all)))
	var g errgroup.Group
	var next atomic.Int64
	for i := range hands {
		h := &hand{exchanger: &exchanger{}, earlier: b.newEarlier()}
		hands[i] = h
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return nil
				}
				e := &edited{}
				results[i] = e
				if err := b.editMod(all[i], e); err != nil {
					return err
				}
				b.editSum(all[i], e, h)
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	after := map[*unit]*gomod{}
	for i, e := range results {
		after[all[i]] = e.mod
		b.plan.Edits = append(b.plan.Edits, e.files...)
		b.plan.inPlace = append(b.plan.inPlace, e.inPlace...)
		b.plan.Warnings = append(b.plan.Warnings, e.warnings...)
	}
	b.noteSums(hands)
	b.editVendors(after)
	slices.SortFunc(b.plan.Edits, func(x, y Edit) int { return strings.Compare(x.Name, y.Name) })
	return nil
}

// noteSums enters what was exchanged in go.sum files into the plan.
func (b *builder) noteSums(hands []*hand) {
	var used set
	for _, h := range hands {
		used.addAll(h.used)
	}
	for n := range used.all() {
		was, now := b.lines.at(n / 2).sums(n%2 == 1)
		b.plan.sums = append(b.plan.sums, recordSum{Was: was.text(), Now: now.text()})
	}
	slices.SortFunc(b.plan.sums, func(x, y recordSum) int { return strings.Compare(x.Was, y.Was) })
}

func (b *builder) editVendors(after map[*unit]*gomod) {
	for _, u := range b.units {
		if u.m.vendor != nil && !(u.m.inWork && b.proj.work.vendor != nil && b.proj.work.vendor.name == u.m.vendor.name) {
			b.editVendor(u.m.vendor, []*gomod{u.mod}, []*gomod{after[u]})
		}
	}
	if w := b.proj.work; w != nil && w.vendor != nil {
		before, now := []*gomod{b.work.mod}, []*gomod{after[b.work]}
		for _, u := range b.in {
			before, now = append(before, u.mod), append(now, after[u])
		}
		b.editVendor(w.vendor, before, now)
	}
}

// wanted are the replaces for the marked statement of u.
func (b *builder) wanted(u *unit, e *edited) []*wantedLine {
	if u == b.work {
		return nil
	}
	var wanted []*wantedLine
	for _, m := range b.inOrder(u.versions) {
		if line := b.lines.at(m); line != nil {
			wanted = append(wanted, line.wantedLine)
			continue
		}
		if now, ok := u.now(m); ok && !u.base.has(m) && u.base.has(now) {
			// Mirrored once, and go.sum knows only the replacement.
			wanted = append(wanted, newWanted(b.names.of(m), b.names.of(now)))
			e.warnings = append(e.warnings, fmt.Sprintf("%s: %s is no longer served by the mirror; its replacement stays", u.name(), b.names.of(m)))
		}
	}
	return wanted
}

func (b *builder) editMod(u *unit, e *edited) error {
	inPlace := map[*replaceLine]module.Version{}
	for line, to := range u.targets {
		a := b.chosen.at(to)
		if a == nil {
			continue
		}
		now := module.Version(a.Replacement)
		e.inPlace = append(e.inPlace, recordEdit{File: u.name(), Old: mirror.ModuleVersion(line.old), Was: mirror.ModuleVersion(b.names.of(to)), Now: a.Replacement})
		if now != line.new {
			inPlace[line] = now
		}
	}
	wanted := b.wanted(u, e)
	if len(inPlace) == 0 && len(u.mod.blocks) == 1 && u.mod.blocks[0].says(b.host, wanted) {
		e.mod = u.mod
		return nil
	}
	data := u.mod.edit(b.host, wanted, inPlace)
	e.mod = u.mod
	if !bytes.Equal(data, u.mod.data) {
		var err error
		if e.mod, err = b.settle(u, data, wanted, len(inPlace)); err != nil {
			return fmt.Errorf("the edited %s does not parse: %w", u.name(), err)
		}
	}
	if !bytes.Equal(e.mod.data, u.mod.data) {
		e.files = append(e.files, Edit{Name: u.name(), Before: Text(u.mod.data), After: Text(e.mod.data)})
	}
	if u == b.work || e.mod.asWritten {
		return nil
	}
	for _, w := range wanted { // the file as written must mean what was planned
		if r, ok := e.mod.replaced(w.old); !ok || r.new != w.new {
			return badProject(u.name()+" is written in a way that cannot be edited", "the replace for "+w.old.String()+" would be lost", "run `go mod edit -fmt`")
		}
	}
	return nil
}

// onlyOurs is the file when all that was done to it is to its marked statement,
// which is new or was whole, and needs no quotes. It means what was planned, by
// how it is written, and is not read again: a project may have a thousand of
// them. Nil where it needs to be.
func (b *builder) onlyOurs(u *unit, data []byte, wanted []*wantedLine, inPlace int) *gomod {
	vendored := u == b.work || u.m.vendor != nil || b.proj.work != nil && b.proj.work.vendor != nil
	if vendored || inPlace > 0 || slices.ContainsFunc(wanted, func(w *wantedLine) bool { return !w.plain }) {
		return nil
	}
	switch {
	case len(u.mod.blocks) == 1 && u.mod.blocks[0].whole:
	case len(u.mod.blocks) > 0 || bytes.Contains(u.mod.data, []byte(markerHead)):
		return nil
	}
	return &gomod{name: u.mod.name, data: data, asWritten: true}
}

// settle reads what was edited, and edits again until nothing changes: markers a
// merge left behind may come to stand above another statement.
func (b *builder) settle(u *unit, data []byte, wanted []*wantedLine, inPlace int) (*gomod, error) {
	if mod := b.onlyOurs(u, data, wanted, inPlace); mod != nil {
		return mod, nil
	}
	for tries := 0; ; tries++ {
		var mod *gomod
		var err error
		if u == b.work {
			mod, _, err = newReader().parseGoWork(u.name(), data)
		} else {
			mod, err = newReader().parseGoMod(u.name(), data)
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
func (b *builder) editSum(u *unit, e *edited, h *hand) {
	promised := b.promised(u)
	h.earlier.of(u)
	out := h.exchange(u.base, func(l *sumLine) (*sumLine, bool) {
		if !l.counts() {
			return nil, false
		}
		m, ok := h.earlier.replaces(l.id)
		if !ok || b.lines.at(m) == nil {
			if m, ok = l.id, promised.has(l.id); !ok || b.lines.at(m) == nil {
				return nil, false
			}
		}
		_, now := b.lines.at(m).sums(l.file == "")
		n := 2 * m
		if l.file == "" {
			n++
		}
		h.used.add(n)
		return now, now.text() != l.text() // else as it is, in its own spelling
	}, b.freshLines(u))
	if raw := b.rawSum(u); !raw.same(out) {
		edit := Edit{Name: u.base.name, Before: raw, After: out, Created: !raw.exists}
		e.files = append(e.files, edit)
	}
}

// pair is what is chosen for a module: its replace directive, and its go.sum
// lines before and after.
type pair struct {
	*wantedLine
	was, now struct{ zip, mod *sumLine }
}

func (p *pair) sums(zip bool) (was, now *sumLine) {
	if zip {
		return p.was.zip, p.now.zip
	}
	return p.was.mod, p.now.mod
}

// pairUp makes the lines of all replacements and of their originals: the same
// ones go into many files.
func (b *builder) pairUp() {
	lines := b.proj.sums
	for m, a := range b.chosen {
		if a == nil {
			continue
		}
		now, was := module.Version(a.Replacement), module.Version{Path: a.Path, Version: a.Version}
		p := &pair{wantedLine: newWanted(b.names.of(id(m)), now)}
		p.was.zip, p.was.mod = lines.made(was, "", a.Original.Zip), lines.made(was, "/go.mod", a.Original.Mod)
		p.now.zip, p.now.mod = lines.made(now, "", a.Replaced.Zip), lines.made(now, "/go.mod", a.Replaced.Mod)
		b.lines.put(id(m), p)
	}
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
		_, zip := b.lines.at(m).sums(true)
		if u.selected.has(m) && b.chosen.at(m).Replaced.Zip != "" {
			lines = append(lines, zip)
		}
		if u.loaded.has(m) {
			_, mod := b.lines.at(m).sums(false)
			lines = append(lines, mod)
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
	if same {
		return
	}
	if data := rewriteVendor(file.data, after); !bytes.Equal(data, file.data) {
		b.plan.Edits = append(b.plan.Edits, Edit{Name: file.name, Before: Text(file.data), After: Text(data)})
	}
}
