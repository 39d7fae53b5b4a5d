package cli

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
	"github.com/gitmirror/gitmirror/telemetry"
)

// newRoom watches the disk of the repositories.
func newRoom(c Config, disk *git.Disk, log *slog.Logger) *mirror.Headroom {
	percent := func(key string) float64 { return float64(c.count(key)) }
	return &mirror.Headroom{
		Watermarks: mirror.Watermarks{
			Repacks: percent("disk.repacks_below"), Syncs: percent("disk.syncs_below"), ReadOnly: percent("disk.read_only_below"),
		},
		Look: disk.Space, Ballast: disk.Ballast(int64(c.count("disk.ballast_mb")) << 20), Log: log,
	}
}

// newUpkeep keeps the repositories right.
func newUpkeep(c Config, db *store.DB, disk *git.Disk, syncer *mirror.Syncer, room *mirror.Headroom, metrics *telemetry.Metrics, log *slog.Logger) *mirror.Upkeep {
	workers := c.count("sync.workers")
	return &mirror.Upkeep{
		Store: db, Disk: disk, Syncer: syncer, Room: room, Log: log,
		Jobs: c.count("upkeep.jobs"), CheckEvery: c.duration("upkeep.check_every"), VerifyEvery: c.duration("upkeep.verify_every"),
		Busy:  func() bool { return syncer.Busy() > workers/2 || load() > 2*float64(runtime.NumCPU()) },
		OnJob: func(job mirror.Job, d time.Duration, err error) { metrics.UpkeepEnded(string(job), d, err) },
	}
}

// load is how many processes have wanted to run during the last minute, on
// average; zero where that is not told.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.ParseFloat(first, 64)
	return n
}

// diskState is for the metrics.
func diskState(db *store.DB, room *mirror.Headroom) func(context.Context) (telemetry.Disk, error) {
	return func(ctx context.Context) (telemetry.Disk, error) {
		space, _ := room.Now()
		degraded, err := db.CountDegraded(ctx)
		return telemetry.Disk{Free: space.Free, Total: space.Total, Degraded: degraded}, err
	}
}
