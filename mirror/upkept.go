package mirror

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Condition is what the last check found a repository on our disk to be.
type Condition string

// The conditions.
const (
	Fine     Condition = "fine"
	Degraded Condition = "degraded" // something is missing or damaged; what is left is served
)

// Upkept is what upkeep knows of a repository. Times are UTC and zero when it
// never happened.
type Upkept struct {
	Repo      ID
	Condition Condition
	Since     time.Time // when upkeep first heard of it
	Tidied    time.Time // packs rolled up, indexes written
	Repacked  time.Time // everything packed anew
	Checked   time.Time // everything that refs lead to was found to be there
	Verified  time.Time // every object was read and its hash computed
	Due       time.Time // when it is looked at next
	// Failures are repairs in a row that did not help.
	Failures int
	// Problem says what is wrong while Degraded; nil while Fine.
	Problem *Problem
}

// UpkeepStore keeps what upkeep knows. Every method is one statement or one
// transaction.
type UpkeepStore interface {
	RepoByID(ctx context.Context, id ID) (Repo, error)
	// AdoptUpkeep begins to keep up to limit served repositories that are not kept
	// yet, with what first makes of their ids, and returns how many it found.
	AdoptUpkeep(ctx context.Context, limit int, first func(ID) Upkept) (int, error)
	// DueUpkeep lists up to limit whose time has come, the latest first.
	DueUpkeep(ctx context.Context, now time.Time, limit int) ([]Upkept, error)
	// Upkept is ErrNotFound when the repository is not kept yet.
	Upkept(ctx context.Context, id ID) (Upkept, error)
	// SaveUpkept replaces what is known and adds events; ErrNotFound when the
	// repository is no more. With resync it clears State.Digest and makes the
	// repository due, so that the next sync compares everything.
	SaveUpkept(ctx context.Context, u Upkept, events []Event, resync bool) error
	// CountDegraded counts the repositories in that condition.
	CountDegraded(ctx context.Context) (int, error)
}

// Keeper is the disk as upkeep needs it. Errors are *Problem, ErrNotFound when
// the repository is not on disk.
type Keeper interface {
	// Mend puts right what needs no upstream: leftovers of killed processes, refs
	// files that cannot be read, indexes that are missing or are those of other
	// packs. It is quick, and does nothing where nothing is wrong.
	Mend(ctx context.Context, id ID) (Mended, error)
	// Mended lists, once, the repositories that were mended since it was asked
	// last without Mend being called: when the disk was opened, or by a reader.
	Mended() []ID
	// Maintain keeps a repository fast to serve; it looks first whether there is
	// anything to do, and tells whether there was.
	Maintain(ctx context.Context, id ID) (did bool, err error)
	// Loose is the part, 0 to 1, of a repository that is outside of its largest
	// pack: what a full repack would help.
	Loose(ctx context.Context, id ID) (float64, error)
	// Repack packs a repository anew. Objects that no ref leads to and that are
	// older than keep are dropped, unless a fetch begins meanwhile: then it gives
	// up with ErrBusy.
	Repack(ctx context.Context, id ID, keep time.Duration) error
	// Check looks whether everything that refs lead to is there; full also reads
	// every object. It changes nothing. An error means that it could not tell.
	Check(ctx context.Context, id ID, full bool) (Findings, error)
	// ClearIndexes removes what is made anew from packs and refs by Maintain: the
	// index over all packs, bitmaps, the commit graph.
	ClearIndexes(ctx context.Context, id ID) error
	// Refetch brings single objects again.
	Refetch(ctx context.Context, id ID, from Remote, missing []string) error
	// Rebuild clones the repository again beside what there is, carries over what
	// only we have, checks the result and puts it in place of the old one. It
	// returns the refs that could not be carried over because objects they lead to
	// are neither here nor there; the old repository is then kept aside.
	Rebuild(ctx context.Context, id ID, from Remote) (lost []Ref, err error)
}

// Mended is what Mend did.
type Mended struct {
	Did []string // in words, for people
	// Refs may be missing: the next sync must compare them all.
	Refs bool
	// Objects may be missing: a check is needed.
	Objects bool
}

// Any tells whether something was wrong.
func (m Mended) Any() bool { return len(m.Did) > 0 }

// Findings is what a check found wrong.
type Findings struct {
	Missing []string // object ids that something leads to; at most 1,000
	Damaged []string // what git says of the rest, in its words; at most 100 lines
	Refs    []string // names of refs that lead to what is not there
}

// Any tells whether something is wrong.
func (f Findings) Any() bool { return len(f.Missing)+len(f.Damaged)+len(f.Refs) > 0 }

// problem is the finding for people.
func (f Findings) problem() *Problem {
	var why []string
	if n := len(f.Missing); n > 0 {
		why = append(why, counted(n, "object is missing", "objects are missing"))
	}
	if n := len(f.Refs); n > 0 {
		why = append(why, counted(n, "ref leads nowhere", "refs lead nowhere"))
	}
	if n := len(f.Damaged); n > 0 {
		why = append(why, counted(n, "thing is damaged", "things are damaged"))
	}
	raw := strings.Join(append(append([]string{}, f.Damaged...), f.Missing...), "\n")
	return &Problem{
		Code: CodeDamaged, Kind: ErrIntegrity, What: "the copy on this server's disk is damaged", Why: strings.Join(why, ", "),
		Do:  "it is mended from upstream by itself; if that goes on, look at the disk and its cables",
		Raw: raw[:min(len(raw), 4000)],
	}
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
