package mirror

import (
	"math/rand/v2"
	"time"
)

// Schedule says when a mirror is synced next.
type Schedule struct {
	Min, Max time.Duration // bounds of the adaptive interval
}

const (
	// retryBase is how soon a mirror with a long interval is tried again after
	// its first failure: most failures are a bad minute of the network.
	retryBase = 5 * time.Minute
	// maxBackoff bounds how far failures lengthen the wait: a mirror that fails
	// is late, never forgotten.
	maxBackoff = 8 * time.Hour
)

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
		interval = min(min(interval, retryBase)<<min(n, 20), maxBackoff)
		if needsPerson(r.State.Problem) {
			interval = max(interval, time.Hour)
		}
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
	for _, kind := range []Kind{ErrInvalid, ErrDenied, ErrSignIn, ErrNotFound, ErrIntegrity} {
		if err.Kind == kind {
			return true
		}
	}
	return false
}
