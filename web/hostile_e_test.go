package web_test

import (
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// Section E of the hostile inputs, where a row is about all routes: each test
// walks the router, so that a new route is in it without anybody's doing.

// routes are those of the server, the API's and the console's.
func (r *rig) routes() []string {
	r.t.Helper()
	all, err := r.server.Routes()
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// filled puts something into each parameter of a route: what is there in a
// furnished rig, else what replace says.
func (r *rig) filled(path, mirrorID string) string {
	dev := r.user("dev").ID
	path = strings.NewReplacer(":mirror", mirrorID, ":id", mirrorID, ":user", dev, ":host", "gita.example", ":prefix", "go.example%2Fa", ":pattern", "github.com%2Fa%2F*",
		":name", "a", ":group", "a", ":trust", "a", ":module", "example.com%2Fm", ":rule", "1", ":refusal", "1", ":approval", "1").Replace(path)
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") || strings.HasPrefix(p, "*") {
			parts[i] = "none"
		}
	}
	return strings.Join(parts, "/")
}

// isStream tells that a route answers for as long as somebody listens.
func isStream(path string) bool {
	return strings.HasSuffix(path, "/events") || strings.HasSuffix(path, "/live")
}

// TestHostileE02EveryRoute: what changes something is refused to pages of other
// sites, whoever is signed in and whatever the form is encoded as.
func TestHostileE02EveryRoute(t *testing.T) {
	r := newRig(t, withModules(t))
	m := r.furnished()
	b := r.browser("admin", apiAdminPassword)
	before := r.tables()
	walked := 0
	for _, route := range r.routes() {
		method, path, _ := strings.Cut(route, " ")
		if method == http.MethodGet || method == http.MethodHead {
			continue
		}
		for name, opts := range map[string][]option{
			"cross-site":         {header("Sec-Fetch-Site", "cross-site")},
			"a form, text/plain": {header("Sec-Fetch-Site", "cross-site"), header("Content-Type", "text/plain")},
			"a form":             {header("Origin", "https://evil.example"), header("Content-Type", "application/x-www-form-urlencoded")},
			"null origin":        {header("Origin", "null"), header("Content-Type", "multipart/form-data; boundary=x")},
		} {
			walked++
			if got := r.callWith(b, method, r.filled(path, m), `{}`, opts...); got.Status != http.StatusForbidden {
				t.Errorf("%s, %s = %d, want 403", route, name, got.Status)
			}
		}
	}
	if walked < 300 {
		t.Errorf("only %d requests were made", walked)
	}
	r.unchanged("what other sites send", before, r.tables(), "audit")
}

// TestHostileE03EveryRoute: no answer may be framed or read by another site, and
// none says yes to a preflight.
func TestHostileE03EveryRoute(t *testing.T) {
	r := newRig(t, withModules(t))
	m := r.furnished()
	b := r.browser("admin", apiAdminPassword)
	evil := header("Origin", "https://evil.example")
	for _, route := range r.routes() {
		method, path, _ := strings.Cut(route, " ")
		at := r.filled(path, m)
		answers := []reply{r.callWith(b, "OPTIONS", at, nil, evil, header("Access-Control-Request-Method", method), header("Access-Control-Request-Headers", "authorization"))}
		if answers[0].Status < 400 {
			t.Errorf("preflight of %s = %d, want a refusal", route, answers[0].Status)
		}
		if method == http.MethodGet && !isStream(path) {
			answers = append(answers, r.callWith(b, method, at, nil, evil))
		}
		for _, got := range answers {
			if csp := got.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("%s: Content-Security-Policy = %q, want no framing", route, csp)
			}
			for k := range got.Header {
				if strings.HasPrefix(k, "Access-Control-") {
					t.Errorf("%s: header %s", route, k)
				}
			}
		}
	}
}

