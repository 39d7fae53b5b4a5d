package web_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
	"github.com/gitmirror/gitmirror/web"
)

// withModules gives the rig a module gateway that asks nobody.
func withModules(t *testing.T) func(*web.Server) {
	return func(s *web.Server) {
		db, ok := s.Store.(interface {
			mirror.Store
			modproxy.RuleStore
		})
		if !ok {
			t.Fatal("the rig's store keeps no rules")
		}
		rules, err := modproxy.OpenRules(t.Context(), &modproxy.RuleBook{Stored: db})
		if err != nil {
			t.Fatal(err)
		}
		s.ModuleCache = &modproxy.Handler{
			Repos: &modproxy.Repos{Catalog: s.Catalog, Reader: s.Reader, Site: s.Site, Temp: t.TempDir()}, Policy: auth.Policy{AnonymousRead: true},
			Rules: rules, Pins: &modproxy.Pins{Store: db}, Seen: db,
		}
	}
}

func TestServedModules(t *testing.T) {
	r := newRig(t, withModules(t))
	at := time.Now().UTC().Truncate(time.Second)
	var uses []mirror.ModuleUse
	for i := range 7 {
		uses = append(uses, mirror.ModuleUse{Module: fmt.Sprintf("example.com/m%d", i), Version: "v1.0.0", Source: "https://proxy.test", Requests: int64(2 * i), Downloads: int64(i % 3), Bytes: 10, At: at})
	}
	for _, v := range []string{"v1.2.0", "v1.10.0", "v0.1.0"} {
		uses = append(uses, mirror.ModuleUse{Module: "example.com/m0", Version: v, Size: 5, Sums: mirror.Sums{Zip: "h1:x="}, Requests: 1, Downloads: 1, Bytes: 10, At: at.AddDate(0, 0, -1)})
	}
	if err := r.db.AddModuleUse(t.Context(), uses); err != nil {
		t.Fatal(err)
	}
	dev := r.dev()
	for sort, want := range map[string]string{"path": "0123456", "downloads": "0524163", "bytes": "0654321"} {
		got, q := "", url.Values{"sort": {sort}, "limit": {"2"}, "search": {"Example.com/m"}}
		for range 10 {
			page := decode[web.ServedModules](t, r.want(200, "GET", "/api/v1/modules?"+q.Encode(), nil, dev))
			for _, m := range page.Items {
				got += strings.TrimPrefix(m.Path, "example.com/m")
			}
			if page.NextCursor == "" {
				break
			}
			q.Set("cursor", page.NextCursor)
		}
		if !strings.HasPrefix(got, want) || len(got) != 7 {
			t.Errorf("modules by %s = %s, want %s…", sort, got, want)
		}
	}
	for _, cursor := range []string{"x", "1", "-1 a b", "9999999999999999999999 example.com/m1", "1 \x00"} {
		r.want(422, "GET", "/api/v1/modules?cursor="+url.QueryEscape(cursor), nil, dev)
	}
	const m0 = "/api/v1/modules/served/example.com%2Fm0"
	page := decode[web.ServedVersions](t, r.want(200, "GET", m0+"/versions?limit=2", nil, dev))
	if len(page.Items) != 2 || page.Items[0].Version != "v1.10.0" || page.Items[0].Sum != "h1:x=" || page.NextCursor != "v1.2.0" {
		t.Errorf("versions = %+v, want v1.10.0, v1.2.0 and a cursor", page)
	}
	page = decode[web.ServedVersions](t, r.want(200, "GET", m0+"/versions?limit=2&cursor="+page.NextCursor, nil, dev))
	if len(page.Items) != 2 || page.Items[1].Version != "v0.1.0" || page.NextCursor != "" {
		t.Errorf("versions behind v1.2.0 = %+v, want v1.0.0, v0.1.0", page)
	}
	days := decode[struct{ Items []web.ServedDay }](t, r.want(200, "GET", m0+"/days?days=7", nil, dev))
	if len(days.Items) != 2 || days.Items[0].Downloads != 3 {
		t.Errorf("days = %+v, want 3 downloads yesterday", days)
	}
	if sum := decode[web.ServedTotal](t, r.want(200, "GET", "/api/v1/modules/totals", nil, dev)); sum.Modules != 7 || sum.Versions != 10 {
		t.Errorf("totals = %+v, want 7 modules, 10 versions", sum)
	}
	for _, name := range []string{"none.example%2Fx", "..", "%00", "a%20b"} {
		for _, what := range []string{"", "/versions", "/days"} {
			r.want(404, "GET", "/api/v1/modules/served/"+name+what, nil, dev)
		}
	}
}

