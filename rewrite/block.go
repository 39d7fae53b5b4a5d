package rewrite

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// block is a replace statement under a marker comment, cut into pieces so that
// lines of the user and comments in it survive. data[start:end] is
//
//	marker EOL between head piece… tail
//
// where head and tail are "replace (" and ")" of a block, and empty for a
// statement of one line.
type block struct {
	start, end int
	data       []byte   // the file
	host       string   // of the first marker
	hosts      []string // of all of them
	moved      bool     // the marker stands inside the statement, or is there twice
	between    string   // comments of the user between marker and statement
	head, tail string   // of a block
	pieces     []piece

	// whole: it is just as it would be written today, with these lines, and has no
	// pieces. What it becomes is then written anew.
	whole bool
	lines []*replaceLine
}

// text is a piece as it is in the file, or as it has become.
func (b *block) text(p piece) string {
	if p.text != "" {
		return p.text
	}
	return string(b.data[p.from:p.to])
}

// piece is one directive with the comments and blank lines above it and the
// rest of its line, without "replace" in front and without the last EOL.
type piece struct {
	text string // empty = as it is in the file
	line *replaceLine
	rhs  [2]int // of its right side, in text

	from, to int // where it was in the file
}

// newBlock returns the marked statement, nil when stmt is none.
func newBlock(data []byte, stmt modfile.Expr, before []modfile.Comment, byLine map[*modfile.Line]*replaceLine) *block {
	var lines []*modfile.Line
	b := &block{data: data}
	at := 0 // offset of "replace"
	switch x := stmt.(type) {
	case *modfile.Line:
		lines, at = []*modfile.Line{x}, x.Start.Byte
	case *modfile.LineBlock:
		lines, at = x.Line, x.Start.Byte
	}
	if len(lines) > 0 && byLine[lines[0]] == nil {
		return nil
	}
	b.start = -1
	for _, c := range before {
		host, ok := markerHost(strings.TrimRight(c.Token, "\r "))
		if !ok {
			continue
		}
		if b.hosts = append(b.hosts, host); b.start >= 0 {
			b.moved = true // one too many
			continue
		}
		b.start, b.host = c.Start.Byte, host
		b.between = string(data[lineAfter(data, c.Start.Byte):at])
	}
	for _, l := range lines { // "go mod edit" may move the marker into the block
		for _, c := range l.Before {
			if host, ok := markerHost(strings.TrimRight(c.Token, "\r ")); ok {
				if b.hosts, b.moved = append(b.hosts, host), true; b.start < 0 {
					b.start, b.host = at, host
				}
			}
		}
	}
	if b.start < 0 || len(lines) == 0 && !isReplace(stmt) {
		return nil
	}
	switch x := stmt.(type) {
	case *modfile.Line:
		b.end = lineRest(data, x.End.Byte)
		verb := tokenize(data, x.Start.Byte, x.End.Byte)[0]
		b.add(verb[1], b.end, byLine[x])
	case *modfile.LineBlock:
		from := lineAfter(data, x.LParen.Pos.Byte)
		if len(x.Line) == 0 {
			from = x.LParen.Pos.Byte + 1
		}
		b.head = string(data[at:from])
		for _, l := range x.Line {
			to := lineRest(data, l.End.Byte)
			b.add(from, to, byLine[l])
			from = lineAfter(data, to)
		}
		b.end = lineRest(data, x.RParen.Pos.Byte)
		b.tail = string(data[from:b.end])
	}
	if len(b.pieces) > 0 && !slices.ContainsFunc(b.pieces, func(p piece) bool { return p.line.ours }) {
		return nil // only the user's lines are left
	}
	if b.moved {
		b.between = dropMarkers(b.between)
		for i := range b.pieces {
			b.pieces[i].text = b.text(b.pieces[i])
			b.pieces[i].dropMarker()
		}
	}
	return b
}

func isReplace(stmt modfile.Expr) bool {
	x, ok := stmt.(*modfile.LineBlock)
	return ok && len(x.Token) == 1 && x.Token[0] == "replace"
}

func (b *block) add(from, to int, r *replaceLine) {
	r.ours = r.old.Version != "" && r.new.Version != "" &&
		slices.ContainsFunc(b.hosts, func(host string) bool { return strings.HasPrefix(r.new.Path, host+"/") })
	b.pieces = append(b.pieces, piece{from: from, to: to, line: r, rhs: [2]int{r.rhs[0] - from, r.rhs[1] - from}})
}

func (p *piece) dropMarker() {
	for at := 0; at < len(p.text); {
		next := lineAfter([]byte(p.text), at)
		if _, ok := markerHost(strings.TrimSpace(p.text[at:next])); ok {
			p.text = p.text[:at] + p.text[next:]
			p.rhs[0] -= next - at
			p.rhs[1] -= next - at
			return
		}
		at = next
	}
}

func dropMarkers(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if _, ok := markerHost(strings.TrimSpace(line)); !ok {
			out.WriteString(line)
		}
	}
	return out.String()
}

// lineAfter is the offset behind the next EOL, lineRest the one of that EOL
// (CR included in the EOL).
func lineAfter(data []byte, at int) int {
	if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(data)
}

func lineRest(data []byte, at int) int {
	end := len(data)
	if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
		end = at + i
	}
	if end > at && data[end-1] == '\r' {
		end--
	}
	return end
}