// tables is the whole database as text, by table.
func (r *rig) tables() map[string]string {
	r.t.Helper()
	db, err := sql.Open("sqlite", r.database)
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()
	list := func(query string) (out [][]any) {
		rows, err := db.QueryContext(r.t.Context(), query)
		if err != nil {
			r.t.Fatalf("%s: %v", query, err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			r.t.Fatal(err)
		}
		for rows.Next() {
			row, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				r.t.Fatal(err)
			}
			out = append(out, row)
		}
		if err := rows.Err(); err != nil {
			r.t.Fatal(err)
		}
		return out
	}
	out := map[string]string{}
	for _, table := range list("SELECT name FROM sqlite_master WHERE type = 'table'") {
		name := fmt.Sprint(table[0])
		var text strings.Builder
		for _, row := range list(`SELECT * FROM "` + name + `"`) {
			fmt.Fprintf(&text, "%q\n", row)
		}
		out[name] = text.String()
	}
	if len(out) < 20 {
		r.t.Fatalf("the database has %d tables, want them all", len(out))
	}
	return out
}

func (r *rig) unchanged(what string, before, after map[string]string, but ...string) {
	r.t.Helper()
	for _, table := range slices.Sorted(maps.Keys(before)) {
		if !slices.ContainsFunc(but, func(b string) bool { return strings.HasPrefix(table, b) }) && before[table] != after[table] {
			r.t.Errorf("%s changed the table %s:\n%.600s\nwas\n%.600s", what, table, after[table], before[table])
		}
	}
}

// TestHostileE08EveryGET: nothing that is read changes anything, apart from when
// a session and a token were last seen.
func TestHostileE08EveryGET(t *testing.T) {
	r := newRig(t, withModules(t))
	m, admin := r.furnished(), r.admin()
	b := r.browser("admin", apiAdminPassword)
	r.callWith(b, "GET", "/", nil, header("Accept", "text/html"))
	before, walked := r.tables(), 0
	for _, route := range r.routes() {
		method, path, _ := strings.Cut(route, " ")
		if method != http.MethodGet || isStream(path) {
			continue
		}
		walked++
		at := r.filled(path, m) + "?do=remove&paused=true&role=admin&name=a"
		for _, got := range []reply{
			r.callWith(b, "GET", at, nil, header("Accept", "text/html")), r.callWith(b, "GET", r.filled(path, m), nil, header("Accept", "text/html")),
			r.call("GET", r.filled(path, m), nil, admin, header("X-HTTP-Method-Override", "DELETE")),
		} {
			if got.Status >= 500 {
				t.Errorf("%s = %d; %.300s", route, got.Status, got.Body)
			}
		}
	}
	if walked < 70 {
		t.Errorf("only %d routes were read", walked)
	}
	r.unchanged("reading", before, r.tables(), "session", "signin", "sign_in", "token", "sqlite_")
}

// hostileIDs are what no id is.
func hostileIDs() []string {
	return []string{
		"-1", "0", "99999999999999999999999", "1 OR 1=1", "1' OR '1'='1", "1; DROP TABLE users--", "../../etc/passwd", "%00", "\x00", "null", "NaN", "$where", "{{7*7}}",
		strings.Repeat("9", 500), "\u202e\u0007", "' UNION SELECT password_hash FROM users--", "me/../../admin",
	}
}

