package rewrite

import (
	"bytes"
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

// goMod reads a go.mod that is written line by line, as the go command and this
// package do it. Nil: one that is not, which x/mod has to read. It means what
// x/mod takes it for, since that is who is asked about each line. The caller
// holds mu.
func (r *reader) goMod(name string, data []byte) *gomod {
	if bytes.IndexByte(data, '\r') >= 0 {
		return nil
	}
	f := &lineByLine{reader: r, data: data, mod: &gomod{name: name, data: data, eol: "\n", needs: &summary{}}, marker: -1}
	for at := 0; at < len(data); {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i
		}
		if !f.line(at, end) {
			return nil
		}
		at = end + 1
	}
	if f.in != outside || f.marker >= 0 || f.mod.main == "" {
		return nil
	}
	f.mod.noteUsers()
	return f.mod
}

// lineByLine is a go.mod while it is read.
type lineByLine struct {
	*reader
	data      []byte
	mod       *gomod
	in        verb
	toolchain bool

	marker int    // offset of a marker whose statement comes next; -1 = none
	host   string // in it
	block  *block // the marked statement, while it is open
	from   int    // its first line, in mod.replaces
}

// line reads data[at:end]; false = it is something else than what is understood.
func (f *lineByLine) line(at, end int) bool {
	raw := f.data[at:end]
	text := bytes.TrimLeft(raw, " \t")
	switch {
	case len(text) == 0:
		return f.marker < 0 && f.block == nil
	case bytes.HasPrefix(text, []byte("//")):
		return f.comment(at, raw, text)
	case f.in == outside && raw[len(raw)-1] == '(':
		return f.open(string(raw))
	case f.in != outside && len(raw) == 1 && raw[0] == ')':
		return f.close(end)
	}
	l := f.understand(f.in, raw)
	if l == nil {
		return false
	}
	switch {
	case l.kind == inReplace && f.block != nil:
		return f.ours(l)
	case l.kind == inReplace && f.marker >= 0:
		f.begin()
		return f.ours(l) && f.close(end)
	case f.marker >= 0:
		return false
	}
	return f.directive(l, at)
}

func (f *lineByLine) comment(at int, raw, text []byte) bool {
	if !bytes.HasPrefix(text, []byte(markerHead)) {
		return f.marker < 0 && f.block == nil
	}
	host, ok := markerHost(strings.TrimRight(string(raw), " "))
	if !ok || f.in != outside || f.marker >= 0 || len(f.mod.blocks) > 0 {
		return false
	}
	f.marker, f.host = at, host
	return true
}

func (f *lineByLine) open(line string) bool {
	for v := inRequire; v < verbs; v++ {
		if line != verbNames[v]+" (" {
			continue
		}
		if f.in = v; f.marker >= 0 {
			f.begin()
			return v == inReplace
		}
		return true
	}
	return false
}

// begin opens the marked statement.
func (f *lineByLine) begin() {
	f.block = &block{start: f.marker, data: f.data, host: f.host, hosts: []string{f.host}, whole: true}
	f.marker, f.from = -1, len(f.mod.replaces)
}

// close ends a block, or the marked statement of one line.
func (f *lineByLine) close(end int) bool {
	if f.in = outside; f.block == nil {
		return true
	}
	f.block.end, f.block.lines = end, f.mod.replaces[f.from:len(f.mod.replaces):len(f.mod.replaces)]
	f.mod.blocks, f.block = append(f.mod.blocks, f.block), nil
	return len(f.mod.replaces) > f.from
}

// ours adds a line of the marked statement, which must be as it would be written
// today: then nothing of the user's is in it.
func (f *lineByLine) ours(l *modLine) bool {
	if !l.plain || !strings.HasPrefix(l.replace.new.Path, f.host+"/") {
		return false
	}
	if n := len(f.mod.replaces); n > f.from && compareVersions(f.mod.replaces[n-1].old, l.replace.old) >= 0 {
		return false
	}
	if l.marked == nil {
		marked := l.replace
		marked.ours = true
		l.marked = &marked
	}
	f.mod.replaces = append(f.mod.replaces, l.marked)
	return true
}

func (f *lineByLine) directive(l *modLine, at int) bool {
	m := f.mod
	switch l.kind {
	case inRequire:
		m.needs.require = append(m.needs.require, l.mod)
		if !l.indirect {
			m.direct = append(m.direct, l.mod)
		}
	case inExclude:
		m.exclude = append(m.exclude, l.mod)
	case inTool:
	case inReplace:
		r := l.replace
		r.rhs[0] += at
		r.rhs[1] += at
		m.replaces = append(m.replaces, &r)
	default:
		again := l.main != "" && m.main != "" || l.golang != "" && m.golang != "" || l.toolchain != "" && f.toolchain
		if again {
			return false
		}
		if l.golang != "" {
			m.golang, m.needs.pruning = l.golang, pruningFor(l.golang)
		}
		if l.main != "" {
			m.main = l.main
		}
		f.toolchain = f.toolchain || l.toolchain != ""
	}
	return true
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
