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

// choose asks about the whole set and gives each module its replacement. Two
// modules never get the same one (the go command refuses that): the second is
// spelled in the .git form.
func (b *builder) choose(ctx context.Context) error {
	set, targets := map[module.Version]bool{}, map[module.Version]bool{}
	for _, u := range b.all() {
		for _, to := range u.targets {
			targets[to] = true
		}
		if u != b.work {
			maps.Copy(set, u.versions)
		}
	}
	everything := maps.Clone(set)
	maps.Copy(everything, targets)
	if b.p.TrustMirror {
		if err := b.askTrusted(ctx); err != nil {
			return err
		}
	}
	answers, err := b.answers(ctx, sorted(everything))
	if err != nil {
		return err
	}
	b.explain(answers, set, targets)
	taken := map[mirror.ModuleVersion]string{}
	var again []module.Version
	for _, m := range append(sorted(targets), sorted(set)...) {
		a := answers[m]
		b.note(m, a)
		if a == nil || a.Problem != nil {
			continue
		}
		if by, ok := taken[a.Replacement]; ok && by != m.Path && b.p.mode() == Replace {
			again = append(again, m)
			continue
		}
		taken[a.Replacement] = m.Path
		b.chosen[m] = b.best(m, a)
	}
	return b.chooseOther(ctx, again, taken)
}

// explain finds out what a user's replace that names the mirror stood for: the
// record tells, or the mirror's answer for the repository it names. One that is
// not explained is the user's own and stays.
func (b *builder) explain(answers map[module.Version]*mirror.ModuleAnswer, set, targets map[module.Version]bool) {
	for _, u := range b.all() {
		for line, to := range u.targets {
			if !b.ownPath(line.new.Path) {
				continue
			}
			_, recorded := b.past.before(u.name(), line.old, line.new)
			a := answers[to]
			if recorded || a != nil && a.Problem == nil && module.Version(a.Replacement) == line.new {
				u.edited[line.new] = to
				continue
			}
			delete(u.targets, line)
			if !set[to] {
				delete(targets, to)
			}
		}
	}
}

// best prefers the answer with zip hashes.
func (b *builder) best(m module.Version, a *mirror.ModuleAnswer) *mirror.ModuleAnswer {
	if full, ok := b.ask.answer(question{m, b.p.form(), true}); ok && full.Problem == nil {
		return full
	}
	return a
}

func (b *builder) chooseOther(ctx context.Context, again []module.Version, taken map[mirror.ModuleVersion]string) error {
	var questions []question
	for _, m := range again {
		q := b.question(m)
		q.form = mirror.DotGit
		questions = append(questions, q)
	}
	if err := b.ask.ask(ctx, questions); err != nil {
		return err
	}
	for i, m := range again {
		a, _ := b.ask.answer(questions[i])
		if a.Problem == nil {
			if by, ok := taken[a.Replacement]; !ok || by == m.Path {
				taken[a.Replacement] = m.Path
				b.chosen[m] = a
				continue
			}
		}
		b.found[m].Problem = &mirror.Problem{
			Code: CodeCoverage, Kind: mirror.ErrInvalid,
			What: m.String() + " cannot be replaced", Why: "another module of the project is the same commit of the same repository",
			Do: "require only one of the two paths",
		}
		b.plan.Warnings = append(b.plan.Warnings, b.found[m].Problem.Error())
	}
	return nil
}

// askTrusted asks for the zip hashes of modules that get go.sum lines on trust.
func (b *builder) askTrusted(ctx context.Context) error {
	var questions []question
	for _, u := range b.units {
		for _, m := range b.trusted(u) {
			questions = append(questions, question{m, b.p.form(), true})
		}
	}
	return b.ask.ask(ctx, questions)
}

// trusted are the modules of a unit that go.sum says nothing about, when some
// of them are required: go.sum was never complete.
func (b *builder) trusted(u *unit) []module.Version {
	if len(u.absent) == 0 || !b.p.TrustMirror || b.p.mode() != Replace {
		return nil
	}
	return slices.DeleteFunc(sorted(u.versions), func(m module.Version) bool {
		none := mirror.Sums{}
		return u.base.sums(m) != none || u.ourSums(m) != none || !u.loaded[m] && u.selected[m.Path] != m.Version
	})
}

// note enters a module into the report.
func (b *builder) note(m module.Version, a *mirror.ModuleAnswer) {
	entry := &Module{Path: m.Path, Version: m.Version, Proof: Unused}
	for _, u := range b.units {
		entry.Direct = entry.Direct || b.direct(u, m.Path)
	}
	if a != nil {
		entry.Repo, entry.Problem = a.Repo, a.Problem
	}
	b.found[m] = entry
}

