package gitserver

import (
	"context"
	"fmt"
	"io"
)

// reader is somebody who reads a flight. Its fields are guarded by flight.mu.
type reader struct {
	at         int64
	wantsLines bool
	lineNo     int // of the next line to pass on
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
