package gitserver

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"

	"github.com/gitmirror/gitmirror/mirror"
)

// view is what clients may see of a snapshot: HEAD, branches and tags. It never
// changes.
type view struct {
	head  string // what HEAD leads to; empty when that is not known
	heads []mirror.Ref
	tags  []mirror.Ref

	generation uint64

	sorted sync.Once
	all    []string // ids of all branches and tags, sorted, each once
	shown  []string // those, and what annotated tags lead to
	state  string   // equal for equal tags
}

func newView(l mirror.Listing, generation uint64) *view {
	return &view{head: l.Head, heads: below(l.Refs, "refs/heads/"), tags: below(l.Refs, "refs/tags/"), generation: generation}
}

// below are the refs whose names begin with prefix.
func below(refs []mirror.Ref, prefix string) []mirror.Ref {
	from, _ := slices.BinarySearchFunc(refs, prefix, byName)
	n, _ := slices.BinarySearchFunc(refs[from:], prefix, func(r mirror.Ref, p string) int {
		if strings.HasPrefix(r.Name, p) {
			return -1
		}
		return 1
	})
	return refs[from : from+n]
}

func byName(r mirror.Ref, name string) int { return strings.Compare(r.Name, name) }

func (v *view) sort() {
	v.sorted.Do(func() {
		for _, r := range v.heads {
			v.all = append(v.all, r.Hash)
		}
		tags := sha256.New()
		var line []byte
		for _, r := range v.tags {
			v.all = append(v.all, r.Hash)
			if r.Peeled != "" {
				v.shown = append(v.shown, r.Peeled)
			}
			line = append(append(append(line[:0], r.Hash...), r.Name...), '\n')
			tags.Write(line)
		}
		v.state = hex.EncodeToString(tags.Sum(nil))
		slices.Sort(v.all)
		v.all = slices.Compact(v.all)
		v.shown = append(v.shown, v.all...)
		slices.Sort(v.shown)
		v.shown = slices.Compact(v.shown)
	})
}

// shows tells whether all ids are ones of refs that clients are told of.
func (v *view) shows(ids []string) bool {
	v.sort()
	for _, id := range ids {
		if _, ok := slices.BinarySearch(v.shown, id); !ok {
			return false
		}
	}
	return true
}

// tips are the ids of all branches and tags.
func (v *view) tips() []string {
	v.sort()
	return v.all
}

// tagState is equal for equal tags.
func (v *view) tagState() string {
	v.sort()
	return v.state
}

// tip is the id of the branch that HEAD leads to.
func (v *view) tip() string {
	if i, ok := slices.BinarySearchFunc(v.heads, v.head, byName); ok {
		return v.heads[i].Hash
	}
	return ""
}
