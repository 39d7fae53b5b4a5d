package mirror

import "time"

// Trigger is why a sync runs.
type Trigger string

const (
	ByAdd      Trigger = "add"      // the mirror was just added
	BySchedule Trigger = "schedule" // its time had come
	ByHand     Trigger = "manual"   // button, CLI or API
	ByClient   Trigger = "client"   // somebody clones it and waits
	ByHook     Trigger = "webhook"  // its host says that something was pushed
	ByDemand   Trigger = "demand"   // clients use it, and it had not been looked at for long
)

// Urgency is the order in which syncs are done, the greatest first: somebody
// waits (4, 3), something is known to be new (2), somebody may be glad of it (1),
// it is just time (0).
func (t Trigger) Urgency() int {
	switch t {
	case ByHand:
		return 4
	case ByClient:
		return 3
	case ByHook:
		return 2
	case ByAdd, ByDemand:
		return 1
	}
	return 0
}

// OpensRun tells whether looking for news for that reason has a Run from the
// start: the schedule and demand have one only when there is something to tell.
func (t Trigger) OpensRun() bool { return t != "" && t != BySchedule && t != ByDemand }

// Outcome is how a run ended; empty while it runs.
type Outcome string

const (
	Unchanged   Outcome = "unchanged"   // upstream had nothing new
	Updated     Outcome = "updated"     // refs were published
	RunFailed   Outcome = "failed"      // see Run.Problem
	Interrupted Outcome = "interrupted" // the server stopped or died meanwhile
)

// Run is one sync of one repository.
type Run struct {
	ID      int64
	Repo    ID
	Trigger Trigger
	Started time.Time
	Ended   time.Time // zero while it runs
	Outcome Outcome
	// What the ref transaction did.
	Created, Updated, Deleted int
	Bytes                     int64 // received as packs
	Problem                   *Problem
}

// EventKind names what happened to a repository, apart from ordinary syncs.
type EventKind string

const (
	TagMoved    EventKind = "tag-moved"    // upstream moved a tag; see Event.Old and New
	RefRewound  EventKind = "ref-rewound"  // a branch was forced; the old tip is kept
	RefDeleted  EventKind = "ref-deleted"  // upstream dropped it; the tip is kept
	HeadMoved   EventKind = "head-moved"   // upstream's default branch changed
	RefRejected EventKind = "ref-rejected" // upstream lists a ref that is not well-formed
	RefsHeld    EventKind = "refs-held"    // deletions wait for a decision, see Hold
	RefLeftOut  EventKind = "ref-left-out" // the ref policy leaves it out now; the tip is kept
	// TagOffBranch warns of a tag whose commit is on no branch: that is how a
	// release looks that somebody slipped in.
	TagOffBranch EventKind = "tag-off-branch"

	DiskDamaged EventKind = "disk-damaged" // a check found our copy damaged
	DiskMended  EventKind = "disk-mended"  // our copy was put right; Text says how
	RefLost     EventKind = "ref-lost"     // a damaged ref that upstream no longer has could not be carried over
)

// Event is something a person may want to know about a repository.
type Event struct {
	ID   int64
	Repo ID
	Run  int64
	At   time.Time
	Kind EventKind
	Ref  string
	Old  string
	New  string
	Text string
}

// Code is the entry of the error catalogue that explains the event; empty when
// there is nothing to explain.
func (e Event) Code() Code {
	switch e.Kind {
	case TagMoved:
		return CodeTagMoved
	case RefRewound:
		return CodeRewound
	case RefsHeld:
		if e.Ref != "" {
			return HoldDefault.Code()
		}
		return HoldDeletions.Code()
	case RefDeleted:
		return CodeDeleted
	case TagOffBranch:
		return CodeOffBranch
	case RefLeftOut:
		return CodeLeftOut
	case HeadMoved:
		return CodeHeadMoved
	case RefRejected:
		return CodeRefName
	case DiskDamaged, RefLost:
		return CodeDamaged
	}
	return ""
}

// Phase is a step of a run, in the order they happen.
type Phase string

const (
	Connecting  Phase = "connect"   // listing upstream's refs
	Negotiating Phase = "negotiate" // upstream counts and compresses
	Receiving   Phase = "receive"   // the pack comes in
	Indexing    Phase = "index"     // deltas are resolved, objects checked
	Verifying   Phase = "verify"    // everything the refs need is there
	Publishing  Phase = "publish"   // made durable and visible
	Done        Phase = "done"
)

// Progress is a moment of a running sync.
type Progress struct {
	Repo    ID        `json:"repo"`
	Run     int64     `json:"run"`
	Phase   Phase     `json:"phase"`
	Done    int64     `json:"done"`    // objects of this phase
	Total   int64     `json:"total"`   // zero while unknown
	Bytes   int64     `json:"bytes"`   // received so far
	Rate    int64     `json:"rate"`    // bytes per second, now
	Started time.Time `json:"started"` // of the run
	Outcome Outcome   `json:"outcome"` // set when Phase is Done
	Problem *Problem  `json:"problem,omitempty"`
}

// Percent of the present phase, or -1 while its total is unknown.
func (p Progress) Percent() int {
	if p.Total <= 0 {
		return -1
	}
	return int(min(100, p.Done*100/p.Total))
}
