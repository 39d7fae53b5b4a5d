package rewrite

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

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
			Code: CodeUnproven, Kind: mirror.ErrHeld,
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
