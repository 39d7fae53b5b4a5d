package mirror

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Schedule says when a mirror is synced next.
type Schedule struct {
	Min, Max time.Duration // bounds of the adaptive interval
}

// maxBackoff bounds how far failures lengthen the interval: a mirror that fails
// is late, never forgotten.
const maxBackoff = 8 * time.Hour

// Next returns when to sync again. Upstreams that have been quiet for long are
// asked rarely: half the time since the last change, within the bounds. Every
// failure in a row doubles the wait; ten percent of jitter keeps mirrors that
// were added together from being synced together.
func (s Schedule) Next(r Repo, now time.Time) time.Time {
	interval := r.Interval
	if interval == 0 {
		interval = min(max(now.Sub(r.State.LastChange)/2, s.Min), s.Max)
	}
	if n := r.State.Failures; n > 0 {
		interval = max(interval, time.Minute)
		if needsPerson(r.State.Problem) {
			interval = max(interval, time.Hour)
		}
		interval = min(interval<<min(n-1, 10), max(maxBackoff, interval))
	}
	jitter := 0.9 + 0.2*rand.Float64()
	return now.Add(time.Duration(float64(interval) * jitter))
}

// needsPerson tells whether trying again is unlikely to help until somebody
// changes the mapping, the credential or the upstream.
func needsPerson(err *Problem) bool {
	if err == nil {
		return false
	}
	for _, kind := range []error{ErrInvalid, ErrDenied, ErrSignIn, ErrNotFound, ErrIntegrity} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
