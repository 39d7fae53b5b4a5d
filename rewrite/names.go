package rewrite

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// id is a module version of a project by number. A thousand go.mod files name the
// same versions again and again: sets and tables of numbers are small and quick
// where maps keyed by text are not.
type id int32

// names gives module versions their numbers. It is not for several goroutines.
type names struct {
	ids   map[module.Version]id
	list  []module.Version
	paths map[string]int32
	path  []int32 // of list: the number of its path
	ranks []int32 // of list: its place in the order of paths and versions; see rank
}

func newNames() *names {
	return &names{ids: map[module.Version]id{}, paths: map[string]int32{}}
}

// id is the number of m, which is new when nobody named m before.
func (n *names) id(m module.Version) id {
	i, ok := n.ids[m]
	if !ok {
		i = id(len(n.list))
		n.ids[m], n.list = i, append(n.list, m)
		p, ok := n.paths[m.Path]
		if !ok {
			p = int32(len(n.paths))
			n.paths[m.Path] = p
		}
		n.path = append(n.path, p)
	}
	return i
}

// of is the module version of a number.
func (n *names) of(i id) module.Version { return n.list[i] }

// sort orders numbers by path and version. After the first call, and until there
// are new names, it may be called by several goroutines.
func (n *names) sort(ids []id) []id {
	n.rank()
	slices.SortFunc(ids, func(x, y id) int { return int(n.ranks[x] - n.ranks[y]) })
	return ids
}

func (n *names) rank() {
	if len(n.ranks) == len(n.list) {
		return
	}
	order := make([]id, len(n.list))
	for i := range order {
		order[i] = id(i)
	}
	slices.SortFunc(order, func(x, y id) int { return compareVersions(n.list[x], n.list[y]) })
	n.ranks = make([]int32, len(order))
	for rank, i := range order {
		n.ranks[i] = int32(rank)
	}
}

// compareVersions is the order of paths, and of versions as text.
func compareVersions(x, y module.Version) int {
	return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Version, y.Version))
}

// set is a set of small numbers. The zero value is empty.
type set []uint64

func (s *set) add(i id) {
	word := int(i) >> 6
	if word >= len(*s) {
		*s = append(*s, make([]uint64, word+1-len(*s))...)
	}
	(*s)[word] |= 1 << (i & 63)
}

func (s set) has(i id) bool {
	word := int(i) >> 6
	return word < len(s) && s[word]&(1<<(i&63)) != 0
}

func (s *set) addAll(o set) {
	if len(o) > len(*s) {
		*s = append(*s, make([]uint64, len(o)-len(*s))...)
	}
	for i, word := range o {
		(*s)[i] |= word
	}
}

func (s set) remove(i id) {
	if word := int(i) >> 6; word < len(s) {
		s[word] &^= 1 << (i & 63)
	}
}

// all are the members, from the smallest on.
func (s set) all() iter.Seq[id] {
	return func(yield func(id) bool) {
		for i, word := range s {
			for ; word != 0; word &= word - 1 {
				if !yield(id(i<<6 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

func (s set) len() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// table is a value for each number; those that were never put are zero.
type table[T any] []T

func (t table[T]) at(i id) (v T) {
	if int(i) < len(t) {
		v = t[i]
	}
	return v
}

func (t *table[T]) put(i id, v T) {
	if n := int(i) + 1 - len(*t); n > 0 {
		*t = append(*t, make([]T, n)...)
	}
	(*t)[i] = v
}
