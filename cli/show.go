package cli

import (
	"fmt"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/gitmirror/gitmirror/mirror"
)

// plainEvery is how often a phase that goes on is mentioned where no bar can be drawn.
const plainEvery = 10 * time.Second

// show tells how syncs go: moving bars on a terminal, else a line whenever a
// phase begins and every plainEvery within one.
type show struct {
	p     *program
	bars  *mpb.Progress // nil = plain
	lines map[string]*showLine
}

// showLine is one mirror's place on the terminal.
type showLine struct {
	bar   *mpb.Bar
	text  func(string)
	phase mirror.Phase
	told  time.Time
}

func (p *program) newShow() *show {
	s := &show{p: p, lines: map[string]*showLine{}}
	if p.progress() {
		s.bars = mpb.New(mpb.WithOutput(p.stderr), mpb.WithWidth(30), mpb.WithRefreshRate(150*time.Millisecond))
	}
	return s
}

func (s *show) progress(name string, e mirror.Progress) {
	l := s.lines[name]
	if l == nil {
		l = &showLine{}
		s.lines[name] = l
		if s.bars != nil && e.Phase != mirror.Done {
			s.addBar(l, name)
		}
	}
	if l.bar != nil {
		l.text(describe(e))
		l.bar.SetCurrent(int64(max(0, e.Percent())))
		return
	}
	if e.Phase == mirror.Done || e.Phase == l.phase && time.Since(l.told) < plainEvery {
		return
	}
	l.phase, l.told = e.Phase, time.Now()
	s.p.say("%s: %s", name, describe(e))
}

func (s *show) addBar(l *showLine, name string) {
	texts := make(chan string, 1)
	present := ""
	l.text = func(t string) {
		select {
		case <-texts: // the newest wins
		default:
		}
		texts <- t
	}
	l.bar = s.bars.AddBar(100, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(printable(name), decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			select {
			case present = <-texts:
			default:
			}
			return present
		})))
}

// done takes a mirror's bar away.
func (s *show) done(name string) {
	if l := s.lines[name]; l != nil && l.bar != nil {
		l.bar.Abort(true)
	}
}

func (s *show) close() {
	if s.bars == nil {
		return
	}
	for _, l := range s.lines {
		if l.bar != nil {
			l.bar.Abort(true)
		}
	}
	s.bars.Wait()
}

// phases are the words for the steps of a run.
var phases = map[mirror.Phase]string{
	mirror.Connecting: "connecting", mirror.Negotiating: "upstream prepares", mirror.Receiving: "receiving",
	mirror.Indexing: "indexing", mirror.Verifying: "verifying", mirror.Publishing: "publishing", mirror.Done: "done",
}

// describe is a moment of a sync in words: "receiving 62 %, 12 MiB, 3.1 MiB/s".
func describe(e mirror.Progress) string {
	text := or(phases[e.Phase], string(e.Phase))
	if n := e.Percent(); n >= 0 {
		text += fmt.Sprintf(" %d %%", n)
	}
	if e.Bytes > 0 {
		text += ", " + size(e.Bytes)
	}
	if e.Rate > 0 && e.Phase == mirror.Receiving {
		text += ", " + size(e.Rate) + "/s"
	}
	return text
}

// counting shows how far a long list is, where a bar can be drawn.
type counting struct {
	bars *mpb.Progress // nil = nowhere
	bar  *mpb.Bar
}

// longList is how many entries make a list whose progress is worth a line.
const longList = 40

func (p *program) counting(doing string, total int) counting {
	if total < longList || !p.progress() {
		return counting{}
	}
	bars := mpb.New(mpb.WithOutput(p.stderr), mpb.WithWidth(30), mpb.WithRefreshRate(150*time.Millisecond))
	return counting{bars, bars.AddBar(int64(total), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(doing, decor.WCSyncSpaceR)), mpb.AppendDecorators(decor.CountersNoUnit("%d of %d")))}
}

func (c counting) set(done int) {
	if c.bars != nil {
		c.bar.SetCurrent(int64(done))
	}
}

func (c counting) close() {
	if c.bars != nil {
		c.bar.Abort(true)
		c.bars.Wait()
	}
}
