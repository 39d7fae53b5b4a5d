package rewrite

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// The record of a rewrite lies in its own directory, which ignores itself: it
// is for revert on this checkout, and nobody has to commit it.
const (
	recordDir    = ".gitmirror"
	recordName   = recordDir + "/rewrite.json"
	ignoreName   = recordDir + "/.gitignore"
	lockName     = recordDir + "/rewrite.lock"
	recordFormat = 2 // 1 had all contents in Before
	maxRecord    = 256 << 20
)

// record is what revert needs.
type record struct {
	Format int    `json:"format"`
	Host   string `json:"host"`
	// Lines are those of the files before, with their ends, once each: many files
	// of a project have the same ones.
	Lines []string     `json:"lines,omitempty"`
	Files []recordFile `json:"files"`
	// InPlace are right sides of the user's replaces that were exchanged.
	InPlace []recordEdit `json:"in_place,omitempty"`
	// Sums are go.sum lines that were exchanged.
	Sums []recordSum `json:"sums,omitempty"`

	inPlace map[recordEdit]module.Version // of InPlace, without Was; made when it is needed
}

// recordFile is a file before the first rewrite, and the hash of what was written.
type recordFile struct {
	Name      string `json:"name"`
	Before    []byte `json:"before,omitempty"`       // whole, when it is no UTF-8
	Parts     []int  `json:"before_lines,omitempty"` // else its lines, by their place in Lines
	BeforeSum string `json:"before_sum"`
	AfterSum  string `json:"after_sum"`
	Missing   bool   `json:"missing,omitempty"` // there was no such file
}

type recordEdit struct {
	File string               `json:"file"`
	Old  mirror.ModuleVersion `json:"old"`
	Was  mirror.ModuleVersion `json:"was"`
	Now  mirror.ModuleVersion `json:"now"`
}

type recordSum struct {
	Was string `json:"was"`
	Now string `json:"now"`
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// content is the file before the first rewrite.
func (r *record) content(f recordFile) []byte {
	if len(f.Parts) == 0 {
		return f.Before
	}
	size := 0
	for _, i := range f.Parts {
		size += len(r.Lines[i])
	}
	data := make([]byte, 0, size)
	for _, i := range f.Parts {
		data = append(data, r.Lines[i]...)
	}
	return data
}

// pack moves contents into Lines.
func (r *record) pack(contents []Content) {
	places := map[string]int{}
	place := func(line string) int {
		at, ok := places[line]
		if !ok {
			at = len(r.Lines)
			places[line] = at
			r.Lines = append(r.Lines, line)
		}
		return at
	}
	type sumPlace struct {
		line *sumLine
		eol  string
	}
	sums := map[sumPlace]int{} // the same of lines that go.sum files share; -1 = no UTF-8
	for i, c := range contents {
		f := &r.Files[i]
		f.Before, f.Parts = nil, nil
		if s, ok := c.(*gosum); ok && s.data == nil {
			f.Parts = make([]int, len(s.lines))
			for j, l := range s.lines {
				at, ok := sums[sumPlace{l, s.eol}]
				if !ok {
					if at = -1; utf8.ValidString(l.raw) {
						at = place(l.raw + s.eol)
					}
					sums[sumPlace{l, s.eol}] = at
				}
				f.Parts[j] = at
			}
			if !slices.Contains(f.Parts, -1) {
				continue
			}
			f.Parts = nil
		}
		data := bytesOf(c)
		if !utf8.Valid(data) {
			f.Before = data
			continue
		}
		for line := range bytes.Lines(data) {
			at, ok := places[string(line)]
			if !ok {
				at = place(string(line))
			}
			f.Parts = append(f.Parts, at)
		}
	}
}

// whole tells whether all lines are there and no content is larger than a file
// that is read.
func (r *record) whole() bool {
	total := 0
	for _, f := range r.Files {
		size := len(f.Before)
		for _, i := range f.Parts {
			if i < 0 || i >= len(r.Lines) {
				return false
			}
			if size += len(r.Lines[i]); size > maxGoSum {
				return false
			}
		}
		if total += size; total > maxRecord {
			return false
		}
	}
	return true
}

func badRecord(why string) error {
	return &mirror.Problem{
		Code: CodeRecord, Kind: mirror.ErrInvalid, What: recordName + " cannot be used", Why: why,
		Do: "delete it; revert then takes out what it finds by the marker comments, and `git checkout` gives back the rest",
	}
}

// intact is an error when a content is not what was recorded.
func (r *record) intact() error {
	if r == nil {
		return nil
	}
	for _, f := range r.Files {
		if sumOf(r.content(f)) != f.BeforeSum {
			return badRecord("the content it holds of " + f.Name + " does not have the hash it was written with")
		}
	}
	return nil
}

// readRecord returns nil when there is none. Who uses the contents asks intact, too.
func readRecord(fsys fs.FS) (*record, error) {
	data, ok, err := readFile(fsys, recordName, maxRecord)
	if err != nil || !ok {
		return nil, err
	}
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, badRecord("it is not the JSON gitmirror wrote")
	}
	if r.Format != recordFormat && r.Format != 1 {
		return nil, badRecord(fmt.Sprintf("it has format %d, this gitmirror knows %d", r.Format, recordFormat))
	}
	if !r.whole() {
		return nil, badRecord("it holds less, or more, than it says")
	}
	seen := map[string]bool{}
	for _, f := range r.Files {
		switch {
		case !recordable(f.Name):
			return nil, badRecord(fmt.Sprintf("it names %q, which no rewrite writes", printable(f.Name)))
		case seen[f.Name]:
			return nil, badRecord("it names " + f.Name + " twice")
		case f.Missing && len(f.Before)+len(f.Parts) > 0:
			return nil, badRecord("it holds content of " + f.Name + ", which it says was missing")
		}
		seen[f.Name] = true
	}
	for _, s := range r.Sums {
		if _, ok := parseSumLine(s.Was); !ok {
			return nil, badRecord("it holds a malformed go.sum line")
		}
	}
	return r, nil
}

