package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	// againWithin is how long all waits for a busy server may take together. Who
	// is told to come back later than that is told why, and decides.
	againWithin = time.Minute
	// againTimes is how often a busy server is asked once more.
	againTimes = 5
)

// later is a refusal of a server that says when to come again.
type later struct {
	error
	wait time.Duration
}

// Unwrap is the refusal.
func (l *later) Unwrap() error { return l.error }

// laterOf reads 429 and 503 with Retry-After, which is seconds or a date.
func laterOf(resp *http.Response) (time.Duration, bool) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	text := resp.Header.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return min(time.Duration(n), 24*60*60) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}

// onlyAsks are POSTs that change nothing: their questions are long.
func onlyAsks(path string) bool {
	return slices.Contains([]string{"/mirrors/preview", "/rules/preview", "/modules/resolve", "/modules/locate"}, path[min(len(path), len(api)):])
}

// patiently does a request, and again when the server is busy and says when to
// come back. A POST that may have an effect carries a key, the same each time, so
// that it has its effect once; to sign in there is none, and it is done once.
func (c *client) patiently(ctx context.Context, method, path string, do func(key string) error) error {
	key, once := "", false
	if method == http.MethodPost && !onlyAsks(path) {
		if once = c.Token == "" || c.username != ""; !once {
			key = rand.Text()
		}
	}
	waited := time.Duration(0)
	for n := 0; ; n++ {
		err := do(key)
		var busy *later
		if !errors.As(err, &busy) {
			return err
		}
		if once {
			return busy.error
		}
		wait := busy.wait + time.Duration(n)*100*time.Millisecond // "0" shall not make us hammer
		if n == againTimes || waited+wait > againWithin {
			return busy.error
		}
		if wait > time.Second && c.say != nil {
			c.say("%s is busy; trying again in %s", c.URL, wait.Round(time.Second))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return c.unreachable(ctx, ctx.Err())
		case <-timer.C:
		}
		waited += wait
	}
}
