package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Disk is the disk of the repositories.
type Disk struct {
	Free, Total int64 // bytes; Total zero = not known
	Degraded    int   // repositories that are damaged
}

// upkeepMetrics count jobs of upkeep.
type upkeepMetrics struct {
	jobs    *prometheus.CounterVec   // job, result
	jobTime *prometheus.HistogramVec // job
}

func newUpkeepMetrics(registry *prometheus.Registry) upkeepMetrics {
	m := upkeepMetrics{
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gitmirror", Name: "upkeep_jobs_total", Help: "Jobs of upkeep that ended.",
		}, []string{"job", "result"}),
		jobTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "gitmirror", Name: "upkeep_duration_seconds", Help: "How long jobs of upkeep took.",
			Buckets: prometheus.ExponentialBuckets(0.005, 4, 10),
		}, []string{"job"}),
	}
	registry.MustRegister(m.jobs, m.jobTime)
	return m
}

// UpkeepEnded counts a job (mirror.Job).
func (m *Metrics) UpkeepEnded(job string, d time.Duration, err error) {
	job = oneOf(job, "tidy", "check", "verify", "repair")
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.upkeep.jobs.WithLabelValues(job, result).Inc()
	m.upkeep.jobTime.WithLabelValues(job).Observe(d.Seconds())
}

var (
	diskFreeDesc  = prometheus.NewDesc("gitmirror_disk_free_bytes", "Free on the disk of the repositories.", nil, nil)
	diskTotalDesc = prometheus.NewDesc("gitmirror_disk_bytes", "Size of the disk of the repositories.", nil, nil)
	degradedDesc  = prometheus.NewDesc("gitmirror_mirrors_degraded", "Mirrors whose copy on disk is damaged.", nil, nil)
)

func (w *watched) collectDisk(ctx context.Context, to chan<- prometheus.Metric) {
	if w.Disk == nil {
		return
	}
	disk, err := w.Disk(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(degradedDesc, err)
		return
	}
	to <- prometheus.MustNewConstMetric(degradedDesc, prometheus.GaugeValue, float64(disk.Degraded))
	if disk.Total > 0 {
		to <- prometheus.MustNewConstMetric(diskFreeDesc, prometheus.GaugeValue, float64(disk.Free))
		to <- prometheus.MustNewConstMetric(diskTotalDesc, prometheus.GaugeValue, float64(disk.Total))
	}
}
