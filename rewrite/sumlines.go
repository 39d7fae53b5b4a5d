package rewrite

import (
	"slices"

	"golang.org/x/mod/module"
)

// sumLines are the lines of the go.sum files of one project.
type sumLines struct {
	names *names
	known map[string]*sumLine
	keys  []*sumLine // of each number, some line that has it
	ranks []int32    // of each number, its place in the order of the go command; see rank
}

func newSumLines(n *names) *sumLines {
	return &sumLines{names: n, known: map[string]*sumLine{}}
}

// line is the line with these bytes.
func (p *sumLines) line(raw []byte) (*sumLine, error) {
	if l, ok := p.known[string(raw)]; ok {
		return l, nil
	}
	l, err := parseLine(string(raw))
	if err != nil {
		return nil, err
	}
	p.known[l.raw] = l
	if same, ok := p.known[l.key]; ok && same != l {
		l.n, l.id = same.n, same.id
		return l, nil
	}
	l.n, p.keys = int32(len(p.keys)), append(p.keys, l)
	if l.mod.Path != "" {
		l.id = p.names.id(l.mod)
	}
	if l.key != l.raw {
		canonical := *l
		canonical.raw = l.key
		p.known[l.key] = &canonical
	}
	return l, nil
}

// made is the line for a hash of m.
func (p *sumLines) made(m module.Version, file, hash string) *sumLine {
	key := m.Path + " " + m.Version + file + " " + hash
	l, ok := p.known[key]
	if ok && l.mod == m && l.file == file {
		return l
	}
	l = &sumLine{raw: key, key: key, mod: m, id: p.names.id(m), file: file, hash: hash, n: int32(len(p.keys))}
	p.keys = append(p.keys, l)
	if !ok {
		p.known[key] = l
	}
	return l
}

// rank puts all numbers in the order of the go command. Until there are new lines
// it may be called by several goroutines after the first call.
func (p *sumLines) rank() []int32 {
	if len(p.ranks) == len(p.keys) {
		return p.ranks
	}
	order := slices.Clone(p.keys)
	slices.SortFunc(order, (*sumLine).compare)
	p.ranks = make([]int32, len(order))
	for rank, l := range order {
		p.ranks[l.n] = int32(rank)
	}
	return p.ranks
}
