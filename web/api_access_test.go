package web_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
)

// who is a caller of the access matrix, in the order of its columns.
var who = []string{"anonymous", "developer", "robot read", "robot write", "admin read", "admin", "disabled", "expired"}

// Expectations of a row: a letter per column of who. "y" = let in, "n" = 403,
// "s" = 401, "h" = hidden, 404 although it exists.
var access = map[string]string{
	"GET /api/openapi.json": "yyyyyy--",
	"GET /api/docs":         "yyyyyy--",
	"GET /api/v1/site":      "yyyyyyss",
	"GET /api/v1/status":    "syyyyyss",
	"GET /api/v1/whoami":    "syyyyyss",
	"GET /api/v1/events":    "syyyyyss",
	"GET /api/v1/traffic":   "syyyyyss",

	"GET /api/v1/mirrors":                 "syyyyyss",
	"POST /api/v1/mirrors":                "snnynyss",
	"POST /api/v1/mirrors/preview":        "snnynyss",
	"GET /api/v1/mirrors/:mirror":         "syyyyyss",
	"PATCH /api/v1/mirrors/:mirror":       "snnynyss",
	"POST /api/v1/mirrors/:mirror/rename": "snnynyss",
	"DELETE /api/v1/mirrors/:mirror":      "snnynyss",
	"POST /api/v1/mirrors/:mirror/sync":   "syyyyyss",
	"POST /api/v1/mirrors/:mirror/cancel": "snnynyss",
	"GET /api/v1/mirrors/:mirror/runs":    "syyyyyss",
	"GET /api/v1/mirrors/:mirror/refs":    "syyyyyss",
	"GET /api/v1/mirrors/:mirror/modules": "syyyyyss",
	"GET /api/v1/mirrors/:mirror/sizes":   "syyyyyss",
	"GET /api/v1/mirrors/:mirror/compare": "syyyyyss",
	"GET /api/v1/mirrors/:mirror/log":     "syyyyyss",

	"GET /api/v1/mirrors/:mirror/upkeep":  "syyyyyss",
	"POST /api/v1/mirrors/:mirror/upkeep": "snnynyss",

	"GET /api/v1/upstreams":               "syyyyyss",
	"GET /api/v1/upstreams/:host":         "syyyyyss",
	"PUT /api/v1/upstreams/:host":         "snnynyss",
	"DELETE /api/v1/upstreams/:host":      "snnynyss",
	"POST /api/v1/upstreams/:host/use":    "snnynyss",
	"POST /api/v1/upstreams/:host/probe":  "snnynyss",
	"GET /api/v1/upstreams/:host/samples": "syyyyyss",
	"GET /api/v1/upstreams/:host/events":  "syyyyyss",

	"GET /api/v1/approvals":            "syyyyyss",
	"GET /api/v1/approvals/:approval":  "syyyyyss",
	"POST /api/v1/approvals/:approval": "snnynyss",

	"GET /api/v1/mirrors/:mirror/kept":          "syyyyyss",
	"POST /api/v1/mirrors/:mirror/kept/restore": "snnynyss",
	"DELETE /api/v1/mirrors/:mirror/kept":       "snnynyss",

	"GET /api/v1/aliases":              "syyyyyss",
	"POST /api/v1/aliases":             "snnynyss",
	"DELETE /api/v1/aliases/:prefix":   "snnynyss",
	"GET /api/v1/rules":                "syyyyyss",
	"POST /api/v1/rules":               "snnynyss",
	"POST /api/v1/rules/preview":       "snnynyss",
	"PATCH /api/v1/rules/:pattern":     "snnynyss",
	"DELETE /api/v1/rules/:pattern":    "snnynyss",
	"GET /api/v1/credentials":          "snnynyss",
	"POST /api/v1/credentials":         "snnnnyss",
	"DELETE /api/v1/credentials/:name": "snnnnyss",

	"POST /api/v1/modules/resolve": "syyyyyss",
	"POST /api/v1/modules/locate":  "syyyyyss",

	"GET /api/v1/modules/cache":               "syyyyyss",
	"POST /api/v1/modules/cache/trim":         "snnynyss",
	"POST /api/v1/modules/cache/trim/preview": "snnynyss",
	"POST /api/v1/modules/cache/warm":         "syyyyyss",
	"GET /api/v1/modules/refusals":            "snnynyss",
	"POST /api/v1/modules/accept":             "snnynyss",

	"POST /api/v1/modules/cache/warmings":                 "syyyyyss",
	"GET /api/v1/modules/cache/warmings":                  "syyyyyss",
	"GET /api/v1/modules/cache/warmings/:warming":         "syyyyyss",
	"POST /api/v1/modules/cache/warmings/:warming/cancel": "syyyyyss",

	"GET /api/v1/alerts":                      "syyyyyss",
	"GET /api/v1/alerts/rules":                "snnnnyss",
	"PUT /api/v1/alerts/rules/:name":          "snnnnyss",
	"DELETE /api/v1/alerts/rules/:name":       "snnnnyss",
	"GET /api/v1/alerts/channels":             "snnnnyss",
	"PUT /api/v1/alerts/channels/:name":       "snnnnyss",
	"DELETE /api/v1/alerts/channels/:name":    "snnnnyss",
	"POST /api/v1/alerts/channels/:name/test": "snnnnyss",
	"GET /api/v1/alerts/messages":             "snnnnyss",

	"POST /api/v1/modules/refusals/:refusal/seen": "snnynyss",

	"GET /api/v1/modules":                         "syyyyyss",
	"GET /api/v1/modules/totals":                  "syyyyyss",
	"GET /api/v1/modules/served/:module":          "syyyyyss",
	"GET /api/v1/modules/served/:module/versions": "syyyyyss",
	"GET /api/v1/modules/served/:module/days":     "syyyyyss",
	"GET /api/v1/modules/explain":                 "syyyyyss",
	"GET /api/v1/modules/rules":                   "snnynyss",
	"POST /api/v1/modules/rules":                  "snnynyss",
	"DELETE /api/v1/modules/rules/:rule":          "snnynyss",
	"GET /api/v1/modules/pins":                    "snnynyss",
	"POST /api/v1/modules/pins":                   "snnynyss",
	"DELETE /api/v1/modules/pins/:module":         "snnynyss",

	"GET /api/v1/audit":        "snnnnyss",
	"GET /api/v1/audit/export": "snnnnyss",
	"GET /api/v1/audit/verify": "snnnnyss",

	"GET /api/v1/users":          "snnnnyss",
	"POST /api/v1/users":         "snnnnyss",
	"GET /api/v1/users/:user":    "shhhhyss",
	"PATCH /api/v1/users/:user":  "shhhhyss",
	"DELETE /api/v1/users/:user": "snnnnyss",

	"GET /api/v1/users/:user/keys":                  "shhhhyss",
	"POST /api/v1/users/:user/keys":                 "shhhhyss",
	"DELETE /api/v1/users/:user/keys/:key":          "shhhhyss",
	"GET /api/v1/users/:user/tokens":                "shhhhyss",
	"POST /api/v1/users/:user/tokens":               "shhhhyss",
	"DELETE /api/v1/users/:user/tokens/:token":      "shhhhyss",
	"GET /api/v1/users/:user/sessions":              "shhhhyss",
	"DELETE /api/v1/users/:user/sessions":           "shhhhyss",
	"DELETE /api/v1/users/:user/sessions/:session":  "shhhhyss",
	"GET /api/v1/users/:user/second-factor":         "shhhhyss",
	"POST /api/v1/users/:user/second-factor/remove": "shhhhyss",
	"POST /api/v1/second-factor":                    "synnnyss",
	"POST /api/v1/second-factor/confirm":            "synnnyss",
	"GET /api/v1/groups":                            "snnnnyss",
	"POST /api/v1/groups":                           "snnnnyss",
	"DELETE /api/v1/groups/:group":                  "snnnnyss",
	"PUT /api/v1/groups/:group/members/:user":       "snnnnyss",
	"DELETE /api/v1/groups/:group/members/:user":    "snnnnyss",
	"POST /api/v1/groups/:group/grants":             "snnnnyss",
	"DELETE /api/v1/groups/:group/grants/:pattern":  "snnnnyss",
	"GET /api/v1/trusts":                            "snnnnyss",
	"POST /api/v1/trusts":                           "snnnnyss",
	"DELETE /api/v1/trusts/:trust":                  "snnnnyss",
	"POST /api/v1/auth/ci":                          "yyyyyyss",
	// For oneself: not by a robot, and not by a token that is for less.
	"POST /api/v1/tokens": "synnnyss",
}