// prove compares the mirror's content with what go.sum promised, for every
// line there is. All differences are told at once; one is enough to stop.
func (b *builder) prove() error {
	if b.p.mode() != Replace {
		return nil
	}
	var lies, unproven []string
	seen := map[string]bool{}
	differ := func(name string, m fmt.Stringer, theirs, ours string) {
		text := fmt.Sprintf("%s: the mirror's content does not have the checksum recorded in %s\n\tmirror: %s\n\tgo.sum: %s", m, name, theirs, ours)
		if !seen[text] {
			seen[text] = true
			lies = append(lies, text)
		}
	}
	for _, u := range b.all() {
		for _, m := range sorted(b.promised(u)) {
			a := b.chosen[m]
			if a == nil {
				continue
			}
			sums := u.base.sums(m)
			if sums.Zip != "" && sums.Zip != a.Original.Zip {
				differ(baseName(u.base.name), m, a.Original.Zip, sums.Zip)
			}
			if sums.Mod != "" && sums.Mod != a.Original.Mod {
				differ(baseName(u.base.name), goModOf{m}, a.Original.Mod, sums.Mod)
			}
			if sums != (mirror.Sums{}) {
				b.found[m].Proof = BySum
			}
		}
		for now, old := range b.replacements(u) {
			a, sums := b.chosen[old], u.base.sums(now)
			if a == nil || sums == (mirror.Sums{}) {
				continue
			}
			same := mirror.ModuleVersion(now) == a.Replacement
			switch {
			case same && sums.Zip != "" && sums.Zip != a.Replaced.Zip:
				differ(baseName(u.base.name), now, a.Replaced.Zip, sums.Zip)
			case same && sums.Mod != "" && sums.Mod != a.Replaced.Mod:
				differ(baseName(u.base.name), goModOf{now}, a.Replaced.Mod, sums.Mod)
			case same || sums.Zip == "" && sums.Mod == a.Original.Mod:
				b.found[old].Proof = BySum
			case b.p.TrustMirror:
				b.found[old].Proof = ByTrust
			default:
				unproven = append(unproven, old.String())
			}
		}
	}
	for _, u := range b.units {
		for _, m := range u.absent {
			if b.chosen[m] == nil || !u.versions[m] {
				continue
			}
			if !b.p.TrustMirror {
				unproven = append(unproven, m.String())
			}
		}
		for _, m := range b.trusted(u) {
			if b.chosen[m] != nil {
				b.found[m].Proof = ByTrust
			}
		}
	}
	slices.Sort(lies)
	slices.Sort(unproven)
	switch unproven = slices.Compact(unproven); {
	case len(lies) > 0:
		return &mirror.Problem{
			Code: CodeSum, Kind: mirror.ErrIntegrity, What: strings.Join(lies, "\n"),
			Do: "nothing was changed; find out whether the tag was moved upstream or go.sum was edited, and do not trust either before you know",
		}
	case len(unproven) > 0:
		return &mirror.Problem{
			Code: CodeUnproven, Kind: mirror.ErrInvalid,
			What: "go.sum has no checksum for " + list(unproven, 10),
			Why:  "so there is nothing to prove the mirror's content by",
			Do:   "run `go mod tidy` with the original source first, or accept what the mirror has with --trust-mirror; nothing was changed",
		}
	}
	return nil
}

// promised are the modules whose original go.sum lines in u will be exchanged.
func (b *builder) promised(u *unit) map[module.Version]bool {
	set := map[module.Version]bool{}
	for _, other := range b.ruling(u) {
		maps.Copy(set, other.versions)
		for _, to := range other.targets {
			set[to] = true
		}
	}
	return set
}

// ruling are the units whose replaces rule the go.sum of u.
func (b *builder) ruling(u *unit) []*unit {
	if u == b.work {
		return append(b.members(), b.work)
	}
	if b.work != nil && u.m.inWork {
		return []*unit{u, b.work}
	}
	return []*unit{u}
}

// replacements maps replacement → original for go.sum lines of u that are the
// work of an earlier run.
func (b *builder) replacements(u *unit) map[module.Version]module.Version {
	all := map[module.Version]module.Version{}
	for _, other := range b.ruling(u) {
		maps.Copy(all, other.ours)
		maps.Copy(all, other.edited)
	}
	return all
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

// cover fills in what the plan says of coverage and modules.
func (b *builder) cover() {
	c := Coverage{}
	paths := map[string]bool{}
	patterns, unreachable := map[string]bool{}, map[string]bool{}
	keys := map[module.Version]bool{}
	for m := range b.found {
		keys[m] = true
	}
	for _, m := range sorted(keys) {
		entry := b.found[m]
		if b.chosen[m] == nil && b.isMain(m.Path) {
			continue // an unpublished version of a neighbour, found in the workspace
		}
		if a := b.chosen[m]; a != nil {
			if b.p.mode() == Replace {
				entry.Replacement = a.Replacement
			}
			repo := string(a.Repo)
			if m.Path == repo || strings.HasPrefix(m.Path, repo+"/") {
				patterns[repo] = true
			} else {
				unreachable[m.Path] = true
			}
		} else {
			entry.Proof = ""
			c.Missing = append(c.Missing, mirror.ModuleVersion(m))
		}
		if served, ok := paths[m.Path]; !ok || served {
			paths[m.Path] = b.chosen[m] != nil
		}
		b.plan.Modules = append(b.plan.Modules, *entry)
	}
	for _, served := range paths {
		c.Modules++
		if served {
			c.Mirrored++
		}
	}
	c.Patterns = slices.Sorted(maps.Keys(patterns))
	c.Unreachable = slices.Sorted(maps.Keys(unreachable))
	b.plan.Coverage = c
}
