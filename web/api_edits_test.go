package web_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// furnished fills a rig with some of everything that can be edited or listed.
func (r *rig) furnished() (mirrorID string) {
	t, ctx := r.t, r.t.Context()
	admin := r.admin()
	id, err := r.ensureMirror("github.com/acme/one")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a", "b", "c"} {
		if _, err := r.ensureMirror("git" + name + ".example/acme/two"); err != nil {
			t.Fatal(err)
		}
		r.want(200, "PUT", "/api/v1/upstreams/git"+name+".example", `{"endpoints":[{"name":"direct"}],"bandwidth_bytes_s":10000}`, admin)
		r.want(201, "POST", "/api/v1/aliases", `{"prefix":"go.example/`+name+`","repo":"github.com/acme/one"}`, admin)
		r.want(201, "POST", "/api/v1/credentials", `{"name":"`+name+`","host":"github.com","secret":"s"}`, admin)
		r.want(201, "POST", "/api/v1/rules", `{"pattern":"github.com/`+name+`/*"}`, admin)
		r.want(201, "POST", "/api/v1/groups", `{"name":"`+name+`"}`, admin)
		r.want(204, "PUT", "/api/v1/groups/"+name+"/members/dev", nil, admin)
		r.want(201, "POST", "/api/v1/groups/"+name+"/grants", `{"pattern":"github.com/`+name+`/*"}`, admin)
		r.want(201, "POST", "/api/v1/trusts", web.NewTrust{Name: name, Issuer: "https://ci.example", Claims: map[string]string{"repository": "acme/" + name}, User: "robot", Scope: "read"}, admin)
		r.want(201, "POST", "/api/v1/modules/rules", `{"action":"deny","pattern":"example.com/`+name+`"}`, admin)
		r.want(204, "POST", "/api/v1/modules/pins", `{"module":"example.com/`+name+`"}`, admin)
		r.want(200, "PUT", "/api/v1/alerts/channels/"+name, `{"kind":"slack","url":"http://127.0.0.1:1/x"}`, admin)
		r.want(200, "PUT", "/api/v1/alerts/rules/"+name, `{"kind":"late","after_s":3600}`, admin)
		r.want(201, "POST", "/api/v1/users/"+r.user("dev").ID+"/tokens", `{"name":"`+name+`"}`, admin)
		at := time.Now().UTC().AddDate(0, 0, -i).Truncate(time.Second)
		if err := r.db.AddModuleUse(ctx, []mirror.ModuleUse{{Module: "example.com/m", Version: fmt.Sprintf("v1.%d.0", i), Requests: 1, At: at}, {Module: "example.com/" + name, Version: "v1.0.0", Requests: 1, At: at}}); err != nil {
			t.Fatal(err)
		}
		refused := mirror.ModuleRefusal{ModuleEvent: mirror.ModuleEvent{At: at, Kind: mirror.ModuleDenied, Module: "example.com/" + name, Text: "denied"}, First: at, Times: 1}
		if err := r.db.AddModuleRefusals(ctx, []mirror.ModuleRefusal{refused}); err != nil {
			t.Fatal(err)
		}
		r.browser("dev", apiDevPassword)
	}
	r.want(201, "POST", "/api/v1/users/"+r.user("dev").ID+"/keys", web.NewKey{PublicKey: publicKey}, admin)
	r.want(200, "GET", "/api/v1/upstreams", nil, admin) // the hosts of mirrors are known when somebody first asks
	return id
}

