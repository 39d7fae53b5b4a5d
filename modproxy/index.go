package modproxy

import (
	"sync"

	"github.com/gitmirror/gitmirror/mirror"
)

// index is what the refs of a repository say, and what they were found to lead
// to. It is valid as long as they do not change.
type index struct {
	list mirror.Listing
	tags map[string]string   // short name → commit
	at   map[string][]string // commit → short names of tags, sorted

	mu    sync.Mutex
	known map[revisionKey]revision
}

// revisionKey is a name that was resolved; gopkg.in has its own idea of HEAD
// for each major version.
type revisionKey struct{ rev, gopkgMajor string }

// maxKnown bounds the revisions of one index, about 300 bytes each.
const maxKnown = 4096

// index makes the index of a listing, or finds the one made before.
func (r *Repos) index(id mirror.ID, list mirror.Listing) *index {
	if x, ok := r.indexes.Get(id); ok && x.of(list) {
		return x
	}
	x := &index{list: list, tags: map[string]string{}, at: map[string][]string{}, known: map[revisionKey]revision{}}
	for _, ref := range list.Refs {
		if ref.IsTag() {
			x.tags[ref.Short()] = ref.Commit()
			x.at[ref.Commit()] = append(x.at[ref.Commit()], ref.Short())
		}
	}
	r.indexes.Add(id, x)
	return x
}

// of tells whether the index is that of a listing. A mirror.Reader gives the
// same slice for as long as the refs are the same; another one may be equal, too,
// and is then indexed again.
func (x *index) of(list mirror.Listing) bool {
	n := len(list.Refs)
	return x.list.Head == list.Head && len(x.list.Refs) == n && (n == 0 || &x.list.Refs[0] == &list.Refs[0])
}

func (x *index) get(key revisionKey) (revision, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	rev, ok := x.known[key]
	return rev, ok
}

func (x *index) put(key revisionKey, rev revision) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.known) >= maxKnown {
		clear(x.known)
	}
	x.known[key] = rev
}
