package store_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

func newHost(name string, endpoints ...mirror.Endpoint) mirror.Host {
	return mirror.Host{
		Name: name, Active: mirror.Direct, Since: base(),
		Endpoints: append([]mirror.Endpoint{{Name: mirror.Direct, Authoritative: true}}, endpoints...),
	}
}

func TestHosts(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx := t.Context()
		h := newHost("github.com", mirror.Endpoint{Name: "hk", URL: "https://hk.example/github.com", Credential: "c", Disabled: true})
		h.Bandwidth, h.Budget = 1<<40, 0.5
		if err := db.SaveHost(ctx, h); err != nil {
			t.Fatal(err)
		}
		if err := db.SaveHost(ctx, h); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("SaveHost of a host that is there = %v, want %v", err, mirror.ErrExists)
		}
		h.Version = 1
		got, err := open(t, location).Host(ctx, "github.com")
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("Host = %+v, %v, want %+v", got, err, h)
		}
		h.Endpoints = []mirror.Endpoint{{Name: "b", URL: "ssh://git@b.example"}, {Name: "a", URL: "https://a.example"}, h.Endpoints[0]}
		h.Bandwidth, h.Budget = 0, 0
		if err := db.SaveHost(ctx, h); err != nil {
			t.Fatal(err)
		}
		if err := db.SaveHost(ctx, h); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("SaveHost with a version that is old = %v, want %v", err, mirror.ErrExists)
		}
		h.Version = 2
		if err := db.SaveHost(ctx, newHost("a.example")); err != nil {
			t.Fatal(err)
		}
		hosts, err := db.Hosts(ctx)
		if err != nil || len(hosts) != 2 || hosts[0].Name != "a.example" || !reflect.DeepEqual(hosts[1], h) {
			t.Errorf("Hosts = %+v, %v, want a.example and %+v", hosts, err, h)
		}
		for _, name := range []string{"", "gone.example", "\xff\x00"} {
			if _, err := db.Host(ctx, name); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("Host(%q) = %v, want %v", name, err, mirror.ErrNotFound)
			}
			if err := db.RemoveHost(ctx, name); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("RemoveHost(%q) = %v, want %v", name, err, mirror.ErrNotFound)
			}
		}
		gone := newHost("gone.example")
		gone.Version = 3
		if err := db.SaveHost(ctx, gone); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("SaveHost of a host that is gone = %v, want %v", err, mirror.ErrNotFound)
		}
	})
}

func TestSwitchHost(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		if err := db.SaveHost(ctx, newHost("h.example", mirror.Endpoint{Name: "b", URL: "https://b.example"})); err != nil {
			t.Fatal(err)
		}
		at := base().Add(time.Minute)
		s := mirror.Switch{
			HostEvent: mirror.HostEvent{Host: "h.example", At: at, From: mirror.Direct, To: "b", By: "anna", Reason: "slow\x00\xff"},
			Pinned:    true, PinnedUntil: at.Add(time.Hour),
		}
		// Two servers come to the same conclusion: one of them is right.
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			wg.Go(func() { errs[i] = db.SwitchHost(ctx, s) })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), mirror.ErrExists) {
			t.Errorf("SwitchHost twice at once = %v, want one nil and one %v", errs, mirror.ErrExists)
		}
		h, err := db.Host(ctx, "h.example")
		if err != nil || h.Active != "b" || !h.Since.Equal(at) || !h.Pinned || !h.PinnedUntil.Equal(at.Add(time.Hour)) || h.Version != 1 {
			t.Errorf("Host after the switch = %+v, %v, want b since %s, pinned for an hour, version 1", h, err, at)
		}
		s.From, s.To, s.Pinned, s.PinnedUntil, s.At = "b", "b", false, time.Time{}, at.Add(time.Minute)
		if err := db.SwitchHost(ctx, s); err != nil {
			t.Fatal(err)
		}
		if h, _ = db.Host(ctx, "h.example"); h.Pinned || !h.PinnedUntil.IsZero() || !h.Since.Equal(at) {
			t.Errorf("Host after the pin = %+v, want no pin, b since %s", h, at)
		}
		s.Host = "gone.example"
		if err := db.SwitchHost(ctx, s); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("SwitchHost of an unknown host = %v, want %v", err, mirror.ErrNotFound)
		}
		events, err := db.HostEvents(ctx, "h.example", 0, 10)
		if err != nil || len(events) != 2 || events[0].ID <= events[1].ID || events[1].Reason != "slow\uFFFD\uFFFD" || events[1].By != "anna" || events[1].From != mirror.Direct {
			t.Fatalf("HostEvents = %+v, %v, want the pin, then the switch", events, err)
		}
		if older, _ := db.HostEvents(ctx, "", events[0].ID, 10); len(older) != 1 || older[0] != events[1] {
			t.Errorf("HostEvents behind the first = %+v, want %+v", older, events[1])
		}
	})
}

