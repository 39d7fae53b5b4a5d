package rewrite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// prove compares the mirror's content with what go.sum promised, for every line
// there is, and where there is none with the checksum database. All differences
// are told at once; one is enough to stop.
func (b *builder) prove(ctx context.Context) error {
	if b.p.mode() != Replace {
		return nil
	}
	lies, open := b.compare()
	if len(lies) > 0 {
		return b.accuse(ctx, lies)
	}
	return b.consult(ctx, open)
}

// lie is a difference between the mirror's content and a witness.
type lie struct {
	module  module.Version // as the project has it
	subject string         // "path@version" or "path@version/go.mod", as go.sum names it
	witness string         // "go.sum", or the database's name
	mod     bool           // it is about the go.mod alone
	ours    bool           // subject is a replacement
	mirror  string
	want    string
}

func (l lie) String() string {
	recorded := "recorded in " + l.witness
	if !strings.HasSuffix(l.witness, ".sum") {
		recorded = "that the checksum database " + l.witness + " has"
	}
	return fmt.Sprintf("%s: the mirror's content does not have the checksum %s\n\tmirror: %s\n\t%s: %s",
		l.subject, recorded, l.mirror, shortWitness(l.witness), l.want)
}

// shortWitness is how a line of hashes begins: both sums files are read as one.
func shortWitness(name string) string {
	if strings.HasSuffix(name, ".sum") {
		return "go.sum"
	}
	return name
}

// compare finds what go.sum contradicts, and what it says nothing about.
func (b *builder) compare() (lies []lie, open set) {
	seen := map[lie]bool{}
	differ := func(l lie) {
		if !seen[l] {
			seen[l] = true
			lies = append(lies, l)
		}
	}
	x := b.newEarlier()
	for _, u := range b.all() {
		file := baseName(u.base.name)
		against := func(m, as module.Version, sums, have mirror.Sums) {
			if sums.Zip != "" && sums.Zip != have.Zip {
				differ(lie{module: m, subject: as.String(), witness: file, ours: as != m, mirror: have.Zip, want: sums.Zip})
			}
			if sums.Mod != "" && sums.Mod != have.Mod {
				differ(lie{module: m, subject: goModOf{as}.String(), witness: file, mod: true, ours: as != m, mirror: have.Mod, want: sums.Mod})
			}
		}
		promised := b.promised(u)
		for _, e := range u.base.entries() {
			a := b.chosen.at(e.mod)
			if a == nil || !promised.has(e.mod) {
				continue
			}
			v := b.names.of(e.mod)
			against(v, v, u.base.of(e), a.Original)
			b.found[e.mod].Proof = BySum
		}
		x.of(u)
		for _, e := range u.base.entries() {
			old, ok := x.replaces(e.mod)
			a := b.chosen.at(old)
			if !ok || a == nil {
				continue
			}
			now, sums := b.names.of(e.mod), u.base.of(e)
			switch {
			case mirror.ModuleVersion(now) == a.Replacement:
				against(b.names.of(old), now, sums, a.Replaced)
				b.found[old].Proof = BySum
			case sums.Zip == "" && sums.Mod == a.Original.Mod:
				b.found[old].Proof = BySum
			default: // of a mirror that had another address
				open.add(old)
			}
		}
	}
	for _, u := range b.units {
		for _, m := range b.fresh(u) {
			if b.found[m].Proof != BySum {
				open.add(m)
			}
		}
	}
	slices.SortFunc(lies, func(x, y lie) int { return strings.Compare(x.String(), y.String()) })
	return lies, open
}

