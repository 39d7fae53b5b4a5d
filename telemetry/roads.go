package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Road is an endpoint of an upstream host.
type Road struct {
	Host, Endpoint string
	Active         bool // syncs take it
}

// roadMetrics are about the roads to upstream hosts.
type roadMetrics struct {
	phases   *prometheus.HistogramVec // host, endpoint, phase
	failed   *prometheus.CounterVec   // host, endpoint
	switched *prometheus.CounterVec   // host, to, by

	mu    *sync.Mutex
	hosts map[string]bool // with series of their own
	known map[Road]bool   // endpoints with series of their own
}

// These bound the series: an administrator adds hosts and endpoints, rules may
// add more, and what was removed is still counted.
const (
	maxHosts = 100
	maxRoads = 150
)

func newRoadMetrics(to *prometheus.Registry) roadMetrics {
	m := roadMetrics{
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "gitmirror", Name: "upstream_phase_seconds", Help: "Phases of exchanges with upstream hosts.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10},
		}, []string{"host", "endpoint", "phase"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gitmirror", Name: "upstream_failures_total", Help: "Exchanges with upstream hosts that failed.",
		}, []string{"host", "endpoint"}),
		switched: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gitmirror", Name: "upstream_failovers_total", Help: "Changes of the endpoint in use, by the rule or by a person.",
		}, []string{"host", "to", "by"}),
		mu: &sync.Mutex{}, hosts: map[string]bool{}, known: map[Road]bool{},
	}
	to.MustRegister(m.phases, m.failed, m.switched)
	return m
}

// labels are those of an endpoint of a host.
func (m roadMetrics) labels(host, endpoint string) (string, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hosts[host] {
		if len(m.hosts) >= maxHosts {
			return other, other
		}
		m.hosts[host] = true
	}
	road := Road{Host: host, Endpoint: endpoint}
	if !m.known[road] {
		if len(m.known) >= maxRoads {
			return host, other
		}
		m.known[road] = true
	}
	return host, endpoint
}

// UpstreamMeasured counts an exchange with an upstream host by its phases; those
// that did not take place are zero.
func (m *Metrics) UpstreamMeasured(host, endpoint string, dns, connect, tls, firstByte time.Duration, failed bool) {
	host, endpoint = m.roads.labels(host, endpoint)
	if failed {
		m.roads.failed.WithLabelValues(host, endpoint).Inc()
	}
	for phase, took := range map[string]time.Duration{"dns": dns, "connect": connect, "tls": tls, "first-byte": firstByte} {
		if took > 0 {
			m.roads.phases.WithLabelValues(host, endpoint, phase).Observe(took.Seconds())
		}
	}
}

// UpstreamSwitched counts a change of the endpoint in use.
func (m *Metrics) UpstreamSwitched(host, to string, byRule bool) {
	by := "person"
	if byRule {
		by = "rule"
	}
	host, to = m.roads.labels(host, to)
	m.roads.switched.WithLabelValues(host, to, by).Inc()
}

var roadDesc = prometheus.NewDesc("gitmirror_upstream_active", "1 for the endpoint that syncs take, of hosts with several.", []string{"host", "endpoint"}, nil)

func (w *watched) collectRoads(ctx context.Context, to chan<- prometheus.Metric) {
	if w.Roads == nil {
		return
	}
	roads, err := w.Roads(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(roadDesc, err)
		return
	}
	for _, r := range roads {
		active := 0.0
		if r.Active {
			active = 1
		}
		to <- prometheus.MustNewConstMetric(roadDesc, prometheus.GaugeValue, active, r.Host, r.Endpoint)
	}
}
