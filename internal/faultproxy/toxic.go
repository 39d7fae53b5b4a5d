package faultproxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind names what a toxic does.
type Kind string

// Toxics of bytes. In HTTP mode they work on the body of an answer, else on what
// comes from the target (with Toxic.Up: on what goes there). N is Toxic.Bytes.
const (
	Latency    Kind = "latency"     // every piece waits Delay ± Jitter
	Bandwidth  Kind = "bandwidth"   // Rate bytes a second
	Slice      Kind = "slice"       // pieces of Size bytes (zero = 1), Delay between them
	Stall      Kind = "stall"       // nothing more after N bytes; the connection stays
	Reset      Kind = "reset"       // RST after N bytes
	Truncate   Kind = "truncate"    // the connection ends (FIN) after N bytes
	HalfClose  Kind = "half-close"  // only our direction ends after N bytes
	Flip       Kind = "flip"        // the bits Mask (zero = 0x55) of byte N are inverted
	Duplicate  Kind = "duplicate"   // Size bytes (zero = 1) from N on come twice
	NeverClose Kind = "never-close" // everything comes, the end does not
)

// Toxics of HTTP answers.
const (
	Hang        Kind = "hang"         // the request is read, nothing is answered
	HangInside  Kind = "hang-headers" // the answer stops within its headers
	SlowHeaders Kind = "slow-headers" // one byte of the headers each Delay
	Status      Kind = "status"       // Status, Header and Body instead of the answer
	Page        Kind = "page"         // 200 and a page of HTML: a captive portal
	Redirect    Kind = "redirect"     // 302 to Location (empty = to itself, forever)
	EndEarly    Kind = "end-early"    // the body ends after N bytes, in good HTTP order
	Length      Kind = "length"       // Content-Length is wrong by N, more or less
	GzipBomb    Kind = "gzip-bomb"    // Content-Encoding: gzip of N zero bytes
)

var kinds = []Kind{Latency, Bandwidth, Slice, Stall, Reset, Truncate, HalfClose, Flip, Duplicate, NeverClose,
	Hang, HangInside, SlowHeaders, Status, Page, Redirect, EndEarly, Length, GzipBomb}

// ofHTTP tells whether the kind needs HTTP mode.
func (k Kind) ofHTTP() bool { return slices.Index(kinds, k) >= slices.Index(kinds, Hang) }

// Duration is a time.Duration that JSON knows as "1.5s".
type Duration time.Duration

// UnmarshalText reads "1.5s".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Toxic is one thing that goes wrong, and when.
type Toxic struct {
	Kind Kind `json:"kind"`
	// Start and End bound it in time, counted from Play or Add; End zero = until
	// it is taken away.
	Start Duration `json:"start,omitempty"`
	End   Duration `json:"end,omitempty"`
	Match Match    `json:"match,omitzero"`

	Bytes    int64             `json:"bytes,omitempty"`
	Size     int               `json:"size,omitempty"`
	Mask     byte              `json:"mask,omitempty"`
	Rate     int64             `json:"rate,omitempty"` // bytes a second
	Delay    Duration          `json:"delay,omitempty"`
	Jitter   Duration          `json:"jitter,omitempty"`
	Status   int               `json:"status,omitempty"`
	Header   map[string]string `json:"header,omitempty"`
	Body     string            `json:"body,omitempty"`
	Location string            `json:"location,omitempty"`
	Up       bool              `json:"up,omitempty"` // towards the target; not in HTTP mode
}

// Match says which requests, or connections, suffer. The zero value: all.
type Match struct {
	Path   string  `json:"path,omitempty"`   // path and query hold this text; HTTP mode
	Method string  `json:"method,omitempty"` // HTTP mode
	Body   string  `json:"body,omitempty"`   // the request's body holds it, gzipped or not; HTTP mode
	Skip   int     `json:"skip,omitempty"`   // so many are spared first
	Times  int     `json:"times,omitempty"`  // so many suffer then; zero = all
	Chance float64 `json:"chance,omitempty"` // each with this probability; zero = certainly
}

// Parse reads a timeline: a JSON list of toxics.
func Parse(timeline []byte) ([]Toxic, error) {
	dec := json.NewDecoder(strings.NewReader(string(timeline)))
	dec.DisallowUnknownFields()
	var toxics []Toxic
	if err := dec.Decode(&toxics); err != nil {
		return nil, fmt.Errorf("read the timeline: %w", err)
	}
	for i, t := range toxics {
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("toxic %d: %w", i, err)
		}
	}
	return toxics, nil
}

func (t Toxic) check() error {
	switch {
	case !slices.Contains(kinds, t.Kind):
		return fmt.Errorf("no toxic is called %q", t.Kind)
	case t.Kind == Bandwidth && t.Rate <= 0:
		return fmt.Errorf("%s needs a rate", t.Kind)
	case t.Kind == Status && t.Status < 200:
		return fmt.Errorf("%s needs a status of 200 or more", t.Kind)
	case t.Bytes < 0 && t.Kind != Length:
		return fmt.Errorf("%s: bytes = %d, want a position", t.Kind, t.Bytes)
	case t.End != 0 && t.End <= t.Start:
		return fmt.Errorf("%s ends before it starts", t.Kind)
	}
	return nil
}

// active is a toxic at work.
type active struct {
	Toxic
	since time.Time
	gone  chan struct{} // closed when it is taken away
	once  sync.Once

	seen, hit int // requests or connections; guarded by Proxy.mu
}

func (a *active) end() { a.once.Do(func() { close(a.gone) }) }

// now tells whether its time is now.
func (a *active) now() bool {
	t := time.Since(a.since)
	return t >= time.Duration(a.Start) && (a.End == 0 || t < time.Duration(a.End))
}
