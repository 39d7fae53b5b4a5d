package rewrite

import (
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// replacement is a replace directive to be written.
type replacement struct{ old, new module.Version }

func (r replacement) String() string {
	return r.old.Path + " " + r.old.Version + " => " + r.new.Path + " " + r.new.Version
}

// compare orders replaces as the go command sorts the lines of a block.
func (r replacement) compare(o replacement) int { return compareVersions(r.old, o.old) }

// wantedLine is a replacement of one project: the same ones go into many files.
type wantedLine struct {
	replacement
	text  string // without indentation
	plain bool   // it needs no quotes
}

func newWanted(old, new module.Version) *wantedLine {
	w := &wantedLine{replacement: replacement{old, new}, plain: true}
	w.text = w.String()
	for _, token := range []string{old.Path, old.Version, new.Path, new.Version} {
		w.plain = w.plain && !modfile.MustQuote(token)
	}
	return w
}

// statement is a marked statement with these replaces.
func statement(host, eol string, wanted []*wantedLine) string {
	if len(wanted) == 1 {
		return marker(host) + eol + "replace " + wanted[0].text
	}
	size := len(markerHead) + 2*len(host) + 150
	for _, w := range wanted {
		size += len(w.text) + 3
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString(marker(host) + eol + "replace (" + eol)
	for _, w := range wanted {
		b.WriteByte('\t')
		b.WriteString(w.text)
		b.WriteString(eol)
	}
	b.WriteByte(')')
	return b.String()
}

// says tells whether a whole block has just these replaces.
func (b *block) says(host string, wanted []*wantedLine) bool {
	return b.whole && b.host == host && slices.EqualFunc(b.lines, wanted, func(l *replaceLine, w *wantedLine) bool {
		return l.old == w.old && l.new == w.new
	})
}
