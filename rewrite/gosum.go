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
	data   []byte // as it was read; see bytes
	lazy   bool   // data is not made yet
	eol    string
	lines  []*sumLine
	sorted bool
	index  map[module.Version]mirror.Sums // nil until somebody asks
}

type sumLine struct {
	raw  string         // without EOL
	key  string         // the line in its canonical form
	mod  module.Version // Path empty = a blank line
	file string         // "" for the zip, "/go.mod"
	hash string
}

// emptyGoMod is the hash an old go command wrote for non-modules; it reads such
// lines as absent.
const emptyGoMod = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="

// sumReader reads the go.sum files of one project, most lines of which are in
// many of them: each is understood and kept once.
type sumReader struct{ known map[string]*sumLine }

func (r *sumReader) read(fsys fs.FS, name string) (*gosum, error) {
	data, ok, err := readFile(fsys, name, maxGoSum)
	if err != nil {
		return nil, err
	}
	s, err := r.parse(name, data)
	if err == nil {
		s.exists = ok
	}
	return s, err
}

func parseGoSum(name string, data []byte) (*gosum, error) {
	return (&sumReader{}).parse(name, data)
}

func (r *sumReader) parse(name string, data []byte) (*gosum, error) {
	if r.known == nil {
		r.known = map[string]*sumLine{}
	}
	count := bytes.Count(data, []byte("\n")) + 1
	s := &gosum{name: name, data: data, eol: lineEnd(data), sorted: true, lines: make([]*sumLine, 0, count)}
	n := 0
	for raw := range bytes.Lines(data) {
		n++
		raw = bytes.TrimRight(raw, "\r\n")
		line, ok := r.known[string(raw)]
		if !ok {
			var err error
			if line, err = parseLine(string(raw)); err != nil {
				return nil, badProject(fmt.Sprintf("%s:%d is not well-formed", name, n), err.Error(), "run `go mod tidy`")
			}
			r.known[line.raw] = line
		}
		if line.mod.Path == "" || len(s.lines) > 0 && s.lines[len(s.lines)-1].compare(line) > 0 {
			s.sorted = false
		}
		s.lines = append(s.lines, line)
	}
	if bytes.Equal(s.render(), data) {
		s.data, s.lazy = nil, true // the lines say it all, and other files share them
	}
	return s, nil
}

// parseLine reads one line; a blank one has no module.
func parseLine(raw string) (*sumLine, error) {
	line := &sumLine{raw: raw}
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

func newSumLine(m module.Version, file, hash string) *sumLine {
	key := m.Path + " " + m.Version + file + " " + hash
	return &sumLine{raw: key, key: key, mod: m, file: file, hash: hash}
}

// text is the line in its canonical form.
func (l *sumLine) text() string { return l.key }

// byModule is the index. The go command believes the first line it finds of an
// algorithm it knows.
func (s *gosum) byModule() map[module.Version]mirror.Sums {
	if s.index != nil {
		return s.index
	}
	modules := 0
	for i, l := range s.lines {
		if i == 0 || s.lines[i-1].mod != l.mod {
			modules++
		}
	}
	s.index = make(map[module.Version]mirror.Sums, modules)
	for _, l := range s.lines {
		if l.mod.Path == "" || !strings.HasPrefix(l.hash, "h1:") || l.hash == emptyGoMod {
			continue
		}
		sums := s.index[l.mod]
		if l.file == "" && sums.Zip == "" {
			sums.Zip = l.hash
		} else if l.file != "" && sums.Mod == "" {
			sums.Mod = l.hash
		}
		s.index[l.mod] = sums
	}
	return s.index
}

// sums are the hashes the file holds of a module version.
func (s *gosum) sums(m module.Version) mirror.Sums { return s.byModule()[m] }

// modules are the module versions of the file, in its order.
func (s *gosum) modules() []module.Version {
	seen := map[module.Version]bool{}
	var found []module.Version
	for _, l := range s.lines {
		if l.mod.Path != "" && l.hash != emptyGoMod && !seen[l.mod] {
			seen[l.mod] = true
			found = append(found, l.mod)
		}
	}
	return found
}

// exchange returns the file with every line for which swap says so replaced by
// others (or by none), and more lines added. When nothing is different the
// bytes are the same.
func (s *gosum) exchange(swap func(*sumLine) ([]*sumLine, bool), more []*sumLine) *gosum {
	out := &gosum{name: s.name, exists: s.exists, eol: s.eol, sorted: s.sorted}
	have := make(map[string]bool, len(s.lines))
	changed := false
	swaps := make([][]*sumLine, len(s.lines))
	goes := make([]bool, len(s.lines))
	for i, l := range s.lines {
		if l.mod.Path == "" {
			continue
		}
		if swaps[i], goes[i] = swap(l); !goes[i] {
			have[l.text()] = true
		}
	}
	if !slices.Contains(goes, true) && !slices.ContainsFunc(more, func(w *sumLine) bool { return !have[w.text()] }) {
		return s
	}
	out.lines = make([]*sumLine, 0, len(s.lines)+len(more))
	for i, l := range s.lines {
		if !goes[i] {
			out.lines = append(out.lines, l)
			continue
		}
		changed = true
		for _, w := range swaps[i] {
			if !have[w.text()] {
				have[w.text()] = true
				out.lines = append(out.lines, w)
			}
		}
	}
	for _, w := range more {
		if !have[w.text()] {
			have[w.text()] = true
			out.lines = append(out.lines, w)
			changed = true
		}
	}
	if !changed {
		return s
	}
	out.exists, out.data, out.lazy = true, nil, true
	if s.sorted {
		slices.SortStableFunc(out.lines, (*sumLine).compare)
	}
	return out
}

// bytes is the file; one that was exchanged is written when it is asked for.
func (s *gosum) bytes() []byte {
	if !s.lazy {
		return s.data
	}
	return s.render()
}

func (s *gosum) render() []byte {
	size := 0
	for _, l := range s.lines {
		size += len(l.raw) + len(s.eol)
	}
	data := make([]byte, 0, size)
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
	if !s.lazy || !o.lazy || s.eol != o.eol {
		return bytes.Equal(s.bytes(), o.bytes())
	}
	return slices.EqualFunc(s.lines, o.lines, func(x, y *sumLine) bool { return x == y || x.raw == y.raw })
}
