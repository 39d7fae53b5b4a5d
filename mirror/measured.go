package mirror

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Stretches of time that samples are summed up over. Hosts with several
// endpoints are looked at closely for a day, by five minutes for a week, by the
// hour for 90 days.
const (
	SpanFine   = 10 * time.Second
	SpanMiddle = 5 * time.Minute
	SpanCoarse = time.Hour

	FineFor   = 24 * time.Hour
	MiddleFor = 7 * 24 * time.Hour
	CoarseFor = 90 * 24 * time.Hour
)

// Measured sums up the samples of an endpoint within the stretch of time that
// begins at At. The durations are sums.
type Measured struct {
	Host     string
	Endpoint string
	At       time.Time
	Span     time.Duration

	N      int64 // samples
	Failed int64
	// Fresh of those that did not fail made a connection: DNS, Connect and TLS are theirs.
	Fresh             int64
	DNS, Connect, TLS time.Duration
	FirstByte         time.Duration // of the N - Failed
	// Moved bytes took Moving, in answers that were large enough to tell the speed.
	Moved  int64
	Moving time.Duration
	Spread Spread // of Trip.Latency
	// Problem is why the last one failed; empty when none did.
	Problem Code
}

// fastEnough is how large an answer tells how fast the road is.
const fastEnough = 64 << 10

// Add counts a sample.
func (m *Measured) Add(s Sample) {
	if s.Transfer && !s.broken() {
		if s.Bytes >= fastEnough {
			m.Moved += s.Bytes
			m.Moving += s.Total
		}
		return
	}
	m.N++
	if s.broken() {
		m.Failed++
		m.Problem = s.Problem
		return
	}
	if !s.Reused && s.Connect > 0 {
		m.Fresh++
		m.DNS += s.DNS
		m.Connect += s.Connect
		m.TLS += s.TLS
	}
	m.FirstByte += s.FirstByte
	if moving := s.Total - s.FirstByte - s.TLS - s.Connect - s.DNS; s.Bytes >= fastEnough && moving > 0 {
		m.Moved += s.Bytes
		m.Moving += moving
	}
	if m.Spread == nil {
		m.Spread = Spread{}
	}
	m.Spread.Add(s.Latency(), 1)
}

// Join adds what another stretch holds.
func (m *Measured) Join(o Measured) {
	m.N += o.N
	m.Failed += o.Failed
	m.Fresh += o.Fresh
	m.DNS += o.DNS
	m.Connect += o.Connect
	m.TLS += o.TLS
	m.FirstByte += o.FirstByte
	m.Moved += o.Moved
	m.Moving += o.Moving
	if m.Spread == nil {
		m.Spread = Spread{}
	}
	for b, n := range o.Spread {
		m.Spread[b] += n
	}
	if o.Problem != "" {
		m.Problem = o.Problem
	}
}

// Means are the phases of the average trip, zero where there was none.
func (m Measured) Means() Trip {
	mean := func(sum time.Duration, n int64) time.Duration {
		if n <= 0 {
			return 0
		}
		return sum / time.Duration(n)
	}
	return Trip{
		DNS: mean(m.DNS, m.Fresh), Connect: mean(m.Connect, m.Fresh), TLS: mean(m.TLS, m.Fresh),
		FirstByte: mean(m.FirstByte, m.N-m.Failed),
	}
}

// Rate is the bytes per second of large answers; zero while there was none.
func (m Measured) Rate() int64 {
	if m.Moving < time.Millisecond {
		return 0
	}
	return int64(float64(m.Moved) / m.Moving.Seconds())
}

// Spread counts durations by their size, in steps of a tenth, from 0.1 ms on:
// enough for quantiles that are right within five percent.
type Spread map[int]int64

const spreadFrom = 100 * time.Microsecond

// Add counts a duration n times.
func (s Spread) Add(d time.Duration, n int64) {
	step := 0
	if d > spreadFrom {
		step = int(math.Round(math.Log(float64(d)/float64(spreadFrom)) / math.Log(1.1)))
	}
	s[min(step, maxStep)] += n
}

// maxStep is about 23 minutes.
const maxStep = 170

// Quantile is the duration that the share q of all is not longer than; zero when
// nothing was counted.
func (s Spread) Quantile(q float64) time.Duration {
	var all, seen int64
	for _, n := range s {
		all += n
	}
	for _, step := range slices.Sorted(maps.Keys(s)) {
		if seen += s[step]; float64(seen) >= q*float64(all) && seen > 0 {
			return time.Duration(float64(spreadFrom) * math.Pow(1.1, float64(step)))
		}
	}
	return 0
}

// String is "12:3 14:1 ", to be read by ParseSpread. The texts of two spreads
// one behind the other are the text of both together.
func (s Spread) String() string {
	var b strings.Builder
	for _, step := range slices.Sorted(maps.Keys(s)) {
		b.WriteString(strconv.Itoa(step) + ":" + strconv.FormatInt(s[step], 10) + " ")
	}
	return b.String()
}

// ParseSpread reads what String wrote; what it did not write is left out.
func ParseSpread(text string) Spread {
	s := Spread{}
	for word := range strings.FieldsSeq(text) {
		left, right, _ := strings.Cut(word, ":")
		step, err := strconv.Atoi(left)
		n, err2 := strconv.ParseInt(right, 10, 64)
		if err == nil && err2 == nil && step >= 0 && step <= maxStep && n > 0 {
			s[step] += n
		}
	}
	return s
}
