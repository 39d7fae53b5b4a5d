package mirror

import (
	"context"
	"time"
)

// Store is the database as the domain needs it. A missing row is ErrNotFound;
// a taken name, or a Version that is no longer the stored one, is ErrExists.
// Every method is one statement or one transaction; times are UTC.
type Store interface {
	RepoStore
	QueueStore
	HoldStore
	ImportStore
	CredentialStore
	HostStore
	LimitStore
	HookStore
	ModuleStore
}

// RepoStore keeps the mappings.
type RepoStore interface {
	// AddRepo stores r with its State; it is due at once. Path is unique by Path.Key.
	AddRepo(ctx context.Context, r Repo) error
	Repo(ctx context.Context, path Path) (Repo, error)
	// Glance is Repo for who serves it: what another process changed may not be
	// seen for a second, and for minutes while the database does not answer. What
	// this one changed is.
	Glance(ctx context.Context, path Path) (Repo, error)
	RepoByID(ctx context.Context, id ID) (Repo, error)
	// Repos lists by path.
	Repos(ctx context.Context, q RepoQuery) ([]Repo, error)
	// CountRepos counts by status what q selects, ignoring After and Limit.
	CountRepos(ctx context.Context, q RepoQuery) (map[Status]int, error)
	// EditRepo writes the mapping if r.Version is still the stored one. Of the
	// State it writes Status and NextSync and clears Digest, so that the next
	// sync applies the change.
	EditRepo(ctx context.Context, r Repo) error
	// RenameRepo gives a mirror r.Path if r.Version is still the stored one and the
	// path is free. What names the mirror by its path goes with it: aliases, and
	// grants of exactly that path. With alias the old path becomes an alias of Found
	// "renamed"; one that the new path was goes.
	RenameRepo(ctx context.Context, r Repo, alias bool) error
	// RemoveRepo drops the row with its runs, events and aliases.
	RemoveRepo(ctx context.Context, id ID) error
}

// RepoQuery selects mirrors. The zero value selects the first 100.
type RepoQuery struct {
	Search string // part of the path, any case
	Status Status // empty = any
	After  Path   // keyset paging: paths behind this one
	Limit  int    // zero = 100; at most 1,000
	Sight  *Sight // what the asker may know of; nil = all
	// Late selects, when it is not zero, mirrors whose data are older at that time
	// than anybody would expect: see LateAfter. Paused ones are not late.
	Late time.Time
	// Held selects those of which a change waits for a person.
	Held bool
	// Sort is the order; After belongs to SortPath, Offset to the others.
	Sort   RepoSort
	Offset int
}

// RepoSort is an order of mirrors. Those that are alike are in the order of paths.
type RepoSort string

// The orders.
const (
	SortPath     RepoSort = ""         // by path
	SortAge      RepoSort = "age"      // the oldest data first; those without any before all
	SortNext     RepoSort = "next"     // those that are synced soonest first, paused ones last
	SortSize     RepoSort = "size"     // the largest first
	SortFailures RepoSort = "failures" // those that failed most often in a row first
	SortChange   RepoSort = "change"   // those that changed last first
)

// LateAfter is the age at which the data of a mirror with this interval are late:
// three intervals, or two days where the interval is adaptive.
func LateAfter(interval time.Duration) time.Duration {
	if interval == 0 {
		return 48 * time.Hour
	}
	return max(3*interval, 10*time.Minute)
}

