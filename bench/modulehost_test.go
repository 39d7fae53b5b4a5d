//go:build unix

package bench_test

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	locks "sync"
	"testing"
	"time"
)

// moduleHost is a module proxy of somebody else: the files of a module cache,
// near or far.
type moduleHost struct {
	files http.Handler

	mu    locks.Mutex
	delay time.Duration // before each answer: a round trip to far away
	rate  int           // bytes a second of each answer; zero = as fast as can be
	sent  sentModules
}

// sentModules is what a moduleHost has given away.
type sentModules struct {
	Requests int
	Bytes    int64 // of bodies
	Zips     int
}

func newModuleHost(root string) http.Handler {
	h := &moduleHost{files: http.FileServer(http.Dir(root))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bench/sent", func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		_ = json.NewEncoder(w).Encode(h.sent)
	})
	mux.HandleFunc("POST /bench/far", func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.delay, _ = time.ParseDuration(r.FormValue("delay"))
		h.rate, _ = strconv.Atoi(r.FormValue("rate"))
	})
	mux.Handle("/", h)
	return mux
}

func (h *moduleHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	delay, rate := h.delay, h.rate
	h.sent.Requests++
	if strings.HasSuffix(r.URL.Path, ".zip") {
		h.sent.Zips++
	}
	h.mu.Unlock()
	time.Sleep(delay)
	counted := &countedWriter{ResponseWriter: w, rate: rate}
	h.files.ServeHTTP(counted, r)
	h.mu.Lock()
	h.sent.Bytes += counted.n
	h.mu.Unlock()
}

// countedWriter counts what is sent, and sends no faster than its rate.
type countedWriter struct {
	http.ResponseWriter
	rate int
	n    int64
}

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	return n, err
}

// ReadFrom keeps sendfile for who sends as fast as can be.
func (w *countedWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.rate == 0 {
		n, err := io.Copy(w.ResponseWriter, r)
		w.n += n
		return n, err
	}
	const slice = 16 << 10
	var sum int64
	for {
		began := time.Now()
		n, err := io.CopyN(w.ResponseWriter, r, slice)
		w.n += n
		sum += n
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return sum, err
		}
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		time.Sleep(time.Duration(float64(n)/float64(w.rate)*float64(time.Second)) - time.Since(began))
	}
}

// far has a moduleHost answer after delay, and no faster than rate.
func (c *child) far(b *testing.B, delay time.Duration, rate int) {
	b.Helper()
	res, err := http.PostForm(c.URL+"/bench/far", map[string][]string{"delay": {delay.String()}, "rate": {strconv.Itoa(rate)}})
	if err != nil {
		b.Fatal(err)
	}
	res.Body.Close()
}

// sent is what a moduleHost has given away so far.
func (c *child) sent(b *testing.B) (s sentModules) {
	b.Helper()
	res, err := http.Get(c.URL + "/bench/sent")
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		b.Fatal(err)
	}
	return s
}

// minus is what came after before.
func (s sentModules) minus(before sentModules) sentModules {
	return sentModules{s.Requests - before.Requests, s.Bytes - before.Bytes, s.Zips - before.Zips}
}

// moduleFile is the path of a file of a module version, as a proxy has it.
func moduleFile(path, version, kind string) string {
	return filepath.ToSlash(path) + "/@v/" + version + "." + kind
}