// measured is the sum of samples that begin at an age.
func measured(host, endpoint string, span time.Duration, at time.Time, latencies ...time.Duration) mirror.Measured {
	m := mirror.Measured{Host: host, Endpoint: endpoint, Span: span, At: at}
	for _, l := range latencies {
		s := mirror.Sample{Host: host, Endpoint: endpoint, Trip: mirror.Trip{DNS: l / 4, Connect: l / 2, TLS: l / 3, FirstByte: l, Total: 3 * l, Bytes: 1 << 20}}
		if l == 0 {
			s.Problem = mirror.CodeConnect
		}
		m.Add(s)
	}
	return m
}

func TestMeasured(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		at := base().Truncate(time.Hour)
		ms := time.Millisecond
		add := func(list ...mirror.Measured) {
			t.Helper()
			if err := db.AddMeasured(ctx, list); err != nil {
				t.Fatal(err)
			}
		}
		add(
			measured("h", "a", mirror.SpanFine, at.Add(3*time.Second), 100*ms, 0),
			measured("h", "a", mirror.SpanFine, at.Add(7*time.Second), 200*ms), // the same ten seconds
			measured("h", "b", mirror.SpanFine, at, 10*ms),
			measured("other", "a", mirror.SpanMiddle, at, 10*ms),
		)
		add(measured("h", "a", mirror.SpanFine, at, 300*ms)) // later, by another server perhaps
		add(measured("h", "a", mirror.SpanFine, at.Add(time.Minute), 400*ms))
		add()
		list, err := db.Measured(ctx, mirror.MeasuredQuery{Host: "h", Step: mirror.SpanFine})
		if err != nil || len(list) != 3 {
			t.Fatalf("Measured = %+v, %v, want 3 stretches", list, err)
		}
		m := list[0]
		if m.N != 4 || m.Failed != 1 || m.Fresh != 3 || m.FirstByte != 600*ms || m.Connect != 300*ms || m.Moved != 3<<20 || m.Problem != mirror.CodeConnect || !m.At.Equal(at) {
			t.Errorf("the first stretch = %+v, want 4 samples, 1 failed, sums of 100, 200 and 300 ms", m)
		}
		if got := m.Spread.Quantile(0.5); got < 190*ms || got > 210*ms {
			t.Errorf("its median = %s, want about 200 ms", got)
		}
		if all, _ := db.Measured(ctx, mirror.MeasuredQuery{Host: "h", Endpoint: "a"}); len(all) != 1 || all[0].N != 5 {
			t.Errorf("Measured in one step = %+v, want 5 samples", all)
		}
		if hosts, _ := db.Measured(ctx, mirror.MeasuredQuery{}); len(hosts) != 3 {
			t.Errorf("Measured of all hosts = %+v, want 3 endpoints", hosts)
		}
		if late, _ := db.Measured(ctx, mirror.MeasuredQuery{Since: at.Add(time.Minute), Step: time.Second}); len(late) != 1 || late[0].N != 1 {
			t.Errorf("Measured since a minute later = %+v, want one sample", late)
		}
	})
}

