package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// seedTraffic serves a few requests, of which one goes on.
func (s *consoleSite) seedTraffic(t testing.TB, repo mirror.Repo) {
	t.Helper()
	serve(&s.served, repo)
}

func serve(traffic *mirror.Traffic, repo mirror.Repo) {
	for i, r := range []mirror.CacheResult{mirror.CacheMiss, mirror.CacheJoin, mirror.CacheHit, mirror.CacheHit} {
		f := traffic.Begin([]string{"http", "ssh"}[i%2])
		f.For(repo)
		f.Asked()
		f.Cloning()
		f.Cached(r)
		f.Sent(12_000_000)
		if i < 3 {
			f.End("fetch", "ok")
		}
	}
}

func TestTrafficPage(t *testing.T) {
	site := newConsoleSite(t)
	v := site.signedIn(t, "admin", adminPassword)
	v.get("/traffic").wants(t, http.StatusOK, "Nothing was asked for", "No git client has asked")
	repo := site.seed(t)
	site.seedTraffic(t, repo)
	for _, path := range []string{"/traffic", "/traffic?span=day", "/traffic?span=nonsense"} {
		v.get(path).wants(t, http.StatusOK, "github.com/gin-gonic/gin", `href="/mirrors/`+string(repo.ID), "48 MB", `class="middle" d="M`, `class="high" d="M`,
			"2 packs being made, 1 waiting", "66 % of 3", "Show as a table", "of 3 requests")
	}
	if page := v.get("/traffic?span=day").body; !strings.Contains(page, "last 24 hours") || strings.Contains(page, "style=") || strings.Contains(page, "NaN") {
		t.Errorf("the page of a day = %s", page)
	}
	if got := site.visitor(t).get("/traffic").path; !strings.HasPrefix(got, "/login") {
		t.Errorf("a stranger who opens /traffic is at %s, want the sign-in", got)
	}
}

func TestTrafficAPI(t *testing.T) {
	traffic := &mirror.Traffic{}
	r := newRig(t, func(s *web.Server) { s.Traffic, s.Packs = traffic, func() (int, int) { return 2, 1 } })
	repo := mirror.Repo{ID: mirror.NewID(), Path: "github.com/rs/xid"}
	serve(traffic, repo)
	for span, slots := range map[string]int{"hour": 60, "day": 144} {
		var got web.Traffic
		if err := json.Unmarshal([]byte(r.want(200, "GET", "/api/v1/traffic?span="+span, nil, r.dev()).Body), &got); err != nil {
			t.Fatal(err)
		}
		if got.Requests != 1 || got.Packs != 2 || got.Queued != 1 || got.Clones != 3 || got.Ended != 3 || got.BytesS <= 0 || got.Since.IsZero() {
			t.Errorf("traffic of a %s = %+v", span, got)
		}
		if len(got.Slots) != slots || len(got.Mirrors) != 1 || got.Mirrors[0] != (web.MirrorTraffic{ID: repo.ID, Path: repo.Path, Bytes: 48_000_000, Requests: 3, Clones: 3}) {
			t.Errorf("traffic of a %s has %d slots and mirrors %+v, want %d slots", span, len(got.Slots), got.Mirrors, slots)
		}
	}
	r.want(422, "GET", "/api/v1/traffic?span=year", nil, r.dev())
}
