package git

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	reportEvery = 200 * time.Millisecond
	rateWindow  = 2 * time.Second
)

// meter turns git's progress lines and the growth of the pack into
// mirror.Progress, and knows when something last moved.
type meter struct {
	report func(mirror.Progress)
	pack   string // directory where the pack grows

	mu       sync.Mutex
	now      mirror.Progress
	moved    time.Time
	reported time.Time
	line     string
	markAt   time.Time // start of the rate window
	mark     int64
}

func newMeter(pack string, report func(mirror.Progress)) *meter {
	t := time.Now()
	return &meter{report: report, pack: pack, moved: t, markAt: t}
}

var progressLine = regexp.MustCompile(`^(remote: )?([A-Z][a-z]+ [a-z]+): +(?:\d+% \()?(\d+)(?:/(\d+)\))?`)

// take is a command's line function: true when line is progress.
func (m *meter) take(line string) bool {
	found := progressLine.FindStringSubmatch(line)
	if found == nil {
		return strings.HasPrefix(line, " * ") || strings.HasPrefix(line, "From ") || strings.HasPrefix(line, "remote: Total ")
	}
	phase := mirror.Negotiating
	if found[1] == "" {
		switch found[2] {
		case "Receiving objects", "Unpacking objects":
			phase = mirror.Receiving
		case "Resolving deltas", "Indexing objects", "Checking objects":
			phase = mirror.Indexing
		case "Checking connectivity":
			phase = mirror.Verifying
		}
	}
	done, _ := strconv.ParseInt(found[3], 10, 64)
	total, _ := strconv.ParseInt(found[4], 10, 64)
	m.mu.Lock()
	if line != m.line {
		m.line, m.moved = line, time.Now()
	}
	changed := phase != m.now.Phase
	m.now.Phase, m.now.Done, m.now.Total = phase, done, total
	m.tell(changed)
	m.mu.Unlock()
	return true
}

// enter begins a phase.
func (m *meter) enter(phase mirror.Phase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Phase, m.now.Done, m.now.Total, m.moved = phase, 0, 0, time.Now()
	m.tell(true)
}

// look measures the pack.
func (m *meter) look() {
	size := packBytes(m.pack)
	m.mu.Lock()
	defer m.mu.Unlock()
	t := time.Now()
	if size > m.now.Bytes {
		m.now.Bytes, m.moved = size, t
	}
	m.rate(t)
	m.tell(false)
}

// add counts bytes of a pack that came.
func (m *meter) add(n int) {
	if n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moved = time.Now()
	m.now.Bytes += int64(n)
	m.rate(m.moved)
	m.tell(false)
}

// rate follows the bytes. The lock is held.
func (m *meter) rate(t time.Time) {
	if span := t.Sub(m.markAt); span >= rateWindow {
		m.now.Rate = int64(float64(m.now.Bytes-m.mark) / span.Seconds())
		m.mark, m.markAt = m.now.Bytes, t
	}
}

// tell reports, at most five times a second unless now. The lock is held, so
// that reports come one after the other.
func (m *meter) tell(now bool) {
	if m.report == nil || !now && time.Since(m.reported) < reportEvery {
		return
	}
	m.reported = time.Now()
	m.report(m.now)
}

// watch measures until ctx ends, and calls stalled when nothing has moved for so long.
func (m *meter) watch(ctx context.Context, after time.Duration, stalled func()) {
	tick := time.NewTicker(min(reportEvery*2, max(after/8, 5*time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m.look()
		m.mu.Lock()
		still := time.Since(m.moved)
		m.mu.Unlock()
		if still > after {
			stalled()
			return
		}
	}
}

// watched runs do and ends it, with errStalled, when nothing has moved for too long.
func (m *meter) watched(ctx context.Context, after time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watching := make(chan struct{})
	m.enter(mirror.Negotiating)
	go func() {
		defer close(watching)
		m.watch(ctx, after, func() { cancel(errStalled) })
	}()
	defer func() {
		cancel(nil)
		<-watching
	}()
	return do(ctx)
}

// packBytes is the size of the packs in a directory, finished and growing.
func packBytes(dir string) int64 {
	var sum int64
	for _, pattern := range []string{"tmp_pack_*", "*.pack"} {
		names, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				sum += info.Size()
			}
		}
	}
	return sum
}
