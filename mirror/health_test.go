package mirror_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// trial drives the rule with samples of a host's endpoints, one round after the
// other, as the prober does.
type trial struct {
	host     mirror.Host
	health   map[string]*mirror.Health
	now      time.Time
	switches []mirror.Switch
}

func newTrial(endpoints ...string) *trial {
	tr := &trial{
		now:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		health: map[string]*mirror.Health{},
	}
	tr.host = mirror.Host{Name: "h.example", Active: endpoints[0], Since: tr.now.Add(-time.Hour)}
	for _, name := range endpoints {
		tr.host.Endpoints = append(tr.host.Endpoints, mirror.Endpoint{Name: name})
	}
	return tr
}

func (tr *trial) of(name string) *mirror.Health {
	if tr.health[name] == nil {
		tr.health[name] = &mirror.Health{}
	}
	return tr.health[name]
}

// failed is a latency that stands for a failure.
const failed = -1

func (tr *trial) sample(name string, latency time.Duration) {
	s := mirror.Sample{Host: "h.example", Endpoint: name, At: tr.now, Trip: mirror.Trip{FirstByte: latency}}
	if latency == failed {
		s.Trip, s.Problem = mirror.Trip{}, mirror.CodeDNS
	}
	tr.of(name).Add(s)
}

func (tr *trial) judge() {
	s, ok := mirror.Judge(tr.host, tr.of, tr.now)
	if !ok {
		return
	}
	tr.switches = append(tr.switches, s)
	tr.host.Active, tr.host.Pinned, tr.host.PinnedUntil = s.To, s.Pinned, s.PinnedUntil
	if s.From != s.To {
		tr.host.Since = tr.now
	}
}

// rounds of probes, 20 s apart; each latency is of the endpoint in its place.
func (tr *trial) rounds(n int, latencies ...time.Duration) {
	for range n {
		tr.now = tr.now.Add(20 * time.Second)
		for i, l := range latencies {
			tr.sample(tr.host.Endpoints[i].Name, l)
		}
		tr.judge()
	}
}

func (tr *trial) ways() string {
	var s []string
	for _, w := range tr.switches {
		s = append(s, w.From+">"+w.To)
	}
	return strings.Join(s, " ")
}

const ms = time.Millisecond

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		drive  func(tr *trial)
		want   string // the switches
		reason string // part of the first one's
	}{
		"all is well": {func(tr *trial) { tr.rounds(100, 180*ms, 90*ms) }, "", ""},
		"three slow samples": {func(tr *trial) { tr.rounds(20, 430*ms, 160*ms); tr.rounds(3, 1240*ms, 160*ms) },
			"direct>hk", "3 samples in a row of direct took 1.24 s, 1.24 s, 1.24 s, more than 2.5 × the usual 430 ms and at least 800 ms; hk answers in 160 ms"},
		"two slow samples, then a good one": {func(tr *trial) {
			tr.rounds(20, 430*ms, 160*ms)
			tr.rounds(2, 1240*ms, 160*ms)
			tr.rounds(1, 400*ms, 160*ms)
			tr.rounds(2, 1240*ms, 160*ms)
		}, "", ""},
		"slower, but below 800 ms":       {func(tr *trial) { tr.rounds(20, 100*ms, 50*ms); tr.rounds(20, 790*ms, 50*ms) }, "", ""},
		"above 800 ms, as usual":         {func(tr *trial) { tr.rounds(20, 900*ms, 50*ms); tr.rounds(20, 2000*ms, 50*ms) }, "", ""},
		"three failures":                 {func(tr *trial) { tr.rounds(5, 100*ms, 50*ms); tr.rounds(3, failed, 50*ms) }, "direct>hk", "3 attempts in a row of direct failed (E1101); hk answers in 50 ms"},
		"failures and slow ones, mixed":  {func(tr *trial) { tr.rounds(5, 100*ms, 50*ms); tr.rounds(1, failed, 50*ms); tr.rounds(2, 900*ms, 50*ms) }, "direct>hk", "of 3 samples in a row 1 failed (E1101) and direct took 900 ms, 900 ms"},
		"everything fails":               {func(tr *trial) { tr.rounds(5, 100*ms, 50*ms); tr.rounds(30, failed, failed) }, "", ""},
		"the other was never measured":   {func(tr *trial) { tr.rounds(30, failed) }, "", ""},
		"the other is slower":            {func(tr *trial) { tr.rounds(20, 100*ms, 2*time.Second); tr.rounds(10, 900*ms, 2*time.Second) }, "", ""},
		"it fails and the other is slow": {func(tr *trial) { tr.rounds(20, 100*ms, 2*time.Second); tr.rounds(3, failed, 2*time.Second) }, "direct>hk", ""},
		"back after ten minutes and ten good samples": {func(tr *trial) {
			tr.rounds(20, 100*ms, 150*ms)
			tr.rounds(3, failed, 150*ms)
			tr.rounds(29, 100*ms, 150*ms)
			if tr.ways() != "direct>hk" {
				panic("back before ten minutes have passed: " + tr.ways())
			}
			tr.rounds(5, 100*ms, 150*ms)
		}, "direct>hk hk>direct", ""},
		"not back after nine good samples": {func(tr *trial) {
			tr.rounds(20, 100*ms, 150*ms)
			for range 10 {
				tr.rounds(3, failed, 150*ms)
				tr.rounds(9, 100*ms, 150*ms)
			}
		}, "direct>hk", ""},
		"never to one that is placed worse": {func(tr *trial) { tr.rounds(500, 700*ms, 10*ms) }, "", ""},
		"pinned":                            {func(tr *trial) { tr.host.Pinned = true; tr.rounds(5, 100*ms, 50*ms); tr.rounds(100, failed, 50*ms) }, "", ""},
		"pinned for a time": {func(tr *trial) {
			tr.host.Pinned, tr.host.PinnedUntil = true, tr.now.Add(10*time.Minute)
			tr.rounds(5, 100*ms, 50*ms)
			tr.rounds(24, failed, 50*ms)
			if len(tr.switches) > 0 {
				panic("a pin does not hold")
			}
			tr.rounds(3, failed, 50*ms)
		}, "direct>direct direct>hk", "the time it was pinned for is over"},
		"switched off": {func(tr *trial) { tr.host.Endpoints[0].Disabled = true; tr.rounds(1, 1, 1) }, "direct>hk", "direct is switched off"},
		"removed":      {func(tr *trial) { tr.host.Active = "gone"; tr.rounds(1, 100*ms, 50*ms) }, "gone>direct", "gone was removed"},
		"slow for hours is the usual": {func(tr *trial) {
			tr.rounds(20, 100*ms, 2*time.Second)
			tr.rounds(7*180, time.Second, 2*time.Second)
			if got := tr.of("direct").Condition(tr.now); got != mirror.Healthy {
				panic("after seven hours it is " + string(got))
			}
		}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial("direct", "hk")
			c.drive(tr)
			if got := tr.ways(); got != c.want {
				t.Errorf("switches = %q, want %q", got, c.want)
			}
			if len(tr.switches) > 0 && !strings.Contains(tr.switches[0].Reason, c.reason) {
				t.Errorf("reason = %q, want %q in it", tr.switches[0].Reason, c.reason)
			}
		})
	}
}

