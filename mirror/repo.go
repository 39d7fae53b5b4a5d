package mirror

import (
	"time"

	"github.com/rs/xid"
)

// ID names a repository on disk and in URLs of the API: 20 lower-case letters
// and digits, sortable by age and never used twice, so a database that was
// rolled back cannot hand one repository's directory to another.
type ID string

// NewID returns a fresh ID.
func NewID() ID { return ID(xid.New().String()) }

// ParseID accepts what NewID makes and nothing else.
func ParseID(s string) (ID, error) {
	if _, err := xid.FromString(s); err != nil {
		return "", &Problem{Code: CodeBadPath, Kind: ErrNotFound, What: "no repository has the id " + quote(s)}
	}
	return ID(s), nil
}

// Repo is one mirrored repository: the mapping a person made, and what the
// syncer knows of it.
type Repo struct {
	ID       ID
	Path     Path
	Upstream Upstream
	// Credential names the stored credential the upstream wants; empty = none.
	Credential string
	// Private mirrors are never read anonymously. It follows from a credential
	// being needed and can be set for any mirror.
	Private bool
	// Interval between syncs; zero = adaptive.
	Interval time.Duration
	// Tags says what to do when a tag moves upstream.
	Tags TagPolicy
	// Refs says which refs are mirrored.
	Refs RefPolicy
	// Paused mirrors are served but not synced.
	Paused bool
	// Archived mirrors are what is kept of an original that is gone, since then.
	// They are paused. Zero = it is no archive.
	Archived time.Time

	Created time.Time
	Updated time.Time
	// Version grows with every edit of the mapping; an edit carries the one it
	// has seen and fails with ErrExists when somebody was faster.
	Version int64

	State State
}

// TagPolicy is what happens to a tag whose upstream moved it.
type TagPolicy string

const (
	// FreezeTags keeps serving the old tag and reports the move: somebody's
	// go.sum may name it. The default.
	FreezeTags TagPolicy = "freeze"
	// FollowTags takes the new tag and keeps the old one under refs/gitmirror/kept.
	FollowTags TagPolicy = "follow"
)

// ParseTagPolicy accepts "freeze", "follow" and, for the default, "".
func ParseTagPolicy(s string) (TagPolicy, error) {
	switch TagPolicy(s) {
	case "", FreezeTags:
		return FreezeTags, nil
	case FollowTags:
		return FollowTags, nil
	}
	return "", &Problem{Kind: ErrInvalid, What: "no tag policy is called " + quote(s), Do: `use "freeze" or "follow"`}
}

// Status is where a mirror is in its life. The words are the same in pages,
// API, CLI and metrics.
type Status string

const (
	Queued   Status = "queued"   // added, first clone not begun
	Cloning  Status = "cloning"  // first clone runs
	Ready    Status = "ready"    // in step with upstream when last asked
	Syncing  Status = "syncing"  // a later sync runs
	Retrying Status = "retrying" // last attempt failed, another is scheduled
	Failed   Status = "failed"   // attempts fail and only a person can mend it; still tried, rarely
	Paused   Status = "paused"   // not synced because a person said so
)

// State is what the syncer knows of a repository. Times are UTC and zero when
// it never happened.
type State struct {
	Status Status
	// Digest is Listing.Fingerprint of the last listing that was applied in full;
	// empty forces the next sync to compare everything.
	Digest string
	// Endpoint is the name of the endpoint that gave that listing.
	Endpoint string
	// Generation grows by one whenever the served refs change.
	Generation int64
	Head       string // default branch, "refs/heads/main"; empty while unknown
	Heads      int    // branches served
	Tags       int    // tags served
	Bytes      int64  // on disk

	LastAttempt time.Time
	LastSuccess time.Time // last time we were in step with upstream
	LastChange  time.Time // last time upstream had something new
	NextSync    time.Time // zero while paused
	LastClient  time.Time // last time a client cloned, fetched or listed it
	LastHook    time.Time // last time a webhook told of a change that was there
	// HostID is the number the upstream's host knows the repository by, across
	// renames; zero while unknown. Webhooks name it.
	HostID int64
	// RefusedSince is when upstream began to answer nothing but 401, 403 or 404:
	// one such answer proves nothing, two that are a day apart do.
	RefusedSince time.Time
	// Failures in a row; zero after a success.
	Failures int
	// Problem of the last attempt; nil after a success.
	Problem *Problem
}

// Served tells whether a clone can be answered: some sync has succeeded.
func (s State) Served() bool { return !s.LastSuccess.IsZero() }

// Resting is the status of a mirror that is neither paused nor being synced.
func (s State) Resting() Status {
	switch {
	case s.Failures > 0 && needsPerson(s.Problem) && !s.doubtful():
		return Failed
	case s.Failures > 0:
		return Retrying
	case s.Served():
		return Ready
	}
	return Queued
}

// doubtTime is how far apart two refusals must be to be believed.
const doubtTime = 24 * time.Hour

// doubtful tells whether upstream refuses what it gave before, and not yet long
// enough to believe it: hosts do so when they are overloaded, too.
func (s State) doubtful() bool {
	return s.Problem.Class() == Ambiguous && s.Served() && s.LastAttempt.Sub(s.RefusedSince) < doubtTime
}
