package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/internal/oidctest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
	"github.com/gitmirror/gitmirror/web"
)

// walkRig is a rig in which every operation of the API can succeed.
func walkRig(t *testing.T) (*rig, *oidctest.Issuer) {
	t.Helper()
	issuer := oidctest.Start(t)
	r := newRig(t, withModules(t), func(s *web.Server) {
		s.CI = &auth.CI{Accounts: s.Accounts}
		s.Modules = &modproxy.Repos{Catalog: s.Catalog, Reader: s.Reader, Site: s.Site, Temp: t.TempDir()}
		s.Catalog.Owners = &mirror.Owners{Catalog: s.Catalog, Lister: s.Reader.(mirror.OwnerLister)}
	})
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `[{"id":1,"full_name":"acme/one","clone_url":"https://git.walk.example/acme/one"}]`)
	}))
	t.Cleanup(host.Close)
	r.api["git.walk.example"] = host.URL
	r.runSyncer()
	return r, issuer
}

// TestEveryOperation has each operation of the document succeed, and refuse. That
// the answers are as the document says is checked where they are read: see
// contract.
func TestEveryOperation(t *testing.T) {
	r, issuer := walkRig(t)
	admin := r.admin()
	ok := func(method, path string, body any) reply {
		t.Helper()
		got := r.call(method, "/api/v1"+path, body, admin)
		if got.Status >= 300 {
			t.Errorf("%s %s = %d, want it done; body %.400s", method, path, got.Status, got.Body)
		}
		return got
	}
	r.walkMirrors(ok)
	r.walkPeople(ok, issuer)
	r.walkRest(ok)

	// A refusal of each: to nobody, or for what is not there or not right.
	for path, item := range r.contract().paths {
		at := strings.NewReplacer("{approval}", "987654", "{rule}", "987654", "{refusal}", "987654").Replace(path)
		for strings.Contains(at, "{") {
			i, j := strings.Index(at, "{"), strings.Index(at, "}")
			at = at[:i] + "none" + at[j+1:]
		}
		for method := range item {
			r.call(strings.ToUpper(method), "/api/v1"+at+"?nonsense=1", nil)
			r.call(strings.ToUpper(method), "/api/v1"+at+"?nonsense=1", nil, admin)
			if method != "get" {
				r.call(strings.ToUpper(method), "/api/v1"+at, `{"nonsense":1}`, admin)
			}
		}
	}
	c := r.contract()
	for path, item := range c.paths {
		for method := range item {
			name := strings.ToUpper(method) + " " + path
			var good, bad bool
			for status := range c.seen[name] {
				good, bad = good || status < 300, bad || status >= 400
			}
			if !good && name != "GET /events" || !bad { // the stream has tests of its own
				t.Errorf("%s was answered with %v, want a success and a refusal", name, c.seen[name])
			}
		}
	}
}

// call is an operation that has to succeed.
type walkCall func(method, path string, body any) reply

