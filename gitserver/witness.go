package gitserver

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// witness reads along what a client sends to upload-pack, in any version of the
// protocol, and knows when a question is complete and what kind it is. It
// changes nothing; what it does not understand it stops listening to.
type witness struct {
	flow *mirror.Flow
	// fetching, if set, is called for every fetch that is complete. quiet tells that
	// the client wants no lines for a person.
	fetching func(quiet bool)

	line []byte // what is kept of the pkt-line that comes, its four digits included
	left int    // of its bytes are still to come
	lost bool

	v2, wants, has, quiet bool // of the present question
}

// witnessed is how much of a line is kept: a want of version 0 with all of a
// client's capabilities fits.
const witnessed = 1024

// Write hears p. It never fails.
func (w *witness) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && !w.lost; {
		n := 4 - len(w.line) // of the length
		if w.left > 0 {
			n = w.left
		}
		n = min(n, len(rest))
		w.line = append(w.line, rest[:min(n, max(0, witnessed-len(w.line)))]...)
		rest = rest[n:]
		if w.left > 0 {
			if w.left -= n; w.left == 0 {
				w.hear(string(bytes.TrimSuffix(w.line[4:], []byte("\n"))))
				w.line = w.line[:0]
			}
			continue
		}
		if len(w.line) == 4 {
			w.length()
		}
	}
	return len(p), nil
}

// length begins a pkt-line, or takes note of one that has no text.
func (w *witness) length() {
	size, err := strconv.ParseUint(string(w.line), 16, 16)
	switch {
	case err != nil || size == 3 || size > 65520:
		w.lost = true
	case size > 4:
		w.left = int(size) - 4
	default:
		w.line = w.line[:0]
		if size == 0 && w.v2 { // a flush; in version 0 the question goes on
			w.complete()
		}
	}
}

func (w *witness) hear(text string) {
	word, value, _ := strings.Cut(text, " ")
	switch {
	case strings.HasPrefix(word, "command="):
		w.v2 = true
	case word == "no-progress":
		w.quiet = true
	case word == "want":
		if !w.wants && !w.v2 { // the first want of version 0 has the capabilities behind it
			w.quiet = slices.Contains(strings.Fields(value), "no-progress")
		}
		w.wants = true
	case word == "have":
		w.has = true
	case word == "done" && !w.v2:
		w.complete()
	}
}

func (w *witness) complete() {
	w.flow.Asked()
	if w.wants && !w.has {
		w.flow.Cloning()
	}
	if w.wants && w.fetching != nil {
		w.fetching(w.quiet)
	}
	w.v2, w.wants, w.has, w.quiet = false, false, false, false
}