// TestHostileE10EveryParameter: ids that nothing has lead nowhere, in each
// parameter of each operation, and somebody else's are as if they were not there.
func TestHostileE10EveryParameter(t *testing.T) {
	r := newRig(t, withModules(t))
	m, admin, dev := r.furnished(), r.admin(), r.dev()
	before := r.tables()
	for _, route := range r.routes() {
		method, path, _ := strings.Cut(route, " ")
		if !strings.HasPrefix(path, "/api/v1/") || !strings.Contains(path, ":") {
			continue
		}
		parts := strings.Split(path, "/")
		for i, p := range parts {
			if !strings.HasPrefix(p, ":") {
				continue
			}
			for _, id := range hostileIDs() {
				with := slices.Clone(parts)
				with[i] = url.PathEscape(id)
				var body any
				if method != http.MethodGet {
					body = bodies[route]
					if text, ok := body.(string); !ok || text == "" {
						body = nil
					}
				}
				got := r.call(method, r.filled(strings.Join(with, "/"), m), body, admin)
				// A PUT and a probe make what is not there, when the name is a good one.
				fresh := got.Status < 300 && (method == http.MethodPut && (strings.Contains(path, "/alerts/") || strings.HasSuffix(path, "/upstreams/:host")))
				empty := got.Status < 300 && method == http.MethodGet && !strings.Contains(got.Body, `"items":[{`) && strings.Contains(got.Body, `"items"`)
				if !fresh && !empty && (got.Status < 400 || got.Status >= 500) {
					t.Errorf("%s with %s = %.40q: %d, want a refusal; %.300s", route, p, id, got.Status, got.Body)
				}
			}
		}
	}
	// What others own is not there for a developer, by its true id.
	other := r.user("admin").ID
	tokens, err := r.accounts.Tokens(t.Context(), other)
	if err != nil || len(tokens) == 0 {
		t.Fatalf("Tokens = %v, %v", tokens, err)
	}
	for _, route := range r.routes() {
		method, path, _ := strings.Cut(route, " ")
		if !strings.Contains(path, "/users/:user") || !strings.HasPrefix(path, "/api/") {
			continue
		}
		at := strings.NewReplacer(":user", other, ":token", tokens[0].ID, ":key", "none", ":session", "none").Replace(path)
		if got := r.call(method, at, bodies[route], dev); got.Status != 404 && got.Status != 403 && got.Status != 422 {
			t.Errorf("%s of an administrator, by a developer = %d, want 404; %.300s", route, got.Status, got.Body)
		}
	}
	r.unchanged("hostile ids", before, r.tables(), "audit", "session", "signin", "sign_in", "token", "alert", "host", "endpoints", "idempot", "answer", "sqlite_")
}

// TestHostileE11EveryQuery: text that would be SQL is text, in every parameter of
// every query.
func TestHostileE11EveryQuery(t *testing.T) {
	r := newRig(t, withModules(t))
	m, admin := r.furnished(), r.admin()
	before, walked := r.tables(), 0
	for path, item := range r.contract().paths {
		for method, op := range item {
			for _, p := range op.Parameters {
				if p.In != "query" || path == "/events" {
					continue
				}
				for _, evil := range []string{"1=1 OR 1", "' OR '1'='1' --", "1; DROP TABLE users; --", "path DESC, (SELECT 1)", "%' ESCAPE '", "\x00", "1e309", "') UNION SELECT name FROM users --"} {
					walked++
					got := r.call(strings.ToUpper(method), r.filled(routeOf(path), m)+"?"+url.Values{p.Name: {evil}}.Encode(), nil, admin)
					if got.Status >= 500 || got.Status < 300 && strings.Contains(got.Body, "argon2") {
						t.Errorf("%s %s?%s=%s = %d; %.300s", method, path, p.Name, evil, got.Status, got.Body)
					}
				}
			}
		}
	}
	if walked < 400 {
		t.Errorf("only %d queries were made", walked)
	}
	r.unchanged("hostile queries", before, r.tables(), "audit", "session", "signin", "sign_in", "token", "sqlite_")
}

