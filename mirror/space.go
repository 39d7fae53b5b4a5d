package mirror

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Space is how much room the disk of the repositories has, in bytes.
type Space struct {
	Free  int64 // for us; what is reserved for root does not count
	Total int64
}

// Percent of the disk that is free.
func (s Space) Percent() float64 {
	if s.Total <= 0 {
		return 100
	}
	return 100 * float64(s.Free) / float64(s.Total)
}

// SpaceLevel is what the room on the disk still allows, the worst last.
type SpaceLevel int

// The levels.
const (
	Roomy     SpaceLevel = iota
	NoRepacks            // full repacks and rebuilds, which need room for a while, wait
	NoSyncs              // nothing is fetched; what there is is served
	ReadOnly             // nothing is written that need not be
)

// String is the level in a word.
func (l SpaceLevel) String() string {
	return [...]string{"enough", "low", "too low to sync", "nearly full"}[l]
}

// Watermarks are the parts of the disk, in percent, below which a level begins.
type Watermarks struct {
	Repacks, Syncs, ReadOnly float64
}

// On large disks a few percent are plenty: a level begins only when less than
// this is free, too.
const (
	repacksFree  = 32 << 30
	syncsFree    = 10 << 30
	readOnlyFree = 2 << 30
)

// Level says what s allows.
func (w Watermarks) Level(s Space) SpaceLevel {
	below := func(percent float64, bytes int64) bool { return s.Percent() < percent && s.Free < bytes }
	switch {
	case s.Total <= 0: // not known
		return Roomy
	case below(w.ReadOnly, readOnlyFree):
		return ReadOnly
	case below(w.Syncs, syncsFree):
		return NoSyncs
	case below(w.Repacks, repacksFree):
		return NoRepacks
	}
	return Roomy
}

// Headroom watches the disk, and says what it allows. All methods may be called by
// many goroutines; they are quick and work before and without Run. A nil Headroom
// knows no limits.
type Headroom struct {
	Watermarks Watermarks
	// Look asks the disk.
	Look func() (Space, error)
	// Ballast, when not nil, makes or frees a file that holds space in reserve for
	// the database: it is called with true while there is room, with false when
	// the disk is nearly full. It does nothing when that is so already.
	Ballast func(hold bool) error
	Log     *slog.Logger

	mu    sync.Mutex
	space Space
	level SpaceLevel
	seen  time.Time
}

const (
	lookEvery    = 10 * time.Second
	ballastAfter = 6 // looks
	// backAgain is by how much more than its watermark a disk must have free until
	// a level ends, in percent: nothing shall go on and off by the minute.
	backAgain = 1
)

// Run looks at the disk until ctx ends.
func (r *Headroom) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for looks := 0; ; looks++ {
		level := r.Update()
		// Not at once: a server that runs for a moment needs no reserve.
		if r.Ballast != nil && (level == ReadOnly || level < NoSyncs && looks >= ballastAfter) {
			if err := r.Ballast(level != ReadOnly); err != nil {
				r.log().Error("keep space in reserve", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Update asks the disk now; the log tells when the level changes.
func (r *Headroom) Update() SpaceLevel {
	space, err := r.Look()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = time.Now()
	if err != nil {
		r.log().Error("look how much space is free", "err", err)
		return r.level
	}
	before := r.level
	r.space, r.level = space, r.Watermarks.Level(space)
	if r.level < before {
		w := Watermarks{r.Watermarks.Repacks + backAgain, r.Watermarks.Syncs + backAgain, r.Watermarks.ReadOnly + backAgain}
		r.level = min(w.Level(space), before)
	}
	if r.level != before {
		r.log().Warn("space on the disk", "level", r.level.String(), "free", space.Free, "percent", int(space.Percent()))
	}
	return r.level
}

func (r *Headroom) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}

// Now is the space and what it allows, as it was seen last.
func (r *Headroom) Now() (Space, SpaceLevel) {
	if r == nil {
		return Space{}, Roomy
	}
	r.mu.Lock()
	fresh := time.Since(r.seen) < 2*lookEvery
	r.mu.Unlock()
	if !fresh {
		r.Update()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.space, r.level
}

// Level is what the disk allows now.
func (r *Headroom) Level() SpaceLevel {
	_, level := r.Now()
	return level
}

// Full tells in words why nothing is fetched for now; nil = there is room. It is
// for Syncer.Pause.
func (r *Headroom) Full() *Problem {
	if r.Level() < NoSyncs {
		return nil
	}
	return r.problem("nothing is fetched for now: the server's disk is nearly full")
}

// Shut tells in words why nothing is changed for now; nil = there is room.
func (r *Headroom) Shut() *Problem {
	if r.Level() < ReadOnly {
		return nil
	}
	return r.problem("nothing can be changed for now: the server's disk is full")
}

func (r *Headroom) problem(what string) *Problem {
	s, _ := r.Now()
	return &Problem{
		Code: CodeDisk, Kind: ErrBusy, What: what,
		Why: fmt.Sprintf("%s of %s are free; what is mirrored is served as before", gigabytes(s.Free), gigabytes(s.Total)),
		Do:  "make room on the disk that holds the data directory, or remove mirrors; it goes on by itself then",
	}
}

func gigabytes(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