// render returns the statement with exactly the wanted replaces, the right sides
// of inPlace exchanged, and whatever else the user put into it; empty when
// nothing is left.
func (b *block) render(host, eol string, wanted []*wantedLine, inPlace map[*replaceLine]module.Version) string {
	switch {
	case b.whole && len(wanted) == 0:
		return ""
	case b.says(host, wanted):
		return string(b.data[b.start:b.end])
	case b.whole:
		return statement(host, eol, wanted)
	}
	pieces, changed := b.update(wanted, inPlace)
	top := marker(host) + eol + b.between
	if !slices.ContainsFunc(pieces, func(p piece) bool { return p.line.ours }) {
		top, changed = b.between, true
	}
	switch {
	case len(pieces) == 0:
		return strings.TrimRight(b.between, " \t\r\n")
	case !changed && !b.moved && b.host == host:
		return string(b.data[b.start:b.end])
	case len(pieces) == 1 && (b.head == "" || b.plain(pieces[0])):
		return top + "replace " + strings.TrimLeft(b.text(pieces[0]), " \t")
	}
	lines := make([]string, len(pieces))
	for i, p := range pieces {
		lines[i] = b.text(p)
		if b.head == "" {
			lines[i] = "\t" + strings.TrimLeft(lines[i], " \t")
		}
	}
	head, tail := b.head, b.tail
	switch {
	case head == "":
		head, tail = "replace ("+eol, ")"
	case !strings.HasSuffix(head, "\n"): // "replace ()"
		head, tail = head+eol, strings.TrimLeft(tail, " \t")
	}
	return top + head + strings.Join(lines, eol) + eol + tail
}

// plain tells whether a block with this one line may become a line.
func (b *block) plain(p piece) bool {
	return !strings.Contains(b.text(p), "\n") && strings.TrimSpace(b.tail) == ")" &&
		strings.Join(strings.Fields(b.head), " ") == "replace ("
}

// update drops, mends and inserts lines.
func (b *block) update(wanted []*wantedLine, inPlace map[*replaceLine]module.Version) (pieces []piece, changed bool) {
	todo := make(map[module.Version]module.Version, len(wanted))
	var last replacement // the highest there is
	for _, p := range b.pieces {
		if r := (replacement{old: p.line.old}); p.line.ours && r.compare(last) > 0 {
			last = r
		}
	}
	for _, w := range wanted {
		todo[w.old] = w.new
	}
	for _, p := range b.pieces {
		if p.line.ours {
			to, ok := todo[p.line.old]
			if !ok {
				changed = true
				continue
			}
			delete(todo, p.line.old)
			if to != p.line.new {
				p.text = b.text(p)
				p.text = p.text[:p.rhs[0]] + to.Path + " " + to.Version + p.text[p.rhs[1]:]
				changed = true
			}
		}
		if to, ok := inPlace[p.line]; ok {
			p.text = b.text(p)
			p.text = p.text[:p.rhs[0]] + to.Path + " " + to.Version + p.text[p.rhs[1]:]
			changed = true
		}
		pieces = append(pieces, p)
	}
	for _, w := range wanted {
		if _, missing := todo[w.old]; !missing {
			continue
		}
		changed = true
		line := &replaceLine{old: w.old, new: w.new, ours: true}
		i := len(pieces)
		if w.compare(last) > 0 {
			last = w.replacement
		} else if at := slices.IndexFunc(pieces, func(p piece) bool {
			return p.line.ours && replacement{old: p.line.old}.compare(w.replacement) > 0
		}); at >= 0 {
			i = at
		}
		pieces = slices.Insert(pieces, i, piece{text: "\t" + w.text, line: line})
	}
	return pieces, changed
}

// edit returns the file with exactly the wanted replaces in the marked
// statement, which is appended when there is none, and the right sides of
// inPlace exchanged.
func (m *gomod) edit(host string, wanted []*wantedLine, inPlace map[*replaceLine]module.Version) []byte {
	var changes []splice
	in := map[*replaceLine]bool{}
	for i, b := range m.blocks {
		if i > 0 {
			wanted = nil
		}
		for _, p := range b.pieces {
			in[p.line] = true
		}
		if text := b.render(host, m.eol, wanted, inPlace); text != "" {
			changes = append(changes, splice{b.start, b.end, text})
		} else {
			start, end := m.paragraph(b)
			changes = append(changes, splice{start, end, ""})
		}
	}
	for line, to := range inPlace {
		if !in[line] {
			changes = append(changes, splice{line.rhs[0], line.rhs[1], to.Path + " " + to.Version})
		}
	}
	data := apply(m.data, changes)
	if len(m.blocks) > 0 || len(wanted) == 0 {
		return data
	}
	gap := m.eol
	switch {
	case !bytes.HasSuffix(data, []byte("\n")):
		gap += m.eol
	case bytes.HasSuffix(data, []byte("\n\n")), bytes.HasSuffix(data, []byte("\n\r\n")):
		gap = ""
	}
	added := statement(host, m.eol, wanted)
	return append(append(append(slices.Grow(data, len(gap)+len(added)+len(m.eol)), gap...), added...), m.eol...)
}

// paragraph is the marked statement with its last EOL and one blank line around it.
func (m *gomod) paragraph(b *block) (start, end int) {
	start, end = b.start, lineAfter(m.data, b.end)
	blank := func(from, to int) bool { return len(bytes.TrimSpace(m.data[from:to])) == 0 }
	if end < len(m.data) && !blank(end, lineAfter(m.data, end)) {
		return start, end
	}
	if start > 0 {
		if above := bytes.LastIndexByte(m.data[:start-1], '\n') + 1; above < start && blank(above, start) {
			start = above
		}
	}
	return start, end
}
