package mirror_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its clock begins at midnight
		traffic := &mirror.Traffic{}
		cobra := mirror.Repo{ID: mirror.NewID(), Path: "github.com/spf13/cobra"}
		xid := mirror.Repo{ID: mirror.NewID(), Path: "github.com/rs/xid"}

		clone := traffic.Begin("http")
		clone.For(cobra)
		time.Sleep(time.Second) // the request comes in
		clone.Asked()
		clone.Cloning()
		clone.Cached(mirror.CacheMiss)
		time.Sleep(250 * time.Millisecond)
		clone.Sent(1000)
		if got := traffic.Flows(); got != 1 {
			t.Errorf("Flows() = %d, want 1", got)
		}
		time.Sleep(time.Minute)
		clone.Sent(500)
		got := clone.End("fetch", "ok")
		want := mirror.Served{
			Proto: "http", Command: "fetch", Status: "ok", Repo: cobra.ID, Path: cobra.Path, Bytes: 1500,
			First: 250 * time.Millisecond, Took: time.Minute + 1250*time.Millisecond, Clone: true, Cache: mirror.CacheUse{Misses: 1},
		}
		if got != want {
			t.Errorf("End() = %+v, want %+v", got, want)
		}
		clone.Sent(1 << 30) // too late

		list := traffic.Begin("ssh")
		list.For(xid)
		list.Sent(70)
		list.End("ls-refs", "ok")
		gone := traffic.Begin("ssh")
		gone.For(xid)
		gone.Cloning()
		gone.End("upload-pack", "gone")

		if got := traffic.Flows(); got != 0 {
			t.Errorf("Flows() = %d, want 0", got)
		}
		if got, want := traffic.Rate(time.Now()), 570.0/11.25; got != want {
			t.Errorf("Rate() = %v, want %v", got, want)
		}
		minutes := traffic.Over(time.Hour, time.Minute, time.Now())
		if n := len(minutes); n != 60 || minutes[58].HTTP != 1000 || minutes[59].HTTP != 500 || minutes[59].SSH != 70 ||
			minutes[59].Requests != 3 || minutes[59].Clones != 1 || minutes[59].Cache.Misses != 1 {
			t.Errorf("Over(an hour) = %d slots, the last two %+v", n, minutes[n-2:])
		}
		if day := traffic.Over(24*time.Hour, 10*time.Minute, time.Now()); len(day) != 144 || day[143].HTTP != 1500 || day[143].SSH != 70 {
			t.Errorf("Over(a day) = %d slots, the last %+v, want 144 and 1500 + 70 bytes", len(day), day[len(day)-1])
		}
		top := traffic.Top(10, time.Now())
		if len(top) != 2 || top[0] != (mirror.RepoTraffic{Repo: cobra.ID, Path: cobra.Path, Bytes: 1500, Requests: 1, Clones: 1}) ||
			top[1] != (mirror.RepoTraffic{Repo: xid.ID, Path: xid.Path, Bytes: 70, Requests: 2}) {
			t.Errorf("Top(10) = %+v", top)
		}

		time.Sleep(25 * time.Hour)
		if top := traffic.Top(10, time.Now()); len(top) != 0 {
			t.Errorf("Top(10) a day later = %+v, want none", top)
		}
		for _, s := range traffic.Over(24*time.Hour, 10*time.Minute, time.Now()) {
			if s.HTTP+s.SSH != 0 || s.Requests != 0 {
				t.Errorf("Over(a day) a day later has %+v, want nothing", s)
			}
		}
		if got := traffic.Rate(time.Now()); got != 0 {
			t.Errorf("Rate() a day later = %v, want 0", got)
		}
	})
}

// What nobody counts costs nothing and breaks nothing.
func TestNoTraffic(t *testing.T) {
	var traffic *mirror.Traffic
	f := traffic.Begin("http")
	f.For(mirror.Repo{ID: "x"})
	f.Sent(3)
	if got := f.End("fetch", "ok"); got.Bytes != 3 || got.Repo != "x" {
		t.Errorf("End() = %+v, want 3 bytes of x", got)
	}
	var none *mirror.Flow
	none.For(mirror.Repo{})
	none.Asked()
	none.Cloning()
	none.Cached(mirror.CacheHit)
	none.Sent(1)
	if got := none.End("page", "ok"); got.Command != "page" {
		t.Errorf("End() = %+v, want the command", got)
	}
	if traffic.Flows() != 0 || traffic.Rate(time.Now()) != 0 || traffic.Top(1, time.Now()) != nil || !traffic.Since().IsZero() {
		t.Error("no traffic = something, want nothing")
	}
	if n := len(traffic.Over(time.Hour, time.Minute, time.Now())); n != 60 {
		t.Errorf("Over(an hour) = %d slots, want 60", n)
	}
}

func TestTrafficIsBounded(t *testing.T) {
	traffic := &mirror.Traffic{}
	for range 21_000 {
		f := traffic.Begin("http")
		f.For(mirror.Repo{ID: mirror.NewID(), Path: "github.com/a/b"})
		f.End("fetch", "ok")
	}
	if n := len(traffic.Top(1<<20, time.Now())); n != 20_000 {
		t.Errorf("Top = %d mirrors, want at most 20000", n)
	}
}