// TestHostileE12EveryBody: bodies that do not fit are refused by every operation,
// change nothing, and no answer or log repeats what was in them.
func TestHostileE12EveryBody(t *testing.T) {
	r := newRig(t, withModules(t))
	m, admin := r.furnished(), r.admin()
	const secret = "hunter2hunter2hunter2"
	before := r.tables()
	for _, route := range r.routes() {
		method, path, _ := strings.Cut(route, " ")
		good, has := bodies[route]
		if !strings.HasPrefix(path, "/api/v1/") || !has || good == `{}` {
			continue
		}
		good = strings.ReplaceAll(good, "%s", "x")
		rest := strings.TrimPrefix(good, "{")
		name, _, _ := strings.Cut(strings.TrimPrefix(rest, `"`), `"`)
		for what, body := range map[string]string{
			"unknown field":   `{"is_admin":"` + secret + `",` + rest,
			"another case":    `{"` + strings.ToUpper(name) + `":"` + secret + `",` + rest,
			"name twice":      `{"` + name + `":"` + secret + `",` + rest,
			"deep":            `{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "," + rest,
			"NaN":             `{"` + name + `":NaN}`,
			"wrong type":      `{"` + name + `":{"` + secret + `":[]}}`,
			"array":           `["` + secret + `"]`,
			"two values":      good + `{"x":"` + secret + `"}`,
			"not UTF-8":       "{\"" + name + "\":\"\xff\xfe" + secret + `"}`,
			"another charset": "\xff\xfe{\x00}\x00",
			"cut off":         strings.TrimSuffix(good, "}"),
			"too large":       `{"` + name + `":"` + strings.Repeat("x", 6<<20) + `"}`,
		} {
			got := r.call(method, r.filled(path, m), body, admin)
			if got.Status != 422 && got.Status != 413 && got.Status != 400 {
				t.Errorf("%s, %s = %d, want 422 or 413; %.200s", route, what, got.Status, got.Body)
			}
			if strings.Contains(got.Body, secret) {
				t.Errorf("%s, %s: the answer repeats what was sent: %.300s", route, what, got.Body)
			}
		}
	}
	huge, err := http.NewRequestWithContext(t.Context(), "POST", r.http.URL+"/api/v1/mirrors", io.LimitReader(zeros{}, 100<<20))
	if err != nil {
		t.Fatal(err)
	}
	huge.Header.Set("Content-Type", "application/json")
	admin(huge)
	if resp, err := r.client().Do(huge); err == nil { // else the server has hung up
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("100 MB = %d, want 413", resp.StatusCode)
		}
	}
	if strings.Contains(r.log.String(), secret) {
		t.Error("the log has what was sent")
	}
	r.unchanged("hostile bodies", before, r.tables(), "audit", "session", "signin", "sign_in", "token", "sqlite_")
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// TestHostileE15RemoveUserWithASync: who is removed while a sync they asked for
// goes on leaves nothing behind, and the sync ends as any other.
func TestHostileE15RemoveUserWithASync(t *testing.T) {
	r := newRig(t)
	up := gittest.NewUpstream(t)
	up.Commit(t, "git.example/acme/big", map[string]string{"data": gittest.Noise(300_000, 1)})
	mend := up.Break(gittest.Fault{Path: "git-upload-pack", After: 50_000, Stall: true})
	admin := r.admin()
	repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "git.example/acme/big", Upstream: up.URL("git.example/acme/big")})
	if err != nil {
		t.Fatal(err)
	}
	eve := r.addUser("eve", auth.Developer, "a long enough password")
	hers := bearer(r.token("eve", auth.ScopeAdmin))
	r.browser("eve", "a long enough password")
	r.want(201, "POST", "/api/v1/users/me/keys", web.NewKey{PublicKey: publicKey}, hers)
	r.want(201, "POST", "/api/v1/groups", `{"name":"team"}`, admin)
	r.want(204, "PUT", "/api/v1/groups/team/members/eve", nil, admin)
	r.runSyncer()
	r.want(202, "POST", "/api/v1/mirrors/"+string(repo.ID)+"/sync", nil, hers)
	eventually(t, "the clone runs", func() bool { return r.syncer.Busy() == 1 })
	r.want(204, "DELETE", "/api/v1/users/"+eve.ID, nil, admin)
	r.want(401, "GET", "/api/v1/whoami", nil, hers)
	for table, text := range r.tables() {
		if strings.Contains(text, eve.ID) && !strings.HasPrefix(table, "audit") && !strings.HasPrefix(table, "session") {
			t.Errorf("table %s still has the user who was removed: %.300s", table, text)
		}
	}
	mend()
	eventually(t, "the mirror is ready", func() bool {
		now, err := r.db.RepoByID(t.Context(), repo.ID)
		return err == nil && now.State.Served()
	})
}