// consult asks the checksum database about modules that go.sum does not prove.
func (b *builder) consult(ctx context.Context, open set) error {
	if open.len() == 0 {
		return nil
	}
	inOrder := b.inOrder(open)
	recorded, err := b.recorded(ctx, b.proj.versionsOf(inOrder))
	if err != nil {
		return err
	}
	var lies []lie
	var unproven []string
	reasons := map[string]bool{}
	for _, n := range inOrder {
		m := b.names.of(n)
		a, r := b.chosen.at(n), recorded[m]
		if r.Problem == nil && r.Sums.Mod != "" && (r.Sums.Zip != "" || a.Original.Zip == "") {
			if a.Original.Zip != "" && r.Sums.Zip != a.Original.Zip {
				lies = append(lies, lie{module: m, subject: m.String(), witness: b.p.Database.Name(), mirror: a.Original.Zip, want: r.Sums.Zip})
			}
			if r.Sums.Mod != a.Original.Mod {
				lies = append(lies, lie{module: m, subject: goModOf{m}.String(), witness: b.p.Database.Name(), mod: true, mirror: a.Original.Mod, want: r.Sums.Mod})
			}
			b.found[n].Proof = ByDatabase
			continue
		}
		if b.p.TrustMirror {
			b.found[n].Proof = ByTrust
			continue
		}
		unproven = append(unproven, m.String())
		if r.Problem != nil {
			reasons[r.Problem.Error()] = true
		}
	}
	switch {
	case len(lies) > 0:
		return b.accuse(ctx, lies)
	case len(unproven) == 0:
		return nil
	}
	why := "so there is nothing to prove the mirror's content by"
	if len(reasons) > 0 {
		why = "and " + list(slices.Sorted(maps.Keys(reasons)), 2)
	}
	return &mirror.Problem{
		Code: CodeUnproven, Kind: mirror.ErrHeld,
		What: "go.sum has no checksum for " + list(unproven, 10), Why: why,
		Do: "run `go mod tidy` with the original source first, or accept what the mirror has with --trust-mirror; nothing was changed",
	}
}

// recorded is what the checksum database has, if there is one.
func (b *builder) recorded(ctx context.Context, ms []module.Version) (map[module.Version]Recorded, error) {
	found := make(map[module.Version]Recorded, len(ms))
	if b.p.Database == nil || len(ms) == 0 {
		return found, nil
	}
	asked := make([]mirror.ModuleVersion, len(ms))
	for i, m := range ms {
		asked[i] = mirror.ModuleVersion(m)
	}
	answers, err := b.p.Database.Sums(ctx, asked)
	if err != nil {
		return nil, err
	}
	for i, m := range ms {
		found[m] = answers[i]
	}
	b.plan.Database = b.p.Database.Name()
	return found, nil
}

// promised are the modules whose original go.sum lines in u will be exchanged.
func (b *builder) promised(u *unit) (all set) {
	for _, other := range b.ruling(u) {
		all.addAll(other.versions)
		for _, to := range other.targets {
			all.add(to)
		}
	}
	return all
}

// ruling are the units whose replaces rule the go.sum of u.
func (b *builder) ruling(u *unit) []*unit {
	if u == b.work {
		return append(slices.Clone(b.in), b.work)
	}
	if b.work != nil && u.m.inWork {
		return []*unit{u, b.work}
	}
	return []*unit{u}
}

// earlier tells for one unit after the other what the replacements in its go.sum
// stand for that are the work of an earlier run.
type earlier struct {
	b     *builder
	round int32
	seen  table[int32]
	old   table[id]
}

func (b *builder) newEarlier() *earlier { return &earlier{b: b} }

// of begins with u.
func (x *earlier) of(u *unit) {
	x.round++
	put := func(now, old id) {
		x.seen.put(now, x.round)
		x.old.put(now, old)
	}
	for _, other := range x.b.ruling(u) {
		if len(other.mod.blocks) > 0 {
			for _, r := range other.mod.replaces {
				if r.ours {
					put(r.newID, r.oldID)
				}
			}
		}
		for now, old := range other.edited {
			put(now, old)
		}
	}
}

func (x *earlier) replaces(now id) (old id, ok bool) {
	if x.seen.at(now) != x.round {
		return 0, false
	}
	return x.old.at(now), true
}

// goModOf prints a module's go.mod as the go command does.
type goModOf struct{ module.Version }

func (m goModOf) String() string { return m.Version.String() + "/go.mod" }

func baseName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// list writes at most n of some names.
func list(names []string, n int) string {
	if len(names) > n {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
	}
	return strings.Join(names, ", ")
}
