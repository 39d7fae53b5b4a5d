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
	mu     sync.Mutex
	byPath map[string]*list.Element // of *hot, by the path of the URL
	order  list.List                // latest used first
	bytes  int64
}

// hot is one of them; it does not change.
type hot struct {
	path, kind string
	of         mirror.ModuleVersion
	at         time.Time // when it was asked for
	header     []headerLine
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
	s := h.state()
	f := s.hots.get(r.URL.Path)
	if f == nil || time.Since(f.at) > hotFor || f.standing != h.standing() || !h.Store.use(f.kept, f.sum) {
		return false
	}
	header := w.Header()
	for _, line := range f.header {
		header[line.name] = line.value
	}
	s.hits.Add(1)
	if h.OnReply != nil {
		h.OnReply(f.kind, string(byHit))
	}
	h.Usage.count(f.of.Path, f.of.Version, served{hit: true, download: f.kind == "zip", bytes: int64(len(f.body))})
	_, _ = w.Write(f.body) // nobody listens, else
	return true
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
	h.state().hots.put(f)
}

func (s *hots) get(path string) *hot {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byPath[path]
	if e == nil {
		return nil
	}
	s.order.MoveToFront(e)
	return e.Value.(*hot)
}

// hotCost is what an answer takes besides its body.
const hotCost = 1200

func (s *hots) put(f *hot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPath == nil {
		s.byPath = map[string]*list.Element{}
	}
	if e := s.byPath[f.path]; e != nil {
		s.bytes += int64(len(f.body)) - int64(len(e.Value.(*hot).body))
		e.Value = f
		s.order.MoveToFront(e)
	} else {
		s.byPath[f.path] = s.order.PushFront(f)
		s.bytes += int64(len(f.body)) + hotCost
	}
	for s.bytes > maxHots {
		last := s.order.Back()
		old := s.order.Remove(last).(*hot)
		delete(s.byPath, old.path)
		s.bytes -= int64(len(old.body)) + hotCost
	}
}
