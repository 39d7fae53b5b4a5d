package mirror_test

import (
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestScheduleNext(t *testing.T) {
	s := mirror.Schedule{Min: time.Minute, Max: 8 * time.Hour}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	upstream := &mirror.Problem{Kind: mirror.ErrUpstream}
	person := &mirror.Problem{Kind: mirror.ErrSignIn}
	for _, c := range []struct {
		name string
		repo mirror.Repo
		want time.Duration
	}{
		{"just changed", mirror.Repo{State: mirror.State{LastChange: now}}, time.Minute},
		{"changed an hour ago", mirror.Repo{State: mirror.State{LastChange: now.Add(-time.Hour)}}, 30 * time.Minute},
		{"asleep for a year", mirror.Repo{State: mirror.State{LastChange: now.AddDate(-1, 0, 0)}}, 8 * time.Hour},
		{"fixed interval", mirror.Repo{Interval: 10 * time.Minute, State: mirror.State{LastChange: now}}, 10 * time.Minute},
		{"first failure of a slow mirror", mirror.Repo{Interval: 8 * time.Hour, State: mirror.State{Failures: 1, Problem: upstream}}, 10 * time.Minute},
		{"second failure of a slow mirror", mirror.Repo{Interval: 8 * time.Hour, State: mirror.State{Failures: 2, Problem: upstream}}, 20 * time.Minute},
		{"first failure of a fast mirror", mirror.Repo{Interval: time.Minute, State: mirror.State{Failures: 1, Problem: upstream}}, 2 * time.Minute},
		{"failed for ever", mirror.Repo{Interval: time.Minute, State: mirror.State{Failures: 1000, Problem: upstream}}, 8 * time.Hour},
		{"needs a person", mirror.Repo{Interval: time.Minute, State: mirror.State{Failures: 1, Problem: person}}, time.Hour},
	} {
		for range 20 {
			got := s.Next(c.repo, now).Sub(now)
			if got < c.want*9/10 || got > c.want*11/10 {
				t.Errorf("%s: Next is in %s, want %s ± 10 %%", c.name, got, c.want)
			}
		}
	}
}
