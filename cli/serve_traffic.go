package cli

import (
	"github.com/gitmirror/gitmirror/gitserver"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/telemetry"
)

// gitServed counts the requests of git clients.
func gitServed(metrics *telemetry.Metrics) gitserver.Observer {
	return func(s mirror.Served) {
		metrics.GitServed(telemetry.GitRequest{
			Proto: s.Proto, Command: s.Command, Status: s.Status, Bytes: s.Bytes, First: s.First, Took: s.Took,
			Clone: s.Clone, Hits: s.Cache.Hits, Joins: s.Cache.Joins, Misses: s.Cache.Misses,
		})
	}
}

// serving is what goes on for git clients, for the metrics.
func serving(traffic *mirror.Traffic, gate *gitserver.Gate) func() telemetry.Serving {
	return func() telemetry.Serving {
		packs, queued := gate.Load()
		return telemetry.Serving{Requests: traffic.Flows(), Packs: packs, Queued: queued}
	}
}