// recordable tells whether a rewrite may have written the file: revert touches
// nothing else, whatever a record says.
func recordable(name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	switch path.Base(name) {
	case "go.mod", "go.sum":
		return true
	case "modules.txt":
		return path.Base(path.Dir(name)) == "vendor"
	}
	return name == "go.work" || name == "go.work.sum"
}

func (r *record) file(name string) (recordFile, bool) {
	if r != nil {
		for _, f := range r.Files {
			if f.Name == name {
				return f, true
			}
		}
	}
	return recordFile{}, false
}

// before is the right side a replace had before it was edited in place.
func (r *record) before(file string, old, now module.Version) (was module.Version, ok bool) {
	if r == nil {
		return was, false
	}
	if r.inPlace == nil {
		r.inPlace = make(map[recordEdit]module.Version, len(r.InPlace))
		for _, e := range slices.Backward(r.InPlace) { // the first counts
			key := e
			key.Was = mirror.ModuleVersion{}
			r.inPlace[key] = module.Version(e.Was)
		}
	}
	was, ok = r.inPlace[recordEdit{File: file, Old: mirror.ModuleVersion(old), Now: mirror.ModuleVersion(now)}]
	return was, ok
}

// undo returns a function that takes earlier exchanges of lines back.
func (r *record) undo(lines *sumLines) func(*gosum) *gosum {
	if r == nil {
		return func(s *gosum) *gosum { return s }
	}
	return undo(lines, r.Sums)
}

func undo(lines *sumLines, sums []recordSum) func(*gosum) *gosum {
	back := map[string]*sumLine{} // by canonical form
	for _, e := range sums {
		if _, ok := parseSumLine(e.Was); ok && e.Was != e.Now {
			if line, err := lines.line([]byte(e.Was)); err == nil {
				back[e.Now] = line
			}
		}
	}
	var known table[*sumLine] // the same by number
	var looked set
	x := &exchanger{}
	return func(s *gosum) *gosum {
		return x.exchange(s, func(l *sumLine) (*sumLine, bool) {
			if !looked.has(id(l.n)) {
				looked.add(id(l.n))
				known.put(id(l.n), back[l.text()])
			}
			was := known.at(id(l.n))
			return was, was != nil
		}, nil)
	}
}

func parseSumLine(text string) (*sumLine, bool) {
	line, err := parseLine(text)
	return line, err == nil && line.mod.Path != "" && !strings.ContainsAny(text, "\r\n")
}