func TestThinMeasured(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		now := base().Truncate(time.Hour).Add(time.Minute)
		thin := func() {
			t.Helper()
			for more := true; more; {
				var err error
				if more, err = db.ThinMeasured(ctx, now); err != nil {
					t.Fatal(err)
				}
			}
		}
		var list []mirror.Measured
		for _, age := range []time.Duration{time.Hour, 30 * time.Hour, 40 * time.Hour, 100 * time.Hour} {
			for i := range time.Duration(12) {
				list = append(list, measured("h", "a", mirror.SpanFine, now.Add(-age-i*30*time.Second), time.Second))
			}
		}
		list = append(list, measured("h", "a", mirror.SpanMiddle, now.AddDate(0, 0, -91), time.Second))
		if err := db.AddMeasured(ctx, list); err != nil {
			t.Fatal(err)
		}
		// Two servers thin at the same time: nothing is lost, nothing counts twice.
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(thin)
		}
		wg.Wait()
		got, err := db.Measured(ctx, mirror.MeasuredQuery{Host: "h", Step: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		n, old := int64(0), 0
		for _, m := range got {
			n += m.N
			if now.Sub(m.At) > 25*time.Hour {
				old++
				if m.At.UnixMicro()%mirror.SpanMiddle.Microseconds() != 0 {
					t.Errorf("a stretch of a day ago begins at %s, want whole five minutes", m.At)
				}
			}
		}
		if n != 48 || old < 6 || old > 9 {
			t.Errorf("after thinning %d samples, %d old stretches; want 48 and two or three for each of three", n, old)
		}
		now = now.AddDate(0, 0, 20)
		thin()
		got, _ = db.Measured(ctx, mirror.MeasuredQuery{Host: "h", Step: time.Second})
		if n = 0; len(got) > 8 {
			t.Errorf("weeks later there are %d stretches, want hours", len(got))
		}
		for _, m := range got {
			if n += m.N; m.At.UnixMicro()%mirror.SpanCoarse.Microseconds() != 0 {
				t.Errorf("a stretch of weeks ago begins at %s, want a whole hour", m.At)
			}
		}
		if n != 48 {
			t.Errorf("weeks later there are %d samples, want 48", n)
		}
		now = now.AddDate(0, 0, 91)
		thin()
		if got, _ := db.Measured(ctx, mirror.MeasuredQuery{}); len(got) != 0 {
			t.Errorf("months later there is %+v, want nothing", got)
		}
	})
}

func TestRemoveHost(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		for _, name := range []string{"a.example", "b.example"} {
			if err := db.SaveHost(ctx, newHost(name)); err != nil {
				t.Fatal(err)
			}
			if err := db.AddMeasured(ctx, []mirror.Measured{measured(name, "direct", mirror.SpanFine, base(), time.Second)}); err != nil {
				t.Fatal(err)
			}
			if err := db.SwitchHost(ctx, mirror.Switch{HostEvent: mirror.HostEvent{Host: name, At: base(), From: "direct", To: "direct"}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.RemoveHost(ctx, "a.example"); err != nil {
			t.Fatal(err)
		}
		for _, one := range []struct {
			name string
			want int
		}{{"a.example", 0}, {"b.example", 1}} {
			events, err := db.HostEvents(ctx, one.name, 0, 0)
			sums, err2 := db.Measured(ctx, mirror.MeasuredQuery{Host: one.name})
			_, err3 := db.Host(ctx, one.name)
			if err != nil || err2 != nil || len(events) != one.want || len(sums) != one.want || (err3 == nil) != (one.want == 1) {
				t.Errorf("%s has %d events, %d sums, %v; want %d each", one.name, len(events), len(sums), err3, one.want)
			}
		}
	})
}

func TestCountMirrors(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		add(t, db, "github.com/o/a")
		add(t, db, "github.com/o/b")
		add(t, db, "git.example/c/d")
		got, err := db.CountMirrors(context.Background())
		if want := map[string]int{"github.com": 2, "git.example": 1}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("CountMirrors = %v, %v, want %v", got, err, want)
		}
		for host, want := range map[string]int{"github.com": 2, "git.example": 1, "hub.com": 0, "git_example": 0, "": 0, "\xff": 0} {
			if got, err := db.ReposOf(t.Context(), host, 10); err != nil || len(got) != want {
				t.Errorf("ReposOf(%q) = %d mirrors, %v, want %d", host, len(got), err, want)
			}
		}
	})
}
