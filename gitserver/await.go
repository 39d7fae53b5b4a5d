package gitserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// How a client waits for a first clone, and what it can be told meanwhile:
//
//   - ssh, protocol v2: as over http, but that the request for objects may also be
//     for a shallow clone: lines on stderr then.
//   - ssh, protocols v0 and v1: lines on stderr, after a while, since nothing says
//     whether they are wanted (git clone --quiet).
//   - http, protocol v2: info/refs is answered as soon as the upstream has listed
//     its refs, since what it says is the same for all repositories; ls-refs from
//     that listing; and the request for objects at once, with the progress on
//     side-band 2 and the pack behind it.
//   - http, protocols v0 and v1, and shallow clones: nothing can be said before
//     the answer, so the request is held for at most HTTP.Wait.

// errRefsKnown ends the waiting for a clone whose refs are enough.
var errRefsKnown = errors.New("the refs are known")

// await waits for the first clone of a mirror, if it needs one. With refsDo it
// also returns when what the clone will serve is known; the mirror is not
// served then.
func (h *HTTP) await(r *http.Request, id auth.Identity, repo mirror.Repo, refsDo bool) (mirror.Repo, mirror.Listing, error) {
	if repo.State.Served() {
		return repo, mirror.Listing{}, nil
	}
	leave, err := h.Gate.wait(principal(id, h.peer(r)))
	if err != nil {
		return repo, mirror.Listing{}, err
	}
	defer leave()
	bound, cancel := context.WithTimeout(r.Context(), h.Wait)
	defer cancel()
	ctx, stop := context.WithCancelCause(bound)
	defer stop(nil)
	var coming mirror.Listing
	var last mirror.Progress
	cloned, err := h.Catalog.FirstClone(ctx, repo, func(p mirror.Progress) {
		last = p
		if l, ok := h.Catalog.Coming(repo.ID); ok && refsDo && l.Head != "" {
			coming = l
			stop(errRefsKnown)
		}
	})
	switch {
	case err == nil:
		err = h.Policy.Reads(ctx, id, cloned.Path, cloned.Private)
		return cloned, mirror.Listing{}, err
	case coming.Head != "":
		return repo, coming, nil
	case r.Context().Err() != nil:
		return repo, mirror.Listing{}, r.Context().Err()
	}
	return repo, mirror.Listing{}, notCloned(bound, repo, last, err)
}

// notCloned puts into words why a first clone has not come to an end.
func notCloned(ctx context.Context, repo mirror.Repo, last mirror.Progress, err error) error {
	var p *mirror.Problem
	switch {
	case errors.As(err, &p):
		repo.State.Problem = p
		return errNotYet(repo)
	case ctx.Err() != nil:
		repo.State.Problem = nil
		busy := mirror.AsProblem(errNotYet(repo))
		if last.Phase != "" {
			busy.Why = "it is at this: " + describe(last)
		}
		return busy
	}
	return err
}

// describe is a moment of a first clone in words: "receiving 12.3 MB, 45 %".
func describe(p mirror.Progress) string {
	text := ""
	switch p.Phase {
	case "":
		return "waiting for its turn"
	case mirror.Connecting:
		return "asking the upstream"
	case mirror.Negotiating:
		text = "the upstream prepares it"
	case mirror.Receiving:
		text = "receiving"
		if p.Bytes > 0 {
			text += " " + megabytes(p.Bytes)
		}
	case mirror.Indexing:
		text = "indexing"
	case mirror.Verifying:
		text = "checking"
	default:
		return "almost done"
	}
	if n := p.Percent(); n >= 0 {
		text += fmt.Sprintf(", %d %%", n)
	}
	return text
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
