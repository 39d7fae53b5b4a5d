package rewrite

import (
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
	data   []byte
	eol    string
	lines  []sumLine
	sorted bool
	index  map[module.Version]mirror.Sums
}

type sumLine struct {
	raw  string         // without EOL
	mod  module.Version // Path empty = a blank line
	file string         // "" for the zip, "/go.mod"
	hash string
}

// emptyGoMod is the hash an old go command wrote for non-modules; it reads such
// lines as absent.
const emptyGoMod = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="

func readGoSum(fsys fs.FS, name string) (*gosum, error) {
	data, ok, err := readFile(fsys, name, maxGoSum)
	if err != nil {
		return nil, err
	}
	s, err := parseGoSum(name, data)
	if err == nil {
		s.exists = ok
	}
	return s, err
}

func parseGoSum(name string, data []byte) (*gosum, error) {
	s := &gosum{name: name, data: data, eol: lineEnd(data), sorted: true, index: map[module.Version]mirror.Sums{}}
	n := 0
	for raw := range strings.Lines(string(data)) {
		n++
		line := sumLine{raw: strings.TrimRight(raw, "\r\n")}
		fields := strings.Fields(raw)
		switch len(fields) {
		case 0:
			s.sorted = false
		case 3:
			line.mod.Path, line.hash = fields[0], fields[2]
			line.mod.Version, line.file = splitSumVersion(fields[1])
			if len(s.lines) > 0 && s.lines[len(s.lines)-1].compare(line) > 0 {
				s.sorted = false
			}
		default:
			return nil, badProject(fmt.Sprintf("%s:%d is not well-formed", name, n),
				fmt.Sprintf("it has %d fields, not 3", len(fields)), "run `go mod tidy`")
		}
		s.add(line)
	}
	return s, nil
}

func splitSumVersion(v string) (version, file string) {
	if version, ok := strings.CutSuffix(v, "/go.mod"); ok {
		return version, "/go.mod"
	}
	return v, ""
}

// compare is the order of the go command (module.Sort).
func (l sumLine) compare(o sumLine) int {
	return cmp.Or(
		strings.Compare(l.mod.Path, o.mod.Path),
		semver.Compare(l.mod.Version, o.mod.Version),
		strings.Compare(l.mod.Version, o.mod.Version),
		strings.Compare(l.file, o.file),
		strings.Compare(l.hash, o.hash),
	)
}

func newSumLine(m module.Version, file, hash string) sumLine {
	return sumLine{raw: m.Path + " " + m.Version + file + " " + hash, mod: m, file: file, hash: hash}
}

// text is the line in its canonical form.
func (l sumLine) text() string { return l.mod.Path + " " + l.mod.Version + l.file + " " + l.hash }

// add appends a line. The go command believes the first one it finds of an
// algorithm it knows.
func (s *gosum) add(l sumLine) {
	s.lines = append(s.lines, l)
	if l.mod.Path == "" || !strings.HasPrefix(l.hash, "h1:") || l.hash == emptyGoMod {
		return
	}
	sums := s.index[l.mod]
	if l.file == "" && sums.Zip == "" {
		sums.Zip = l.hash
	} else if l.file != "" && sums.Mod == "" {
		sums.Mod = l.hash
	}
	s.index[l.mod] = sums
}

// sums are the hashes the file holds of a module version.
func (s *gosum) sums(m module.Version) mirror.Sums { return s.index[m] }

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
func (s *gosum) exchange(swap func(sumLine) ([]sumLine, bool), more []sumLine) *gosum {
	out := &gosum{name: s.name, exists: s.exists, eol: s.eol, sorted: s.sorted, index: map[module.Version]mirror.Sums{}}
	have := map[string]bool{}
	changed := false
	swaps := make([][]sumLine, len(s.lines))
	goes := make([]bool, len(s.lines))
	for i, l := range s.lines {
		if l.mod.Path == "" {
			continue
		}
		if swaps[i], goes[i] = swap(l); !goes[i] {
			have[l.text()] = true
		}
	}
	for i, l := range s.lines {
		if !goes[i] {
			out.add(l)
			continue
		}
		changed = true
		for _, w := range swaps[i] {
			if !have[w.text()] {
				have[w.text()] = true
				out.add(w)
			}
		}
	}
	for _, w := range more {
		if !have[w.text()] {
			have[w.text()] = true
			out.add(w)
			changed = true
		}
	}
	if !changed {
		return s
	}
	out.exists = true
	if s.sorted {
		slices.SortStableFunc(out.lines, sumLine.compare)
	}
	var b strings.Builder
	for _, l := range out.lines {
		b.WriteString(l.raw)
		b.WriteString(s.eol)
	}
	out.data = []byte(b.String())
	return out
}
