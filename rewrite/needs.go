package rewrite

import (
	"io/fs"
	"path"
)

// goMod reads the go.mod of a module for the graph: of the directory or the
// module that the first of units replaces it by. ok is false when nobody asked
// about that one yet.
func (b *builder) goMod(units []*unit, m id) (s *summary, ok bool) {
	as := m
	if len(units) == 1 || b.inWorkspace(m) {
		v := b.names.of(m)
		for _, u := range units {
			r, ok := u.mod.userReplaced(v)
			if !ok {
				continue
			}
			if r.new.Version == "" {
				return b.readDir(u, r.new.Path), true
			}
			as = b.was(u, r)
			break
		}
	}
	if b.read.has(as) {
		return b.needs.at(as), true
	}
	if !b.skip(as) {
		a := b.answer(as)
		if a == nil {
			b.unasked.add(as)
			return nil, false
		}
		if a.Problem == nil {
			b.needs.put(as, b.proj.requires("go.mod", []byte(a.GoMod)))
		}
	}
	b.read.add(as)
	return b.needs.at(as), true
}

// readDir reads the go.mod of a replacement directory; nil when it cannot.
func (b *builder) readDir(u *unit, dir string) *summary {
	name := path.Join(path.Dir(u.name()), dir, "go.mod")
	outside, key := path.IsAbs(dir) || !fs.ValidPath(name), name
	if path.IsAbs(dir) {
		key = "/" + name
	}
	if b.dirNeeds == nil {
		b.dirNeeds = map[string]*summary{}
		for _, m := range b.proj.modules {
			b.dirNeeds[m.mod.name] = m.mod.needs
		}
	}
	if s, ok := b.dirNeeds[key]; ok {
		return s
	}
	var data []byte
	var err error
	switch {
	case !outside:
		data, _, err = readFile(b.proj.fsys, name, maxGoMod)
	case b.p.Outside != nil:
		data, err = b.p.Outside(name)
	}
	var s *summary
	if err == nil && len(data) > 0 && len(data) <= maxGoMod {
		s = b.proj.requires(name, data)
	}
	b.dirNeeds[key] = s
	return s
}