// TestHostileE14EveryEditIsGuarded walks the routes: whatever PUTs, PATCHes or DELETEs
// takes If-Match, and refuses what was seen before somebody else's edit, with the
// version there is. A new route without an address in the table fails it.
func TestHostileE14EveryEditIsGuarded(t *testing.T) {
	r := newRig(t, withModules(t))
	m, admin := r.furnished(), r.admin()
	dev := "/users/" + r.user("dev").ID
	first := func(path, field string) string {
		t.Helper()
		page := decode[struct{ Items []map[string]any }](t, r.want(200, "GET", "/api/v1"+path, nil, admin))
		return fmt.Sprint(page.Items[0][field])
	}
	at := map[string]string{ // of each edit, and what it sends
		"PATCH /mirrors/{mirror}":                  "/mirrors/" + m + ` {"paused":true}`,
		"DELETE /mirrors/{mirror}":                 "/mirrors/" + m,
		"DELETE /mirrors/{mirror}/kept":            "/mirrors/" + m + "/kept?ref=refs/heads/x",
		"PUT /upstreams/{host}":                    `/upstreams/gita.example {"endpoints":[{"name":"direct"}]}`,
		"DELETE /upstreams/{host}":                 "/upstreams/gita.example",
		"DELETE /aliases/{prefix}":                 "/aliases/go.example%2Fa",
		"PATCH /rules/{pattern}":                   `/rules/github.com%2Fa%2F* {"discover":{}}`,
		"DELETE /rules/{pattern}":                  "/rules/github.com%2Fa%2F*",
		"DELETE /credentials/{name}":               "/credentials/a",
		"PUT /alerts/rules/{name}":                 `/alerts/rules/a {"kind":"disk"}`,
		"DELETE /alerts/rules/{name}":              "/alerts/rules/a",
		"PUT /alerts/channels/{name}":              `/alerts/channels/a {"kind":"feishu"}`,
		"DELETE /alerts/channels/{name}":           "/alerts/channels/a",
		"DELETE /modules/rules/{rule}":             "/modules/rules/" + first("/modules/rules", "id"),
		"DELETE /modules/pins/{module}":            "/modules/pins/example.com%2Fa",
		"PATCH /users/{user}":                      dev + ` {"role":"admin"}`,
		"DELETE /users/{user}":                     dev,
		"DELETE /users/{user}/keys/{key}":          dev + "/keys/" + first(dev+"/keys", "id"),
		"DELETE /users/{user}/tokens/{token}":      dev + "/tokens/" + first(dev+"/tokens", "id"),
		"DELETE /users/{user}/sessions":            dev + "/sessions",
		"DELETE /users/{user}/sessions/{session}":  dev + "/sessions/" + first(dev+"/sessions", "id"),
		"DELETE /groups/{group}":                   "/groups/a",
		"PUT /groups/{group}/members/{user}":       "/groups/a/members/admin",
		"DELETE /groups/{group}/members/{user}":    "/groups/a/members/dev",
		"DELETE /groups/{group}/grants/{pattern}":  "/groups/a/grants/github.com%2Fa%2F*",
		"DELETE /trusts/{trust}":                   "/trusts/a",
		"POST /groups/{group}/grants (beside PUT)": `/groups/a/grants {"pattern":"github.com/x/*"}`,
		"POST /credentials (beside PUT)":           `/credentials {"name":"a","host":"gitlab.com","secret":"t"}`,
		"POST /mirrors/{mirror}/rename":            "/mirrors/" + m + `/rename {"path":"gita.example/new/name"}`,
		"POST /aliases (beside PUT)":               `/aliases {"prefix":"go.example/a","repo":"gita.example/acme/two"}`,
	}
	for path, item := range r.contract().paths {
		for method, op := range item {
			name := strings.ToUpper(method) + " " + path
			if method == "get" || method == "post" {
				continue
			}
			takes := slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.Name == "If-Match" && p.In == "header" })
			if _, says := op.Responses["412"]; !takes || !says {
				t.Errorf("%s takes If-Match = %t, answers with 412 = %t, want both", name, takes, says)
			}
			if at[name] == "" {
				t.Errorf("%s has no address in the table", name)
			}
		}
	}
	for name, what := range at {
		method, _, _ := strings.Cut(name, " ")
		path, body, has := strings.Cut(what, " ")
		var in any
		if has {
			in = body
		}
		got := r.call(method, "/api/v1"+path, in, admin, header("If-Match", `"99999"`))
		if got.Status != 412 || got.Header.Get("ETag") == "" || got.Header.Get("ETag") == `"99999"` {
			t.Errorf("%s with an old If-Match = %d, ETag %s, want 412 and the present one; %.300s", name, got.Status, got.Header.Get("ETag"), got.Body)
			continue
		}
		differ := got.problem(t).Differences
		if edit := strings.HasPrefix(name, "P") && has && !strings.Contains(name, "grants"); edit && len(differ) == 0 {
			t.Errorf("%s with an old If-Match names no differences: %s", name, got.Body)
		}
	}
	// Nothing of it was done, and with the version there is, all of it is.
	done := r.call("PATCH", "/api/v1/rules/github.com%2Fa%2F*", `{"discover":{"forks":true}}`, admin, header("If-Match", `"`+first("/rules", "version")+`"`))
	if done.Status != 200 || done.Header.Get("ETag") != `"`+first("/rules", "version")+`"` {
		t.Errorf("PATCH /rules with the present version = %d, ETag %s; %s", done.Status, done.Header.Get("ETag"), done.Body)
	}
	for _, path := range []string{"/rules/github.com%2Fa%2F*", "/aliases/go.example%2Fa", "/credentials/a", "/trusts/a", "/groups/a"} {
		list, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if got := r.call("DELETE", "/api/v1"+path, nil, admin, header("If-Match", `"`+first("/"+list, "version")+`"`)); got.Status != 204 {
			t.Errorf("DELETE %s with the present version = %d, want 204; %s", path, got.Status, got.Body)
		}
	}
}

