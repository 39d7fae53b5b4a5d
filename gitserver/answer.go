package gitserver

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// answer is a response that is streamed: it counts, flushes what is small (a
// line of progress must not wait for the next pack chunk), and gives the
// client time for each write rather than for the whole.
type answer struct {
	http.ResponseWriter
	idle   time.Duration
	prefix string // goes before the first byte
	flow   *mirror.Flow

	started  bool
	whole    bool  // the length is known, and so all of it is there
	err      error // of the last write
	deadline time.Time
}

// begun tells whether a status line has gone out.
func (a *answer) begun() bool { return a.started }

func (a *answer) WriteHeader(status int) {
	a.started = true
	a.ResponseWriter.WriteHeader(status)
}

// Write sends p. The first one sends prefix too.
func (a *answer) Write(p []byte) (int, error) {
	a.extend()
	a.started = true
	if a.prefix != "" {
		prefix := a.prefix
		a.prefix = ""
		n, err := io.WriteString(a.ResponseWriter, prefix)
		a.flow.Sent(int64(n))
		if err != nil {
			a.err = err
			return 0, err
		}
	}
	n, err := a.ResponseWriter.Write(p)
	a.flow.Sent(int64(n))
	if err == nil && len(p) < 8<<10 && !a.whole {
		err = http.NewResponseController(a.ResponseWriter).Flush()
	}
	a.err = err
	return n, err
}

// willSend tells the length of the answer before it begins.
func (a *answer) willSend(n int64) {
	if !a.started {
		a.whole = true
		a.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
}

// sendFile sends the first bytes of a file, without looking at them where the
// connection can do that. Each piece has its own time, as writes have.
func (a *answer) sendFile(file *os.File, size int64) error {
	a.willSend(size)
	to, direct := a.ResponseWriter.(io.ReaderFrom)
	if !direct || size < 64<<10 {
		_, err := io.CopyBuffer(struct{ io.Writer }{a}, struct{ io.Reader }{io.LimitReader(file, size)}, make([]byte, min(size, 64<<10)))
		return err
	}
	a.started = true
	for size > 0 {
		a.extend()
		n, err := to.ReadFrom(&io.LimitedReader{R: file, N: min(size, 1<<20)})
		a.flow.Sent(n)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			a.err = err
			return err
		}
		size -= n
	}
	return nil
}

// extend gives the client time for the next write.
func (a *answer) extend() {
	if now := time.Now(); a.deadline.Sub(now) < a.idle-a.idle/10 {
		a.deadline = now.Add(a.idle)
		http.NewResponseController(a.ResponseWriter).SetWriteDeadline(a.deadline) // unsupported only without a connection
	}
}

// Unwrap lets http.ResponseController find the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
