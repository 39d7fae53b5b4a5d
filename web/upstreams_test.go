package web_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// seedUpstreams gives github.com a second and a third road, a day of figures with
// three bad hours, and the history that goes with them.
func (s *consoleSite) seedUpstreams(t testing.TB) {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	random := rand.New(rand.NewPCG(1, 2))
	trip := func(rtt time.Duration) mirror.Trip {
		rtt += time.Duration(random.Int64N(int64(rtt / 3)))
		return mirror.Trip{DNS: rtt / 10, Connect: rtt, TLS: rtt + rtt/4, FirstByte: rtt + rtt/3, Total: 4 * rtt}
	}
	var sums []mirror.Measured
	for age := 24 * time.Hour; age > 0; age -= 5 * time.Minute {
		bad := age > 5*time.Hour && age < 8*time.Hour
		for name, rtt := range map[string]time.Duration{mirror.Direct: 180 * time.Millisecond, "proxy-hk": 240 * time.Millisecond} {
			m := mirror.Measured{Host: "github.com", Endpoint: name, At: now.Add(-age), Span: mirror.SpanMiddle}
			for i := range 15 {
				sample := mirror.Sample{Host: m.Host, Endpoint: name, Trip: trip(rtt)}
				if bad && name == mirror.Direct {
					if sample.Trip = trip(5 * rtt); i == 0 {
						sample = mirror.Sample{Host: m.Host, Endpoint: name, Problem: mirror.CodeStalled}
					}
				}
				m.Add(sample)
			}
			sums = append(sums, m)
		}
	}
	if err := s.db.AddMeasured(ctx, sums); err != nil {
		t.Fatal(err)
	}
	_, err := s.roads.Edit(ctx, mirror.HostEdit{Name: "github.com", Bandwidth: 5_000_000, Budget: 10, Endpoints: []mirror.Endpoint{
		{Name: mirror.Direct}, {Name: "proxy-hk", URL: "https://hk.example/github.com"},
		{Name: "ssh443", URL: "ssh://git@ssh.github.com:443", Authoritative: true, Disabled: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []mirror.Switch{
		{HostEvent: mirror.HostEvent{At: now.Add(-8 * time.Hour), From: mirror.Direct, To: "proxy-hk", Reason: "3 samples in a row of direct took 1.24 s, 1.31 s, 1.19 s, more than 2.5 × the usual 232 ms and at least 800 ms; proxy-hk answers in 262 ms"}},
		{HostEvent: mirror.HostEvent{At: now.Add(-5 * time.Hour), From: "proxy-hk", To: mirror.Direct, Reason: "direct had 10 good samples in a row, usually 232 ms, and is placed before proxy-hk"}},
		{HostEvent: mirror.HostEvent{At: now.Add(-20 * time.Minute), From: mirror.Direct, To: "proxy-hk", By: "admin", Reason: "pinned until further notice"}, Pinned: true},
	} {
		e.Host = "github.com"
		if err := s.db.SwitchHost(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUpstreamPages(t *testing.T) {
	site := newConsoleSite(t)
	site.seed(t)
	site.seedUpstreams(t)
	v := site.signedIn(t, "admin", adminPassword)
	v.get("/upstreams").wants(t, http.StatusOK, "github.com", "proxy-hk", "pinned", "<path d=\"M")
	v.get("/upstreams/github.com").wants(t, http.StatusOK, "Pinned to proxy-hk", "class=\"middle\" d=\"M", "class=\"shade\"", "ssh443",
		"3 samples in a row of direct", "by admin", "At most 5.0 MB/s", "Show as a table", "Back to automatic")
	v.get("/upstreams/github.com?span=7d").wants(t, http.StatusOK, "last 7 days", "class=\"middle\"")
	v.get("/upstreams/nosuch.example").wants(t, http.StatusNotFound, "upstream host is called")
	v.get("/upstreams/github.com/edit").wants(t, http.StatusOK, `value="https://hk.example/github.com"`, `value="5.0 MB"`, `name="place4"`)
	at := "/upstreams/github.com"
	v.post(at+"/use", "endpoint", "").wants(t, http.StatusOK, "The rule decides again")
	v.post(at+"/use", "endpoint", "direct", "for", "2h").wants(t, http.StatusOK, "Syncs reach github.com by direct now", "Pinned to direct")
	v.post(at+"/use", "endpoint", "ssh443").wants(t, http.StatusOK, "is disabled")
	v.post(at+"/use", "endpoint", "direct", "for", "a while").wants(t, http.StatusUnprocessableEntity, "not a length of time")

	// The form takes everything, in the order of places, or says what is wrong.
	fields := func(version, url string) []string {
		return []string{"version", version, "place0", "2", "name0", "direct", "place1", "1", "name1", "corp", "url1", url,
			"place2", "3", "name2", "old", "url2", "https://old.example", "remove2", "yes", "bandwidth", "1 MB", "budget", "0.5"}
	}
	v.post(at+"/edit", fields("1", "https://u:secret@corp.example")...).wants(t, http.StatusUnprocessableEntity, "holds a password", `value="corp"`)
	v.post(at+"/edit", fields("7", "https://corp.example")...).wants(t, http.StatusConflict, "changed by somebody else")
	v.post(at+"/edit", fields("1", "https://corp.example")...).wants(t, http.StatusOK, "Saved", "corp", "At most 1.0 MB/s")
	h, err := site.db.Host(t.Context(), "github.com")
	if err != nil || len(h.Endpoints) != 2 || h.Endpoints[0].Name != "corp" || h.Endpoints[1].Name != mirror.Direct || h.Budget != 0.5 {
		t.Errorf("saved %+v, %v, want corp before direct, budget 0.5", h, err)
	}

	dev := site.signedIn(t, "ada", "a long enough password")
	dev.get(at).wants(t, http.StatusOK, "Round trips")
	if body := dev.get(at).body; strings.Contains(body, "Probe now</button>") || strings.Contains(body, "/use\"") {
		t.Error("a developer's page of an upstream offers what a developer may not")
	}
	for _, path := range []string{"/probe", "/use", "/edit"} {
		dev.post(at+path).wants(t, http.StatusForbidden, "may not")
		v.get(at+strings.Replace(path, "/edit", "/probe", 1)).wants(t, http.StatusMethodNotAllowed)
	}
}

func TestUpstreamAPI(t *testing.T) {
	r := newRig(t)
	admin, dev := r.admin(), r.dev()
	if _, err := r.ensureMirror("github.com/acme/kept"); err != nil {
		t.Fatal(err)
	}
	list := decode[struct{ Items []web.Upstream }](t, r.want(200, "GET", "/api/v1/upstreams", nil, dev))
	if len(list.Items) != 1 || list.Items[0].Host != "github.com" || list.Items[0].Mirrors != 1 || list.Items[0].InUse != mirror.Direct || len(list.Items[0].Endpoints) != 1 {
		t.Errorf("list = %+v, want github.com with its direct endpoint", list)
	}
	edit := web.UpstreamEdit{Endpoints: []web.UpstreamRoad{{Name: "direct"}, {Name: "hk", URL: "https://hk.example/github.com"}}, Budget: 2}
	got := r.want(200, "PUT", "/api/v1/upstreams/github.com", edit, admin, header("If-Match", `"1"`))
	if got.Header.Get("ETag") != `"2"` || decode[web.Upstream](t, got).Endpoints[1].Condition != mirror.Unmeasured {
		t.Errorf("PUT = %s %s, want version 2 with an endpoint that was never measured", got.Header.Get("ETag"), got.Body)
	}
	r.want(412, "PUT", "/api/v1/upstreams/github.com", edit, admin, header("If-Match", `"1"`))
	r.want(422, "PUT", "/api/v1/upstreams/github.com", `{"endpoints":[]}`, admin)
	r.want(422, "PUT", "/api/v1/upstreams/github.com", `{"endpoints":[{"name":"direct"},{"name":"x","url":"http://mirror.example:8080"}]}`, admin)
	r.want(200, "PUT", "/api/v1/upstreams/new.example", `{"endpoints":[{"name":"direct"}]}`, admin)
	used := decode[web.Upstream](t, r.want(200, "POST", "/api/v1/upstreams/github.com/use", `{"endpoint":"hk","for_s":60}`, admin))
	if used.InUse != "hk" || !used.Pinned || time.Until(used.PinnedUntilAt) > time.Minute {
		t.Errorf("use = %+v, want hk, pinned for a minute", used)
	}
	r.want(404, "POST", "/api/v1/upstreams/github.com/use", `{"endpoint":"none"}`, admin)
	events := decode[web.UpstreamEvents](t, r.want(200, "GET", "/api/v1/upstreams/github.com/events?limit=1", nil, dev))
	if len(events.Items) != 1 || events.Items[0].By != "admin" || events.NextCursor == "" {
		t.Errorf("events = %+v, want the pin by admin", events)
	}
	m := mirror.Measured{Host: "github.com", Endpoint: "hk", At: time.Now(), Span: mirror.SpanFine}
	m.Add(mirror.Sample{Endpoint: "hk", Trip: mirror.Trip{Connect: 40 * time.Millisecond, FirstByte: 90 * time.Millisecond}})
	if err := r.db.AddMeasured(t.Context(), []mirror.Measured{m}); err != nil {
		t.Fatal(err)
	}
	samples := decode[struct{ Items []web.UpstreamStretch }](t, r.want(200, "GET", "/api/v1/upstreams/github.com/samples?endpoint=hk&span_s=3600&step_s=60", nil, dev))
	if len(samples.Items) != 1 || samples.Items[0].ConnectMs != 40 || samples.Items[0].Samples != 1 {
		t.Errorf("samples = %+v, want one with 40 ms of connecting", samples)
	}
	r.want(422, "GET", "/api/v1/upstreams/github.com/samples?span_s=7776000&step_s=10", nil, dev)
	r.want(204, "DELETE", "/api/v1/upstreams/new.example", nil, admin)
	r.want(404, "GET", "/api/v1/upstreams/new.example", nil, dev)
	r.want(404, "POST", "/api/v1/upstreams/new.example/probe", nil, admin)
}