// TestEditUserTogether: of many edits of what all have seen, one is done, whole,
// and the others are told.
func TestEditUserTogether(t *testing.T) {
	r := newRig(t)
	admin, dev := r.admin(), r.user("dev").ID
	got := r.together(12, func(i int) reply {
		role := []string{"admin", "robot", "developer"}[i%3]
		return r.call("PATCH", "/api/v1/users/"+dev, fmt.Sprintf(`{"role":%q,"disabled":true}`, role), admin, header("If-Match", `"1"`))
	})
	if got[200] != 1 || got[412] != 11 {
		t.Errorf("answers by status = %v, want one 200 and 11 times 412", got)
	}
	if u := decode[web.User](t, r.want(200, "GET", "/api/v1/users/"+dev, nil, admin)); u.Version != 2 || !u.Disabled {
		t.Errorf("user = %+v, want version 2, disabled", u)
	}
}

// TestHostileE14FormsCarryVersions: a form that was made of what somebody else has changed
// since is told so, and changes nothing.
func TestHostileE14FormsCarryVersions(t *testing.T) {
	r := newRig(t, withModules(t))
	r.furnished()
	b, dev := r.browser("admin", apiAdminPassword), r.user("dev").ID
	page := func(path string) string {
		t.Helper()
		got := r.callWith(b, "GET", path, nil, header("Accept", "text/html"))
		if got.Status != 200 {
			t.Fatalf("GET %s = %d", path, got.Status)
		}
		return got.Body
	}
	for path, forms := range map[string][]string{
		"/users": {"role", "password", "disable", "remove"}, "/rules": {"/rules/remove", "/rules/aliases/remove", "/rules/credentials/remove"},
		"/access": {"/grants/remove", "/grants", "/members/remove", "/members", "/remove"}, "/alerts?rule=a&channel=a": {"/alerts/rules", "/alerts/channels", "/alerts/rules/remove", "/alerts/channels/remove"},
		"/modules/rules": {"/modules/rules/remove"},
	} {
		body := page(path)
		for _, form := range forms {
			_, rest, ok := strings.Cut(body, form+`">`)
			if version, _, _ := strings.Cut(strings.TrimPrefix(rest, `<input type="hidden" name="version" value="`), `"`); !ok || len(version) == 0 || strings.HasPrefix(version, "<") {
				t.Errorf("%s: the form %s carries no version: %.80s", path, form, rest)
			}
		}
	}
	post := func(path string, form url.Values) reply {
		return r.callWith(b, "POST", path, form.Encode(), header("Content-Type", "application/x-www-form-urlencoded"), header("Accept", "text/html"))
	}
	admin := r.admin()
	r.want(200, "PUT", "/api/v1/alerts/rules/a", `{"kind":"late","after_s":7200}`, admin) // the other administrator
	late := post("/alerts/rules", url.Values{"name": {"a"}, "kind": {"late"}, "after": {"3h"}, "version": {"1"}})
	if late.Status != 412 || !strings.Contains(late.Body, "changed by somebody else") || !strings.Contains(late.Body, `value="3h"`) || !strings.Contains(late.Body, `name="version" value="2"`) {
		t.Errorf("late edit of an alert rule = %d, want 412 with what was typed and the present version", late.Status)
	}
	if blank := post("/alerts/rules", url.Values{"name": {"a"}, "kind": {"disk"}}); blank.Status != 409 || !strings.Contains(blank.Body, "is there already") {
		t.Errorf("adding an alert rule that is there = %d, want 409", blank.Status)
	}
	r.want(200, "PATCH", "/api/v1/users/"+dev, `{"role":"admin"}`, admin)
	post("/users/"+dev+"/disable", url.Values{"version": {"1"}})
	post("/users/"+dev+"/remove", url.Values{"version": {"1"}})
	post("/access/groups/a/grants", url.Values{"pattern": {"*"}, "version": {"0000000000000000"}})
	post("/rules/remove", url.Values{"pattern": {"github.com/a/*"}, "version": {"0000000000000000"}})
	if u, err := r.accounts.User(t.Context(), dev); err != nil || u.Role != auth.Admin || u.Disabled {
		t.Errorf("user after late forms = %+v, %v, want the other's edit and no more", u, err)
	}
	for path, want := range map[string]string{"/rules": "github.com/a/*", "/groups": `"github.com/a/*"`, "/alerts/rules": `"after_s":7200`} {
		if got := r.want(200, "GET", "/api/v1"+path, nil, admin).Body; !strings.Contains(got, want) || strings.Contains(got, `"*"`) {
			t.Errorf("GET %s after late forms = %s, want %s still", path, got, want)
		}
	}
}

