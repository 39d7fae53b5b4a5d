package rewrite

import (
	"bytes"
	"strings"
)

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
