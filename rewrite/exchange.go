package rewrite

import (
	"slices"
)

// exchanger exchanges lines of go.sum files, one file after the other.
type exchanger struct {
	have  []int32 // by number: the round in which the line was seen
	round int32
}

func (x *exchanger) seen(l *sumLine) bool {
	if n := int(l.n) + 1 - len(x.have); n > 0 {
		x.have = append(x.have, make([]int32, n)...)
	}
	before := x.have[l.n] == x.round
	x.have[l.n] = x.round
	return before
}

// exchange returns the file with every line for which swap says so replaced by
// another (or by none), and more lines added. When nothing is different the
// bytes are the same.
func (x *exchanger) exchange(s *gosum, swap func(*sumLine) (to *sumLine, ok bool), more []*sumLine) *gosum {
	x.round++
	changed := false
	swaps := make([]*sumLine, len(s.lines)) // a line that stays is its own
	for i, l := range s.lines {
		if l.mod.Path == "" {
			swaps[i] = l
			continue
		}
		to, goes := swap(l)
		if !goes {
			to = l
			x.seen(l)
		}
		changed = changed || goes
		swaps[i] = to
	}
	out := &gosum{name: s.name, exists: true, eol: s.eol, sorted: s.sorted, pool: s.pool}
	out.lines = swaps[:0]
	for i, l := range s.lines {
		to := swaps[i]
		if to == l && to != nil || to != nil && !x.seen(to) {
			out.lines = append(out.lines, to)
		}
	}
	for _, l := range more {
		if !x.seen(l) {
			out.lines = append(out.lines, l)
			changed = true
		}
	}
	if !changed {
		return s
	}
	if s.sorted {
		ranks := s.pool.rank()
		slices.SortStableFunc(out.lines, func(a, b *sumLine) int { return int(ranks[a.n] - ranks[b.n]) })
	}
	return out
}
