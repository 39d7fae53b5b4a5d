package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

// The client side of git's smart HTTP in protocol version 2 (gitprotocol-http
// and gitprotocol-v2 in git's documentation): what is common to asking for refs
// and for packs.

const (
	// slowWindow and slowBytes: an answer that brings fewer bytes in so long a
	// time has stalled. It is a watchdog, not a limit on the whole.
	slowWindow = 30 * time.Second
	slowBytes  = 1 << 10
	// knownPeers is how many upstreams are remembered, some 300 bytes each.
	knownPeers = 1 << 15
	// maxKeptBuffer is how much of a list of refs is read at once, some 15,000.
	maxKeptBuffer = 1 << 20
)

const (
	advertisementType = "application/x-git-upload-pack-advertisement"
	requestType       = "application/x-git-upload-pack-request"
	resultType        = "application/x-git-upload-pack-result"
)

// peer is what is known of an upstream over http.
type peer struct {
	// speaksV2: it lists refs when asked by POST, without a greeting before. False
	// when it does not, or nothing is known.
	speaksV2 bool
	// viaGit: packs from here are fetched by git itself, since our own client
	// did not get on with the server. byName: and by the names of refs, because
	// it gives no object that is asked for by its id.
	viaGit, byName bool
	// seen is a hash of the last answer, length its size and fingerprint its
	// Listing.Fingerprint: an answer that comes again, as it nearly always does, is
	// known by a hash that is cheap and good for this process only.
	seen        uint64
	length      int
	fingerprint string
}

// wire is what the http clients of one Disk share.
type wire struct {
	peers   *lru.Cache[string, peer]
	seed    maphash.Seed
	readers sync.Pool // *bufio.Reader that hold a packet
	texts   sync.Pool // *[]byte
}

func newWire() *wire {
	peers, err := lru.New[string, peer](knownPeers)
	if err != nil {
		panic(err) // only when the size is not positive
	}
	return &wire{peers: peers, seed: maphash.MakeSeed(), readers: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxPkt+16) }},
		texts: sync.Pool{New: func() any { return new([]byte) }}}
}

// learn changes what is remembered of an upstream.
func (w *wire) learn(key string, change func(*peer)) {
	p, _ := w.peers.Get(key)
	change(&p)
	w.peers.Add(key, p)
}

// reader returns a reader of packets and a function that gives it back.
func (w *wire) reader(r io.Reader) (pktReader, func()) {
	b := w.readers.Get().(*bufio.Reader)
	b.Reset(r)
	return pktReader{b}, func() {
		b.Reset(nil)
		w.readers.Put(b)
	}
}

// read returns the first part of an answer, which is all of it unless it is
// large, in a buffer to be put back.
func (w *wire) read(r io.Reader) (start *[]byte, all bool, err error) {
	start = w.texts.Get().(*[]byte)
	text := (*start)[:0]
	for len(text) < maxKeptBuffer {
		text = slices.Grow(text, 4<<10)
		n, err := r.Read(text[len(text):min(cap(text), maxKeptBuffer)])
		text = text[:len(text)+n]
		if err != nil {
			*start = text
			if err == io.EOF {
				return start, true, nil
			}
			return start, false, err
		}
	}
	*start = text
	return start, false, nil
}

func (w *wire) put(text *[]byte) { w.texts.Put(text) }

// talk is one conversation with an http upstream.
type talk struct {
	disk   *Disk
	from   mirror.Remote
	base   string // the URL of the repository
	header string // Authorization
	trip   *phases
	got    func(n int) // is told of what comes
	limit  int64       // how many bytes may come; zero = any
	came   int64
	// identity asks for an answer that is not compressed once more.
	identity bool
}

func (d *Disk) talk(ctx context.Context, from mirror.Remote, trip *phases, got func(int)) (*talk, error) {
	header, _, err := d.authorization(ctx, from)
	if err != nil {
		return nil, err
	}
	return &talk{disk: d, from: from, base: from.Upstream.String(), header: header, trip: trip, got: got}, nil
}

