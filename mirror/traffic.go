package mirror

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Traffic is what git clients take from this process: what goes on now, and the
// last day by time and by mirror. It is kept in memory alone. Its zero value is
// ready; a nil one counts nothing.
type Traffic struct {
	mu     sync.Mutex
	since  time.Time
	flows  int
	fine   [360]TrafficSlot // an hour by 10 s
	coarse [144]TrafficSlot // a day by 10 min
	repos  map[ID]*taken
	swept  time.Time // when mirrors were last forgotten
}

// TrafficSlot is what was served in a stretch of time. Bytes count when they are
// sent, requests when they end.
type TrafficSlot struct {
	At        time.Time // its beginning
	HTTP, SSH int64     // bytes sent
	Requests  int
	Clones    int
	Cache     CacheUse
}

func (s *TrafficSlot) add(more TrafficSlot) {
	s.HTTP += more.HTTP
	s.SSH += more.SSH
	s.Requests += more.Requests
	s.Clones += more.Clones
	s.Cache.add(more.Cache)
}

// RepoTraffic is what was taken of one mirror within a day.
type RepoTraffic struct {
	Repo     ID
	Path     Path // as it was when last asked for
	Bytes    int64
	Requests int
	Clones   int
}

// taken is what was taken of one mirror, by the hour of a day.
type taken struct {
	path  Path
	hours [24]struct {
		at               time.Time
		bytes            int64
		requests, clones int
	}
}

const (
	fineStep   = 10 * time.Second
	coarseStep = 10 * time.Minute
	takenMost  = 20_000 // mirrors that are counted each for itself; about 1.2 KB each
)

// Begin begins a request of proto "http" or "ssh".
func (t *Traffic) Begin(proto string) *Flow {
	now := time.Now()
	if t != nil {
		t.mu.Lock()
		t.begin(now)
		t.flows++
		t.mu.Unlock()
	}
	return &Flow{traffic: t, began: now, asked: now, served: Served{Proto: proto}}
}

func (t *Traffic) begin(now time.Time) {
	if t.repos == nil {
		t.repos, t.since = make(map[ID]*taken), now
	}
}

// slots are the stretches of time that now belongs to.
func (t *Traffic) slots(now time.Time) [2]*TrafficSlot {
	return [2]*TrafficSlot{slotOf(t.fine[:], fineStep, now), slotOf(t.coarse[:], coarseStep, now)}
}

func slotOf(ring []TrafficSlot, step time.Duration, now time.Time) *TrafficSlot {
	at := now.UTC().Truncate(step)
	s := &ring[int(at.Unix()/int64(step/time.Second))%len(ring)]
	if !s.At.Equal(at) {
		*s = TrafficSlot{At: at}
	}
	return s
}

func (t *Traffic) sent(proto string, repo ID, path Path, n int64, now time.Time) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.slots(now) {
		if proto == "ssh" {
			s.SSH += n
		} else {
			s.HTTP += n
		}
	}
	t.take(repo, path, now, n, 0, 0)
}

func (t *Traffic) end(s Served, now time.Time) {
	if t == nil {
		return
	}
	clones := 0
	if s.Clone && s.Status == "ok" {
		clones = 1
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flows--
	for _, slot := range t.slots(now) {
		slot.add(TrafficSlot{Requests: 1, Clones: clones, Cache: s.Cache})
	}
	t.take(s.Repo, s.Path, now, 0, 1, clones)
}

// take counts for one mirror.
func (t *Traffic) take(id ID, path Path, now time.Time, bytes int64, requests, clones int) {
	if id == "" {
		return
	}
	of := t.repos[id]
	if of == nil {
		if len(t.repos) >= takenMost && !t.forget(now) {
			return
		}
		of = &taken{}
		t.repos[id] = of
	}
	of.path = path
	at := now.UTC().Truncate(time.Hour)
	h := &of.hours[at.Hour()]
	if !h.at.Equal(at) {
		h.at, h.bytes, h.requests, h.clones = at, 0, 0, 0
	}
	h.bytes += bytes
	h.requests += requests
	h.clones += clones
}

// forget drops the mirrors of which nothing was taken for a day, and tells
// whether there was one. It looks at all of them, so it does so rarely.
func (t *Traffic) forget(now time.Time) bool {
	if now.Sub(t.swept) < time.Minute {
		return false
	}
	t.swept = now
	before := len(t.repos)
	for id, of := range t.repos {
		if sum := of.day(now); sum.Requests == 0 && sum.Bytes == 0 {
			delete(t.repos, id)
		}
	}
	return len(t.repos) < before
}

// day sums up the last 24 hours, the one that has begun among them.
func (of *taken) day(now time.Time) RepoTraffic {
	sum := RepoTraffic{Path: of.path}
	for _, h := range of.hours {
		if now.Sub(h.at) < 24*time.Hour {
			sum.Bytes += h.bytes
			sum.Requests += h.requests
			sum.Clones += h.clones
		}
	}
	return sum
}

// Flows is how many requests go on.
func (t *Traffic) Flows() int {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flows
}

// Since is when counting began; zero = there was nothing to count yet.
func (t *Traffic) Since() time.Time {
	if t == nil {
		return time.Time{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since
}

// Rate is how many bytes are sent in a second now, over the last 10 to 20 s.
func (t *Traffic) Rate(now time.Time) float64 {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	from := now.UTC().Truncate(fineStep).Add(-fineStep)
	var sum int64
	for _, s := range t.fine {
		if !s.At.Before(from) {
			sum += s.HTTP + s.SSH
		}
	}
	return float64(sum) / now.Sub(from).Seconds()
}

// Over is what was served until now, in stretches of a length of step, the
// oldest first and the empty ones among them. Up to an hour step is a multiple
// of 10 s, up to a day of 10 min; more is not kept.
func (t *Traffic) Over(span, step time.Duration, now time.Time) []TrafficSlot {
	last := now.UTC().Truncate(step)
	out := make([]TrafficSlot, max(1, int(span/step)))
	first := last.Add(-time.Duration(len(out)-1) * step)
	for i := range out {
		out[i].At = first.Add(time.Duration(i) * step)
	}
	if t == nil {
		return out
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ring := t.coarse[:]
	if span <= time.Hour {
		ring = t.fine[:]
	}
	for _, s := range ring {
		if s.At.Before(first) || s.At.After(now) {
			continue
		}
		if i := int(s.At.Sub(first) / step); i < len(out) {
			out[i].add(s)
		}
	}
	return out
}

// Top is the n mirrors of which most bytes were taken within a day.
func (t *Traffic) Top(n int, now time.Time) []RepoTraffic {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []RepoTraffic
	for id, of := range t.repos {
		if sum := of.day(now); sum.Requests > 0 || sum.Bytes > 0 {
			sum.Repo = id
			all = append(all, sum)
		}
	}
	slices.SortFunc(all, func(a, b RepoTraffic) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Path, b.Path))
	})
	return all[:min(n, len(all))]
}
