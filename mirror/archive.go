package mirror

import "time"

// archive makes a mirror what is kept of an original that is gone, or ends that.
// An archive is served as it is, never synced, and is no failure.
func (r *Repo) archive(yes bool, now time.Time) error {
	switch {
	case !yes && !r.Archived.IsZero():
		r.Archived, r.Paused = time.Time{}, false
	case !yes:
	case !r.State.Served():
		return &Problem{
			Kind: ErrInvalid, What: "there is nothing of " + string(r.Path) + " to keep", Why: "its first clone was never complete",
			Do: "give it another upstream, or remove it",
		}
	default:
		if r.Archived.IsZero() {
			r.Archived = now
			if gone := r.State.RefusedSince; !gone.IsZero() {
				r.Archived = gone
			}
		}
		r.Paused = true
	}
	return nil
}
