package rewrite

import (
	"strings"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// reader reads the files of one project. Most lines of a go.mod and a go.sum are
// in many of the others, too: each is understood and kept once.
type reader struct {
	mu    sync.Mutex
	names *names
	sums  *sumLines
	mods  [verbs]map[string]*modLine
}

func newReader() *reader {
	r := &reader{names: newNames()}
	r.sums = newSumLines(r.names)
	for i := range r.mods {
		r.mods[i] = map[string]*modLine{}
	}
	return r
}

// verb tells where a line stands: outside of blocks, or in one.
type verb int

const (
	outside verb = iota
	inRequire
	inReplace
	inExclude
	inTool
	verbs
)

var verbNames = [verbs]string{"", "require", "replace", "exclude", "tool"}

// modLine is what one line of a go.mod says.
type modLine struct {
	kind verb // of a directive; outside = one of the next three, or none

	main, golang, toolchain string

	mod      id   // required or excluded
	indirect bool // required with "// indirect"

	replace replaceLine // rhs is from the beginning of the line on
	marked  *replaceLine
	plain   bool // the replace is written as this package writes it
}

// understand asks x/mod about one line; nil when it is not one directive by itself.
func (r *reader) understand(in verb, raw []byte) *modLine {
	l, ok := r.mods[in][string(raw)]
	if !ok {
		text := string(raw)
		l = r.ask(in, text)
		r.mods[in][text] = l
	}
	return l
}

func (r *reader) ask(in verb, line string) *modLine {
	const head = "module x\n"
	text, before := head+line+"\n", len(head)
	switch {
	case in != outside:
		before += len(verbNames[in]) + len(" (\n")
		text = head + verbNames[in] + " (\n" + line + "\n)\n"
	case strings.HasPrefix(strings.TrimLeft(line, " \t"), "module"):
		text, before = line+"\n", 0
	}
	f, err := modfile.Parse("go.mod", []byte(text), nil)
	if err != nil || f.Module == nil || len(f.Syntax.Stmt) > 2 {
		return nil
	}
	if before == 0 {
		if len(f.Syntax.Stmt) != 1 || f.Module.Mod.Path == "" {
			return nil
		}
		return &modLine{main: f.Module.Mod.Path}
	}
	l := &modLine{}
	switch {
	case f.Go != nil:
		l.golang = f.Go.Version
	case f.Toolchain != nil:
		l.toolchain = f.Toolchain.Name
	case len(f.Require) == 1:
		l.kind, l.mod, l.indirect = inRequire, r.names.id(f.Require[0].Mod), f.Require[0].Indirect
	case len(f.Exclude) == 1:
		l.kind, l.mod = inExclude, r.names.id(f.Exclude[0].Mod)
	case len(f.Replace) == 1:
		replace, ok := r.replaceLine([]byte(text), f.Replace[0])
		if !ok {
			return nil
		}
		replace.rhs[0] -= before
		replace.rhs[1] -= before
		l.kind, l.replace = inReplace, replace
		as := replacement{old: replace.old, new: replace.new}.String()
		l.plain = replace.old.Version != "" && replace.new.Version != "" && (line == "\t"+as || in == outside && line == "replace "+as)
	case len(f.Tool) == 1:
		l.kind = inTool
	default:
		return nil
	}
	return l
}

// replaceLine finds the bytes of a replace directive in data.
func (r *reader) replaceLine(data []byte, x *modfile.Replace) (l replaceLine, ok bool) {
	tokens := tokenize(data, x.Syntax.Start.Byte, x.Syntax.End.Byte)
	arrow := -1
	for i, t := range tokens {
		if arrow < 0 && string(data[t[0]:t[1]]) == "=>" {
			arrow = i
		}
	}
	if arrow < 0 || arrow+1 >= len(tokens) || len(tokens) != len(x.Syntax.Token) {
		return l, false
	}
	return replaceLine{
		old: x.Old, new: x.New, oldID: r.names.id(x.Old), newID: r.names.id(x.New),
		rhs: [2]int{tokens[arrow+1][0], tokens[len(tokens)-1][1]},
	}, true
}

// requires summarises the go.mod of a dependency; nil when it is not well-formed.
func (r *reader) requires(name string, data []byte) *summary {
	if m := r.goMod(name, data); m != nil {
		return m.needs
	}
	f, err := modfile.ParseLax(name, data, nil)
	if err != nil {
		return nil
	}
	return r.summarize(f)
}

func (r *reader) summarize(f *modfile.File) *summary {
	s := &summary{require: make([]id, len(f.Require))}
	if f.Go != nil {
		s.pruning = pruningFor(f.Go.Version)
	}
	for i, x := range f.Require {
		s.require[i] = r.names.id(x.Mod)
	}
	return s
}

// versionsOf are the module versions of some numbers.
func (r *reader) versionsOf(ids []id) []module.Version {
	list := make([]module.Version, len(ids))
	for i, m := range ids {
		list[i] = r.names.of(m)
	}
	return list
}
