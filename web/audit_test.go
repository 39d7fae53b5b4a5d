package web_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// audit is the trail so far, newest first.
func (r *rig) audit(q auth.AuditQuery) []auth.AuditRecord {
	r.t.Helper()
	list, err := r.db.Deeds(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// TestEveryChangeIsAudited walks all routes: what is not a GET leaves an entry,
// whichever way it ends, apart from questions that are POSTed.
func TestEveryChangeIsAudited(t *testing.T) {
	r := newRig(t)
	routes, err := r.server.Routes()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := r.ensureMirror("github.com/acme/kept")
	if err != nil {
		t.Fatal(err)
	}
	admin, dev := r.browser("admin", apiAdminPassword), r.browser("dev", apiDevPassword)
	looks := []string{"preview-mirrors", "preview-rule", "preview-trim", "resolve-modules", "locate-modules"}
	seen := 0
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		if method == http.MethodGet || method == http.MethodHead || route == "POST /logout" || route == "POST /look" {
			continue
		}
		twin := web.ConsoleTwins()[route]
		if !strings.Contains(path, "/api/") && twin == "" {
			t.Errorf("%s: a form of the console without a twin in the API", route)
		}
		path = strings.NewReplacer(":mirror", kept, ":id", kept, ":user", r.victim(), ":approval", "987654", ":host", "git.none.example").Replace(path)
		for strings.Contains(path, "/:") {
			begin := strings.Index(path, "/:")
			end := strings.IndexByte(path[begin+1:], '/')
			if end < 0 {
				path = path[:begin] + "/none"
			} else {
				path = path[:begin] + "/none" + path[begin+1+end:]
			}
		}
		for _, caller := range []struct {
			name   string
			client *http.Client
		}{{"admin", admin}, {"dev", dev}} {
			before := r.audit(auth.AuditQuery{Limit: 1})
			var got reply
			if strings.Contains(path, "/api/") {
				got = r.call(method, path, bodyOf(route, caller.name), bearer(r.token(caller.name, auth.ScopeAdmin)))
			} else {
				got = r.callWith(caller.client, method, path, "", header("Content-Type", "application/x-www-form-urlencoded"))
			}
			after := r.audit(auth.AuditQuery{Limit: 1})
			added := after[0].Seq - before[0].Seq
			if slices.Contains(looks, after[0].Deed.Action) || added == 0 && slices.ContainsFunc(looks, func(op string) bool { return route == r.routeOf(op) }) {
				continue
			}
			d := after[0].Deed
			if added != 1 || d.Status != got.Status || d.Request == "" || d.Addr == "" || strings.Contains(d.Action, " ") {
				t.Errorf("%s by %s = %d: %d entries, the last %+v, want one with that status and an operation's name", route, caller.name, got.Status, added, d)
				continue
			}
			if d.Actor != caller.name && route != "POST /login" {
				t.Errorf("%s by %s: entry says %q", route, caller.name, d.Actor)
			}
			seen++
			if route == "POST /tokens" || path == "/login" {
				break
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d entries were looked at", seen)
	}
	if end, err := auth.VerifyAudit(t.Context(), r.db, auth.Chain{}); err != nil {
		t.Errorf("VerifyAudit = %+v, %v", end, err)
	}
}

func bodyOf(route, name string) any {
	text, ok := bodies[route]
	if !ok {
		return nil
	}
	if strings.Contains(text, "%s") {
		text = fmt.Sprintf(text, "audited-"+name)
	}
	return text
}

// routeOf is the route of the looks among the operations.
func (r *rig) routeOf(operation string) string {
	return map[string]string{
		"preview-mirrors": "POST /api/v1/mirrors/preview", "preview-rule": "POST /api/v1/rules/preview", "preview-trim": "POST /api/v1/modules/cache/trim/preview",
		"resolve-modules": "POST /api/v1/modules/resolve", "locate-modules": "POST /api/v1/modules/locate",
	}[operation]
}

// TestConsoleHasTwins: what a form of the console does, an operation of the API
// does too.
func TestConsoleHasTwins(t *testing.T) {
	r := newRig(t)
	operations, err := r.server.Operations()
	if err != nil {
		t.Fatal(err)
	}
	routes, err := r.server.Routes()
	if err != nil {
		t.Fatal(err)
	}
	for route, twin := range web.ConsoleTwins() {
		if !slices.Contains(routes, route) {
			t.Errorf("%s is no route", route)
		}
		if !slices.Contains(operations, twin) {
			t.Errorf("%s has the twin %q, which the API has not", route, twin)
		}
	}
}

// TestAuditSays what changed, in the same words on both roads, without secrets.
func TestAuditSays(t *testing.T) {
	r := newRig(t)
	admin := r.admin()
	r.want(201, "POST", "/api/v1/mirrors", `{"path_or_url":"github.com/acme/one","interval_s":3600}`, admin)
	r.want(200, "PATCH", "/api/v1/mirrors/github.com%2Facme%2Fone", `{"private":true}`, admin, header("User-Agent", "gitmirror/v1.0.0"))
	b := r.browser("admin", apiAdminPassword)
	form := func(path string, values url.Values) reply {
		return r.callWith(b, "POST", path, values.Encode(), header("Content-Type", "application/x-www-form-urlencoded"))
	}
	repo, err := r.db.Repo(t.Context(), mirror.Path("github.com/acme/one"))
	if err != nil {
		t.Fatal(err)
	}
	form("/mirrors/"+string(repo.ID)+"/pause", nil)
	form("/rules/credentials", url.Values{"name": {"ci"}, "host": {"github.com"}, "user": {"bot"}, "secret": {"sekrit-42"}})
	form("/users", url.Values{"name": {"eve"}, "role": {"developer"}, "password": {"a password of eve 42"}})
	form("/users/"+r.user("eve").ID+"/role", url.Values{"role": {"admin"}})
	r.want(401, "POST", "/api/v1/mirrors", `{"path_or_url":"github.com/acme/two"}`, basic("dev", "wrong horse"))
	r.want(401, "POST", "/api/v1/mirrors", `{"path_or_url":"github.com/acme/two"}`, basic("hunter2-typed-as-name", "wrong horse"))
	r.want(403, "POST", "/api/v1/mirrors", `{"path_or_url":"github.com/acme/two"}`, r.dev())
	r.signIn(r.client(), "dev", "wrong horse")

	var got []string
	for _, rec := range r.audit(auth.AuditQuery{Oldest: true}) {
		d := rec.Deed
		line := fmt.Sprintf("%s %s %s %v", d.Actor, d.Action, d.Outcome, d.Objects)
		for _, c := range d.Changes {
			line += fmt.Sprintf(" %s:%s>%s", c.Field, c.Before, c.After)
		}
		got = append(got, line)
	}
	want := []string{
		"admin add-mirrors done [mirror github.com/acme/one] upstream:>https://github.com/acme/one private:>no interval:>1h0m0s tags:>freeze paused:>no",
		"admin edit-mirror done [mirror github.com/acme/one] private:no>yes",
		"admin sign-in done [user admin]",
		"admin edit-mirror done [mirror github.com/acme/one] paused:no>yes",
		"admin add-credential done [credential ci] host:>github.com user:>bot secret:>(a new one)",
		"admin add-user done [user eve] role:>developer password:>(set)",
		"admin edit-user done [user eve] role:developer>admin",
		" add-mirrors refused [user dev]",
		" add-mirrors refused [user (unknown)]",
		"dev add-mirrors refused []",
		" sign-in refused [user dev]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("audit trail =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, secret := range []string{"sekrit-42", "a password of eve", "wrong horse", "hunter2", apiAdminPassword} {
		for _, rec := range r.audit(auth.AuditQuery{}) {
			if strings.Contains(string(rec.Entry), secret) {
				t.Errorf("entry %s holds %q", rec.Entry, secret)
			}
		}
	}

	// The API, its pages, its export, its verdict.
	page := decode[web.Audit](t, r.want(200, "GET", "/api/v1/audit?limit=3&actor=ADMIN", nil, admin))
	if len(page.Items) != 3 || page.NextCursor == "" || page.Items[0].Action != "edit-user" || page.Items[0].Via != "session" || page.Items[0].Addr == "" {
		t.Errorf("GET /audit = %+v", page)
	}
	page = decode[web.Audit](t, r.want(200, "GET", "/api/v1/audit?limit=100&actor=admin&cursor="+page.NextCursor, nil, admin))
	if len(page.Items) != 4 || page.NextCursor != "" {
		t.Errorf("second page = %d entries, cursor %q, want 4 and the end", len(page.Items), page.NextCursor)
	}
	if n := len(decode[web.Audit](t, r.want(200, "GET", "/api/v1/audit?object=ACME%2Fone&action=edit-mirror", nil, admin)).Items); n != 2 {
		t.Errorf("entries about acme/one = %d, want 2", n)
	}
	verdict := decode[web.AuditVerdict](t, r.want(200, "GET", "/api/v1/audit/verify", nil, admin))
	if !verdict.Intact || verdict.Entries != int64(len(want)) {
		t.Errorf("verify = %+v, want %d intact entries", verdict, len(want))
	}
	export := r.want(200, "GET", "/api/v1/audit/export", nil, admin)
	if lines := strings.Split(strings.TrimSpace(export.Body), "\n"); len(lines) != len(want) {
		t.Errorf("export has %d lines, want %d", len(lines), len(want))
	}
	rows, err := csv.NewReader(strings.NewReader(r.want(200, "GET", "/api/v1/audit/export?format=csv&outcome=refused", nil, admin).Body)).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Errorf("CSV export = %v, %v, want a head and 4 rows", rows, err)
	}
	for path, words := range map[string]string{"/audit": "edit-mirror", "/audit?actor=admin&object=eve": "eve", "/audit?from=2999-01-01": "Nothing was done"} {
		if got := r.callWith(b, "GET", path, nil, header("Accept", "text/html")); got.Status != 200 || !strings.Contains(got.Body, words) {
			t.Errorf("GET %s = %d, want 200 with %q", path, got.Status, words)
		}
	}
}

// TestStrangersCannotFillTheTrail: it is never trimmed.
func TestStrangersCannotFillTheTrail(t *testing.T) {
	r := newRig(t)
	for range 60 {
		r.want(401, "POST", "/api/v1/mirrors", `{}`)
	}
	if n := len(r.audit(auth.AuditQuery{})); n < 5 || n > 20 {
		t.Errorf("60 attempts of a stranger left %d entries, want about 10", n)
	}
	r.want(200, "PATCH", "/api/v1/users/"+r.victim(), `{"disabled":false}`, r.admin())
	last := r.audit(auth.AuditQuery{Limit: 1})[0].Deed
	if len(last.Changes) == 0 || !strings.Contains(last.Changes[len(last.Changes)-1].Field, "strangers") {
		t.Errorf("the next entry = %+v, want it to say how many were left out", last)
	}
}

// TestAuditOfGroupsAndModuleRules: both have their values before and after, by the
// API and by the console.
func TestAuditOfGroupsAndModuleRules(t *testing.T) {
	r := newRig(t, withModules(t))
	admin := r.admin()
	b := r.browser("admin", apiAdminPassword)
	form := func(path string, values url.Values) {
		t.Helper()
		if got := r.callWith(b, "POST", path, values.Encode(), header("Content-Type", "application/x-www-form-urlencoded")); got.Status != 303 {
			t.Fatalf("POST %s = %d; %.300s", path, got.Status, got.Body)
		}
	}
	r.want(201, "POST", "/api/v1/groups", `{"name":"team"}`, admin)
	r.want(204, "PUT", "/api/v1/groups/team/members/dev", nil, admin)
	r.want(201, "POST", "/api/v1/groups/team/grants", `{"pattern":"github.com/acme/*"}`, admin)
	form("/access/groups/team/members/remove", url.Values{"user": {"dev"}})
	r.want(204, "DELETE", "/api/v1/groups/team", nil, admin)
	rule := decode[web.ModuleRule](t, r.want(201, "POST", "/api/v1/modules/rules", `{"action":"deny","pattern":"example.com/*","versions":">=v2.0.0","reason":"broken"}`, admin))
	form("/modules/rules/remove", url.Values{"rule": {fmt.Sprint(rule.ID)}})
	for action, want := range map[string]string{
		"add-member":         "group team members: → dev",
		"add-grant":          "group team grants: → github.com/acme/*",
		"remove-member":      "group team members: dev →",
		"remove-group":       "group team grants: github.com/acme/* →",
		"add-module-rule":    fmt.Sprintf("module rule %d rule: → deny example.com/* >=v2.0.0", rule.ID),
		"remove-module-rule": fmt.Sprintf("module rule %d rule: deny example.com/* >=v2.0.0 →", rule.ID),
	} {
		list := r.audit(auth.AuditQuery{Action: action})
		if len(list) != 1 {
			t.Errorf("%s has %d entries, want 1", action, len(list))
			continue
		}
		said := ""
		for _, c := range list[0].Deed.Changes {
			said += strings.TrimSpace(strings.Join(list[0].Deed.Objects, ",")+" "+c.Field+": "+c.Before+" → "+c.After) + "; "
		}
		if !strings.Contains(strings.ReplaceAll(said, "  ", " "), want) {
			t.Errorf("%s says %q, want %q", action, said, want)
		}
	}
}
