package modproxy

import (
	"container/list"
	"net/http"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// hots are small answers that anybody may have, as they were sent a moment ago:
// a go command asks for hundreds of files, and many do at the same time. An
// answer is given again as it was for hotFor and only while nothing it depends on
// has changed: the catalog, the rules, the known vulnerabilities, and what is
// kept under its key. The zero value is ready.
type hots struct {
	mu        sync.Mutex
	byPath    map[string]*list.Element // of *slot, by the path of the URL
	byRequest map[string]*list.Element // the same, by the bytes of a request, see lane
	order     list.List                // latest used first
	bytes     int64
}

// slot is where the hot answer of a path is, however often it is made anew.
type slot struct {
	*hot
	requests []string // keys of byRequest; latest last
}

// hot is one of them; it does not change.
type hot struct {
	path, kind string
	of         mirror.ModuleVersion
	at         time.Time // when it was asked for
	header     []headerLine
	head       []byte // the same on the line, up to the value of Date
	body       []byte // shared with the Store
	kept, sum  string // the key in the Store, and what was kept there
	standing
}

// standing is what an answer depends on besides what is kept.
type standing struct {
	changes uint64 // of the catalog
	rules   *Rules
	vulns   *Vulns
}

func (h *Handler) standing() standing {
	s := standing{rules: h.Rules.inForce(), vulns: h.Rules.vulns()}
	if h.Changes != nil {
		s.changes = h.Changes()
	}
	return s
}

// headerLine is a line of a header; nobody changes the value.
type headerLine struct {
	name  string
	value []string
}

// An answer is hot for half as long as it is remembered where its module is,
// since that may be as old already. All together have up to maxHots bytes.
const (
	hotFor  = placeFor / 2
	maxHots = 16 << 20
)

// bespoke are headers that may ask for another answer than the whole file as
// anybody gets it.
var bespoke = [...]string{"Authorization", "Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"}

// ours are the headers that answers have.
var ours = [...]string{"Vary", "X-Cache", "Content-Type", "Cache-Control", "Etag", "X-Content-Type-Options"}

// plain tells whether a request gets what everybody gets.
func (h *Handler) plain(r *http.Request) bool {
	if r.Method != http.MethodGet || !h.Policy.AnonymousRead || h.Changes == nil || h.Store == nil {
		return false
	}
	for _, name := range bespoke {
		if r.Header[name] != nil {
			return false
		}
	}
	return true
}

// serveHot answers as a moment ago, if that can be.
func (h *Handler) serveHot(w http.ResponseWriter, r *http.Request) bool {
	if !h.plain(r) {
		return false
	}
	hots := &h.state().hots
	f := hots.of(r.URL.Path)
	if !h.holds(f) {
		return false
	}
	if bytes := laneOf(r); bytes != nil {
		hots.link(f.path, bytes)
	}
	header := w.Header()
	for _, line := range f.header {
		header[line.name] = line.value
	}
	h.countHot(f)
	_, _ = w.Write(f.body) // nobody listens, else
	return true
}

// holds tells whether an answer may be given again; nil is none.
func (h *Handler) holds(f *hot) bool {
	return f != nil && time.Since(f.at) <= hotFor && f.standing == h.standing() && h.Policy.AnonymousRead && h.Store.use(f.kept, f.sum)
}

func (h *Handler) countHot(f *hot) {
	h.state().hits.Add(1)
	if h.OnReply != nil {
		h.OnReply(f.kind, string(byHit))
	}
	h.Usage.count(f.of.Path, f.of.Version, served{hit: true, download: f.kind == "zip", bytes: int64(len(f.body))})
}

// heat remembers an answer that was just given, and found under key.
func (h *Handler) heat(w http.ResponseWriter, r *http.Request, q question, version, key string, body []byte) {
	if len(body) > maxSmall || quiet(w) || !h.plain(r) {
		return
	}
	k, ok := h.Store.Find(key)
	if !ok {
		return
	}
	f := &hot{path: r.URL.Path, kind: q.kind, of: mirror.ModuleVersion{Path: q.path, Version: version}, at: q.at, body: body, kept: key, sum: k.Sum, standing: q.now}
	for _, name := range ours {
		if value := w.Header()[name]; value != nil {
			f.header = append(f.header, headerLine{name, value})
		}
	}
	f.header = append(f.header, headerLine{"Accept-Ranges", []string{"bytes"}}, headerLine{"Content-Length", []string{itoa(int64(len(body)))}})
	f.head = headOf(f.header)
	h.state().hots.put(f)
}

// of is the answer of a path, nil if there is none.
func (s *hots) of(path string) *hot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usedLocked(s.byPath[path])
}

// ofRequest is the answer to a request of exactly these bytes, nil if there is none.
func (s *hots) ofRequest(request []byte) *hot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usedLocked(s.byRequest[string(request)])
}

func (s *hots) usedLocked(e *list.Element) *hot {
	if e == nil {
		return nil
	}
	s.order.MoveToFront(e)
	return e.Value.(*slot).hot
}

// hotCost is what an answer takes besides its body, and requestCost a request
// besides its bytes.
const (
	hotCost     = 1200
	requestCost = 200
)

func (s *hots) put(f *hot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPath == nil {
		s.byPath, s.byRequest = map[string]*list.Element{}, map[string]*list.Element{}
	}
	if e := s.byPath[f.path]; e != nil {
		b := e.Value.(*slot)
		s.bytes += int64(len(f.body)) - int64(len(b.body))
		b.hot = f
		s.order.MoveToFront(e)
	} else {
		s.byPath[f.path] = s.order.PushFront(&slot{hot: f})
		s.bytes += int64(len(f.body)) + hotCost
	}
	s.trimLocked()
}

// maxRequests is how many ways to ask for the same file are known.
const maxRequests = 8

// link notes that a request of these bytes asks for what is at path.
func (s *hots) link(path string, request []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byPath[path]
	if e == nil || s.byRequest[string(request)] != nil {
		return
	}
	b, key := e.Value.(*slot), string(request)
	if len(b.requests) == maxRequests {
		s.unlinkLocked(b.requests[0])
		b.requests = append(b.requests[:0], b.requests[1:]...)
	}
	b.requests = append(b.requests, key)
	s.byRequest[key] = e
	s.bytes += int64(len(key)) + requestCost
	s.trimLocked()
}

func (s *hots) unlinkLocked(request string) {
	delete(s.byRequest, request)
	s.bytes -= int64(len(request)) + requestCost
}

func (s *hots) trimLocked() {
	for s.bytes > maxHots {
		b := s.order.Remove(s.order.Back()).(*slot)
		delete(s.byPath, b.path)
		s.bytes -= int64(len(b.body)) + hotCost
		for _, request := range b.requests {
			s.unlinkLocked(request)
		}
	}
}
