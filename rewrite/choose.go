package rewrite

import (
	"context"
	"maps"
	"slices"

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
	if err := b.askFresh(ctx); err != nil {
		return err
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
	if full, ok := b.ask.answer(question{m, b.form, true}); ok && full.Problem == nil {
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

// askFresh asks for the zip hashes of modules that get new go.sum lines.
func (b *builder) askFresh(ctx context.Context) error {
	var questions []question
	for _, u := range b.units {
		for _, m := range b.silent(u) {
			questions = append(questions, question{m, b.form, u.selected[m.Path] == m.Version})
		}
	}
	return b.ask.ask(ctx, questions)
}

// silent are the modules of a unit that go.sum says nothing about, when it lacks
// one that is required: then it was never complete.
func (b *builder) silent(u *unit) []module.Version {
	if len(u.absent) == 0 || b.p.mode() != Replace {
		return nil
	}
	return slices.DeleteFunc(sorted(u.versions), func(m module.Version) bool {
		none := mirror.Sums{}
		return u.base.sums(m) != none || u.ourSums(m) != none || !u.loaded[m] && u.selected[m.Path] != m.Version
	})
}

// fresh are the silent modules that get go.sum lines: those the mirror has, if
// it has a required one of them.
func (b *builder) fresh(u *unit) []module.Version {
	if !slices.ContainsFunc(u.absent, func(m module.Version) bool { return b.chosen[m] != nil }) {
		return nil
	}
	return slices.DeleteFunc(b.silent(u), func(m module.Version) bool { return b.chosen[m] == nil })
}

// note enters a module into the report.
func (b *builder) note(m module.Version, a *mirror.ModuleAnswer) {
	entry := &Module{Path: m.Path, Version: m.Version, Proof: Unused, Direct: b.direct[m.Path]}
	if a != nil {
		entry.Repo, entry.Problem = a.Repo, a.Problem
	}
	b.found[m] = entry
}
