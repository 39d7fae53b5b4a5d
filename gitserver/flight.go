package gitserver

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
)

// flight is an answer in the making: git writes, and everybody who asked the
// same reads what is there so far. Only whole pkt-lines are there, so that who
// has read all of it can be told in git's own way that no more will come. Lines
// for people (side-band 2) are no part of the answer: they go to those who read
// at the moment.
type flight struct {
	cache *Cache
	key   cacheKey

	admitted bool // worth keeping; guarded by cache.mu

	mu      sync.Mutex
	changed sync.Cond
	readers map[*reader]struct{}
	begun   chan struct{} // closed when git runs, or the flight has ended
	cancel  func()        // of git; nil before that
	ended   bool
	err     error // once ended: why the answer is not whole

	file     *os.File // nil = nothing was written yet, or there is no room
	size     int64    // bytes of whole pkt-lines so far
	reserved int64    // at the cache
	spilled  bool     // there is no room: what comes is in tail until all have read it
	tail     []byte
	flushed  bool     // the answer is complete
	lines    []string // for people, the latest last; lineNo is the number of the next one
	lineNo   int
	linesAt  int64 // where in the answer the latest belongs

	scan pktScan
}

const (
	grant    = 1 << 20 // what is reserved at a time
	maxNotes = 16      // lines for people that wait to be passed on
)

var (
	errAbandoned = errors.New("nobody reads the answer any more")
	errCutShort  = errors.New("git upload-pack ended in the middle of its answer")
)

func newFlight(c *Cache, key cacheKey) *flight {
	f := &flight{cache: c, key: key, readers: map[*reader]struct{}{}, begun: make(chan struct{})}
	f.changed.L = &f.mu
	return f
}

// close is for when git has ended and nobody reads any more. The lock is held.
func (f *flight) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

// stop ends git, if it runs.
func (f *flight) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancel != nil && !f.ended {
		f.cancel()
	}
}

// begin starts make, which writes the answer, once: later calls return false. It
// runs for as long as somebody reads.
func (f *flight) begin(ctx context.Context, make func(ctx context.Context, out io.Writer) error, after func()) bool {
	c := f.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancel != nil || f.ended || c.closed {
		return false
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.cancel = cancel
	close(f.begun)
	c.made.Add(1)
	go func() {
		defer c.made.Done()
		defer after()
		defer cancel()
		f.end(make(ctx, f))
	}()
	return true
}

// cutError is why an answer is not whole. told: git has said so in the answer.
type cutError struct {
	told, inPack bool
	err          error
}

func (e *cutError) Error() string { return e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

// end is called once, when git has ended.
func (f *flight) end(err error) {
	f.mu.Lock()
	if err == nil && (f.scan.told || !f.scan.complete()) {
		err = errCutShort
	}
	whole := err == nil
	if !whole {
		err = &cutError{told: f.scan.told, inPack: f.scan.inPack, err: err}
	}
	f.mu.Unlock()
	f.cache.settle(f, whole)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.err = true, err
	if len(f.readers) == 0 {
		f.close()
	}
	f.changed.Broadcast()
}

// Write takes what git says.
func (f *flight) Write(p []byte) (int, error) {
	return len(p), f.scan.feed(p, f.packet)
}

// packet takes one whole pkt-line.
func (f *flight) packet(raw []byte, kind pktKind) error {
	if kind == pktNote {
		f.note(raw[5:])
		return nil
	}
	if !f.spilled && !f.store(raw) {
		f.cache.retire(f)
		f.mu.Lock()
		f.spilled = true
		f.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spilled {
		f.tail = append(f.tail[:0], raw...)
	}
	f.size += int64(len(raw))
	f.flushed = f.flushed || string(raw) == "0000"
	f.changed.Broadcast()
	for f.spilled {
		slowest := f.size
		for r := range f.readers {
			slowest = min(slowest, r.at)
		}
		if len(f.readers) == 0 {
			return errAbandoned
		}
		if slowest == f.size {
			break
		}
		f.changed.Wait()
	}
	return nil
}

// store writes to the file; false = there is no room for it. Only git's own
// goroutine changes size, file and reserved.
func (f *flight) store(raw []byte) bool {
	if weightOf(f.size+int64(len(raw))) > f.reserved {
		if f.reserved+grant > f.cache.MaxBytes/2 || !f.cache.reserve(grant) {
			return false
		}
		f.reserved += grant
	}
	if f.file == nil {
		file, err := os.CreateTemp(f.cache.Dir, making+"*")
		if err != nil {
			f.cache.Log.Warn("an answer is not kept", "err", err)
			return false
		}
		f.mu.Lock()
		f.file = file
		f.mu.Unlock()
	}
	if _, err := f.file.WriteAt(raw, f.size); err != nil { // readers know nothing of what is behind size
		f.cache.Log.Warn("an answer is not kept", "err", err)
		return false
	}
	return true
}

func (f *flight) note(text []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linesAt = f.size
	if f.lines = append(f.lines, string(text)); len(f.lines) > maxNotes {
		f.lines = f.lines[1:]
	}
	f.lineNo++
	f.changed.Broadcast()
}