// TestEveryListHasPages walks the routes: each list takes limit and cursor, and its
// pages together are the whole. What answers with items is a list.
func TestEveryListHasPages(t *testing.T) {
	r := newRig(t, withModules(t))
	m, admin := r.furnished(), r.admin()
	names := strings.NewReplacer("{mirror}", m, "{user}", r.user("dev").ID, "{host}", "gita.example", "{module}", "example.com%2Fm")
	long := 0
	for path, item := range r.contract().paths {
		op, ok := item["get"]
		if !ok {
			continue
		}
		has := func(name string) bool {
			return slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.Name == name && p.In == "query" })
		}
		listed := strings.HasPrefix(op.OperationID, "list-")
		if listed != (has("limit") && has("cursor")) {
			t.Errorf("GET %s (%s): limit = %t, cursor = %t", path, op.OperationID, has("limit"), has("cursor"))
		}
		if !listed {
			if schema, _ := json.Marshal(op.Responses["200"].Content); strings.Contains(string(schema), "/List") {
				t.Errorf("GET %s answers with a list and is not called one", path)
			}
			continue
		}
		if _, link := op.Responses["200"].Headers["Link"]; !link {
			t.Errorf("GET %s: no Link in the document", path)
		}
		type page struct {
			Head       string `json:"head"`
			Partial    bool   `json:"partial"`
			Items      []json.RawMessage
			NextCursor string `json:"next_cursor"`
		}
		at := "/api/v1" + names.Replace(path)
		if path == "/audit" {
			at += "?action=add-user" // the trail grows while it is read
		}
		glue := func(q string) string {
			if strings.Contains(at, "?") {
				return at + "&" + q
			}
			return at + "?" + q
		}
		whole := decode[page](t, r.want(200, "GET", at, nil, admin))
		if len(whole.Items) > 1 {
			long++
		}
		var parts []json.RawMessage
		cursor := ""
		for range len(whole.Items) + 2 {
			got := r.want(200, "GET", glue("limit=1&cursor="+url.QueryEscape(cursor)), nil, admin)
			p := decode[page](t, got)
			parts = append(parts, p.Items...)
			if (p.NextCursor == "") != (got.Header.Get("Link") == "") {
				t.Errorf("GET %s: next_cursor %q with Link %q", path, p.NextCursor, got.Header.Get("Link"))
			}
			if cursor = p.NextCursor; cursor == "" {
				break
			}
		}
		if len(parts) != len(whole.Items) || cursor != "" {
			t.Errorf("GET %s: %d items by pages of one, want %d", path, len(parts), len(whole.Items))
		}
	}
	if long < 15 {
		t.Errorf("only %d lists were longer than a page of one", long)
	}
}
