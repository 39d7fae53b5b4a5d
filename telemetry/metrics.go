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

// other stands for every label value that is not on its list, so that nobody
// outside can make the number of time series grow.
const other = "other"

// Metrics are the figures of one running server. No label names a repository, a
// user or an address. Make one with NewMetrics; its methods may be called by
// many goroutines.
type Metrics struct {
	registry *prometheus.Registry

	runs         *prometheus.CounterVec
	runSeconds   prometheus.Histogram
	runBytes     prometheus.Counter
	gitRequests  *prometheus.CounterVec
	gitSent      *prometheus.CounterVec
	httpRequests *prometheus.CounterVec
	httpSeconds  *prometheus.HistogramVec
}

// NewMetrics returns metrics that are zero, in a registry of their own. version
// is that of the program.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitmirror_sync_runs_total", Help: "Syncs that have ended, by outcome.",
		}, []string{"outcome"}),
		runSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gitmirror_sync_seconds", Help: "How long syncs took.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30, 100, 300, 1000},
		}),
		runBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gitmirror_sync_received_bytes_total", Help: "Bytes of packs received from upstreams.",
		}),
		gitRequests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitmirror_git_requests_total", Help: "Requests of git clients, by protocol, command and how they ended.",
		}, []string{"protocol", "command", "status"}),
		gitSent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitmirror_git_sent_bytes_total", Help: "Bytes sent to git clients.",
		}, []string{"protocol"}),
		httpRequests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitmirror_http_requests_total", Help: "HTTP requests, by class of route and status.",
		}, []string{"route", "status"}),
		httpSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gitmirror_http_seconds", Help: "How long HTTP requests took, by class of route.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 100},
		}, []string{"route"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gitmirror_build_info", Help: "Always 1; the labels say what runs.",
	}, []string{"version", "go"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(m.runs, m.runSeconds, m.runBytes, m.gitRequests, m.gitSent, m.httpRequests, m.httpSeconds, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Run counts a sync that has ended. Outcomes are "unchanged", "updated",
// "failed" and "interrupted"; received is in bytes.
func (m *Metrics) Run(outcome string, took time.Duration, received int64) {
	m.runs.WithLabelValues(oneOf(outcome, "unchanged", "updated", "failed", "interrupted")).Inc()
	m.runSeconds.Observe(took.Seconds())
	m.runBytes.Add(float64(max(0, received)))
}

// GitRequest counts a request of a git client that has ended. Protocol is
// "http" or "ssh"; command is "ls-refs", "fetch", "info-refs", "upload-pack",
// "upload-archive", "receive-pack" or "shell"; status is "ok", "denied",
// "sign-in", "not-found", "invalid", "upstream", "busy", "aborted" or "failed".
func (m *Metrics) GitRequest(protocol, command, status string, sent int64) {
	protocol = oneOf(protocol, "http", "ssh")
	m.gitRequests.WithLabelValues(protocol,
		oneOf(command, "ls-refs", "fetch", "info-refs", "upload-pack", "upload-archive", "receive-pack", "shell"),
		oneOf(status, "ok", "denied", "sign-in", "not-found", "invalid", "upstream", "busy", "aborted", "failed")).Inc()
	m.gitSent.WithLabelValues(protocol).Add(float64(max(0, sent)))
}

// HTTPRequest counts a request that has ended. Route is a class of routes:
// "git", "go-get", "proxy", "api", "console", "static", "hook" or "ops". Status
// is that of HTTP.
func (m *Metrics) HTTPRequest(route string, status int, took time.Duration) {
	route = oneOf(route, "git", "go-get", "proxy", "api", "console", "static", "hook", "ops")
	code := other
	if status >= 100 && status <= 599 {
		code = strconv.Itoa(status)
	}
	m.httpRequests.WithLabelValues(route, code).Inc()
	m.httpSeconds.WithLabelValues(route).Observe(took.Seconds())
}

// Repos has count asked, at every scrape, how many mirrors there are of each
// status. Statuses that it leaves out are zero. It may be called once.
func (m *Metrics) Repos(count func(context.Context) (map[string]int, error)) {
	m.registry.MustRegister(&repoCollector{
		count: count,
		desc:  prometheus.NewDesc("gitmirror_repos", "Mirrors, by status.", []string{"status"}, nil),
	})
}

// Gauge has value asked at every scrape. The name must be new and begin with
// "gitmirror_"; a name that is not is a bug, and panics.
func (m *Metrics) Gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Handler serves the figures in the formats Prometheus reads. A figure that
// cannot be had is left out; the others are still served.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
		ProcessStartTime: time.Now(),
	})
}

// repoCollector is a gauge whose figures come from the database.
type repoCollector struct {
	count func(context.Context) (map[string]int, error)
	desc  *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *repoCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *repoCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	counts, err := c.count(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.desc, err)
		return
	}
	for _, status := range []string{"queued", "cloning", "ready", "syncing", "retrying", "failed", "paused"} {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(counts[status]), status)
	}
}

func oneOf(value string, known ...string) string {
	if slices.Contains(known, value) {
		return value
	}
	return other
}
