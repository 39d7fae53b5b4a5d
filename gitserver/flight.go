package gitserver

import (
	"context"
	"errors"
	"fmt"
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

// reader is somebody who reads a flight. Its fields are guarded by flight.mu.
type reader struct {
	at         int64
	wantsLines bool
	lineNo     int // of the next line to pass on
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

// join adds a reader from an offset on, who calls leave at the end.
func (f *flight) join(wantsLines bool, at int64) *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &reader{at: at, wantsLines: wantsLines, lineNo: f.lineNo}
	f.readers[r] = struct{}{}
	return r
}

// leave takes a reader away. Without any the flight is forgotten and git ended.
func (f *flight) leave(r *reader) {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.readers, r)
	f.changed.Broadcast() // git may have waited for it
	switch {
	case len(f.readers) > 0:
	case f.ended:
		f.close()
	default:
		if f.cache.flights[f.key] == f { // nobody may join what is being ended
			delete(f.cache.flights, f.key)
		}
		if f.cancel != nil {
			f.cancel()
		}
	}
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

// copy passes the answer on as it comes. sent tells whether there was any of it;
// a *cutError says that there will be no more.
func (f *flight) copy(ctx context.Context, r *reader, out io.Writer) (sent bool, err error) {
	defer f.wakeAtEndOf(ctx)()
	buf := make([]byte, 64<<10)
	for {
		n, lines, err := f.next(ctx, r, buf)
		if err == io.EOF {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
		if s, ok := out.(sized); ok && !sent {
			if size, whole := f.whole(r); whole && len(lines) == 0 {
				s.willSend(size)
			}
		}
		sent = true
		for _, text := range lines {
			if _, err := fmt.Fprintf(out, "%04x\x02%s", len(text)+5, text); err != nil {
				return sent, err
			}
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return sent, err
		}
		f.mu.Lock()
		if r.at += int64(n); f.spilled {
			f.changed.Broadcast()
		}
		f.mu.Unlock()
	}
}

// next waits for something to pass on: lines, or else bytes of the answer.
func (f *flight) next(ctx context.Context, r *reader, buf []byte) (n int, lines []string, err error) {
	f.mu.Lock()
	for {
		if lines := f.linesFor(r); len(lines) > 0 {
			f.mu.Unlock()
			return 0, lines, nil
		}
		switch {
		case ctx.Err() != nil:
			f.mu.Unlock()
			return 0, nil, ctx.Err()
		case r.at < f.size:
			if r.lineNo < f.lineNo && r.at < f.linesAt { // not beyond where they belong
				buf = buf[:min(int64(len(buf)), f.linesAt-r.at)]
			}
			n, err := f.readAt(buf, r.at) // unlocks
			return n, nil, err
		case f.ended:
			f.mu.Unlock()
			if f.err != nil {
				return 0, nil, f.err
			}
			return 0, nil, io.EOF
		}
		f.changed.Wait()
	}
}

// linesFor are the lines for a reader who is where they belong, or has read all
// there is: between two pkt-lines, and before the flush. The lock is held.
func (f *flight) linesFor(r *reader) (lines []string) {
	if r.lineNo == f.lineNo || r.at != f.linesAt && (f.flushed || r.at != f.size) {
		return nil
	}
	for _, text := range f.lines[max(0, len(f.lines)-(f.lineNo-r.lineNo)):] {
		if r.wantsLines || text == "" { // an empty one keeps the connection alive
			lines = append(lines, text)
		}
	}
	r.lineNo = f.lineNo
	return lines
}

// readAt reads what is there from an offset on. The lock is held, and given back.
func (f *flight) readAt(buf []byte, at int64) (int, error) {
	inFile := f.size - int64(len(f.tail))
	if at >= inFile {
		n := copy(buf, f.tail[at-inFile:])
		f.mu.Unlock()
		return n, nil
	}
	file := f.file
	f.mu.Unlock()
	n, err := file.ReadAt(buf[:min(int64(len(buf)), inFile-at)], at)
	if n > 0 {
		err = nil
	}
	return n, err
}

// whole is the length of the answer for a reader who has had nothing yet, once
// that is known. It gets no lines then: it is too late for them.
func (f *flight) whole(r *reader) (int64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended || f.err != nil {
		return 0, false
	}
	r.lineNo = f.lineNo
	return f.size, true
}

// landed waits for the end of a flight.
func (f *flight) landed(ctx context.Context) error {
	defer f.wakeAtEndOf(ctx)()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.ended && ctx.Err() == nil {
		f.changed.Wait()
	}
	if !f.ended {
		return ctx.Err()
	}
	return f.err
}

// wakeAtEndOf wakes those who wait when ctx ends.
func (f *flight) wakeAtEndOf(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
}
