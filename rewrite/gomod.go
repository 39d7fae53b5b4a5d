package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	main     string   // its module path; empty for a go.work
	golang   string   // of its go line; empty without one, and for a go.work
	needs    *summary // what it requires; nil for a go.work
	direct   []id     // required without "// indirect"
	exclude  []id     // of a go.mod
	replaces []*replaceLine
	blocks   []*block
	user     map[module.Version]*replaceLine // replaces that are not ours; nil without any
	index    map[module.Version]*replaceLine // all of them; nil until somebody asks

	asWritten bool // it was written here and not read again: there is only data
}

// replaceLine is one replace directive. Those of a marked statement that is as it
// would be written today are shared by all files that have them, and lack rhs.
type replaceLine struct {
	old, new     module.Version
	oldID, newID id
	rhs          [2]int // bytes of its right side
	ours         bool   // in a marked statement and of the form written there
}

// parseGoMod reads one go.mod of a project.
func (r *reader) parseGoMod(name string, data []byte) (*gomod, error) {
	r.mu.Lock()
	m := r.goMod(name, data)
	r.mu.Unlock()
	if m != nil {
		return m, nil
	}
	f, err := modfile.Parse(name, data, nil)
	if err != nil {
		return nil, malformed(name, err)
	}
	if f.Module == nil || f.Module.Mod.Path == "" {
		return nil, badProject(name+" has no module line", "", "run `go mod init` first")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m = &gomod{name: name, data: data, eol: lineEnd(data), main: f.Module.Mod.Path, needs: r.summarize(f)}
	if f.Go != nil {
		m.golang = f.Go.Version
	}
	for i, x := range f.Require {
		if !x.Indirect {
			m.direct = append(m.direct, m.needs.require[i])
		}
	}
	for _, x := range f.Exclude {
		m.exclude = append(m.exclude, r.names.id(x.Mod))
	}
	return m, m.locate(r, f.Syntax, f.Replace)
}

// parseGoWork reads a go.work.
func (r *reader) parseGoWork(name string, data []byte) (*gomod, *modfile.WorkFile, error) {
	f, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		return nil, nil, malformed(name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &gomod{name: name, data: data, eol: lineEnd(data)}
	return m, f, m.locate(r, f.Syntax, f.Replace)
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
func (m *gomod) locate(r *reader, syntax *modfile.FileSyntax, replaces []*modfile.Replace) error {
	byLine := make(map[*modfile.Line]*replaceLine, len(replaces))
	m.replaces = make([]*replaceLine, 0, len(replaces))
	for _, x := range replaces {
		line, ok := r.replaceLine(m.data, x)
		if !ok {
			return badProject(fmt.Sprintf("%s:%d cannot be edited", m.name, x.Syntax.Start.Line), "its replace directive is written in an unknown way", "write it as `replace OLD => NEW VERSION`")
		}
		byLine[x.Syntax] = &line
		m.replaces = append(m.replaces, &line)
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
	m.noteUsers()
	return nil
}

// noteUsers indexes the replaces that are not ours.
func (m *gomod) noteUsers() {
	for _, r := range m.replaces {
		if r.ours {
			continue
		}
		if m.user == nil {
			m.user = map[module.Version]*replaceLine{}
		}
		m.user[r.old] = r
	}
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
	if m.index == nil {
		m.index = make(map[module.Version]*replaceLine, len(m.replaces))
		for _, r := range m.replaces {
			m.index[r.old] = r
		}
	}
	if r, ok := m.index[v]; ok {
		return r, true
	}
	r, ok := m.index[module.Version{Path: v.Path}]
	return r, ok
}

// userReplaced is the replace of the user that rules v.
func (m *gomod) userReplaced(v module.Version) (*replaceLine, bool) {
	if m.user == nil {
		return nil, false
	}
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
