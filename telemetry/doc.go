// Package telemetry is how a running gitmirror is watched: the log and the
// metrics. It knows what is counted, and nothing of how things are done; it is
// the one place for Prometheus.
package telemetry