// A road that flaps from 180 to 900 ms and back every 20 s, looked at every 15 to
// 30 s for six hours: it is left, and not come back to more than every ten minutes.
func TestJudgeFlapping(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		tr := newTrial("direct", "hk")
		tr.rounds(30, 180*ms, 210*ms)
		begin := tr.now
		var left, back []time.Time
		for tr.now.Sub(begin) < 6*time.Hour {
			tr.now = tr.now.Add(15*time.Second + time.Duration(random.Int64N(int64(15*time.Second))))
			latency := 180 * ms
			if int(tr.now.Sub(begin)/(20*time.Second))%2 == 1 {
				latency = 900 * ms
			}
			tr.sample("direct", latency)
			tr.sample("hk", 210*ms)
			before := len(tr.switches)
			if tr.judge(); len(tr.switches) > before {
				if tr.host.Active == "hk" {
					left = append(left, tr.now)
				} else {
					back = append(back, tr.now)
				}
			}
		}
		for i, at := range back {
			if i > 0 && at.Sub(back[i-1]) < 10*time.Minute {
				t.Errorf("seed %d: came back at %s and %s, want ten minutes between", seed, back[i-1], at)
			}
		}
		if len(left) > 1+len(back) || len(back) > 3 {
			t.Errorf("seed %d: left %d times, came back %d times in 6 h of flapping", seed, len(left), len(back))
		}
	}
}

// One cut connection fails many exchanges at once, which proves no more than one.
func TestHealthCountsApart(t *testing.T) {
	tr := newTrial("direct", "hk")
	tr.rounds(5, 100*ms, 50*ms)
	for range 100 {
		tr.now = tr.now.Add(5 * ms)
		tr.sample("direct", failed)
		tr.judge()
	}
	if got := tr.of("direct").Condition(tr.now); got != mirror.Unsteady || tr.ways() != "" {
		t.Errorf("after 100 failures in half a second it is %s, switches %q; want unsteady and none", got, tr.ways())
	}
}

