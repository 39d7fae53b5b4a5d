package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// KeptPrefix and HeldPrefix are the name spaces of refs that upstream no longer
// has (deleted, or rewound by force) and of tags that upstream moved and nobody
// has accepted yet. Neither is advertised. OursPrefix marks branches and tags
// that are served because a person wants them, whatever upstream has:
// refs/gitmirror/ours/heads/x stands for refs/heads/x.
const (
	KeptPrefix = "refs/gitmirror/kept/"
	HeldPrefix = "refs/gitmirror/held/"
	OursPrefix = "refs/gitmirror/ours/"
)

// Ref is a name and what it points to, as upstream lists it.
type Ref struct {
	Name   string // full: "refs/heads/main", "refs/tags/v1.2.3"
	Hash   string // lower-case hex object id
	Peeled string // of an annotated tag, the commit it leads to; else empty
}

// Commit is the object id a client that wants the commit asks for.
func (r Ref) Commit() string {
	if r.Peeled != "" {
		return r.Peeled
	}
	return r.Hash
}

// Short is the name without refs/heads/ or refs/tags/.
func (r Ref) Short() string {
	return strings.TrimPrefix(strings.TrimPrefix(r.Name, "refs/heads/"), "refs/tags/")
}

// IsTag tells whether r is a tag.
func (r Ref) IsTag() bool { return strings.HasPrefix(r.Name, "refs/tags/") }

// IsHead tells whether r is a branch.
func (r Ref) IsHead() bool { return strings.HasPrefix(r.Name, "refs/heads/") }

// Listing is a set of refs at one moment, sorted by name.
type Listing struct {
	Head string // what HEAD points to, "refs/heads/main"; empty when detached or absent
	Refs []Ref
	// Skipped are names upstream has and we refuse: not well-formed, or outside
	// of what the policy mirrors.
	Skipped []string
	// Fingerprint is equal for two answers of an upstream to the same question
	// exactly when they list the same; made by Fetcher.List.
	Fingerprint string
	// Trip is how the answer came.
	Trip Trip
}

// Sort puts the refs in the order of their names, as git lists them.
func (l *Listing) Sort() {
	slices.SortFunc(l.Refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
}

// Digest is equal for two listings exactly when they have the same refs and
// HEAD. The listing must be sorted.
func (l Listing) Digest() string {
	h := sha256.New()
	line := append(append([]byte("HEAD "), l.Head...), '\n')
	h.Write(line)
	for _, r := range l.Refs {
		line = append(append(line[:0], r.Hash...), ' ')
		line = append(append(line, r.Peeled...), ' ')
		h.Write(append(append(line, r.Name...), '\n'))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Ref returns the ref with the full name, if it is there.
func (l Listing) Ref(name string) (Ref, bool) {
	i, ok := slices.BinarySearchFunc(l.Refs, name, func(r Ref, n string) int { return strings.Compare(r.Name, n) })
	if !ok {
		return Ref{}, false
	}
	return l.Refs[i], true
}

// RefUpdate is one step of a ref transaction: create (Old empty), delete (New
// empty) or move. Old is compared: a transaction whose Old is stale fails whole.
type RefUpdate struct {
	Name string
	Old  string
	New  string
}

// Transaction is what a sync publishes: all of it or nothing.
type Transaction struct {
	Updates []RefUpdate
	Head    string // what HEAD shall point to; empty = leave it
}

// Snapshot is the refs of a repository at one moment, all of those that
// Reader.Refs lists. It is shared and never changes: as long as the refs are the
// same, so is the pointer.
type Snapshot struct {
	// Generation grows with every other snapshot that this process makes of any
	// repository.
	Generation uint64
	Listing
}
