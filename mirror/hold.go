package mirror

import "time"

// HoldKind is why a change of upstream waits for a person.
type HoldKind string

// The kinds of holds.
const (
	HoldTag       HoldKind = "tag-moved"           // under FreezeTags: a tag points elsewhere
	HoldDeletions HoldKind = "mass-deletion"       // too many refs went at once
	HoldDefault   HoldKind = "default-branch-gone" // the branch HEAD named went
	HoldMove      HoldKind = "moved"               // the repository has another URL now
)

// Decision is what a person said to a hold.
type Decision string

// The decisions. An undecided hold has none.
const (
	Accept Decision = "accept" // do as upstream did
	Keep   Decision = "keep"   // go on serving what we have
)

// Hold is a change of upstream that is not made until a person says so. What is
// served is as before meanwhile.
type Hold struct {
	ID   int64
	Repo ID
	Kind HoldKind
	// Ref is the tag or branch; empty for HoldDeletions and HoldMove.
	Ref string
	// Old is what we serve, New what upstream has: object ids, or URLs for
	// HoldMove. For HoldDeletions New is a digest of the names, so that a
	// decision is about these refs and no others.
	Old, New string
	Refs     []string // HoldDeletions: what would go, at most 1,000 names
	Count    int      // HoldDeletions: how many
	Text     string   // what happened, for people
	Opened   time.Time

	Decision  Decision
	DecidedBy string // user name
	DecidedAt time.Time
	Reason    string // what that person wrote
}

// Same tells whether two holds are about the same change, so that a decision on
// one is a decision on the other.
func (h Hold) Same(o Hold) bool {
	return h.Kind == o.Kind && h.Ref == o.Ref && h.Old == o.Old && h.New == o.New
}
