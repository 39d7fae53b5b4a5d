package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
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

// maxPkt is the longest packet, its length included.
const maxPkt = 65520

var errPkt = errors.New("not in git's packet format")

// peerError is an ERR packet: the peer says in words why it stops.
type peerError struct{ text string }

func (e *peerError) Error() string { return "remote: " + e.text }

type pktReader struct{ r *bufio.Reader }

// next returns a packet, data without its line feed. io.EOF only between packets.
func (p pktReader) next() (string, pktKind, error) {
	n, kind, err := p.length()
	if err != nil || kind != pktData {
		return "", kind, err
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(p.r, data); err != nil {
		return "", 0, unexpected(err)
	}
	data, err = dataOf(data)
	return string(data), pktData, err
}

// packet returns a packet as it came. The data are valid until the next call;
// the buffer of the reader must hold maxPkt bytes.
func (p pktReader) packet() ([]byte, pktKind, error) {
	n, kind, err := p.length()
	if err != nil || kind != pktData {
		return nil, kind, err
	}
	data, err := p.r.Peek(n)
	if err != nil {
		return nil, 0, unexpected(err)
	}
	_, err = p.r.Discard(n)
	return data, pktData, err
}

// line is packet for lines of text: without the line feed, and ERR is an error.
func (p pktReader) line() ([]byte, pktKind, error) {
	data, kind, err := p.packet()
	if err != nil || kind != pktData {
		return nil, kind, err
	}
	data, err = dataOf(data)
	return data, pktData, err
}

// length reads the head of a packet: how many bytes of data follow.
func (p pktReader) length() (int, pktKind, error) {
	head, err := p.r.Peek(4)
	if err != nil {
		if len(head) > 0 {
			err = unexpected(err)
		}
		return 0, 0, err
	}
	n := 0
	for _, c := range head {
		digit := hexDigit(c)
		if digit < 0 {
			return 0, 0, fmt.Errorf("length %q: %w", head, errPkt)
		}
		n = n<<4 | digit
	}
	_, _ = p.r.Discard(4)
	switch {
	case n == 0:
		return 0, pktFlush, nil
	case n == 1:
		return 0, pktDelim, nil
	case n == 2:
		return 0, pktEnd, nil
	case n < 4 || n > maxPkt:
		return 0, 0, fmt.Errorf("length %d: %w", n, errPkt)
	}
	return n - 4, pktData, nil
}

// unexpected is for an end in the middle of a packet; other errors stay.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func dataOf(data []byte) ([]byte, error) {
	data = bytes.TrimSuffix(data, []byte("\n"))
	if text, ok := bytes.CutPrefix(data, []byte("ERR ")); ok {
		return nil, &peerError{text: clean(string(text), nil)}
	}
	return data, nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func pkt(line string) string { return fmt.Sprintf("%04x%s", len(line)+4, line) }
