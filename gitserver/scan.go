package gitserver

import "strings"

// pktKind is what a pkt-line of an answer is for.
type pktKind int

const (
	pktPart pktKind = iota // of the answer
	pktNote                // a line for people
)

// pktScan takes an answer to a fetch apart into pkt-lines (gitprotocol-v2, fetch).
type pktScan struct {
	part   []byte // the beginning of a pkt-line whose rest has not come yet
	inPack bool
	done   bool // a flush ended the answer
	told   bool // it holds an error in git's words
}

func (s *pktScan) complete() bool { return s.done && len(s.part) == 0 }

// feed calls each for every whole pkt-line. raw is valid during the call only.
func (s *pktScan) feed(p []byte, each func(raw []byte, kind pktKind) error) error {
	for len(p) > 0 {
		if len(s.part) > 0 || len(p) < 4 {
			if missing := 4 - len(s.part); missing > 0 {
				n := min(missing, len(p))
				s.part, p = append(s.part, p[:n]...), p[n:]
				if len(s.part) < 4 {
					return nil
				}
			}
			length, err := pktLen(s.part)
			if err != nil || s.done {
				return errCutShort
			}
			n := min(max(4, length)-len(s.part), len(p))
			s.part, p = append(s.part, p[:n]...), p[n:]
			if len(s.part) < max(4, length) {
				return nil
			}
			if err := each(s.part, s.kind(s.part)); err != nil {
				return err
			}
			s.part = s.part[:0]
			continue
		}
		length, err := pktLen(p)
		if err != nil || s.done {
			return errCutShort
		}
		if length = max(4, length); length > len(p) {
			s.part, p = append(s.part, p...), nil
			continue
		}
		if err := each(p[:length], s.kind(p[:length])); err != nil {
			return err
		}
		p = p[length:]
	}
	return nil
}

func (s *pktScan) kind(raw []byte) pktKind {
	switch {
	case string(raw) == "0000":
		s.done = true
	case len(raw) < 5:
	case !s.inPack:
		s.inPack = string(raw[4:]) == "packfile\n"
		s.told = s.told || strings.HasPrefix(string(raw[4:min(len(raw), 8)]), "ERR ")
	case raw[4] == 2:
		return pktNote
	case raw[4] == 3:
		s.told = true
	}
	return pktPart
}
