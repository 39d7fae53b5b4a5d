package mirror

import (
	"context"
	"io"
	"io/fs"
	"time"
)

// Remote is an upstream with what is needed to read it.
type Remote struct {
	Upstream   Upstream    // where to go: the endpoint's address is in it already
	Credential *Credential // nil = anonymously
	// Refs says which refs are asked for.
	Refs RefPolicy
	// Known is the Listing.Fingerprint of the last answer; List says no more than
	// "unchanged" when it comes again. Empty = everything is new.
	Known string
	// Bandwidth is how many bytes a second all traffic with the host may take;
	// zero = as many as there are.
	Bandwidth int64
}

// Fetcher brings refs and objects from an upstream to the disk. Errors are
// *Problem of kind ErrUpstream (its fault, or the road's), ErrIntegrity (what
// it sent is broken), ErrDenied (blocked address) or ErrNotFound/ErrSignIn
// (the upstream says so).
type Fetcher interface {
	// List asks upstream for HEAD and the refs of from.Refs, sorted; names that are
	// not well-formed are in Skipped. No object is fetched. When the answer is the
	// one from.Known stands for, the Listing holds Fingerprint and Trip alone.
	List(ctx context.Context, from Remote) (Listing, error)
	// Fetch brings everything want needs that the repository lacks into
	// quarantine, where it is checked (fsck, connectivity) and seen by nobody.
	// A repository that does not exist yet is begun in a staging directory.
	Fetch(ctx context.Context, id ID, from Remote, want []Ref, report func(Progress)) (Incoming, error)
}

// Incoming is fetched and checked, and not yet visible. Exactly one of Publish
// and Discard ends it; Discard after Publish does nothing.
type Incoming interface {
	// Bytes received as packs.
	Bytes() int64
	// Rewound returns the names of those moves whose Old is not an ancestor of New.
	Rewound(ctx context.Context, moves []RefUpdate) (map[string]bool, error)
	// Publish moves the objects in and applies the transaction. When it returns
	// nil the sync is durable: it survives a power cut.
	Publish(ctx context.Context, tx Transaction) error
	Discard() error
}

// Reader reads what is on disk.
type Reader interface {
	// Refs lists heads, tags, heads of pull requests (IsPull) and everything under
	// refs/gitmirror/, sorted.
	// ErrNotFound when the repository was never cloned. The listing is shared: it is
	// the same slice for as long as the refs are the same, and must not be changed.
	Refs(ctx context.Context, id ID) (Listing, error)
	// Commit resolves a full ref name or 7 to 64 hex digits to a commit, peeling
	// tags. ErrNotFound when there is none or the digits are ambiguous.
	Commit(ctx context.Context, id ID, rev string) (Commit, error)
	// Subject is the first line of a commit's message, cleaned and at most 200
	// bytes; rev as for Commit.
	Subject(ctx context.Context, id ID, rev string) (string, error)
	// Advertised tells whether the commit can be reached from a branch or a tag,
	// the only commits for which the go command accepts a pseudo-version.
	Advertised(ctx context.Context, id ID, commit string) (bool, error)
	// OffBranch returns those of the commits that no branch leads to. Full ids; what
	// is no commit is left out.
	OffBranch(ctx context.Context, id ID, commits []string) ([]string, error)
	// Ancestor tells whether old can be reached from new (a commit is its own ancestor).
	Ancestor(ctx context.Context, id ID, old, new string) (bool, error)
	// Tree opens the files of a commit. Symbolic links are files with
	// fs.ModeSymlink whose content is the target; submodules are left out.
	Tree(ctx context.Context, id ID, commit string) (fs.FS, error)
	// Archive streams a directory of a commit ("" = all of it) as a tar, byte for
	// byte what the go command would get: attributes that convert content apply,
	// export-ignore and export-subst do not. Names are relative to dir. The
	// caller closes it; Close returns git's error, if any.
	Archive(ctx context.Context, id ID, commit, dir string) (io.ReadCloser, error)
	// Bytes is the size on disk.
	Bytes(ctx context.Context, id ID) (int64, error)
}

// Commit is what the module rules need of a commit.
type Commit struct {
	Hash string
	Time time.Time // committer's, UTC, to the second
}

// RefKeeper changes refs of a repository for other reasons than a sync.
type RefKeeper interface {
	// Update applies a transaction to objects that are there already, durably: all
	// of it or nothing, as Incoming.Publish does, and beside a sync that is going
	// on. ErrExists when an Old is not the present value.
	Update(ctx context.Context, id ID, tx Transaction) error
}

// Remover takes repositories off the disk.
type Remover interface {
	// Remove makes the repository invisible at once and frees its space. A
	// repository that is not there is no error.
	Remove(ctx context.Context, id ID) error
}
