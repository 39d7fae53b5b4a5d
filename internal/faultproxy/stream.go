package faultproxy

import (
	"errors"
	"io"
	"slices"
	"time"
)

// errEnded ends a copy because a toxic has ended the stream.
var errEnded = errors.New("a toxic ended the stream")

// stream passes bytes on and does to them what the toxics of its flow say.
type stream struct {
	*flow
	to    io.Writer
	flush func()          // may be nil
	end   func(a *active) // ends the stream as the toxic says
	count *int64          // bytes passed on, guarded by Proxy.mu; may be nil
	pos   int64           // bytes taken
	ended string          // the kind of the toxic that ended it
}

// Write takes a piece of the stream.
func (s *stream) Write(b []byte) (int, error) {
	if s.ended != "" {
		return 0, errEnded
	}
	toxics := s.now()
	taken, out := len(b), b
	last, cut := s.terminal(toxics, int64(len(b)))
	if last != nil {
		out = out[:cut]
	}
	out = s.damage(toxics, out)
	if err := s.pass(toxics, out); err != nil {
		return 0, err
	}
	s.pos += int64(taken)
	if last != nil {
		s.finish(last)
		return int(cut), errEnded
	}
	return taken, nil
}

// at is the toxic that ends the stream before a byte has come, if there is one.
func (s *stream) at(pos int64) *active {
	if last, _ := s.terminal(s.now(), 1); last != nil && last.Bytes == pos {
		return last
	}
	return nil
}

func (s *stream) finish(a *active) {
	s.ended = string(a.Kind)
	s.end(a)
}

// terminal finds the toxic that ends the stream within the next n bytes, and
// after how many of them.
func (s *stream) terminal(toxics []*active, n int64) (last *active, cut int64) {
	for _, a := range toxics {
		switch a.Kind {
		case Stall, Reset, Truncate, HalfClose, EndEarly:
			after := max(a.Bytes-s.pos, 0)
			if after < n && (last == nil || after < cut) {
				last, cut = a, after
			}
		}
	}
	return last, cut
}

// damage changes bytes.
func (s *stream) damage(toxics []*active, b []byte) []byte {
	for _, a := range toxics {
		i := a.Bytes - s.pos
		if i < 0 || i >= int64(len(b)) {
			continue
		}
		switch a.Kind {
		case Flip:
			mask := a.Mask
			if mask == 0 {
				mask = 0x55
			}
			b = slices.Clone(b)
			b[i] ^= mask
		case Duplicate:
			n := min(int64(max(a.Size, 1)), int64(len(b))-i)
			b = slices.Concat(b[:i+n], b[i:])
		}
	}
	return b
}

// pass writes a piece at the pace the toxics leave.
func (s *stream) pass(toxics []*active, b []byte) error {
	piece := len(b)
	var slow *active
	for _, a := range toxics {
		switch a.Kind {
		case Latency:
			s.wait(a, s.p.delay(a))
		case Slice:
			piece, slow = max(a.Size, 1), a
		case Bandwidth:
			if piece = min(piece, max(int(a.Rate/50), 1)); slow == nil {
				slow = a
			}
		}
	}
	for len(b) > 0 {
		n := min(piece, len(b))
		if _, err := s.to.Write(b[:n]); err != nil {
			return err
		}
		if s.flush != nil {
			s.flush()
		}
		if s.count != nil {
			s.p.mu.Lock()
			*s.count += int64(n)
			s.p.mu.Unlock()
		}
		b = b[n:]
		switch {
		case slow == nil:
		case slow.Kind == Slice && slow.Delay > 0:
			s.wait(slow, s.p.delay(slow))
		case slow.Kind == Bandwidth:
			s.wait(slow, time.Duration(float64(n)/float64(slow.Rate)*float64(time.Second)))
		}
	}
	return nil
}
