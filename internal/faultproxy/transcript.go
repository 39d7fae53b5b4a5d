package faultproxy

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Entry is one request (HTTP mode) or connection and what became of it.
type Entry struct {
	At     Duration `json:"at"` // since the proxy began
	Number int      `json:"number"`
	Method string   `json:"method,omitempty"`
	Path   string   `json:"path,omitempty"` // with the query
	Status int      `json:"status,omitempty"`
	Toxics []Kind   `json:"toxics,omitempty"`
	Up     int64    `json:"up,omitempty"`   // bytes to the target; not in HTTP mode
	Down   int64    `json:"down,omitempty"` // bytes to the client
	Done   bool     `json:"done"`
	// End is the toxic that ended it, "target" or "client" when those did, or
	// empty when it ended well.
	End string `json:"end,omitempty"`
}

// note begins an entry.
func (p *Proxy) note(method, path string) *Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	e := &Entry{At: Duration(time.Since(p.begun)), Number: p.count, Method: method, Path: path}
	p.entries = append(p.entries, e)
	return e
}

func (e *Entry) status(p *Proxy, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.Status = status
}

func (p *Proxy) finish(e *Entry, end string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.Done, e.End = true, end
}

// Transcript is what passed so far, oldest first.
func (p *Proxy) Transcript() []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Entry
	for _, e := range p.entries {
		copied := *e
		copied.Toxics = slices.Clone(e.Toxics)
		list = append(list, copied)
	}
	return list
}

// Forget empties the transcript.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = nil
}

// Lines is the transcript as text, one line of JSON for each entry.
func (p *Proxy) Lines() string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	for _, e := range p.Transcript() {
		_ = enc.Encode(e) // writes to a Builder do not fail
	}
	return b.String()
}