// TestHostileE19Canaries walks every operation with secrets in the fields that are
// for secrets, and the same text where nothing like it belongs: none of it is in
// the log, nor a secret as it is in the database or the audit trail.
func TestHostileE19Canaries(t *testing.T) {
	r, issuer := walkRig(t)
	admin := r.admin()
	const canary = "cAnArY7secret"
	var secrets []string
	secret := func(n string) string { secrets = append(secrets, canary+n); return canary + n }
	r.want(201, "POST", "/api/v1/users", map[string]string{"name": "u1", "role": "developer", "password": secret("user")}, admin)
	r.want(200, "PATCH", "/api/v1/users/"+r.user("u1").ID, map[string]string{"password": secret("again")}, admin)
	r.want(201, "POST", "/api/v1/credentials", map[string]string{"name": "c", "host": "github.com", "secret": secret("credential")}, admin)
	r.want(200, "PUT", "/api/v1/alerts/channels/ops", web.PutAlertChannel{Kind: "webhook", URL: "http://127.0.0.1:1/" + secret("hook"), Secret: secret("sign")}, admin)
	r.call("POST", "/api/v1/alerts/channels/ops/test", nil, admin)
	r.want(201, "POST", "/api/v1/trusts", web.NewTrust{Name: "ci", Issuer: issuer.URL, Audience: "mirror", Claims: map[string]string{"repository": "acme/app"}, User: "robot"}, admin)
	job := issuer.Sign(map[string]any{"aud": "mirror", "repository": "acme/app", "sub": "x"})
	made := decode[web.CreatedToken](t, r.want(201, "POST", "/api/v1/auth/ci", web.IdentityToken{Token: job}))
	mine := decode[web.CreatedToken](t, r.want(201, "POST", "/api/v1/tokens", `{"name":"t"}`, admin, header("Idempotency-Key", "canary-1")))
	secrets = append(secrets, job, made.Secret, mine.Secret)
	r.call("POST", "/api/v1/mirrors", map[string]string{"path_or_url": "https://user:" + secret("url") + "@github.com/acme/x"}, admin)
	r.signIn(r.client(), "u1", secret("wrong"))
	r.call("GET", "/api/v1/whoami", nil, basic("u1", secret("basic")))
	r.call("GET", "/api/v1/whoami", nil, bearer("gmr_"+secret("bearer")))
	for _, route := range r.routes() {
		method, path, _ := strings.Cut(route, " ")
		at := r.filled(path, "none") + "?token=" + canary
		if method == http.MethodGet && !isStream(path) {
			r.call(method, at, nil, admin, header("X-Token", canary), header("Cookie", "x="+canary))
		} else if strings.HasPrefix(path, "/api/v1/") && method != http.MethodDelete {
			r.call(method, at, `{"password":"`+canary+`","secret":"`+canary+`","token":"`+canary+`"}`, admin)
		}
	}
	if log := r.log.String(); strings.Contains(log, canary) || strings.Contains(log, job) || strings.Contains(log, mine.Secret) {
		i := strings.Index(log, canary)
		t.Errorf("the log has a secret: %.300s", log[max(0, i-200):])
	}
	for _, file := range []string{r.database, r.database + "-wal"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if strings.Contains(string(data), s) {
				t.Errorf("%s has the secret %.30q as it is", file, s)
			}
		}
	}
	for _, e := range r.audit(auth.AuditQuery{Limit: 1000}) {
		if strings.Contains(string(e.Entry), canary) {
			t.Errorf("audit entry %s has a secret", e.Entry)
		}
	}
}