// bodies are good requests, so that only access can refuse them.
var bodies = map[string]string{
	"POST /api/v1/mirrors":                `{"path_or_url":"github.com/acme/%s"}`,
	"POST /api/v1/mirrors/preview":        `{"mirrors":[{"path_or_url":"github.com/acme/%s"}]}`,
	"PATCH /api/v1/mirrors/:mirror":       `{"private":true}`,
	"POST /api/v1/mirrors/:mirror/rename": `{"path":"github.com/acme/renamed-%s"}`,
	"POST /api/v1/mirrors/:mirror/upkeep": `{"job":"check"}`,

	"POST /api/v1/aliases":                    `{"prefix":"go.acme.example/%s","repo":"github.com/acme/kept"}`,
	"POST /api/v1/rules":                      `{"pattern":"github.com/%s/*"}`,
	"POST /api/v1/rules/preview":              `{"pattern":"github.com/%s/*"}`,
	"PATCH /api/v1/rules/:pattern":            `{}`,
	"POST /api/v1/credentials":                `{"name":"c-%s","host":"github.com","secret":"s"}`,
	"POST /api/v1/modules/resolve":            `{"modules":[{"path":"github.com/acme/kept","version":"v1.0.0"}]}`,
	"POST /api/v1/modules/locate":             `{"modules":["github.com/acme/kept"]}`,
	"POST /api/v1/modules/cache/trim":         `{"bytes":0}`,
	"POST /api/v1/modules/cache/trim/preview": `{"bytes":0}`,
	"POST /api/v1/modules/cache/warm":         `{"modules":[{"path":"github.com/acme/kept","version":"v1.0.0"}]}`,
	"POST /api/v1/modules/accept":             `{"module":"example.com/%s","version":"v1.0.0"}`,

	"POST /api/v1/modules/cache/warmings": `{"modules":[{"path":"github.com/acme/kept","version":"v1.0.0"}]}`,

	"POST /api/v1/modules/rules":      `{"action":"deny","pattern":"%s.example"}`,
	"POST /api/v1/modules/pins":       `{"module":"example.com/%s"}`,
	"POST /api/v1/users":              `{"name":"new-%s","role":"developer"}`,
	"PATCH /api/v1/users/:user":       `{"disabled":false}`,
	"POST /api/v1/users/:user/keys":   `{"public_key":"not a key"}`,
	"POST /api/v1/users/:user/tokens": `{"name":"t"}`,
	"POST /api/v1/tokens":             `{"name":"t"}`,

	"POST /api/v1/second-factor/confirm":            `{"code":"000000"}`,
	"POST /api/v1/users/:user/second-factor/remove": `{}`,
	"POST /api/v1/groups":                           `{"name":"g-%s"}`,
	"POST /api/v1/groups/:group/grants":             `{"pattern":"github.com/acme/*"}`,
	"POST /api/v1/trusts":                           `{"name":"t-%s","issuer":"https://ci.example","claims":{"repository":"acme/app"},"user":"robot"}`,
	"POST /api/v1/auth/ci":                          `{"token":"a.b.c"}`,

	"PUT /api/v1/upstreams/:host":      `{"endpoints":[{"name":"direct"}]}`,
	"POST /api/v1/upstreams/:host/use": `{"endpoint":""}`,

	"PUT /api/v1/alerts/rules/:name":    `{"kind":"disk"}`,
	"PUT /api/v1/alerts/channels/:name": `{"kind":"slack","url":"http://127.0.0.1:1/x"}`,

	"POST /api/v1/approvals/:approval":          `{"decision":"keep"}`,
	"POST /api/v1/mirrors/:mirror/kept/restore": `{"ref":"main"}`,
}

