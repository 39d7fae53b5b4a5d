package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// GitRequest is a request of a git or go client that has ended.
type GitRequest struct {
	Proto, Command, Status string
	Bytes                  int64         // sent
	First                  time.Duration // until the first byte; zero = there was none
	Took                   time.Duration
	Clone                  bool // objects for a client that had none
	Hits, Joins, Misses    int  // of the cache of answers
}

// Serving is what goes on for git clients.
type Serving struct {
	Requests int // that go on
	Packs    int // that are being made
	Queued   int // clients that wait for their turn
}

// gitMetrics are about what git and go clients get.
type gitMetrics struct {
	requests *prometheus.CounterVec   // proto, command, status
	took     *prometheus.HistogramVec // proto, command
	first    *prometheus.HistogramVec // proto, command
	sent     *prometheus.CounterVec   // proto
	clones   *prometheus.CounterVec   // proto
	cache    *prometheus.CounterVec   // result
}

func newGitMetrics(to *prometheus.Registry) gitMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gitmirror", Name: name, Help: help}, labels)
	}
	seconds := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "gitmirror", Name: name, Help: help, Buckets: buckets},
			[]string{"proto", "command"})
	}
	m := gitMetrics{
		requests: counter("git_requests_total", "Requests of git and go clients that ended.", "proto", "command", "status"),
		took:     seconds("git_request_duration_seconds", "How long requests of git and go clients took.", prometheus.ExponentialBuckets(0.005, 4, 10)),
		first: seconds("git_first_byte_seconds", "From a complete question of a git or go client to the first byte of the answer.",
			[]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60}),
		sent:   counter("git_sent_bytes_total", "Bytes sent to git and go clients.", "proto"),
		clones: counter("git_clones_total", "Requests for objects, answered, of clients that had none.", "proto"),
		cache:  counter("git_cache_total", "Questions to the cache of answers: hit, join (it was being made) or miss.", "result"),
	}
	to.MustRegister(m.requests, m.took, m.first, m.sent, m.clones, m.cache)
	for _, result := range []string{"hit", "join", "miss"} { // a ratio needs all of them
		m.cache.WithLabelValues(result)
	}
	return m
}

// GitServed counts a request.
func (m *Metrics) GitServed(r GitRequest) {
	proto := oneOf(r.Proto, "http", "ssh")
	command := oneOf(r.Command, "info-refs", "ls-refs", "fetch", "upload-pack", "upload-archive", "receive-pack",
		"go-get", "page", "greeting", "sign-in", "invalid", "unknown")
	status := oneOf(r.Status, "ok", "gone", "not-found", "sign-in", "denied", "invalid", "busy", "upstream", "error")
	m.git.requests.WithLabelValues(proto, command, status).Inc()
	m.git.took.WithLabelValues(proto, command).Observe(r.Took.Seconds())
	if r.First > 0 {
		m.git.first.WithLabelValues(proto, command).Observe(r.First.Seconds())
	}
	m.git.sent.WithLabelValues(proto).Add(float64(max(0, r.Bytes)))
	if r.Clone && status == "ok" {
		m.git.clones.WithLabelValues(proto).Inc()
	}
	for result, n := range map[string]int{"hit": r.Hits, "join": r.Joins, "miss": r.Misses} {
		m.git.cache.WithLabelValues(result).Add(float64(max(0, n)))
	}
}

var (
	gitRunningDesc = prometheus.NewDesc("gitmirror_git_requests_running", "Requests of git clients that go on.", nil, nil)
	gitPacksDesc   = prometheus.NewDesc("gitmirror_git_packs_running", "Packs that are being made for git clients.", nil, nil)
	gitQueuedDesc  = prometheus.NewDesc("gitmirror_git_packs_queued", "Git clients that wait for their turn to get a pack.", nil, nil)
)

func (w *watched) collectServing(to chan<- prometheus.Metric) {
	if w.Serving == nil {
		return
	}
	s := w.Serving()
	for desc, n := range map[*prometheus.Desc]int{gitRunningDesc: s.Requests, gitPacksDesc: s.Packs, gitQueuedDesc: s.Queued} {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n))
	}
}
