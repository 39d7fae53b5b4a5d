// Package gitserver is what a git client sees: smart HTTP, SSH, and the pages
// by which the go command finds repositories.
//
// It reads only. It authorises every request by the route that executes and on
// the path before looking it up, and it never lets a client's text near a file
// name or a shell: repositories are found by the catalog and served by id. What
// a pack is, and how one is made, it does not know; see [Packs].
package gitserver

import (
	"context"
	"io"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Catalog finds repositories; *mirror.Catalog is one. Who is asking rides in
// the context (auth.With).
type Catalog interface {
	// Admit finds the mirror at a path, or admits it by rule. It may not be cloned
	// yet.
	Admit(ctx context.Context, path mirror.Path) (mirror.Repo, error)
	// FirstClone waits for the first clone of a mirror as long as ctx lives; see
	// hears how it goes. The error says why it failed.
	FirstClone(ctx context.Context, repo mirror.Repo, see func(mirror.Progress)) (mirror.Repo, error)
	// Coming is what a first clone that runs will serve, once that is known.
	Coming(id mirror.ID) (mirror.Listing, bool)
	// Age is how long ago a mirror was last in step with its upstream; stale tells
	// whether that is longer than it should be.
	Age(repo mirror.Repo) (age time.Duration, stale bool)
	// Import finds the mirror that serves a Go import path.
	Import(ctx context.Context, importPath string) (mirror.Import, error)
}

// Packs answers git upload-pack for a repository on disk. protocol is the value
// of GIT_PROTOCOL, already checked. It returns when the answer is complete, or
// soon after ctx ends. Nothing writes to out then; a Read of in may still be
// under way and ends when the request or the channel is closed.
type Packs interface {
	UploadPack(ctx context.Context, id mirror.ID, protocol string, stateless, advertise bool, in io.Reader, out, errOut io.Writer) error
	// Snapshot is the refs that the repository has now; the same pointer for as long
	// as they are the same.
	Snapshot(ctx context.Context, id mirror.ID) (*mirror.Snapshot, error)
}

// Observer hears of every request that has ended.
type Observer func(mirror.Served)

// defaultWait bounds how long a client that cannot be told how a first clone
// goes waits for it. The clone itself goes on.
const defaultWait = 5 * time.Minute