// TestAccess walks every route of the API with every kind of caller. A route
// that the table does not list fails it.
func TestAccess(t *testing.T) {
	r := newRig(t)
	for name, role := range map[string]auth.Role{"gone": auth.Admin, "victim": auth.Developer} {
		r.addUser(name, role, apiAdminPassword)
	}
	callers := map[string][]option{
		"anonymous":   nil,
		"developer":   {r.dev()},
		"robot read":  {bearer(r.token("robot", auth.ScopeRead))},
		"robot write": {bearer(r.token("robot", auth.ScopeWrite))},
		"admin read":  {bearer(r.token("admin", auth.ScopeRead))},
		"admin":       {r.admin()},
		"disabled":    {bearer(r.token("gone", auth.ScopeAdmin))},
		"expired":     {bearer(r.expiredToken("admin"))},
	}
	if err := r.accounts.Disable(t.Context(), r.user("gone").ID, true); err != nil {
		t.Fatal(err)
	}
	routes, err := r.server.Routes()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, route := range routes {
		if !strings.Contains(route, " /api/") {
			continue // the pages have a table of their own
		}
		seen[route] = true
		row, ok := access[route]
		if !ok || len(row) != len(who) {
			t.Errorf("%s has no row in the table of access", route)
			continue
		}
		for i, caller := range who {
			r.checkAccess(route, caller, row[i], i, callers[caller])
		}
	}
	for route := range access {
		if !seen[route] {
			t.Errorf("%s is in the table of access and not a route", route)
		}
	}
}

