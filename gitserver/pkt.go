package gitserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxPkt is the longest pkt-line, its length included (gitprotocol-common).
const maxPkt = 65520

var errNotPkt = errors.New("not a pkt-line")

// pktLen reads the head of a pkt-line: four hex digits. It returns how long the
// line is with its head; 0, 1 and 2 are flush, delimiter and response end, which
// are their heads alone.
func pktLen(head []byte) (int, error) {
	if len(head) < 4 {
		return 0, errNotPkt
	}
	n := 0
	for _, c := range head[:4] {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | int(c-'a'+10)
		case 'A' <= c && c <= 'F':
			n = n<<4 | int(c-'A'+10)
		default:
			return 0, errNotPkt
		}
	}
	if n == 3 || n > maxPkt {
		return 0, errNotPkt
	}
	return n, nil
}

// pktText is a text as a pkt-line.
func pktText(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// pktCut takes the first pkt-line off s: its text without the line feed, or for
// the short ones their length. ok is false when s does not begin with a whole one.
func pktCut(s string) (text string, special int, rest string, ok bool) {
	if len(s) < 4 {
		return "", 0, s, false
	}
	n, err := pktLen([]byte(s[:4]))
	switch {
	case err != nil || n > len(s):
		return "", 0, s, false
	case n < 4:
		return "", n, s[4:], true
	}
	return strings.TrimSuffix(s[4:n], "\n"), -1, s[n:], true
}

// pktTexts are the lines of a request, without what separates them.
func pktTexts(b []byte) (lines []string, ok bool) {
	for s := string(b); s != ""; {
		text, special, rest, ok := pktCut(s)
		if !ok {
			return nil, false
		}
		if special < 0 && text != "" {
			lines = append(lines, text)
		}
		s = rest
	}
	return lines, true
}

// maxLines bounds the lines of a request: a want or a have takes 50 bytes of at
// most 64 MiB.
const maxLines = 1_500_000

// framed passes on what it reads as long as it is made of pkt-lines.
type framed struct {
	r     io.Reader
	head  [4]byte
	have  int // bytes of head
	left  int // bytes of the present line that are still to come
	lines int
}

func (f *framed) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if !f.follow(p[:n]) {
		return 0, errFraming()
	}
	if err == io.EOF && (f.left > 0 || f.have > 0 || f.lines == 0) {
		return 0, errFraming()
	}
	return n, err
}

func (f *framed) follow(b []byte) bool {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, len(b))
			f.left -= n
			b = b[n:]
			continue
		}
		n := copy(f.head[f.have:], b)
		f.have += n
		b = b[n:]
		if f.have < 4 {
			return true
		}
		length, err := pktLen(f.head[:])
		if f.lines++; err != nil || f.lines > maxLines {
			return false
		}
		f.have, f.left = 0, max(0, length-4)
	}
	return true
}

func errFraming() error {
	return refuse(http.StatusBadRequest, "the request is not in git's protocol", "it is not made of pkt-lines, or of too many", "")
}

// oneRequest reads a conversation up to the flush that ends a request of
// protocol v2.
type oneRequest struct {
	r     *bufio.Reader
	left  int
	ended bool
}

// begun waits for a request and tells whether there is one: a client that has
// enough sends a flush, or hangs up.
func (o *oneRequest) begun() (bool, error) {
	head, err := o.r.Peek(4)
	if err == io.EOF && len(head) == 0 {
		return false, nil
	}
	return err == nil && string(head) != "0000", err
}

func (o *oneRequest) Read(p []byte) (int, error) {
	if o.left == 0 {
		if o.ended {
			return 0, io.EOF
		}
		head, err := o.r.Peek(4)
		if err != nil {
			return 0, unexpected(err)
		}
		n, err := pktLen(head)
		if err != nil {
			return 0, errFraming()
		}
		o.left, o.ended = max(4, n), n == 0
	}
	n, err := o.r.Read(p[:min(len(p), o.left)])
	o.left -= n
	return n, unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