func TestHealthOfAnswers(t *testing.T) {
	for _, c := range []struct {
		endpoint string
		code     mirror.Code
		want     mirror.RoadCondition
	}{
		{mirror.Direct, mirror.CodeGone, mirror.Healthy}, // it answers
		{"hk", mirror.CodeGone, mirror.Failing},          // it does not have what the host has
		{"hk", mirror.CodeAuth, mirror.Failing},
		{"hk", mirror.CodeThrottled, mirror.Healthy},
		{mirror.Direct, mirror.CodeServer, mirror.Failing},
		{mirror.Direct, mirror.CodeNotGit, mirror.Failing}, // a portal's page
		{mirror.Direct, mirror.CodeTLS, mirror.Failing},
		{mirror.Direct, mirror.CodeCorrupt, mirror.Healthy},
	} {
		h, at := &mirror.Health{}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for i := range 5 {
			at = at.Add(time.Duration(i) * time.Second)
			h.Add(mirror.Sample{Endpoint: c.endpoint, At: at, Problem: c.code, Trip: mirror.Trip{FirstByte: 50 * ms}})
		}
		if got := h.Condition(at); got != c.want {
			t.Errorf("%s after five answers %s is %s, want %s", c.endpoint, c.code, got, c.want)
		}
	}
}

// What is known survives a restart by what was stored.
func TestHealthRecall(t *testing.T) {
	tr := newTrial("direct")
	tr.rounds(200, 300*ms)
	var stored []mirror.Measured
	for i := range 200 {
		at := tr.now.Add(time.Duration(i-200) * 20 * time.Second)
		m := mirror.Measured{Host: "h.example", Endpoint: "direct", At: at.Truncate(30 * time.Second), Span: 30 * time.Second}
		m.Add(mirror.Sample{Endpoint: "direct", At: at, Trip: mirror.Trip{FirstByte: 300 * ms}})
		stored = append(stored, m)
	}
	again := &mirror.Health{}
	for _, m := range stored {
		again.Recall(m)
	}
	if got := again.Usual(); (got - tr.of("direct").Usual()).Abs() > 15*ms {
		t.Errorf("Usual after a restart = %s, want about %s", got, tr.of("direct").Usual())
	}
	if got := again.Condition(tr.now); got != mirror.Healthy {
		t.Errorf("Condition after a restart = %s, want %s", got, mirror.Healthy)
	}
}

func TestSpread(t *testing.T) {
	s := mirror.Spread{}
	for i := range 1000 {
		s.Add(time.Duration(i+1)*ms, 1)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * ms, 0.95: 950 * ms, 1: time.Second} {
		if got := s.Quantile(q); got < want*94/100 || got > want*106/100 {
			t.Errorf("Quantile(%g) = %s, want about %s", q, got, want)
		}
	}
	both := mirror.ParseSpread(s.String() + s.String())
	if got, want := both.Quantile(0.5), s.Quantile(0.5); got != want || len(both) != len(s) {
		t.Errorf("two texts behind each other have the median %s, want %s", got, want)
	}
	if got := mirror.ParseSpread("x 1 2: :3 -1:5 999:1 7:-2 4:9").String(); got != "4:9 " {
		t.Errorf("ParseSpread of garbage = %q, want %q", got, "4:9 ")
	}
	if got := (mirror.Spread{}).Quantile(0.5); got != 0 {
		t.Errorf("Quantile of nothing = %s, want 0", got)
	}
}

// FuzzJudge drives the rule with any sequence: it names only endpoints that are
// enabled, never leaves a good one for a worse place, comes back at most every
// ten minutes, and always gives a reason.
func FuzzJudge(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 255, 128, 7}, uint8(0))
	f.Add([]byte(strings.Repeat("\x10\xff\x20", 60)), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, flags uint8) {
		tr := newTrial("direct", "b", "c")
		tr.host.Endpoints[int(flags)%3].Disabled = flags&4 != 0
		tr.host.Pinned = flags&8 != 0
		if flags&16 != 0 {
			tr.host.PinnedUntil = tr.now.Add(time.Hour)
		}
		back := time.Time{}
		for i, b := range data {
			tr.now = tr.now.Add(time.Duration(b%61) * time.Second)
			latency := time.Duration(b) * 10 * ms
			if b%5 == 0 {
				latency = failed
			}
			tr.sample(tr.host.Endpoints[(i+int(b))%3].Name, latency)
			before, host := len(tr.switches), tr.host
			tr.judge()
			if len(tr.switches) == before {
				continue
			}
			s := tr.switches[before]
			e, ok := host.Endpoint(s.To)
			if !ok || e.Disabled && s.From != s.To || s.Reason == "" || s.From != host.Active {
				t.Fatalf("switch %+v of %+v", s, host)
			}
			if host.Pinned && s.From != s.To && (host.PinnedUntil.IsZero() || tr.now.Before(host.PinnedUntil)) {
				if from, _ := host.Endpoint(s.From); !from.Disabled {
					t.Fatalf("switch %+v in spite of a pin", s)
				}
			}
			if strings.Contains(s.Reason, "good samples in a row") {
				if tr.now.Sub(back) < 10*time.Minute {
					t.Fatalf("came back at %s and %s", back, tr.now)
				}
				back = tr.now
			}
		}
	})
}
