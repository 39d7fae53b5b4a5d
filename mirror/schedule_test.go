package mirror_test

import (
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestScheduleNext(t *testing.T) {
	s := mirror.Schedule{Min: time.Minute, Max: 8 * time.Hour}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	trouble := &mirror.Problem{Code: mirror.CodeServer, Kind: mirror.ErrUpstream}
	network := &mirror.Problem{Code: mirror.CodeDNS, Kind: mirror.ErrUpstream}
	refused := &mirror.Problem{Code: mirror.CodeAuth, Kind: mirror.ErrSignIn}
	person := &mirror.Problem{Kind: mirror.ErrSignIn}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const day = 24 * time.Hour
	failing := func(n int, interval time.Duration, p *mirror.Problem) mirror.Repo {
		return mirror.Repo{Interval: interval, State: mirror.State{Failures: n, Problem: p}}
	}
	for _, c := range []struct {
		name string
		repo mirror.Repo
		want time.Duration
		why  string
	}{
		{"just changed", mirror.Repo{State: mirror.State{LastChange: now}}, time.Minute, "every 1m because it changed just now"},
		{"changed an hour ago", mirror.Repo{State: mirror.State{LastChange: ago(time.Hour)}}, 450 * time.Second, "every 7m30s because it last changed 1h ago"},
		{"clients use it", mirror.Repo{State: mirror.State{LastChange: ago(30 * day), LastClient: ago(time.Minute)}}, 2 * time.Minute, "every 2m because clients use it"},
		{"clients used it yesterday", mirror.Repo{State: mirror.State{LastChange: ago(30 * day), LastClient: ago(day)}}, 6 * time.Hour, "every 6h because it last changed 30d ago"},
		{"a client from the future", mirror.Repo{State: mirror.State{LastChange: ago(8 * time.Hour), LastClient: ago(-10 * 365 * day)}}, time.Hour, "every 1h because it last changed 8h ago"},
		{"changed in the future", mirror.Repo{State: mirror.State{LastChange: ago(-day)}}, time.Minute, "every 1m because it changed just now"},
		{"asleep for a year", mirror.Repo{State: mirror.State{LastChange: ago(365 * day)}}, 8 * time.Hour, "every 8h because nobody has used it for a month"},
		{"asleep, but new here", mirror.Repo{Created: ago(day), State: mirror.State{LastChange: ago(365 * day)}}, 6 * time.Hour, "every 6h because it last changed 365d ago"},
		{"its webhook works", mirror.Repo{State: mirror.State{LastChange: now, LastHook: ago(6 * day), LastClient: now}}, 30 * time.Minute, "every 30m because its webhook tells of changes"},
		{"its webhook is silent", mirror.Repo{State: mirror.State{LastChange: now, LastHook: ago(8 * day)}}, time.Minute, "every 1m because it changed just now"},
		{"fixed interval", mirror.Repo{Interval: 10 * time.Minute, State: mirror.State{LastChange: now, LastClient: now, LastHook: now}}, 10 * time.Minute, "every 10m because somebody set it"},
		{"paused", mirror.Repo{Paused: true, Interval: time.Minute}, time.Minute, "not while it is paused"},
		{"the network failed", failing(1, 8*time.Hour, network), 5 * time.Second, "again after 5s because the network failed once"},
		{"… twice", failing(2, 8*time.Hour, network), 20 * time.Second, "again after 20s because the network failed 2 times in a row"},
		{"… three times", failing(3, time.Minute, network), time.Minute, "again after 1m because the network failed 3 times in a row"},
		{"… five times", failing(5, time.Minute, network), 4 * time.Minute, "again after 4m because the network failed 5 times in a row"},
		{"… for ever", failing(1000, time.Minute, network), 8 * time.Hour, "again after 8h because the network failed 1000 times in a row"},
		{"first trouble of a slow mirror", failing(1, 8*time.Hour, trouble), 10 * time.Minute, "again after 10m because upstream was in trouble once"},
		{"second trouble of a slow mirror", failing(2, 8*time.Hour, trouble), 20 * time.Minute, "again after 20m because upstream was in trouble 2 times in a row"},
		{"first trouble of a fast mirror", failing(1, time.Minute, trouble), 2 * time.Minute, "again after 2m because upstream was in trouble once"},
		{"trouble for ever", failing(1000, time.Minute, trouble), 8 * time.Hour, "again after 8h because upstream was in trouble 1000 times in a row"},
		{"refused from the start", failing(1, time.Minute, refused), time.Hour, "again after 1h because upstream refuses it"},
		{"refused what was given before", mirror.Repo{Interval: time.Minute, State: mirror.State{
			Failures: 1, Problem: refused, LastSuccess: ago(time.Hour), LastAttempt: now, RefusedSince: now,
		}}, 2 * time.Minute, "again after 2m because upstream refused it once, which is believed after a day"},
		{"refused for more than a day", mirror.Repo{Interval: time.Minute, State: mirror.State{
			Failures: 9, Problem: refused, LastSuccess: ago(2 * day), LastAttempt: now, RefusedSince: ago(25 * time.Hour),
		}}, 8 * time.Hour, "again after 8h because upstream refuses it"},
		{"needs a person", failing(1, time.Minute, person), time.Hour, "again after 1h because it fails until somebody mends it"},
	} {
		for range 20 {
			got := s.Next(c.repo, now).Sub(now)
			if got < c.want*9/10 || got > c.want*11/10 {
				t.Errorf("%s: Next is in %s, want %s ± 10 %%", c.name, got, c.want)
			}
		}
		if got := s.ExplainAt(c.repo, now); got != c.why {
			t.Errorf("%s: ExplainAt = %q, want %q", c.name, got, c.why)
		}
	}
}

func TestScheduleStretch(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	s := mirror.Schedule{Min: time.Minute, Max: 8 * time.Hour, Stretch: func(host string) float64 {
		if host == "busy.example" {
			return 3
		}
		return 0.5
	}}
	r := mirror.Repo{Upstream: mirror.Upstream{Host: "busy.example"}, State: mirror.State{LastChange: now}}
	if got, why := s.Interval(r, now); got != 3*time.Minute || why != "it changed just now, stretched 3.0 times to keep to the budget of busy.example" {
		t.Errorf("Interval over budget = %s, %q, want 3m and why", got, why)
	}
	r.Interval = time.Minute
	if got, _ := s.Interval(r, now); got != time.Minute {
		t.Errorf("Interval of a fixed mirror over budget = %s, want 1m", got)
	}
	r.Interval, r.Upstream.Host = 0, "calm.example"
	if got, _ := s.Interval(r, now); got != time.Minute {
		t.Errorf("Interval within budget = %s, want 1m", got)
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 5 * time.Second: "5s", 90 * time.Second: "1m30s", 2 * time.Minute: "2m", time.Hour: "1h",
		10*time.Hour + 20*time.Minute: "10h20m", 25*time.Hour + time.Second: "25h", 72 * time.Hour: "3d", 100 * time.Minute: "1h40m",
	} {
		if got := mirror.Words(d); got != want {
			t.Errorf("Words(%s) = %q, want %q", d, got, want)
		}
	}
}