// greet asks what the upstream speaks. When it is version 2, only its
// capabilities come, and body is nil. An older one lists its refs at once: body
// is at the first line, which is given apart, and must be closed.
func (x *talk) greet(ctx context.Context) (caps []string, old *oldGreeting, err error) {
	body, err := x.ask(ctx, http.MethodGet, "/info/refs?service=git-upload-pack", nil, advertisementType)
	if err != nil {
		return nil, nil, err
	}
	in, done := x.disk.state.wire.reader(body)
	end := func() { body.Close(); done() }
	line, kind, err := in.line()
	if err == nil && bytes.HasPrefix(line, []byte("# service=")) {
		if _, kind, err = in.line(); err == nil && kind == pktFlush {
			line, kind, err = in.line()
		}
	}
	if err != nil {
		end()
		return nil, nil, broken(err)
	}
	if string(line) != "version 2" {
		return nil, &oldGreeting{in: in, line: string(line), kind: kind, end: end}, nil
	}
	defer end()
	for len(caps) < maxCapabilities {
		line, kind, err := in.line()
		if err != nil {
			return nil, nil, broken(err)
		}
		if kind == pktFlush {
			return caps, nil, x.supported(caps)
		}
		caps = append(caps, string(line))
	}
	return nil, nil, broken(errPkt)
}

const maxCapabilities = 1000

// oldGreeting is the answer of a server that does not speak version 2.
type oldGreeting struct {
	in   pktReader
	line string // the first
	kind pktKind
	end  func()
}

// supported refuses repositories with other object names.
func (x *talk) supported(caps []string) error {
	for _, c := range caps {
		if format, ok := strings.CutPrefix(c, "object-format="); ok && format != "sha1" {
			return notSHA1(x.from, format)
		}
	}
	return nil
}

// ask sends one request and returns the body of a good answer.
func (x *talk) ask(ctx context.Context, method, path string, send []byte, want string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(x.trip.trace(ctx), method, x.base+path, bytes.NewReader(send))
	if err != nil {
		return nil, fmt.Errorf("ask upstream: %w", err)
	}
	req.Header.Set("User-Agent", x.disk.userAgent())
	req.Header.Set("Git-Protocol", "version=2")
	req.Header.Set("Accept", want)
	if send != nil {
		req.Header.Set("Content-Type", requestType)
	} else {
		req.Header.Set("Accept", "*/*")
	}
	if x.identity {
		req.Header.Set("Accept-Encoding", "identity")
	}
	if x.header != "" {
		req.Header.Set("Authorization", x.header)
	}
	res, err := x.disk.state.client.Do(req)
	if err != nil {
		return nil, err
	}
	got, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	got = strings.TrimSpace(got)
	if res.StatusCode == http.StatusOK && got == want {
		return &arriving{ReadCloser: res.Body, counted: traveller{res.Body, x.trip}, x: x}, nil
	}
	defer res.Body.Close()
	start, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	return nil, newAnswer(res, start, x.header != "")
}

// arriving is the body of an answer, counted.
type arriving struct {
	io.ReadCloser
	counted traveller
	x       *talk
}

func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.counted.Read(p)
	a.x.got(n)
	if a.x.came += int64(n); a.x.limit > 0 && a.x.came > a.x.limit {
		return 0, errTooLong
	}
	return n, err
}

// Close reads the little that may be left of a good answer, the end of its last
// chunk, so that the connection can be used again.
func (a *arriving) Close() error {
	_, _ = io.CopyN(io.Discard, a.ReadCloser, 64)
	return a.ReadCloser.Close()
}

var errTooLong = errors.New("the answer is too long")

// foreign tells whether an upstream does not get on with our way of fetching, so
// that git shall try.
func foreign(err error) bool {
	var a *answer
	if errors.As(err, &a) && (a.status == http.StatusOK || a.status == http.StatusNotFound) {
		return false
	}
	return misunderstood(err) || errors.Is(err, errNoPack)
}

// misunderstood tells whether an upstream that was asked in our way answered as
// one that does not understand, rather than as one that refuses or is in trouble.
func misunderstood(err error) bool {
	var a *answer
	if errors.As(err, &a) {
		switch a.status {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
			http.StatusLengthRequired, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusNotImplemented:
			return true
		}
		return false
	}
	return errors.Is(err, errPkt)
}

// patience ends a context when next to nothing has come for too long.
type patience struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
	recent atomic.Int64
}

// newPatience lasts for slowWindow, or for less where fetches have less.
func newPatience(ctx context.Context, atMost time.Duration) (context.Context, *patience) {
	window := min(slowWindow, atMost)
	p := &patience{}
	ctx, p.cancel = context.WithCancelCause(ctx)
	p.timer = time.AfterFunc(time.Hour, func() {
		if p.recent.Swap(0) < slowBytes {
			p.cancel(errStalled)
			return
		}
		p.timer.Reset(window)
	})
	p.timer.Reset(window)
	return ctx, p
}

func (p *patience) got(n int) { p.recent.Add(int64(n)) }

func (p *patience) end() {
	p.timer.Stop()
	p.cancel(nil)
}
