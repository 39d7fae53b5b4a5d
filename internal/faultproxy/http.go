package faultproxy

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// maxHeld bounds requests, and the answers that must be held whole to get their
// length wrong.
const maxHeld = 256 << 20

// serve is HTTP mode: one request and its answer.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	entry := p.note(r.Method, r.URL.RequestURI())
	sent, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHeld))
	if err != nil {
		p.finish(entry, "client")
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(sent))
	r.ContentLength, r.TransferEncoding = int64(len(sent)), nil
	f := &flow{
		p: p, method: r.Method, path: r.URL.RequestURI(), body: plain(sent), entry: entry,
		decided: map[*active]bool{}, done: r.Context().Done(),
	}
	toxics := f.now()
	for _, a := range toxics {
		if a.Kind == Latency {
			f.wait(a, p.delay(a)) // the way there
		}
	}
	for _, a := range toxics {
		if p.replaced(w, r, f, a) {
			p.finish(entry, string(a.Kind))
			return
		}
	}
	res, err := p.forward(r)
	if err != nil {
		p.finish(entry, "target: "+err.Error())
		panic(http.ErrAbortHandler) // as if the target had hung up
	}
	defer res.Body.Close()
	entry.status(p, res.StatusCode)
	end := p.deliver(w, f, toxics, res)
	p.finish(entry, end)
	if end == "target" {
		panic(http.ErrAbortHandler)
	}
}

// plain is a body that may be gzipped, at most its first megabyte.
func plain(body []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body
	}
	out, _ := io.ReadAll(io.LimitReader(z, 1<<20)) // what can be read is looked at
	return out
}

// forward asks the target.
func (p *Proxy) forward(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = p.target.Scheme, p.target.Host, ""
	out.URL.Path = strings.TrimSuffix(p.target.Path, "/") + out.URL.Path
	if r.ContentLength == 0 {
		out.Body = nil
	}
	return p.transport.RoundTrip(out)
}

// replaced gives an answer the target has no part in; false when it shall.
func (p *Proxy) replaced(w http.ResponseWriter, r *http.Request, f *flow, a *active) bool {
	switch a.Kind {
	case Hang:
		f.hold(a, nil)
		hijacked(w, func(c net.Conn) { c.Close() })
	case HangInside:
		hijacked(w, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Ty")
			f.hold(a, hangup(c))
			c.Close()
		})
	case Status:
		for name, value := range a.Header {
			w.Header().Set(name, value)
		}
		p.say(w, f.entry, a.Status, a.Body)
	case Page:
		body := a.Body
		if body == "" {
			body = "<html><title>Welcome</title><body>Please sign in to the network.</body></html>"
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		p.say(w, f.entry, http.StatusOK, body)
	case Redirect:
		to := a.Location
		if to == "" {
			to = r.URL.RequestURI()
		} else if base, ok := strings.CutSuffix(to, "*"); ok {
			to = base + r.URL.RequestURI()
		}
		w.Header().Set("Location", to)
		p.say(w, f.entry, http.StatusFound, "")
	case GzipBomb:
		f.entry.status(p, http.StatusOK)
		bomb(w, r, a.Bytes)
	default:
		return false
	}
	return true
}

func (p *Proxy) say(w http.ResponseWriter, e *Entry, status int, body string) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	e.status(p, status)
}

// bomb answers with n zero bytes that take a thousandth of that on the way.
func bomb(w http.ResponseWriter, r *http.Request, n int64) {
	service := r.URL.Query().Get("service")
	kind := "application/x-git-upload-pack-result"
	if service != "" {
		kind = "application/x-" + service + "-advertisement"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Encoding", "gzip")
	z, zeros := gzip.NewWriter(w), make([]byte, 64<<10)
	for ; n > 0; n -= int64(len(zeros)) {
		if _, err := z.Write(zeros[:min(n, int64(len(zeros)))]); err != nil {
			return
		}
	}
	_ = z.Close()
}

// deliver hands the target's answer on. It returns what ended it.
func (p *Proxy) deliver(w http.ResponseWriter, f *flow, toxics []*active, res *http.Response) string {
	for _, a := range toxics {
		switch a.Kind {
		case SlowHeaders, Length, NeverClose:
			return p.raw(w, f, a, res)
		}
	}
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	if res.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(res.ContentLength, 10))
	}
	w.WriteHeader(res.StatusCode)
	control := http.NewResponseController(w)
	s := &stream{flow: f, to: w, flush: func() { _ = control.Flush() }, count: &f.entry.Down, end: func(a *active) {
		if a.Kind == EndEarly {
			return // the handler returns
		}
		_ = control.Flush()
		hijacked(w, func(c net.Conn) {
			left := hangup(c)
			ends(c, f, a, left)
			if a.Kind == HalfClose {
				f.hold(a, left) // until the client has enough of it
				c.Close()
			}
		})
	}}
	if a := s.at(0); a != nil {
		s.finish(a)
		return s.ended
	}
	_, err := io.Copy(onlyWriter{s}, res.Body)
	switch {
	case s.ended != "":
		return s.ended
	case errors.Is(err, net.ErrClosed), f.gone():
		return "client"
	case err != nil:
		return "target"
	}
	return ""
}

// onlyWriter hides everything but Write, so that every byte passes the stream.
type onlyWriter struct{ io.Writer }

func (f *flow) gone() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// raw writes the answer by hand, so that its headers can be wrong or slow.
func (p *Proxy) raw(w http.ResponseWriter, f *flow, a *active, res *http.Response) string {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxHeld))
	if err != nil {
		return "target"
	}
	header := res.Header.Clone()
	header.Set("Connection", "close")
	header.Del("Content-Length")
	switch a.Kind {
	case Length:
		header.Set("Content-Length", strconv.FormatInt(max(int64(len(body))+a.Bytes, 0), 10))
	case SlowHeaders:
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %s\r\n", res.Status)
	_ = header.Write(&head)
	head.WriteString("\r\n")
	hijacked(w, func(c net.Conn) {
		defer c.Close()
		for _, b := range head.Bytes() {
			if a.Kind == SlowHeaders && !f.wait(a, p.delay(a)) {
				return
			}
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
		s := &stream{flow: f, to: c, count: &f.entry.Down, end: func(a *active) { ends(c, f, a, hangup(c)) }}
		_, _ = s.Write(body)
		if a.Kind == NeverClose {
			f.hold(a, hangup(c))
		}
	})
	return string(a.Kind)
}

// hijacked takes the connection of a request over. A client that is gone is no
// error here.
func hijacked(w http.ResponseWriter, use func(net.Conn)) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		use(c)
	}
}
