//go:build unix

package bench_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// contender is a server in a contest: how it is asked and what it has used.
type contender struct {
	name string
	at   func(repo string) *puller
	cpu  func() time.Duration
	// settle waits until what it started has ended; may be nil.
	settle    func()
	anonymous func() int64 // may be nil
	// times is how often it does the work in one turn: what is quick is measured
	// longer.
	times int
}

// total is what a contender has used in all of its turns.
type total struct {
	cost
	bytes int64
	first []time.Duration
}

func (t total) firstMS() (median, worst float64) {
	if len(t.first) == 0 {
		return 0, 0
	}
	slices.Sort(t.first)
	return t.first[len(t.first)/2].Seconds() * 1000, t.first[len(t.first)-1].Seconds() * 1000
}

// deed is what one client does, in which turn.
type deed func(p *puller, turn int) (pulled, error)

// contest has every contender do the same in turns, by so many clients at once.
func contest(b *testing.B, rounds, clients int, repo string, all []*contender, do deed) map[string]*total {
	b.Helper()
	totals := map[string]*total{}
	for _, c := range all {
		totals[c.name] = &total{}
		crowd(b, c, clients, repo, -1, do) // files are in memory, answers are known
	}
	for round := range rounds {
		for _, c := range all {
			c.turn(b, totals[c.name], clients, repo, round, do)
		}
	}
	return totals
}

func (c *contender) turn(b *testing.B, t *total, clients int, repo string, round int, do deed) {
	b.Helper()
	before, began := c.cpu(), time.Now()
	for range max(c.times, 1) {
		got := crowd(b, c, clients, repo, round, do)
		for _, p := range got {
			t.bytes += p.bytes
			t.first = append(t.first, p.first)
		}
		t.ops += len(got)
	}
	t.wall += time.Since(began)
	if c.settle != nil {
		c.settle()
	}
	t.cpu += c.cpu() - before
}

// crowd lets so many clients do it at the same time.
func crowd(b *testing.B, c *contender, clients int, repo string, turn int, do deed) []pulled {
	b.Helper()
	got := make([]pulled, clients)
	var all errgroup.Group
	for i := range clients {
		all.Go(func() (err error) {
			got[i], err = do(c.at(repo), turn)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		b.Fatalf("%s: %v", c.name, err)
	}
	return got
}

// peak is the most memory a contender has for itself alone while clients do it.
func peak(b *testing.B, c *contender, clients int, repo string, do deed) (most int64) {
	b.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, c.anonymous())
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	for range max(c.times, 1) {
		crowd(b, c, clients, repo, -1, do)
	}
	close(stop)
	<-done
	return most
}

// file gets all bytes from a plain file server: the limit of what a
// program can do that copies nothing.
func (p *puller) file() (got pulled, err error) {
	began := time.Now()
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(p.url)
	if err != nil {
		return got, err
	}
	defer res.Body.Close()
	var one [1]byte
	if _, err := io.ReadFull(res.Body, one[:]); err != nil {
		return got, err
	}
	got.first = time.Since(began)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{res.Body}, make([]byte, 128<<10))
	got.bytes = n + 1
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", p.url, res.Status)
	}
	return got, err
}