func (r *rig) checkAccess(route, caller string, want byte, n int, opts []option) {
	r.t.Helper()
	if want == '-' {
		return
	}
	unique := fmt.Sprintf("x%d%s", n, strings.ReplaceAll(caller, " ", "-"))
	// Each call may use up what it is about.
	kept, err := r.ensureMirror("github.com/acme/kept")
	if err != nil {
		r.t.Fatal(err)
	}
	method, path, _ := strings.Cut(route, " ")
	path = strings.NewReplacer(":mirror", kept, ":user", r.victim(), ":key", "none", ":token", "none",
		":prefix", "none.example%2Fx", ":pattern", "none.example%2F*", ":name", "none", ":host", "git.none.example", ":group", "none", ":trust", "none", ":session", "none",
		":module", "none.example%2Fx", ":rule", "987654", ":refusal", "987654").Replace(path)

	path = strings.NewReplacer(":mirror", kept, ":user", r.victim(), ":approval", "987654", ":key", "none", ":token", "none",
		":prefix", "none.example%2Fx", ":pattern", "none.example%2F*", ":name", "none").Replace(path)
	var body any
	if text, ok := bodies[route]; ok {
		if strings.Contains(text, "%s") {
			text = fmt.Sprintf(text, unique)
		}
		body = text
	}
	if route == "GET /api/v1/events" {
		path += "?mirror=none.example/none" // 404 once let in; the stream itself has its own tests
	}
	got := r.call(method, path, body, opts...)
	letIn := []int{200, 201, 202, 204, 404, 409, 422}
	ok := false
	switch want {
	case 'y':
		ok = slices.Contains(letIn, got.Status) && !strings.Contains(got.Body, "there is no user")
	case 'n':
		ok = got.Status == 403
	case 's':
		ok = got.Status == 401 && got.Header.Get("WWW-Authenticate") != ""
	case 'h':
		ok = got.Status == 404 && strings.Contains(got.Body, "there is no user")
	}
	if !ok {
		r.t.Errorf("%s as %s = %d, want %q; body %.300s", route, caller, got.Status, want, got.Body)
	}
}

func (r *rig) ensureMirror(path string) (id string, err error) {
	repo, _, err := r.catalog.Add(r.t.Context(), newMirror(path))
	return string(repo.ID), err
}