// QueueStore is the queue of checks and syncs: rows with leases, so that several
// servers can share one database and a dead one's work is taken up again.
//
// A check that finds nothing new leaves no run; see Trigger.OpensRun.
type QueueStore interface {
	// Ask makes a repository due at the given time, because of why, unless it is
	// due earlier. Asking twice is asking once, for the more urgent reason. It
	// returns the id of the repository's newest run (zero without one): the run
	// that answers has a greater id. Times could not tell, since a claim may wait
	// for the database. ByClient is content with a run that goes on: a client needs
	// a mirror, not the latest one.
	Ask(ctx context.Context, id ID, why Trigger, at time.Time) (last int64, err error)
	// Claim leases repositories that are due, not paused and not leased, the most
	// urgent first, then by due time. Those whose Trigger says so get an open Run,
	// and their Status is Cloning or Syncing.
	Claim(ctx context.Context, owner string, now time.Time, lease time.Duration, room Room) ([]Claim, error)
	// BeginRun opens the run of a claim that has none. If Ask came in since the
	// claim, this is the run that answers: it has that Trigger. ErrExists when the
	// lease was lost.
	BeginRun(ctx context.Context, c Claim, now time.Time) (Run, error)
	// Settle gives leases back whose repositories have nothing to tell, in one
	// transaction. A repository that Ask or an edit made due meanwhile stays due.
	// Lost leases are passed over.
	Settle(ctx context.Context, settled []Settlement) error
	// Renew prolongs leases, in one transaction, and returns those that another
	// owner has now, or whose repository is gone.
	Renew(ctx context.Context, claims []Claim, until time.Time) (lost []Claim, err error)
	// EndRun closes the run, stores the state and the events and gives the lease
	// back, in one transaction; ErrExists when the lease was lost. A Run without
	// an ID is stored as one that was never open. If Ask came in while the run was
	// going, the repository stays due; if the run was interrupted, it is asked for
	// again. If it was edited meanwhile, the edit stands: a paused mirror stays
	// paused and not due, and Digest is cleared so that the next sync applies the
	// change.
	EndRun(ctx context.Context, c Claim, end Ending) error
	// Abandon gives back whatever owner still holds, closing the runs as
	// Interrupted, with Status as State.Resting has it, and due now for the same
	// reason: called at start by a server that knows its earlier self is dead.
	Abandon(ctx context.Context, owner string, now time.Time) error
	// Leases lists, by repository, what is held by anybody.
	Leases(ctx context.Context) ([]Lease, error)
	// Release takes the leases away that are still exactly as given, as Abandon
	// does. Whoever calls it has watched them for long and seen nobody renew them:
	// times cannot tell, since clocks differ and jump.
	Release(ctx context.Context, leases []Lease, now time.Time) error
	// Mend makes due what was put off by a clock that ran ahead, and takes the
	// future out of what it recorded. It returns of how many.
	Mend(ctx context.Context, now time.Time) (int, error)
	// NextDue is when the next repository is due; zero when none ever is.
	NextDue(ctx context.Context) (time.Time, error)
	// Touch notes when clients last used repositories.
	Touch(ctx context.Context, used map[ID]time.Time) error
	// Runs lists the newest first; before is a Run.ID to page behind, zero = from the newest.
	Runs(ctx context.Context, repo ID, before int64, limit int) ([]Run, error)
	// NewestRuns lists those of all repositories that sight sees, the newest first.
	NewestRuns(ctx context.Context, sight *Sight, limit int) ([]Run, error)
	Run(ctx context.Context, id int64) (Run, error)
	// Sizes lists how large a repository was, the oldest first: a sample for each day
	// on which EndRun said that a sync went well, for SizesKept.
	Sizes(ctx context.Context, repo ID, since time.Time) ([]SizeSample, error)
	// Events lists the newest first; repo empty = all repositories.
	Events(ctx context.Context, repo ID, before int64, limit int) ([]Event, error)
}

// Room is how many repositories a claim may take, by who asked for them.
type Room struct {
	People  int // a person or a client waits (ByHand, ByClient)
	News    int // there is something new, or may be (ByHook, ByAdd, ByDemand)
	Routine int // BySchedule
}

// Claim is a leased repository. Run has an ID when one was opened for it; it has
// its Trigger in any case.
type Claim struct {
	Repo  Repo
	Run   Run
	Owner string
	// Token tells this lease from earlier and later ones of the repository.
	Token int64
	Until time.Time
}

// Settlement is a claim that ends without a run.
type Settlement struct {
	Claim Claim
	// At is when upstream said that there is nothing new; zero = it was not asked.
	At   time.Time
	Next time.Time
}

// Lease is what somebody holds.
type Lease struct {
	Repo  ID
	Owner string
	Token int64
	Until time.Time
}

// LimitStore remembers who must not be asked for now.
type LimitStore interface {
	// SaveCooldown replaces one about the same, unless that ends later.
	SaveCooldown(ctx context.Context, c Cooldown) error
	// Cooldowns lists those that end after now, by What; it forgets the others.
	Cooldowns(ctx context.Context, now time.Time) ([]Cooldown, error)
}

// HookStore is what webhooks need to know across restarts.
type HookStore interface {
	// AddDelivery remembers a delivery and tells whether it is new. Those before
	// forget are forgotten.
	AddDelivery(ctx context.Context, id string, at, forget time.Time) (fresh bool, err error)
	// HasDelivery tells whether a delivery is remembered.
	HasDelivery(ctx context.Context, id string) (bool, error)
	// ReposByHostID lists the mirrors whose host knows them by that number.
	ReposByHostID(ctx context.Context, id int64) ([]Repo, error)
	// SetHostID remembers the number of a mirror; the mapping is not edited by it.
	SetHostID(ctx context.Context, repo ID, id int64) error
}

// Ending is what a run leaves behind.
type Ending struct {
	Run    Run
	State  State
	Events []Event
	// Holds are the changes of upstream that the run found and did not make, with
	// the Decision it knew of. What it did not find again is settled, and a
	// decision it did not know of makes the repository due at once, to be compared
	// in full. nil = it did not come so far; leave them. A run that finds a
	// HoldMove knows nothing of refs, so that those holds are left.
	Holds []Hold
}

