package telemetry

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the counts of one process, in a registry of their own. No label
// holds a repository's path, and every label takes its values from a list: the
// number of series grows neither with the mirrors nor by what strangers send.
type Metrics struct {
	registry *prometheus.Registry
	syncs    *prometheus.CounterVec   // outcome, trigger
	syncTime *prometheus.HistogramVec // outcome
	received prometheus.Counter
	git      gitMetrics
	pages    *prometheus.CounterVec   // route, status
	pageTime *prometheus.HistogramVec // route
	served   series[routeStatus, pageSeries]
	build    *prometheus.GaugeVec // version, go
	checks   checkMetrics
	roads    roadMetrics
	upkeep   upkeepMetrics
	modules  moduleMetrics
}

// New makes the metrics, with those of the Go runtime and of the process.
func New() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gitmirror", Name: name, Help: help}, labels)
	}
	seconds := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "gitmirror", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.005, 4, 10),
		}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		syncs:    counter("syncs_total", "Syncs that ended.", "outcome", "trigger"),
		syncTime: seconds("sync_duration_seconds", "How long syncs took.", "outcome"),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "gitmirror", Name: "sync_received_bytes_total", Help: "Bytes received from upstreams as packs.",
		}),
		pages:    counter("http_requests_total", "HTTP requests by class of route.", "route", "status"),
		pageTime: seconds("http_request_duration_seconds", "How long HTTP requests took.", "route"),
		build: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "gitmirror", Name: "build_info", Help: "Always 1; the labels say what runs.",
		}, []string{"version", "go"}),
	}
	m.git = newGitMetrics(m.registry)
	m.checks = newCheckMetrics(m.registry)
	m.roads = newRoadMetrics(m.registry)
	m.upkeep = newUpkeepMetrics(m.registry)
	m.modules = newModuleMetrics(m.registry)
	m.registry.MustRegister(m.syncs, m.syncTime, m.received, m.pages, m.pageTime, m.build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Build says which version of the program runs. Call it once.
func (m *Metrics) Build(version string) { m.build.WithLabelValues(version, runtime.Version()).Set(1) }

// SyncEnded counts a sync: how it ended (mirror.Outcome), why it ran
// (mirror.Trigger), how much came in and how long it took.
func (m *Metrics) SyncEnded(outcome, trigger string, bytes int64, d time.Duration) {
	outcome = oneOf(outcome, "unchanged", "updated", "failed", "interrupted")
	m.syncs.WithLabelValues(outcome, oneOf(trigger, "add", "schedule", "manual", "client", "webhook", "demand")).Inc()
	m.syncTime.WithLabelValues(outcome).Observe(d.Seconds())
	m.received.Add(float64(max(0, bytes)))
}

// HTTPServed counts a request by its class of route ("git", "proxy", "api",
// "console", "static", "hook" or "ops") and the status of the answer.
func (m *Metrics) HTTPServed(route string, status int, d time.Duration) {
	key := routeStatus{oneOf(route, "git", "proxy", "api", "console", "static", "hook", "ops"), status}
	if status < 100 || status > 599 {
		key.status = 0
	}
	s := m.served.of(key, func() pageSeries {
		code := other
		if key.status != 0 {
			code = strconv.Itoa(key.status)
		}
		return pageSeries{m.pages.WithLabelValues(key.route, code), m.pageTime.WithLabelValues(key.route)}
	})
	s.count.Inc()
	s.took.Observe(d.Seconds())
}

// routeStatus is what a request is counted by.
type routeStatus struct {
	route  string
	status int // zero = none of those there are
}

type pageSeries struct {
	count prometheus.Counter
	took  prometheus.Observer
}

// other stands for every label value that is not on its list.
const other = "other"

func oneOf(value string, known ...string) string {
	if slices.Contains(known, value) {
		return value
	}
	return other
}

// Sources are asked whenever the metrics are read.
type Sources struct {
	Mirrors  func(context.Context) (map[string]int, error) // by state, every state present
	Busy     func() int                                    // syncs that run
	Serving  func() Serving                                // may be nil
	LastTick func() time.Time                              // when the queue was last looked at
	Roads    func(context.Context) ([]Road, error)         // of upstream hosts that have a choice; may be nil
	Disk     func(context.Context) (Disk, error)           // may be nil
}

// Watch adds what is asked for when the metrics are read. Call it once.
func (m *Metrics) Watch(s Sources) { m.registry.MustRegister(&watched{s}) }

var (
	mirrorsDesc = prometheus.NewDesc("gitmirror_mirrors", "Mirrors by state.", []string{"state"}, nil)
	busyDesc    = prometheus.NewDesc("gitmirror_syncs_running", "Syncs that run in this process.", nil, nil)
	tickDesc    = prometheus.NewDesc("gitmirror_queue_seen_timestamp_seconds", "When the queue of syncs was last looked at.", nil, nil)
)

// watched is a prometheus.Collector over Sources.
type watched struct{ Sources }

// Describe sends the descriptions.
func (w *watched) Describe(to chan<- *prometheus.Desc) {
	to <- mirrorsDesc
	to <- busyDesc
	to <- tickDesc
	to <- gitRunningDesc
	to <- gitPacksDesc
	to <- gitQueuedDesc
	to <- roadDesc
	to <- diskFreeDesc
	to <- diskTotalDesc
	to <- degradedDesc
}

// countWithin bounds the question to the database.
const countWithin = 5 * time.Second

// Collect asks the sources. A database in trouble leaves its metric out.
func (w *watched) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(busyDesc, prometheus.GaugeValue, float64(w.Busy()))
	if tick := w.LastTick(); tick.Unix() > 0 {
		to <- prometheus.MustNewConstMetric(tickDesc, prometheus.GaugeValue, float64(tick.UnixMilli())/1000)
	}
	w.collectServing(to)
	ctx, cancel := context.WithTimeout(context.Background(), countWithin)
	defer cancel()
	w.collectRoads(ctx, to)
	w.collectDisk(ctx, to)
	counts, err := w.Mirrors(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(mirrorsDesc, err)
		return
	}
	for state, n := range counts {
		to <- prometheus.MustNewConstMetric(mirrorsDesc, prometheus.GaugeValue, float64(n), state)
	}
}

// Handler serves the metrics as text. What cannot be asked for is left out.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, Timeout: 10 * time.Second})
}