// walkMirrors goes through what is about mirrors, their hosts and their refs.
func (r *rig) walkMirrors(ok walkCall) {
	t := r.t
	up := gittest.NewUpstream(t)
	const path = "git.walk.example/acme/tool"
	up.Commit(t, path, map[string]string{"go.mod": "module git.walk.example/acme/tool\n"}, "v1.0.0")
	second := up.Commit(t, path, map[string]string{"a": "2"})
	up.CommitTo(t, path, "topic", map[string]string{"a": "3"})
	ok("POST", "/mirrors/preview", `{"mirrors":[{"path_or_url":"github.com/acme/tool"},{"path_or_url":"no such"}]}`)
	ok("POST", "/mirrors", web.NewMirror{PathOrURL: path, Upstream: up.URL(path)})
	ok("POST", "/mirrors", `{"mirrors":[{"path_or_url":"github.com/acme/other"},{"path_or_url":"no such"}]}`)
	const m = "/mirrors/git.walk.example%2Facme%2Ftool"
	ok("POST", m+"/sync?wait_s=60", nil)
	up.MoveTag(t, path, "v1.0.0", second)
	up.DeleteRef(t, path, "refs/heads/topic")
	ok("POST", m+"/sync?wait_s=60", nil)
	ok("POST", m+"/sync", nil)
	for _, at := range []string{m, "/mirrors", "/mirrors?limit=1", m + "/runs", m + "/refs", m + "/sizes", m + "/modules", m + "/compare?old=v1.0.0&new=refs%2Fgitmirror%2Fheld%2Ftags%2Fv1.0.0", m + "/log", m + "/kept", m + "/upkeep", "/approvals", "/upstreams", "/upstreams/127.0.0.1", "/status", "/site", "/traffic", "/alerts"} {
		ok("GET", at, nil)
	}
	open := decode[web.Approvals](t, ok("GET", "/approvals?state=open", nil))
	if len(open.Items) != 1 {
		t.Fatalf("approvals = %+v, want that of the tag", open)
	}
	approval := fmt.Sprintf("/approvals/%d", open.Items[0].ID)
	ok("GET", approval, nil)
	ok("POST", approval, `{"decision":"keep","reason":"a release"}`)
	ok("PATCH", m, `{"interval_s":600,"refs":{"exclude":["refs/heads/bot/**"]}}`)
	ok("POST", m+"/rename", `{"path":"git.walk.example/acme/renamed"}`)
	ok("POST", m+"/rename", `{"path":"git.walk.example/acme/tool","no_alias":true}`)
	ok("POST", m+"/upkeep", `{"job":"check"}`)
	ok("POST", m+"/cancel", nil)
	ok("PATCH", m, `{"paused":false}`)
	ok("POST", m+"/kept/restore", `{"ref":"topic"}`)
	ok("DELETE", m+"/kept?ref=refs/heads/restored/topic", nil)

	ok("PUT", "/upstreams/git.walk.example", `{"endpoints":[{"name":"direct"},{"name":"away","url":"http://127.0.0.1:1"}]}`)
	ok("POST", "/upstreams/git.walk.example/use", `{"endpoint":"away","for_s":60}`)
	ok("POST", "/upstreams/127.0.0.1/probe", nil)
	for _, at := range []string{"", "/samples", "/events"} {
		ok("GET", "/upstreams/git.walk.example"+at, nil)
	}
	ok("DELETE", "/upstreams/git.walk.example", nil)

	ok("POST", "/credentials", `{"name":"acme","host":"git.walk.example","user":"bot","secret":"s3cret"}`)
	ok("POST", "/aliases", `{"prefix":"go.walk.example/tool","repo":"git.walk.example/acme/tool"}`)
	ok("POST", "/rules", `{"pattern":"git.walk.example/acme/*","credential":"acme"}`)
	ok("POST", "/rules/preview", `{"pattern":"git.walk.example/acme/*","discover":{"forks":true}}`)
	ok("PATCH", "/rules/git.walk.example%2Facme%2F*", `{"discover":{"exclude":["legacy-*"]}}`)
	for _, at := range []string{"/credentials", "/aliases", "/rules"} {
		ok("GET", at, nil)
	}
	ok("DELETE", "/rules/git.walk.example%2Facme%2F*", nil)
	ok("DELETE", "/aliases/go.walk.example%2Ftool", nil)
	ok("DELETE", "/credentials/acme", nil)

	ok("POST", "/modules/resolve", `{"modules":[{"path":"git.walk.example/acme/tool","version":"v1.0.0"},{"path":"none.example/x","version":"v1.0.0"}]}`)
	ok("POST", "/modules/locate", `{"modules":["git.walk.example/acme/tool","none.example/x"]}`)
	ok("DELETE", m, nil)
}

