package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// HoldKind is why a change of upstream waits for a person.
type HoldKind string

// The kinds of holds.
const (
	HoldTag       HoldKind = "tag-moved"           // under FreezeTags: a tag points elsewhere
	HoldDeletions HoldKind = "mass-deletion"       // too many refs went at once
	HoldDefault   HoldKind = "default-branch-gone" // the branch HEAD named went, and no other took its place
	HoldMove      HoldKind = "moved"               // the repository has another URL now
)

// Code is the entry of the error catalogue that explains the kind.
func (k HoldKind) Code() Code {
	switch k {
	case HoldTag:
		return CodeTagMoved
	case HoldDefault:
		return CodeRewound
	case HoldDeletions:
		return CodeDeletions
	case HoldMove:
		return CodeRedirect
	}
	return ""
}

// Decision is what a person said to a hold.
type Decision string

// The decisions. An undecided hold has none.
const (
	Accept Decision = "accept" // do as upstream did
	Keep   Decision = "keep"   // go on serving what we have
)

// ParseDecision accepts "accept" and "keep".
func ParseDecision(s string) (Decision, error) {
	switch d := Decision(s); d {
	case Accept, Keep:
		return d, nil
	}
	return "", &Problem{Kind: ErrInvalid, What: quote(s) + " is not a decision", Do: `say "accept" or "keep"`}
}

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
	// Settled is when the hold became history: the decision was carried out, or
	// upstream took its change back before there was one. Zero while it counts.
	Settled time.Time
}

// Same tells whether two holds are about the same change, so that a decision on
// one is a decision on the other.
func (h Hold) Same(o Hold) bool {
	return h.Kind == o.Kind && h.Ref == o.Ref && h.Old == o.Old && h.New == o.New
}

// Open tells whether the hold waits for a decision.
func (h Hold) Open() bool { return h.Decision == "" && h.Settled.IsZero() }

// State is "open", "accepted", "kept" or, when upstream took the change back
// before anybody decided, "withdrawn".
func (h Hold) State() string {
	switch {
	case h.Decision == Accept:
		return "accepted"
	case h.Decision == Keep:
		return "kept"
	case h.Settled.IsZero():
		return "open"
	}
	return "withdrawn"
}

// HoldQuery selects holds. The zero value selects the newest 100.
type HoldQuery struct {
	Repo   ID     // empty = all repositories
	State  string // "open", "decided"; empty = any, withdrawn ones too
	Before int64  // id to page behind; zero = from the newest
	Limit  int    // zero = 100; at most 1,000
	Sight  *Sight // what the asker may know of; nil = all
}

const maxHeldNames = 1000

// holdDeletions makes the hold of the deletion of refs, which are sorted.
func holdDeletions(gone []Ref, of int, text string) Hold {
	h := Hold{Kind: HoldDeletions, Count: len(gone), Text: text}
	sum := sha256.New()
	for i, r := range gone {
		fmt.Fprintln(sum, r.Name)
		if i < maxHeldNames {
			h.Refs = append(h.Refs, r.Name)
		}
	}
	h.New = hex.EncodeToString(sum.Sum(nil))
	if h.Text == "" {
		h.Text = fmt.Sprintf("upstream deleted %d of %d branches and tags at once; we go on serving them", len(gone), of)
	}
	return h
}

// Accepted says what follows from accepting, for people.
func (h Hold) Accepted() string {
	switch h.Kind {
	case HoldTag:
		return "The tag moves here too. Builds that have the old one in their go.sum fail with a checksum mismatch until somebody has looked at them. The old tag is kept and can be restored."
	case HoldDeletions:
		return "The branches and tags go here too. They are kept and can be restored."
	case HoldDefault:
		return "The branch goes here too, and a clone checks out another one. It is kept and can be restored."
	case HoldMove:
		return "The mirror is fetched from the new place. It keeps its path; where the new place has a path of its own, that leads here as well."
	}
	return ""
}

// Kept says what follows from keeping ours.
func (h Hold) Kept() string {
	switch h.Kind {
	case HoldTag:
		return "Everybody goes on getting the tag as it was. You are asked again only when upstream moves it once more."
	case HoldDeletions:
		return "They go on being served, as branches and tags of this mirror, until upstream has them again or somebody removes them here."
	case HoldDefault:
		return "The branch goes on being served, and a clone checks it out, until upstream has another default branch."
	case HoldMove:
		return "What is here goes on being served. Syncs fail until the old place answers again or the mirror is edited."
	}
	return ""
}
