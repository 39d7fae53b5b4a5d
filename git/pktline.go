package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// pktKind tells data from the special packets of git's pkt-line format
// (gitprotocol-common and gitprotocol-v2 in git's documentation).
type pktKind int

const (
	pktData pktKind = iota
	pktFlush
	pktDelim
	pktEnd
)

var errPkt = errors.New("not in git's packet format")

// peerError is an ERR packet: the peer says in words why it stops.
type peerError struct{ text string }

func (e *peerError) Error() string { return "remote: " + e.text }

type pktReader struct{ r *bufio.Reader }

// next returns a packet, data without its line feed. io.EOF only between packets.
func (p pktReader) next() (string, pktKind, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return "", 0, err
	}
	n := 0
	for _, c := range head {
		digit := strings.IndexByte("0123456789abcdef", lower(c))
		if digit < 0 {
			return "", 0, fmt.Errorf("length %q: %w", head, errPkt)
		}
		n = n<<4 | digit
	}
	switch {
	case n == 0:
		return "", pktFlush, nil
	case n == 1:
		return "", pktDelim, nil
	case n == 2:
		return "", pktEnd, nil
	case n < 4 || n > 65520:
		return "", 0, fmt.Errorf("length %d: %w", n, errPkt)
	}
	data := make([]byte, n-4)
	if _, err := io.ReadFull(p.r, data); err != nil {
		return "", 0, io.ErrUnexpectedEOF
	}
	line := strings.TrimSuffix(string(data), "\n")
	if text, ok := strings.CutPrefix(line, "ERR "); ok {
		return "", 0, &peerError{text: clean(text, nil)}
	}
	return line, pktData, nil
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func pkt(line string) string { return fmt.Sprintf("%04x%s", len(line)+4, line) }