// walkPeople goes through users, what they sign in with, groups and trusts.
func (r *rig) walkPeople(ok walkCall, issuer *oidctest.Issuer) {
	t := r.t
	ada := decode[web.User](t, ok("POST", "/users", `{"name":"ada","role":"developer","password":"a long enough password"}`))
	at := "/users/" + ada.ID
	ok("PATCH", at, `{"disabled":true}`)
	ok("PATCH", at, `{"disabled":false}`)
	key := decode[web.Key](t, ok("POST", at+"/keys", web.NewKey{PublicKey: publicKey}))
	token := decode[web.CreatedToken](t, ok("POST", at+"/tokens", `{"name":"laptop","scope":"admin","expires_s":3600}`))
	r.browser("ada", "a long enough password")
	sessions := decode[struct{ Items []web.Session }](t, ok("GET", at+"/sessions", nil))
	if len(sessions.Items) != 1 {
		t.Fatalf("sessions = %+v, want one", sessions)
	}
	for _, what := range []string{"", "/keys", "/tokens", "/sessions", "/second-factor"} {
		ok("GET", at+what, nil)
	}
	ok("GET", "/users", nil)
	ok("GET", "/whoami", nil)
	ok("POST", "/tokens", `{"name":"mine"}`)
	ok("DELETE", at+"/sessions/"+sessions.Items[0].ID, nil)
	ok("DELETE", at+"/sessions", nil)
	mine := bearer(token.Secret)
	enrolled := decode[web.Enrolment](t, r.want(201, "POST", "/api/v1/second-factor", nil, mine))
	code, err := totp.GenerateCode(enrolled.Secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r.want(200, "POST", "/api/v1/second-factor/confirm", web.FactorCode{Code: code}, mine)
	ok("POST", at+"/second-factor/remove", `{}`)
	ok("DELETE", at+"/keys/"+key.ID, nil)
	ok("DELETE", at+"/tokens/"+token.ID, nil)

	ok("POST", "/groups", `{"name":"team"}`)
	ok("PUT", "/groups/team/members/ada", nil)
	ok("POST", "/groups/team/grants", `{"pattern":"github.com/acme/*"}`)
	ok("GET", "/groups", nil)
	ok("DELETE", "/groups/team/grants/github.com%2Facme%2F*", nil)
	ok("DELETE", "/groups/team/members/ada", nil)
	ok("DELETE", "/groups/team", nil)
	ok("DELETE", at, nil)

	ok("POST", "/trusts", web.NewTrust{Name: "ci", Issuer: issuer.URL, Audience: "mirror", Claims: map[string]string{"repository": "acme/app"}, User: "robot", Scope: "read"})
	ok("GET", "/trusts", nil)
	ok("POST", "/auth/ci", web.IdentityToken{Token: issuer.Sign(map[string]any{"aud": "mirror", "repository": "acme/app", "sub": "x"})})
	ok("DELETE", "/trusts/ci", nil)
}

// walkRest goes through modules, alerts and the audit trail.
func (r *rig) walkRest(ok walkCall) {
	t, at := r.t, time.Now().UTC().Truncate(time.Second)
	if err := r.db.AddModuleUse(t.Context(), []mirror.ModuleUse{{Module: "example.com/m", Version: "v1.0.0", Requests: 1, Downloads: 1, Bytes: 10, At: at}}); err != nil {
		t.Fatal(err)
	}
	refused := mirror.ModuleRefusal{ModuleEvent: mirror.ModuleEvent{At: at, Kind: mirror.ModuleForged, Module: "example.com/m", Version: "v1.0.0", Text: "forged"}, First: at, Times: 1}
	if err := r.db.AddModuleRefusals(t.Context(), []mirror.ModuleRefusal{refused}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "/totals", "/served/example.com%2Fm", "/served/example.com%2Fm/versions", "/served/example.com%2Fm/days", "/cache", "/refusals", "/explain?module=example.com/m&version=v1.0.0"} {
		ok("GET", "/modules"+path, nil)
	}
	list := decode[web.ModuleRefusals](t, ok("GET", "/modules/refusals", nil))
	if len(list.Items) != 1 {
		t.Fatalf("refusals = %+v, want one", list)
	}
	ok("POST", fmt.Sprintf("/modules/refusals/%d/seen", list.Items[0].ID), nil)
	ok("POST", "/modules/cache/trim/preview", `{"bytes":0}`)
	ok("POST", "/modules/cache/trim", `{"bytes":0}`)
	ok("POST", "/modules/cache/warm", `{"modules":[{"path":"example.com/m","version":"v1.0.0"}]}`)
	warming := decode[web.ModuleWarming](t, ok("POST", "/modules/cache/warmings", `{"modules":[{"path":"example.com/m","version":"v1.0.0"}]}`))
	ok("GET", "/modules/cache/warmings", nil)
	ok("GET", "/modules/cache/warmings/"+warming.ID, nil)
	ok("POST", "/modules/cache/warmings/"+warming.ID+"/cancel", nil)
	rule := decode[web.ModuleRule](t, ok("POST", "/modules/rules", `{"action":"deny","pattern":"example.com/bad","reason":"broken"}`))
	ok("GET", "/modules/rules", nil)
	ok("DELETE", fmt.Sprintf("/modules/rules/%d", rule.ID), nil)
	if _, err := r.db.FirstModuleSum(t.Context(), mirror.SeenSum{Module: "example.com/m", Version: "v1.0.0", Kind: "zip", Sum: "h1:x", At: at}); err != nil {
		t.Fatal(err)
	}
	ok("POST", "/modules/accept", `{"module":"example.com/m","version":"v1.0.0"}`)
	ok("POST", "/modules/pins", `{"module":"example.com/m","for_s":3600,"reason":"a release"}`)
	ok("GET", "/modules/pins", nil)
	ok("DELETE", "/modules/pins/example.com%2Fm", nil)

	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	ok("PUT", "/alerts/channels/ops", web.PutAlertChannel{Kind: "webhook", URL: receiver.URL})
	ok("PUT", "/alerts/rules/late", `{"kind":"late","channels":["ops"]}`)
	ok("POST", "/alerts/channels/ops/test", nil)
	for _, path := range []string{"/alerts", "/alerts/rules", "/alerts/channels", "/alerts/messages", "/audit", "/audit/verify", "/audit/export", "/audit/export?format=csv"} {
		ok("GET", path, nil)
	}
	ok("DELETE", "/alerts/rules/late", nil)
	ok("DELETE", "/alerts/channels/ops", nil)
}
