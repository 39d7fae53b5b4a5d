package gitserver

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
)

// inMemory is how much of a request is kept in memory; all but the requests of
// clients with very many refs are smaller.
const inMemory = 1 << 20

// body is a request, received and unpacked.
type body struct {
	io.Reader
	start []byte   // all of it, or the first MiB
	file  *os.File // what did not fit in memory; it has no name any more
	done  func()
}

// Close frees what the body holds.
func (b *body) Close() error {
	if b.file == nil {
		return nil
	}
	b.done()
	return b.file.Close()
}

// whole is the request as text, if it is in memory.
func (b *body) whole() (text []byte, ok bool) { return b.start, b.file == nil }

// bodies takes requests in: those that are large go through files without a
// name, of which there are only so many.
type bodies struct {
	dir    string
	places chan struct{} // one for each file, of at most 64 MiB
}

func newBodies(dir string) *bodies { return &bodies{dir: dir, places: make(chan struct{}, 32)} }

// receive reads a request to its end. It must be made of pkt-lines.
func (s *bodies) receive(r io.Reader) (*body, error) {
	from := &framed{r: r}
	start, err := io.ReadAll(io.LimitReader(from, inMemory))
	if err != nil {
		return nil, bodyError(err)
	}
	if len(start) < inMemory {
		return &body{Reader: bytes.NewReader(start), start: start}, nil
	}
	return s.spool(start, from)
}

// spool keeps the rest of a large request in a file.
func (s *bodies) spool(start []byte, rest io.Reader) (*body, error) {
	select {
	case s.places <- struct{}{}:
	default:
		return nil, errBusy()
	}
	b := &body{start: start, done: func() { <-s.places }}
	file, err := os.CreateTemp(s.dir, "gitmirror-request-*")
	if err != nil {
		b.done()
		return nil, err
	}
	b.file = file
	os.Remove(file.Name()) // it lives as long as it is open
	if _, err := io.Copy(file, rest); err != nil {
		b.Close()
		return nil, bodyError(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		b.Close()
		return nil, err
	}
	b.Reader = io.MultiReader(bytes.NewReader(start), file)
	return b, nil
}

// receive reads the request body, undoing the compression git uses for requests
// over 1 KiB.
func (h *HTTP) receive(r *http.Request) (*body, error) {
	if r.ContentLength > maxRequest {
		return nil, errTooLarge()
	}
	from := limited(r.Body)
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(from.raw)
		if err != nil {
			return nil, bodyError(err)
		}
		from.r, from.packed = z, true
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "the request is compressed in a way that is not understood", "", "use gzip")
	}
	return h.Front.bodies.receive(from)
}

func errTooLarge() error {
	return refuse(http.StatusRequestEntityTooLarge, "the request is too large",
		"it has more than "+strconv.Itoa(maxRequest>>20)+" MiB, or unpacks to far more than it was", "clone into an empty directory")
}

// bodyError is the refusal for a body that could not be read.
func bodyError(err error) error {
	var refused *requestError
	if errors.As(err, &refused) {
		return err
	}
	return refuse(http.StatusBadRequest, "the request could not be read", "it is cut short, too slow, or not gzip", "")
}

// countReader counts what comes in.
type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// limited bounds what is not compressed.
func limited(r io.Reader) *limitReader {
	raw := &countReader{r: r}
	return &limitReader{raw: raw, r: raw}
}

// limitReader ends with an error when more comes out than a request may have,
// or more than an honest compression of what came in.
type limitReader struct {
	raw    *countReader
	r      io.Reader
	packed bool
	n      int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.n += int64(n)
	if l.n > maxRequest || l.packed && l.n > inMemory && l.n > maxRatio*l.raw.n {
		return 0, errTooLarge()
	}
	return n, err
}
