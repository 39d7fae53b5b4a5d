package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// checkMetrics count looks for news at upstreams.
type checkMetrics struct {
	total *prometheus.CounterVec // result
	late  prometheus.Histogram
}

func newCheckMetrics(registry *prometheus.Registry) checkMetrics {
	m := checkMetrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gitmirror", Name: "checks_total", Help: "Looks for news at upstreams, by how they went.",
		}, []string{"result"}),
		late: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "gitmirror", Name: "check_lateness_seconds", Help: "How much later than planned mirrors were looked at.",
			Buckets: []float64{0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200},
		}),
	}
	registry.MustRegister(m.total, m.late)
	return m
}

// CheckEnded counts a look at an upstream: how late it was by its schedule, and
// the class of its failure (mirror.Class), "ok", or "other" for those without one.
func (m *Metrics) CheckEnded(result string, late time.Duration) {
	result = oneOf(result, "ok", "throttled", "throttled-anonymous", "ambiguous", "network", "moved", "upstream", "content", "local")
	m.checks.total.WithLabelValues(result).Inc()
	m.checks.late.Observe(max(0, late).Seconds())
}
