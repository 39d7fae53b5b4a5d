package rewrite

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
)

// gosum is a go.sum or go.work.sum. Lines keep their bytes and, unless the file
// is sorted as the go command sorts it, their order.
type gosum struct {
	name   string
	exists bool
	data   []byte // as it was read, where the lines do not say all of it
	eol    string
	lines  []*sumLine
	sorted bool
	pool   *sumLines
	index  []sumEntry // by mod; nil until somebody asks
}

// sumLine is a line of a go.sum. All files of a project share one of each.
type sumLine struct {
	raw  string         // without EOL
	key  string         // the line in its canonical form
	n    int32          // number of the line in its canonical form
	mod  module.Version // Path empty = a blank line
	id   id             // of mod
	file string         // "" for the zip, "/go.mod"
	hash string
}

// sumEntry is what a go.sum has of one module version: lines of it, by their
// place from 1 on; 0 = none.
type sumEntry struct {
	mod       id
	zip, gomo int32
}

// emptyGoMod is the hash an old go command wrote for non-modules; it reads such
// lines as absent.
const emptyGoMod = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="

// readSum reads a go.sum; one that does not exist is empty. It uses room, and
// returns it for the next.
func (r *reader) readSum(fsys fs.FS, name string, room []byte) (*gosum, []byte, error) {
	data, ok, err := readInto(room, fsys, name, name, maxGoSum)
	if err != nil {
		return nil, room, err
	}
	if data != nil {
		room = data
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.sums.parse(name, data)
	if err == nil {
		s.exists = ok
	}
	return s, room, err
}

func (p *sumLines) parse(name string, data []byte) (*gosum, error) {
	s := &gosum{name: name, eol: lineEnd(data), sorted: true, pool: p, lines: make([]*sumLine, 0, bytes.Count(data, []byte("\n"))+1)}
	n, exact := 0, true
	for raw := range bytes.Lines(data) {
		n++
		size := len(raw)
		exact = exact && bytes.HasSuffix(raw, []byte(s.eol))
		raw = bytes.TrimRight(raw, "\r\n")
		exact = exact && size == len(raw)+len(s.eol)
		line, err := p.line(raw)
		if err != nil {
			return nil, badProject(fmt.Sprintf("%s:%d is not well-formed", name, n), err.Error(), "run `go mod tidy`")
		}
		if line.mod.Path == "" || len(s.lines) > 0 && s.lines[len(s.lines)-1].compare(line) > 0 {
			s.sorted = false
		}
		s.lines = append(s.lines, line)
	}
	if !exact { // else the lines, which other files share, say it all
		s.data = bytes.Clone(data)
	}
	return s, nil
}

// parseLine reads one line; a blank one has no module.
func parseLine(raw string) (*sumLine, error) {
	line := &sumLine{raw: raw, id: -1}
	fields := strings.Fields(raw)
	switch len(fields) {
	case 0:
		return line, nil
	case 3:
		line.mod.Path, line.hash = fields[0], fields[2]
		line.mod.Version, line.file = splitSumVersion(fields[1])
		line.key = raw
		if key := strings.Join(fields, " "); key != raw {
			line.key = key
		}
		return line, nil
	}
	return line, fmt.Errorf("it has %d fields, not 3", len(fields))
}

func splitSumVersion(v string) (version, file string) {
	if version, ok := strings.CutSuffix(v, "/go.mod"); ok {
		return version, "/go.mod"
	}
	return v, ""
}

// compare is the order of the go command (module.Sort).
func (l *sumLine) compare(o *sumLine) int {
	if c := strings.Compare(l.mod.Path, o.mod.Path); c != 0 {
		return c
	}
	if l.mod.Version != o.mod.Version {
		return cmp.Or(semver.Compare(l.mod.Version, o.mod.Version), strings.Compare(l.mod.Version, o.mod.Version))
	}
	return cmp.Or(strings.Compare(l.file, o.file), strings.Compare(l.hash, o.hash))
}

// counts tells whether the line is about a module, in an algorithm the go command
// knows: it passes over others (cmd/go/internal/modfetch).
func (l *sumLine) counts() bool { return l.mod.Path != "" && strings.HasPrefix(l.hash, "h1:") }

// text is the line in its canonical form.
func (l *sumLine) text() string { return l.key }

// entries is the index. The go command believes the first line it finds of an
// algorithm it knows.
func (s *gosum) entries() []sumEntry {
	if s.index != nil {
		return s.index
	}
	index := make([]sumEntry, 0, len(s.lines)/2+1)
	for i, l := range s.lines {
		if !l.counts() || l.hash == emptyGoMod {
			continue
		}
		if n := len(index); n == 0 || index[n-1].mod != l.id {
			index = append(index, sumEntry{mod: l.id})
		}
		e := &index[len(index)-1]
		if l.file == "" && e.zip == 0 {
			e.zip = int32(i + 1)
		} else if l.file != "" && e.gomo == 0 {
			e.gomo = int32(i + 1)
		}
	}
	slices.SortStableFunc(index, func(x, y sumEntry) int { return int(x.mod - y.mod) })
	s.index = index[:0]
	for _, e := range index { // one module may stand at several places of a file that is not sorted
		n := len(s.index)
		if n == 0 || s.index[n-1].mod != e.mod {
			s.index = append(s.index, e)
			continue
		}
		before := &s.index[n-1]
		before.zip, before.gomo = cmp.Or(before.zip, e.zip), cmp.Or(before.gomo, e.gomo)
	}
	return s.index
}

// sums are the hashes the file holds of a module version.
func (s *gosum) sums(m id) (sums mirror.Sums) {
	entries := s.entries()
	i, ok := slices.BinarySearchFunc(entries, m, func(e sumEntry, m id) int { return int(e.mod - m) })
	if !ok {
		return sums
	}
	return s.of(entries[i])
}

func (s *gosum) of(e sumEntry) (sums mirror.Sums) {
	if e.zip > 0 {
		sums.Zip = s.lines[e.zip-1].hash
	}
	if e.gomo > 0 {
		sums.Mod = s.lines[e.gomo-1].hash
	}
	return sums
}

// has tells whether the file holds a hash of a module version.
func (s *gosum) has(m id) bool { return s.sums(m) != mirror.Sums{} }

// modules are the module versions of the file.
func (s *gosum) modules() (found set) {
	for _, l := range s.lines {
		if l.counts() && l.hash != emptyGoMod {
			found.add(l.id)
		}
	}
	return found
}

// AppendTo implements Content.
func (s *gosum) AppendTo(data []byte) []byte {
	if s.data != nil {
		return append(data, s.data...)
	}
	size := 0
	for _, l := range s.lines {
		size += len(l.raw) + len(s.eol)
	}
	data = slices.Grow(data, size)
	for _, l := range s.lines {
		data = append(append(data, l.raw...), s.eol...)
	}
	return data
}

// same tells whether two files have the same bytes.
func (s *gosum) same(o *gosum) bool {
	if s == o {
		return true
	}
	if s.data != nil || o.data != nil || s.eol != o.eol {
		return bytes.Equal(bytesOf(s), bytesOf(o))
	}
	return slices.EqualFunc(s.lines, o.lines, func(x, y *sumLine) bool { return x == y || x.raw == y.raw })
}
