package mirror

import (
	"context"
	"time"
)

// Comparer tells how commits of a repository differ.
type Comparer interface {
	// Compare is about two revisions, each as Reader.Commit takes them. ErrNotFound
	// when one is not there; ErrBusy when the answer would take too long.
	Compare(ctx context.Context, id ID, old, new string) (Comparison, error)
}

// Bounds of a Comparison.
const (
	MaxCompareCommits = 100   // of each side that are listed
	MaxCompareCount   = 10000 // of each side that are counted
	MaxCompareFiles   = 500   // that are listed
)

// Comparison is what lies between two commits.
type Comparison struct {
	Old, New Commit
	// Base is the newest commit that both have; empty when they have none in common.
	Base string
	// Ahead are commits of New that Old lacks, Behind those of Old that New lacks;
	// MaxCompareCount stands for that many or more.
	Ahead, Behind int
	// Added and Dropped are these commits, the newest first, at most MaxCompareCommits.
	Added, Dropped []LoggedCommit
	// Files differ, by name; at most MaxCompareFiles of FileCount.
	Files     []FileChange
	FileCount int
	// Lines that were added and deleted in all files. Zero when Counted is false:
	// there are too many files to look into.
	LinesAdded, LinesDeleted int
	Counted                  bool
}

// LoggedCommit is a commit as a log lists it. The texts are cleaned of what is not
// printable, and short.
type LoggedCommit struct {
	Hash    string
	Time    time.Time // committer's
	Author  string
	Subject string
}

// FileChange is a file that differs.
type FileChange struct {
	Name string // in the new commit, or in the old one when it was deleted
	From string // what it was called before; empty when it was not renamed
	// Status is "added", "deleted", "changed", "renamed" or "type" (a file became a
	// link, or the other way round).
	Status string
	// Added and Deleted are lines.
	Added, Deleted int
	Binary         bool
}
