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

// receive reads the request body to its end, undoing the compression git uses
// for requests over 1 KiB.
func (h *HTTP) receive(r *http.Request) (*body, error) {
	if r.ContentLength > maxRequest {
		return nil, errTooLarge()
	}
	raw := &countReader{r: r.Body}
	from := &limitReader{raw: raw, r: raw}
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, bodyError(err)
		}
		from.r, from.packed = z, true
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "the request is compressed in a way that is not understood", "", "use gzip")
	}
	start, err := io.ReadAll(io.LimitReader(from, inMemory))
	if err != nil {
		return nil, bodyError(err)
	}
	if len(start) < inMemory {
		return &body{Reader: bytes.NewReader(start), start: start}, nil
	}
	return h.spool(start, from)
}

// spool keeps the rest of a large request in a file.
func (h *HTTP) spool(start []byte, rest io.Reader) (*body, error) {
	select {
	case h.spools <- struct{}{}:
	default:
		return nil, errBusy()
	}
	b := &body{start: start, done: func() { <-h.spools }}
	file, err := os.CreateTemp(h.TempDir, "gitmirror-request-*")
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

// pktLines tells whether the complete pkt-lines at the beginning of b are
// well-formed (gitprotocol-common: four hex digits that count themselves).
func pktLines(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	whole := len(b) < inMemory
	for len(b) >= 4 {
		n, err := strconv.ParseUint(string(b[:4]), 16, 16)
		switch {
		case err != nil || n == 3 || n > 65520:
			return false
		case n < 3: // flush, delimiter, end of response
			n = 4
		}
		if n > uint64(len(b)) {
			return !whole
		}
		b = b[n:]
	}
	return len(b) == 0 || !whole
}
