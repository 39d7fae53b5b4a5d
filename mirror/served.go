package mirror

import (
	"sync"
	"time"
)

// Served is a request of a git or go client that has ended.
type Served struct {
	Proto   string // "http" or "ssh"
	Command string // what was asked for: "info-refs", "ls-refs", "fetch", "go-get", …
	Status  string // "ok", or why not: "not-found", "denied", "gone", …
	Repo    ID     // empty: none was found
	Path    Path
	Bytes   int64         // sent
	First   time.Duration // from the question to the first byte of the answer; zero = there was none
	Took    time.Duration // from the beginning to the end
	Clone   bool          // objects were asked for by a client that had none
	Cache   CacheUse
}

// CacheUse counts how kept answers were used within one request.
type CacheUse struct {
	Hits   int // the answer was there
	Joins  int // it was being made for somebody else
	Misses int // it had to be made
}

// CacheResult is one use of kept answers.
type CacheResult int

// The ways a question to the cache of answers can end.
const (
	CacheHit CacheResult = iota
	CacheJoin
	CacheMiss
)

func (u *CacheUse) count(r CacheResult) {
	switch r {
	case CacheHit:
		u.Hits++
	case CacheJoin:
		u.Joins++
	case CacheMiss:
		u.Misses++
	}
}

func (u *CacheUse) add(more CacheUse) {
	u.Hits += more.Hits
	u.Joins += more.Joins
	u.Misses += more.Misses
}

// Flow is a request as it goes on. Its methods may be called by several
// goroutines, and on nil, where they do nothing.
type Flow struct {
	traffic *Traffic

	mu     sync.Mutex
	began  time.Time
	asked  time.Time // when what is being answered had been read
	served Served
	ended  bool
}

// For says which mirror the request is for.
func (f *Flow) For(r Repo) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.served.Repo, f.served.Path = r.ID, r.Path
}

// Asked says that the client's question is complete: the time to the first byte
// counts from here. A conversation may have several, of which the last counts.
func (f *Flow) Asked() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.served.First = time.Now(), 0
}

// Cloning says that the client asks for objects and has none.
func (f *Flow) Cloning() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.served.Clone = true
}

// Cached says how the cache of answers was used.
func (f *Flow) Cached(r CacheResult) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.served.Cache.count(r)
}

// Sent counts bytes that the client has taken. The first ones end the time to
// the first byte.
func (f *Flow) Sent(n int64) {
	if f == nil || n <= 0 {
		return
	}
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		return
	}
	now := time.Now()
	if f.served.First == 0 {
		f.served.First = max(1, now.Sub(f.asked))
	}
	f.served.Bytes += n
	proto, repo, path := f.served.Proto, f.served.Repo, f.served.Path
	f.mu.Unlock()
	f.traffic.sent(proto, repo, path, n, now)
}

// End ends the request and returns all that is known of it. It is called once.
func (f *Flow) End(command, status string) Served {
	if f == nil {
		return Served{Command: command, Status: status}
	}
	f.mu.Lock()
	now := time.Now()
	f.ended = true
	f.served.Command, f.served.Status, f.served.Took = command, status, now.Sub(f.began)
	served := f.served
	f.mu.Unlock()
	f.traffic.end(served, now)
	return served
}