// HoldStore keeps what waits for a person, and what was decided.
type HoldStore interface {
	// Holds lists the newest first.
	Holds(ctx context.Context, q HoldQuery) ([]Hold, error)
	Hold(ctx context.Context, id int64) (Hold, error)
	// LiveHolds are those of a repository that are not settled.
	LiveHolds(ctx context.Context, repo ID) ([]Hold, error)
	// CountHolds counts the open ones of a repository; empty = of all.
	CountHolds(ctx context.Context, repo ID) (int, error)
	// DecideHold records a decision on an open hold and has the next sync compare
	// in full. The same decision twice is one; ErrExists when the hold is no
	// longer open.
	DecideHold(ctx context.Context, id int64, d Decision, by, reason string, now time.Time) (Hold, error)
}

// ImportStore keeps what maps import paths and unknown repositories to mirrors.
type ImportStore interface {
	AddAlias(ctx context.Context, a Alias) error // replaces one with the same prefix
	RemoveAlias(ctx context.Context, prefix string) error
	Aliases(ctx context.Context) ([]Alias, error) // by prefix
	AddRule(ctx context.Context, r Rule) error
	// EditRule writes Discovery of the rule with r.Pattern. With Discovery the rule
	// is due to be listed at once, and from the beginning.
	EditRule(ctx context.Context, r Rule) error
	// ClaimRule takes one rule that is due to be listed, so that nobody else does
	// before next; ok is false when none is.
	ClaimRule(ctx context.Context, now, next time.Time) (r Rule, ok bool, err error)
	// RuleListed records a listing and when the next is due, unless the rule is
	// gone or its Discovery is no longer that of r: the edit stands.
	RuleListed(ctx context.Context, r Rule, l RuleListing, due time.Time) error
	RemoveRule(ctx context.Context, pattern string) error
	Rules(ctx context.Context) ([]Rule, error) // by pattern
}

// CredentialStore keeps upstream credentials, sealed before they come here.
type CredentialStore interface {
	AddCredential(ctx context.Context, c SealedCredential) error // replaces one with the same name
	Credential(ctx context.Context, name string) (SealedCredential, error)
	Credentials(ctx context.Context) ([]SealedCredential, error) // by name
	RemoveCredential(ctx context.Context, name string) error
}

// SealedCredential is a credential as it may be stored: Secret is ciphertext.
type SealedCredential struct {
	Name    string
	Host    string // the only host it is ever sent to
	User    string
	Secret  []byte
	Created time.Time
}

// Credential is an opened one. It is never logged and never part of a command line.
type Credential struct {
	Name string
	Host string
	User string
	// Password or token. Its type hides it from %v and logs.
	Secret Secret
}

// Secret is text that prints as "[secret]".
type Secret string

// String hides the secret from fmt and slog.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "[secret]" }

// Reveal returns the text itself, for the one place that must send it.
func (s Secret) Reveal() string { return string(s) }

// HostStore keeps upstream hosts, the roads to them and how these did.
type HostStore interface {
	Hosts(ctx context.Context) ([]Host, error) // by name
	Host(ctx context.Context, name string) (Host, error)
	// SaveHost adds h (Version zero) or writes its endpoints, bandwidth and budget
	// if h.Version is still the stored one. The endpoint in use is SwitchHost's
	// business, but for a new host.
	SaveHost(ctx context.Context, h Host) error
	// SwitchHost writes which endpoint is in use, and the event; ErrExists when
	// it is not s.From any more.
	SwitchHost(ctx context.Context, s Switch) error
	// RemoveHost drops it with all that is known about it.
	RemoveHost(ctx context.Context, name string) error
	// ReposOf lists mirrors that come from a host, those that are fine first.
	ReposOf(ctx context.Context, host string, limit int) ([]Repo, error)
	// CountMirrors is how many mirrors come from each host.
	CountMirrors(ctx context.Context) (map[string]int, error)

	// AddMeasured stores sums, adding to those of the same stretch of time.
	AddMeasured(ctx context.Context, list []Measured) error
	// Measured lists what was measured, joined to steps, in the order of time.
	Measured(ctx context.Context, q MeasuredQuery) ([]Measured, error)
	// ThinMeasured joins short stretches that are old into longer ones, and drops
	// what is very old; it says whether there may be more to do.
	ThinMeasured(ctx context.Context, now time.Time) (more bool, err error)
	// HostEvents lists the newest first; host empty = all. before is a
	// HostEvent.ID to page behind, zero = from the newest.
	HostEvents(ctx context.Context, host string, before int64, limit int) ([]HostEvent, error)
}

// MeasuredQuery selects what was measured.
type MeasuredQuery struct {
	Host     string // empty = all
	Endpoint string // empty = all
	Since    time.Time
	// Step is how long a stretch each answer sums up; zero = all of the time, one
	// answer for each endpoint. What is stored is not cut into shorter ones.
	Step time.Duration
}

// has tells whether m is selected.
func (q MeasuredQuery) has(m Measured) bool {
	return (q.Host == "" || q.Host == m.Host) && (q.Endpoint == "" || q.Endpoint == m.Endpoint) && !m.At.Before(q.Since)
}