// victim is the id of a user other callers must not see; it comes back when an
// administrator has removed it.
func (r *rig) victim() string {
	u, err := r.accounts.UserByName(r.t.Context(), "victim")
	if err != nil {
		u = r.addUser("victim", auth.Developer, "")
	}
	return u.ID
}

func (r *rig) expiredToken(user string) string {
	r.t.Helper()
	_, secret, err := r.accounts.CreateToken(r.t.Context(), r.user(user).ID, "old", auth.ScopeAdmin, time.Nanosecond)
	if err != nil {
		r.t.Fatal(err)
	}
	return secret
}

// TestOwnAccount is what people may do with their own account and nobody else's.
func TestOwnAccount(t *testing.T) {
	r := newRig(t)
	dev, devUser, adminUser := r.dev(), r.user("dev").ID, r.user("admin").ID
	for _, me := range []string{"me", devUser} {
		r.want(200, "GET", "/api/v1/users/"+me, nil, dev)
		r.want(201, "POST", "/api/v1/users/"+me+"/tokens", `{"name":"laptop"}`, dev)
		r.want(200, "GET", "/api/v1/users/"+me+"/tokens", nil, dev)
		r.want(200, "GET", "/api/v1/users/"+me+"/keys", nil, dev)
	}
	// Raising oneself.
	r.want(403, "PATCH", "/api/v1/users/me", `{"role":"admin"}`, dev)
	// Somebody else's things, by their true ids.
	tokens := r.token("admin", auth.ScopeAdmin)
	list, err := r.accounts.Tokens(t.Context(), adminUser)
	if err != nil || len(list) == 0 {
		t.Fatalf("Tokens = %v, %v", list, err)
	}
	for _, path := range []string{
		"/api/v1/users/" + adminUser + "/tokens/" + list[0].ID,
		"/api/v1/users/me/tokens/" + list[0].ID,
		"/api/v1/users/" + devUser + "/tokens/" + list[0].ID,
		"/api/v1/users/-1/tokens/1", "/api/v1/users/1%20OR%201=1/tokens/1", "/api/v1/users/99999999999999999999/keys/x",
	} {
		r.want(404, "DELETE", path, nil, dev)
	}
	r.want(200, "GET", "/api/v1/whoami", nil, bearer(tokens))
	// A read token reads; it cannot make itself a successor, but may give itself up.
	read := r.token("dev", auth.ScopeRead)
	r.want(403, "POST", "/api/v1/users/me/tokens", `{"name":"more","scope":"admin"}`, bearer(read))
	r.want(403, "POST", "/api/v1/users/me/keys", `{"public_key":"ssh-ed25519 AAAA"}`, bearer(read))
	r.want(204, "DELETE", "/api/v1/users/me/tokens/current", nil, bearer(read))
	r.want(401, "GET", "/api/v1/whoami", nil, bearer(read))
}

// TestChangeOwnPassword wants the old one, and ends sessions.
func TestChangeOwnPassword(t *testing.T) {
	r := newRig(t)
	b := r.browser("dev", apiDevPassword)
	r.want(422, "PATCH", "/api/v1/users/me", `{"password":"another long password"}`, r.dev())
	r.want(422, "PATCH", "/api/v1/users/me", `{"password":"another long password","current_password":"wrong"}`, r.dev())
	if got := r.callWith(b, "GET", "/api/v1/whoami", nil); got.Status != 200 {
		t.Fatalf("whoami by session = %d, want 200; body %s", got.Status, got.Body)
	}
	r.want(200, "PATCH", "/api/v1/users/me", map[string]string{"password": "another long password", "current_password": apiDevPassword}, r.dev())
	if got := r.callWith(b, "GET", "/api/v1/whoami", nil); got.Status != 401 {
		t.Errorf("whoami by a session older than the password = %d, want 401", got.Status)
	}
	r.want(401, "GET", "/api/v1/whoami", nil, basic("dev", apiDevPassword))
	r.want(200, "GET", "/api/v1/whoami", nil, basic("dev", "another long password"))
}