func TestModulePolicy(t *testing.T) {
	r := newRig(t, withModules(t))
	admin, dev := r.admin(), r.dev()
	added := decode[web.ModuleRule](t, r.want(201, "POST", "/api/v1/modules/rules", `{"action":"deny","pattern":"example.com/*","versions":">=v2.0.0","reason":"broken"}`, admin))
	if added.ID == 0 || added.By != "admin" || added.At.IsZero() {
		t.Errorf("added rule = %+v, want an id, who and when", added)
	}
	r.want(201, "POST", "/api/v1/modules/rules", `{"action":"age","pattern":"*","age_s":604800,"before":-1}`, admin)
	for _, bad := range []string{
		`{"action":"deny","pattern":"a b"}`, `{"action":"deny","pattern":""}`, `{"action":"mode","pattern":"x.example"}`, `{"action":"deny","pattern":"x","versions":"<1"}`,
		`{"action":"forbid","pattern":"x"}`, `{"action":"deny","pattern":"x","reason":"a\nb"}`, `{"action":"deny","pattern":"x","id":5}`,
	} {
		r.want(422, "POST", "/api/v1/modules/rules", bad, admin)
	}
	r.want(404, "POST", "/api/v1/modules/rules", `{"action":"deny","pattern":"x.example","before":987654}`, admin)
	list := decode[struct{ Items []web.ModuleRule }](t, r.want(200, "GET", "/api/v1/modules/rules", nil, admin))
	if len(list.Items) != 2 || list.Items[0].AgeS != 604800 || list.Items[1] != added {
		t.Errorf("rules = %+v, want the age, then %+v", list.Items, added)
	}
	// At once, for everybody.
	v := decode[web.ModuleVerdict](t, r.want(200, "GET", "/api/v1/modules/explain?module=example.com/lib&version=v2.1.0", nil, dev))
	if v.Outcome != mirror.ModuleMissing || len(v.Steps) == 0 { // there is nothing to refuse: nobody has it
		t.Errorf("explain = %+v, want it missing", v)
	}
	r.want(422, "GET", "/api/v1/modules/explain?module=-", nil, dev)
	r.want(422, "GET", "/api/v1/modules/explain", nil, dev)
	r.want(204, "DELETE", fmt.Sprintf("/api/v1/modules/rules/%d", added.ID), nil, admin)
	r.want(404, "DELETE", fmt.Sprintf("/api/v1/modules/rules/%d", added.ID), nil, admin)

	r.want(204, "POST", "/api/v1/modules/pins", `{"module":"example.com/lib","version":"v1.0.0","for_s":3600,"reason":"shipped"}`, admin)
	r.want(204, "POST", "/api/v1/modules/pins", `{"module":"example.com/lib"}`, admin)
	r.want(422, "POST", "/api/v1/modules/pins", `{"module":"example.com/lib","version":"main"}`, admin)
	pins := decode[web.ModulePins](t, r.want(200, "GET", "/api/v1/modules/pins?limit=1", nil, admin))
	if len(pins.Items) != 1 || pins.Items[0].Version != "" || pins.Items[0].By != "admin" || pins.NextCursor == "" {
		t.Errorf("pins = %+v, want the one of all versions and a cursor", pins)
	}
	pins = decode[web.ModulePins](t, r.want(200, "GET", "/api/v1/modules/pins?module=example.com/lib&cursor="+url.QueryEscape(pins.NextCursor), nil, admin))
	if len(pins.Items) != 1 || pins.Items[0].Version != "v1.0.0" || pins.Items[0].Until.IsZero() {
		t.Errorf("pins = %+v, want v1.0.0 for a time", pins)
	}
	r.want(204, "DELETE", "/api/v1/modules/pins/example.com%2Flib?version=v1.0.0", nil, admin)
	r.want(404, "DELETE", "/api/v1/modules/pins/example.com%2Flib?version=v1.0.0", nil, admin)
	r.want(204, "DELETE", "/api/v1/modules/pins/example.com%2Flib", nil, admin)

	event := mirror.ModuleEvent{At: time.Now().UTC(), Kind: mirror.ModuleForged, Module: "example.com/lib", Version: "v1.0.0", From: "https://proxy.test", Text: "not what it was"}
	if err := r.db.AddModuleRefusals(t.Context(), []mirror.ModuleRefusal{{ModuleEvent: event, Times: 3}}); err != nil {
		t.Fatal(err)
	}
	unseen := decode[web.ModuleRefusals](t, r.want(200, "GET", "/api/v1/modules/refusals?unseen=true&limit=1", nil, admin))
	if len(unseen.Items) != 1 || unseen.Items[0].Times != 3 || unseen.NextCursor == "" {
		t.Fatalf("refusals = %+v, want one of three times and a cursor", unseen)
	}
	if more := decode[web.ModuleRefusals](t, r.want(200, "GET", "/api/v1/modules/refusals?cursor="+unseen.NextCursor, nil, admin)); len(more.Items) != 0 {
		t.Errorf("refusals behind the last = %+v, want none", more)
	}
	seen := decode[web.ModuleRefusal](t, r.want(200, "POST", fmt.Sprintf("/api/v1/modules/refusals/%d/seen", unseen.Items[0].ID), nil, admin))
	if seen.SeenBy != "admin" || seen.SeenAt.IsZero() {
		t.Errorf("seen refusal = %+v, want who and when", seen)
	}
	r.want(404, "POST", "/api/v1/modules/refusals/987654/seen", nil, admin)
	for _, cursor := range []string{"x", "1", "-", "1-x"} {
		r.want(422, "GET", "/api/v1/modules/refusals?cursor="+cursor, nil, admin)
	}
}
