package telemetry

import "github.com/prometheus/client_golang/prometheus"

// moduleMetrics are about what the go command gets.
type moduleMetrics struct {
	replies *prometheus.CounterVec // kind, how
	refused *prometheus.CounterVec // kind
	served  *series[moduleReply, prometheus.Counter]
}

// moduleReply is what a reply is counted by.
type moduleReply struct{ file, from string }

func newModuleMetrics(to *prometheus.Registry) moduleMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gitmirror", Name: name, Help: help}, labels)
	}
	m := moduleMetrics{
		served:  &series[moduleReply, prometheus.Counter]{},
		replies: counter("module_replies_total", "Files of modules that were served, by where they were from: git, hit, miss or stale.", "file", "from"),
		refused: counter("module_refused_total", "Files of modules that were refused: denied, too-young, vulnerable or forged.", "kind"),
	}
	to.MustRegister(m.replies, m.refused)
	for _, kind := range []string{"denied", "too-young", "vulnerable", "forged"} { // alerts need them from the start
		m.refused.WithLabelValues(kind)
	}
	return m
}

// ModuleServed counts a file of a module that was served.
func (m *Metrics) ModuleServed(file, from string) {
	key := moduleReply{oneOf(file, "list", "latest", "info", "mod", "zip"), oneOf(from, "git", "hit", "miss", "stale")}
	m.modules.served.of(key, func() prometheus.Counter { return m.modules.replies.WithLabelValues(key.file, key.from) }).Inc()
}

// ModuleRefused counts one that was refused.
func (m *Metrics) ModuleRefused(kind string) {
	m.modules.refused.WithLabelValues(oneOf(kind, "denied", "too-young", "vulnerable", "forged")).Inc()
}
