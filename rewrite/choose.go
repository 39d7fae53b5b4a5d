package rewrite

import (
	"context"
	"slices"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// choose asks about the whole set and gives each module its replacement. Two
// modules never get the same one (the go command refuses that): the second is
// spelled in the .git form.
func (b *builder) choose(ctx context.Context) error {
	var all, targets set
	for _, u := range b.all() {
		for _, to := range u.targets {
			targets.add(to)
		}
		if u != b.work {
			all.addAll(u.versions)
		}
	}
	everything := slices.Clone(all)
	everything.addAll(targets)
	if err := b.askFresh(ctx); err != nil {
		return err
	}
	if err := b.answered(ctx, slices.Collect(everything.all())); err != nil {
		return err
	}
	b.explain(all, targets)
	taken := map[mirror.ModuleVersion]string{}
	var again []id
	for _, m := range append(b.inOrder(targets), b.inOrder(all)...) {
		a := b.answer(m)
		b.note(m, a)
		if a == nil || a.Problem != nil {
			continue
		}
		path := b.names.of(m).Path
		if by, ok := taken[a.Replacement]; ok && by != path && b.p.mode() == Replace {
			again = append(again, m)
			continue
		}
		taken[a.Replacement] = path
		b.chosen.put(m, b.best(m, a))
	}
	return b.chooseOther(ctx, again, taken)
}

// explain finds out what a user's replace that names the mirror stood for: the
// record tells, or the mirror's answer for the repository it names. One that is
// not explained is the user's own and stays.
func (b *builder) explain(all, targets set) {
	for _, u := range b.all() {
		for line, to := range u.targets {
			if !b.ownPath(line.new.Path) {
				continue
			}
			_, recorded := b.past.before(u.name(), line.old, line.new)
			a := b.answer(to)
			if recorded || a != nil && a.Problem == nil && module.Version(a.Replacement) == line.new {
				u.edited[line.newID] = to
				continue
			}
			delete(u.targets, line)
			if !all.has(to) {
				targets.remove(to)
			}
		}
	}
}

// best prefers the answer with zip hashes.
func (b *builder) best(m id, a *mirror.ModuleAnswer) *mirror.ModuleAnswer {
	if full, ok := b.ask.answer(question{b.names.of(m), b.form, true}); ok && full.Problem == nil {
		return full
	}
	return a
}

func (b *builder) chooseOther(ctx context.Context, again []id, taken map[mirror.ModuleVersion]string) error {
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
			if by, ok := taken[a.Replacement]; !ok || by == questions[i].Path {
				taken[a.Replacement] = questions[i].Path
				b.chosen.put(m, a)
				continue
			}
		}
		b.found[m].Problem = &mirror.Problem{
			Code: CodeCoverage, Kind: mirror.ErrInvalid,
			What: questions[i].String() + " cannot be replaced", Why: "another module of the project is the same commit of the same repository",
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
			questions = append(questions, question{b.names.of(m), b.form, u.selected.has(m)})
		}
	}
	return b.ask.ask(ctx, questions)
}

// silent are the modules of a unit that go.sum says nothing about, when it lacks
// one that is required: then it was never complete.
func (b *builder) silent(u *unit) []id {
	if len(u.absent) == 0 || b.p.mode() != Replace {
		return nil
	}
	return slices.DeleteFunc(b.inOrder(u.versions), func(m id) bool {
		return u.base.has(m) || u.ourSums(m) || !u.loaded.has(m) && !u.selected.has(m)
	})
}

// fresh are the silent modules that get go.sum lines: those the mirror has, if
// it has a required one of them.
func (b *builder) fresh(u *unit) []id {
	if !slices.ContainsFunc(u.absent, func(m id) bool { return b.chosen.at(m) != nil }) {
		return nil
	}
	return slices.DeleteFunc(b.silent(u), func(m id) bool { return b.chosen.at(m) == nil })
}

// note enters a module into the report.
func (b *builder) note(m id, a *mirror.ModuleAnswer) {
	v := b.names.of(m)
	entry := &Module{Path: v.Path, Version: v.Version, Proof: Unused, Direct: b.direct[v.Path]}
	if a != nil {
		entry.Repo, entry.Problem = a.Repo, a.Problem
	}
	b.found.put(m, entry)
}
