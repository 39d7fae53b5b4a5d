package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unique"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// marker is the comment above the replaces this package writes; a later run
// finds its own work by it.
func marker(host string) string {
	return markerHead + host + `; written by "gitmirror rewrite", undone by "gitmirror rewrite --revert".`
}

const markerHead = "// gitmirror: modules served by "

// markerHost is the host in a marker comment.
func markerHost(comment string) (host string, ok bool) {
	rest, ok := strings.CutPrefix(comment, markerHead)
	if !ok {
		return "", false
	}
	host, _, ok = strings.Cut(rest, ";")
	return strings.TrimSpace(host), ok && host != ""
}

// gomod is a go.mod or go.work, with byte offsets for what may be edited.
type gomod struct {
	name     string
	data     []byte
	eol      string
	main     string           // its module path; empty for a go.work
	golang   string           // of its go line; empty without one, and for a go.work
	needs    *summary         // what it requires; nil for a go.work
	direct   []string         // paths required without "// indirect"
	exclude  []module.Version // of a go.mod
	replaces []*replaceLine
	blocks   []*block
	index    map[module.Version]*replaceLine
	user     map[module.Version]*replaceLine // without ours
}

// replaceLine is one replace directive.
type replaceLine struct {
	old, new module.Version
	rhs      [2]int // bytes of its right side
	line     int
	ours     bool // in a marked statement and of the form written there
}

func parseGoMod(name string, data []byte) (*gomod, error) {
	f, err := modfile.Parse(name, data, nil)
	if err != nil {
		return nil, malformed(name, err)
	}
	if f.Module == nil || f.Module.Mod.Path == "" {
		return nil, badProject(name+" has no module line", "", "run `go mod init` first")
	}
	// Of the syntax tree nothing is kept: a project may have a thousand of them.
	m := &gomod{name: name, data: data, eol: lineEnd(data), main: f.Module.Mod.Path, needs: summarize(f)}
	for i, r := range m.needs.require {
		m.needs.require[i] = interned(r)
	}
	if f.Go != nil {
		m.golang = f.Go.Version
	}
	for _, r := range f.Require {
		if !r.Indirect {
			m.direct = append(m.direct, r.Mod.Path)
		}
	}
	for _, e := range f.Exclude {
		m.exclude = append(m.exclude, e.Mod)
	}
	return m, m.locate(f.Syntax, f.Replace)
}

func parseGoWork(name string, data []byte) (*gomod, *modfile.WorkFile, error) {
	f, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		return nil, nil, malformed(name, err)
	}
	m := &gomod{name: name, data: data, eol: lineEnd(data)}
	return m, f, m.locate(f.Syntax, f.Replace)
}

// malformed names the first line that is wrong; x/mod lists all of them.
func malformed(name string, err error) error {
	var list modfile.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		err = &list[0]
	}
	return badProject(name+" is not well-formed", printable(err.Error()), "mend that line; `go mod edit -fmt` must accept the file")
}

func lineEnd(data []byte) string {
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// locate finds the bytes of every replace directive and of the marked statements.
func (m *gomod) locate(syntax *modfile.FileSyntax, replaces []*modfile.Replace) error {
	byLine := map[*modfile.Line]*replaceLine{}
	m.index = make(map[module.Version]*replaceLine, len(replaces))
	m.replaces = make([]*replaceLine, 0, len(replaces))
	for _, r := range replaces {
		tokens := tokenize(m.data, r.Syntax.Start.Byte, r.Syntax.End.Byte)
		arrow := slices.IndexFunc(tokens, func(t [2]int) bool { return string(m.data[t[0]:t[1]]) == "=>" })
		if arrow < 0 || arrow+1 >= len(tokens) || len(tokens) != len(r.Syntax.Token) {
			return badProject(fmt.Sprintf("%s:%d cannot be edited", m.name, r.Syntax.Start.Line), "its replace directive is written in an unknown way", "write it as `replace OLD => NEW VERSION`")
		}
		line := &replaceLine{
			old: interned(r.Old), new: interned(r.New), line: r.Syntax.Start.Line,
			rhs: [2]int{tokens[arrow+1][0], tokens[len(tokens)-1][1]},
		}
		byLine[r.Syntax] = line
		m.replaces = append(m.replaces, line)
		m.index[line.old] = line
	}
	var before []modfile.Comment // of a comment block that a blank line cut off
	for _, stmt := range syntax.Stmt {
		if cb, ok := stmt.(*modfile.CommentBlock); ok {
			before = append(before, cb.Before...)
			continue
		}
		if b := newBlock(m.data, stmt, append(before, stmt.Comment().Before...), byLine); b != nil {
			m.blocks = append(m.blocks, b)
		}
		before = nil
	}
	m.user = map[module.Version]*replaceLine{}
	for _, r := range m.replaces {
		if !r.ours {
			m.user[r.old] = r
		}
	}
	return nil
}

// interned is a module version whose text is kept once, however many files name it.
func interned(m module.Version) module.Version {
	return module.Version{Path: unique.Make(m.Path).Value(), Version: unique.Make(m.Version).Value()}
}

// tokenize finds the tokens between two offsets as x/mod's lexer does. (The
// tokens x/mod hands out carry no offsets and may be normalised.)
func tokenize(data []byte, start, end int) (tokens [][2]int) {
	for i := start; i < end; {
		switch c := data[i]; {
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case strings.IndexByte("()[]{},", c) >= 0:
			tokens = append(tokens, [2]int{i, i + 1})
			i++
		case c == '"' || c == '`':
			j := i + 1
			for j < end && data[j] != c {
				if data[j] == '\\' && c == '"' {
					j++
				}
				j++
			}
			j = min(j+1, end)
			tokens = append(tokens, [2]int{i, j})
			i = j
		default:
			j := i
			for j < end && strings.IndexByte(" \t\r()[]{},", data[j]) < 0 {
				j++
			}
			tokens = append(tokens, [2]int{i, j})
			i = j
		}
	}
	return tokens
}

// replaced is what the file replaces v by, as the go command reads it: a
// directive with a version wins over one without.
func (m *gomod) replaced(v module.Version) (*replaceLine, bool) {
	if r, ok := m.index[v]; ok {
		return r, true
	}
	r, ok := m.index[module.Version{Path: v.Path}]
	return r, ok
}

// userReplaced is the replace of the user that rules v.
func (m *gomod) userReplaced(v module.Version) (*replaceLine, bool) {
	if r, ok := m.user[v]; ok {
		return r, true
	}
	r, ok := m.user[module.Version{Path: v.Path}]
	return r, ok
}

// splice is one change of bytes.
type splice struct {
	start, end int
	text       string
}

// apply makes all changes; they must not overlap.
func apply(data []byte, changes []splice) []byte {
	slices.SortStableFunc(changes, func(a, b splice) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, c := range changes {
		out = append(append(out, data[at:c.start]...), c.text...)
		at = c.end
	}
	return append(out, data[at:]...)
}
