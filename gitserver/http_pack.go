package gitserver

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// maxRequest bounds what a client sends to ask for a pack, unpacked: a
	// million haves are 50 MB.
	maxRequest = 64 << 20
	// maxRatio bounds how far a compressed request may unfold; hex digits of
	// object names give 2 to 3.
	maxRatio = 100
	// bodyTime is for the whole of the request body.
	bodyTime = 2 * time.Minute
)

// protocolForm is what a GIT_PROTOCOL value may look like; all others are
// ignored, which means protocol v0 (git's documentation, gitprotocol-v2).
var protocolForm = regexp.MustCompile(`^version=[0-2](:[a-z0-9=.-]+)*$`)

// protocolOf returns the value if it is one we pass on, else "".
func protocolOf(value string) string {
	if len(value) > 64 || !protocolForm.MatchString(value) {
		return ""
	}
	return value
}

// infoRefs answers GET <repo>/info/refs?service=….
func (h *HTTP) infoRefs(w *answer, r *http.Request, text string) (command string, err error) {
	switch r.URL.Query().Get("service") {
	case "git-upload-pack":
	case "git-receive-pack":
		return "receive-pack", h.receivePack(text)
	default: // "" is the dumb protocol
		return "unknown", &mirror.Problem{
			Code: mirror.CodeGitRequest, Kind: mirror.ErrNotFound, What: "the dumb HTTP protocol is not served", Do: "use git 1.6.6 or newer",
		}
	}
	if len(r.URL.Query()["service"]) != 1 {
		return "invalid", refuse(http.StatusBadRequest, "the request names more than one service", "", "")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "invalid", errMethod("GET")
	}
	repo, _, err := h.open(r, text)
	if err != nil {
		return "info-refs", err
	}
	noCache(w.Header())
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	if r.Method == http.MethodHead {
		return "info-refs", nil
	}
	protocol := protocolOf(r.Header.Get("Git-Protocol"))
	if !strings.HasPrefix(protocol, "version=2") {
		w.prefix = "001e# service=git-upload-pack\n0000" // gitprotocol-http, "Smart Server Response"
	}
	return "info-refs", h.run(w, r, repo, protocol, true, http.NoBody)
}

// uploadPack answers POST <repo>/git-upload-pack.
func (h *HTTP) uploadPack(w *answer, r *http.Request, text string) (command string, err error) {
	if service := r.URL.Query()["service"]; len(service) > 0 && (len(service) > 1 || service[0] != "git-upload-pack") {
		return "invalid", refuse(http.StatusBadRequest, "the query contradicts the path of the request", "", "")
	}
	if r.Method != http.MethodPost {
		return "invalid", errMethod("POST")
	}
	if got := r.Header.Get("Content-Type"); got != "application/x-git-upload-pack-request" {
		return "invalid", refuse(http.StatusUnsupportedMediaType, "this is not a request of a git client", "its Content-Type is not application/x-git-upload-pack-request", "")
	}
	repo, id, err := h.open(r, text)
	if err != nil {
		return "fetch", err
	}
	control := http.NewResponseController(w.ResponseWriter)
	control.EnableFullDuplex()                        // upload-pack answers haves while more come
	control.SetReadDeadline(time.Now().Add(bodyTime)) // unsupported only in handlers without a connection
	body, err := h.requestBody(r, func() { control.SetReadDeadline(time.Time{}) })
	if err != nil {
		return "fetch", err
	}
	protocol := protocolOf(r.Header.Get("Git-Protocol"))
	in := bufio.NewReaderSize(body, 64<<10)
	// Most requests are smaller than the buffer: they are here before they take
	// a place at the gate, so that a slow sender holds none.
	head, err := in.Peek(64 << 10)
	if err != nil && err != io.EOF {
		return "fetch", bodyError(err)
	}
	if !pktLines(head) {
		return "fetch", refuse(http.StatusBadRequest, "the request is not in git's protocol", "it is not made of pkt-lines", "")
	}
	noCache(w.Header())
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	if strings.HasPrefix(protocol, "version=2") && bytes.HasPrefix(head, []byte("0014command=ls-refs")) {
		return "ls-refs", h.run(w, r, repo, protocol, false, in)
	}
	leave, err := h.Gate.enter(r.Context(), principal(id, h.peer(r)))
	if err != nil {
		return "fetch", err
	}
	defer leave()
	return "fetch", h.run(w, r, repo, protocol, false, in)
}

// pktLines tells whether the complete pkt-lines at the beginning of b are
// well-formed (gitprotocol-common: four hex digits that count themselves).
func pktLines(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	for len(b) >= 4 {
		n, err := strconv.ParseUint(string(b[:4]), 16, 16)
		switch {
		case err != nil || n == 3 || n > 65520:
			return false
		case n < 3: // flush, delimiter, end of response
			n = 4
		}
		if n > uint64(len(b)) {
			return len(b) >= 60<<10 // the buffer ends here, not the request
		}
		b = b[n:]
	}
	return true
}

// run streams upload-pack's answer. A request that breaks a limit half-way is
// refused with a status if nothing was answered yet.
func (h *HTTP) run(w *answer, r *http.Request, repo mirror.Repo, protocol string, advertise bool, in io.Reader) error {
	said := &tail{}
	watched := &watchedReader{r: in}
	err := h.Packs.UploadPack(r.Context(), repo.ID, protocol, true, advertise, watched, w, said)
	if bad := watched.failure(); bad != nil {
		return bodyError(bad)
	}
	if err == nil || r.Context().Err() != nil {
		return r.Context().Err()
	}
	if w.err != nil {
		h.Log.Debug("client stopped reading", "repo", repo.Path, "addr", h.peer(r), "err", w.err)
		return nil
	}
	h.Log.Debug("upload-pack ended with an error", "repo", repo.Path, "addr", h.peer(r), "err", err, "said", said.String())
	if w.begun() {
		return nil // git has told the client in its own words
	}
	return err
}

// requestBody undoes the compression git uses for requests over 1 KiB.
// done is called when the body has been read to its end.
func (h *HTTP) requestBody(r *http.Request, done func()) (io.Reader, error) {
	if r.ContentLength > maxRequest {
		return nil, errTooLarge()
	}
	raw := &countReader{r: r.Body, done: done}
	body := &limitReader{raw: raw, r: raw}
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, bodyError(err)
		}
		z.Multistream(false)
		body.r, body.packed = z, true
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "the request is compressed in a way that is not understood", "", "use gzip")
	}
	return body, nil
}

func errTooLarge() error {
	return refuse(http.StatusRequestEntityTooLarge, "the request is too large",
		"it names more objects than "+strconv.Itoa(maxRequest>>20)+" MiB hold", "clone into an empty directory")
}

// bodyError is the refusal for a body that could not be read.
func bodyError(err error) error {
	var refused *requestError
	if errors.As(err, &refused) {
		return err
	}
	return refuse(http.StatusBadRequest, "the request could not be read", "it is cut short, too slow, or not gzip", "")
}

// countReader counts what comes in and says when that is all.
type countReader struct {
	r    io.Reader
	n    int64
	done func()
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err == io.EOF && c.done != nil {
		c.done()
		c.done = nil
	}
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
	if l.n > maxRequest || l.packed && l.n > 1<<20 && l.n > maxRatio*l.raw.n {
		return 0, errTooLarge()
	}
	if err == io.EOF && l.packed {
		// The compressed stream has ended; take what is behind it, so that the
		// connection can be used again.
		if _, more := io.CopyN(io.Discard, l.raw, 4096); more != nil && more != io.EOF {
			return n, more
		}
	}
	return n, err
}
