package rewrite

import (
	"golang.org/x/mod/module"
)

// shared are the module versions, and paths at any version, that the user's
// replaces in the members of the workspace rule.
type shared struct {
	versions map[module.Version]bool
	paths    map[string]bool
}

func (s *shared) has(m module.Version) bool { return s.versions[m] || s.paths[m.Path] }

// inMembers gathers them once: there may be many members.
func (b *builder) inMembers() *shared {
	if b.shared != nil {
		return b.shared
	}
	b.shared = &shared{versions: map[module.Version]bool{}, paths: map[string]bool{}}
	for _, u := range b.in {
		for old := range u.mod.user {
			if old.Version == "" {
				b.shared.paths[old.Path] = true
			} else {
				b.shared.versions[old] = true
			}
		}
	}
	return b.shared
}

// userReplaced tells whether a replace of the user rules m. In a workspace the
// replaces of all members hold for all: a second one for the same version is a
// conflict. Those of go.work win over any of a member, which still needs its own
// where go.work does not count (GOWORK=off, go mod tidy): it gets them for what
// its go.sum knows.
func (b *builder) userReplaced(u *unit, m id) bool {
	if b.work == nil || u != b.work && !u.m.inWork {
		if u.mod.user == nil {
			return false
		}
		_, ok := u.mod.userReplaced(b.names.of(m))
		return ok
	}
	if u == b.work || b.inMembers().has(b.names.of(m)) {
		return b.inWorkspace(m)
	}
	return b.inWorkspace(m) && !u.base.has(m) && !u.ourSums(m)
}

// inWorkspace tells whether a replace of the user rules m in the workspace.
func (b *builder) inWorkspace(m id) bool {
	v := b.names.of(m)
	_, ok := b.work.mod.userReplaced(v)
	return ok || b.inMembers().has(v)
}
