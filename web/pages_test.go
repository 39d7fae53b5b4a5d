package web_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// The tests of this file visit the console without JavaScript: whatever works
// here works in every browser.

func TestSignIn(t *testing.T) {
	site := newConsoleSite(t)
	v := site.visitor(t)
	if got := v.get("/mirrors?q=x").path; got != "/login?next=%2Fmirrors%3Fq%3Dx" {
		t.Errorf("a stranger who opens /mirrors?q=x is at %s, want /login with the way back", got)
	}
	v.post("/login", "name", "admin", "password", "wrong", "next", "/start").wants(t, http.StatusUnauthorized, "Sign in")
	if got := v.post("/login", "name", "admin", "password", adminPassword, "next", "/start"); got.path != "/start" {
		t.Errorf("after sign-in at %s, want /start", got.path)
	}
	v.post("/logout")
	if got := v.get("/start").path; !strings.HasPrefix(got, "/login") {
		t.Errorf("after sign-out /start leads to %s, want /login", got)
	}
	for _, next := range []string{"//evil.example", `/\evil.example`, "https:evil.example", "https://evil.example/x"} {
		if got := site.visitor(t).post("/login", "name", "admin", "password", adminPassword, "next", next); got.path != "/mirrors" {
			t.Errorf("sign-in with next=%q leads to %s, want /mirrors", next, got.path)
		}
	}
}

func TestAddByPasting(t *testing.T) {
	site := newConsoleSite(t)
	v := site.signedIn(t, "admin", adminPassword)
	v.get("/mirrors").wants(t, http.StatusOK, "No mirrors yet", "https://github.com/spf13/cobra")
	paste := "https://github.com/spf13/cobra\n# a comment\n\ngit@github.com:spf13/cobra.git\ngolang.org/x/mod\nhttps://user:hunter2@:bad/\ngithub.com/acme/*\n"
	checked := v.post("/mirrors/new", "do", "check", "urls", paste)
	checked.wants(t, http.StatusOK, "2 new · 1 twice in the list · 2 wrong", "Nothing was added yet", "Add 2 mirrors", "for imports of golang.org/x/mod", "E4003", "/rules")
	if n := strings.Count(checked.body, "hunter2"); n != 1 { // the field itself
		t.Errorf("the password of a pasted URL is %d times in the page, want once", n)
	}
	if repos := site.repos(t); len(repos) != 0 {
		t.Fatalf("checking added %d mirrors, want none", len(repos))
	}
	v.post("/mirrors/new", "do", "add", "urls", paste, "interval", "10m").wants(t, http.StatusOK, "2 added", "2 wrong")
	repos := site.repos(t)
	if len(repos) != 2 || repos[0].Path != "github.com/golang/mod" || repos[0].Interval != 10*time.Minute {
		t.Fatalf("repos = %+v, want golang/mod and spf13/cobra every 10m", repos)
	}
	v.post("/mirrors/new", "do", "add", "urls", "github.com/SPF13/cobra").wants(t, http.StatusOK, "1 already here", `href="/mirrors/`+string(repos[1].ID))
	v.post("/mirrors/new", "do", "add", "urls", "").wants(t, http.StatusOK, "There is no repository in the field")
	v.post("/mirrors/new", "do", "add", "urls", "github.com/a/b", "interval", "soon").wants(t, http.StatusOK, "not a time between syncs")
	v.post("/mirrors/new", "do", "add", "urls", "github.com/a/b\ngithub.com/a/c", "upstream", "https://example.org/b").wants(t, http.StatusOK, "fits one repository only")
	if got := v.post("/mirrors/new", "do", "add", "urls", "github.com/rs/xid"); got.path != "/mirrors/"+string(site.repos(t)[1].ID) {
		t.Errorf("adding one mirror leads to %s, want its page", got.path)
	}
	if got := v.get("/mirrors/open?path=github.com/rs/XID.git"); got.path != "/mirrors/"+string(site.repos(t)[1].ID) {
		t.Errorf("/mirrors/open leads to %s, want the mirror's page", got.path)
	}
	v.get("/mirrors/open?path=github.com/no/such").wants(t, http.StatusNotFound, "not mirrored here", "Add mirrors")
}

// A go.mod is pasted as it is: its modules are shown a repository at a time.
func TestAddByPastingGoMod(t *testing.T) {
	site := newConsoleSite(t)
	v := site.signedIn(t, "admin", adminPassword)
	paste := "module example.com/x\n\nrequire (\n\tgithub.com/hashicorp/golang-lru/v2 v2.0.7\n\tgithub.com/hashicorp/golang-lru/arc/v2 v2.0.7\n" +
		"\tgolang.org/x/mod v0.20.0\n\tgo.etcd.io/etcd/api/v3 v3.5.15\n\tgo.etcd.io/etcd/client/v3 v3.5.15\n)\n"
	v.post("/mirrors/new", "do", "check", "urls", paste).wants(t, http.StatusOK, "3 new", "Add 3 mirrors", "for imports of golang.org/x/mod", "github.com/etcd-io/etcd")
	v.post("/mirrors/new", "do", "add", "urls", paste).wants(t, http.StatusOK, "3 mirrors added")
	v.post("/mirrors/new", "do", "check", "urls", paste).wants(t, http.StatusOK, "3 already here")
	v.post("/mirrors/new", "do", "check", "urls", "module example.com/x\n").wants(t, http.StatusOK, "requires no module")
}

func TestRuleThatAddsByItself(t *testing.T) {
	site := newConsoleSite(t)
	v := site.signedIn(t, "admin", adminPassword)
	v.get("/rules").wants(t, http.StatusOK, "Add everything the owner has")
	v.post("/rules", "pattern", "github.com/acme/*", "discover", "yes", "forks", "yes", "exclude", "legacy-*, sandbox").
		wants(t, http.StatusOK, "is listed now and every hour", "not listed yet", "<code>legacy-*</code>, <code>sandbox</code>")
	v.post("/rules", "pattern", "github.com/*/*", "discover", "yes").wants(t, http.StatusUnprocessableEntity, "cannot be listed")
	rules, err := site.db.Rules(t.Context())
	if err != nil || len(rules) != 1 {
		t.Fatalf("Rules = %v, %v, want one", rules, err)
	}
	listed := mirror.RuleListing{At: time.Now(), Found: 12, Skipped: 3, Failed: 1, Cut: true}
	if err := site.db.RuleListed(t.Context(), rules[0], listed, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	v.get("/rules").wants(t, http.StatusOK, "12 found, 3 left out, 1 could not be added, and more than are listed")
	listed.Problem = &mirror.Problem{What: "github.com has no organisation acme", Do: "check the spelling"}
	if err := site.db.RuleListed(t.Context(), rules[0], listed, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	v.get("/rules").wants(t, http.StatusOK, "Failed", "no organisation acme", "Check the spelling")
}

func (s *consoleSite) repos(t *testing.T) []mirror.Repo {
	t.Helper()
	repos, err := s.db.Repos(t.Context(), mirror.RepoQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return repos
}

func TestMirrorPages(t *testing.T) {
	site := newConsoleSite(t)
	main := site.seed(t)
	v := site.signedIn(t, "admin", adminPassword)
	at := "/mirrors/" + string(main.ID)
	v.get("/mirrors").wants(t, http.StatusOK, "Needs attention", "E1203", "Retrying", "Paused", "1 needs attention")
	v.get("/mirrors?status=retrying").wants(t, http.StatusOK, "gin-gonic/gin")
	v.get("/mirrors?q=nosuch").wants(t, http.StatusOK, "No mirror matches")
	v.get(at).wants(t, http.StatusOK, "What happened", "E1105", "Upstream stalled", "curl 28", "Clients still get what was fetched", "Last attempt", "Last success",
		"Next attempt", "Data age", "git clone "+site.url+"/github.com/gin-gonic/gin.git", "git clone ssh://git@127.0.0.1:2222/github.com/gin-gonic/gin.git",
		">127.0.0.1/github.com/gin-gonic/gin.git<", "Tag moved by the original</strong> <span class=\"tag\">E1401", "Again after ", "v1.8.1", "<svg class=\"bars\"", "?before=")
	v.post(at+"/pause").wants(t, http.StatusOK, "Paused. The mirror is still served", "Resume")
	v.post(at+"/sync").wants(t, http.StatusOK, "is paused")
	v.post(at+"/resume").wants(t, http.StatusOK, "Resumed")
	v.post(at+"/sync").wants(t, http.StatusOK, "Sync asked for")
	form := v.get(at + "/edit")
	form.wants(t, http.StatusOK, `value="30m"`, "https://github.com/gin-gonic/gin")
	version := regexp.MustCompile(`name="version" value="(\d+)"`).FindStringSubmatch(form.body)[1]
	v.post(at+"/edit", "version", version, "upstream", "https://github.com/gin-gonic/gin", "interval", "1h", "tags", "follow").wants(t, http.StatusOK, "Saved", "every 1h", "follow the original")
	v.post(at+"/edit", "version", version, "upstream", "https://example.org/gin", "interval", "2h").
		wants(t, http.StatusConflict, "Somebody else was faster", "Saved now", "https://example.org/gin", "1h", "2h", "Save mine")
	v.post(at+"/edit", "upstream", "https://example.org/gin").wants(t, http.StatusConflict, "Somebody else was faster")
	v.post(at+"/edit", "version", "0", "upstream", "https://example.org/gin").wants(t, http.StatusConflict, "Somebody else was faster")
	v.post(at+"/edit", "version", "99", "upstream", "file:///etc/passwd").wants(t, http.StatusConflict)
	v.get(at+"/remove").wants(t, http.StatusOK, "What is lost", "8 branches and 62 tags")
	v.post(at+"/remove", "path", "gin").wants(t, http.StatusUnprocessableEntity, "not the name of this mirror")
	v.post(at+"/remove", "path", "github.com/gin-gonic/gin").wants(t, http.StatusOK, "github.com/gin-gonic/gin was removed")
	v.get(at).wants(t, http.StatusNotFound, "There is no such mirror", "request <code>")
}

func TestPaging(t *testing.T) {
	site := newConsoleSite(t)
	for i := range 120 {
		text := "github.com/many/repo-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		if _, _, err := site.catalog.Add(t.Context(), mirror.NewMirror{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	v := site.signedIn(t, "admin", adminPassword)
	seen := map[string]bool{}
	for path := "/mirrors?q=many"; path != ""; {
		page := v.get(path)
		for _, m := range regexp.MustCompile(`>(github.com/many/[a-z-]+)</a>`).FindAllStringSubmatch(page.body, -1) {
			seen[m[1]] = true
		}
		path = ""
		if m := regexp.MustCompile(`href="([^"]+)">Next page`).FindStringSubmatch(page.body); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	if len(seen) != 120 {
		t.Errorf("paging shows %d mirrors, want 120", len(seen))
	}
}

func TestAccountAndUsers(t *testing.T) {
	site := newConsoleSite(t)
	v := site.signedIn(t, "admin", adminPassword)
	v.post("/account/keys", "key", publicKey).wants(t, http.StatusOK, "admin@laptop", "SHA256:", "ssh -p 2222 git@127.0.0.1")
	again := v.post("/account/keys", "key", "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n")
	if again.status == http.StatusOK || strings.Contains(again.body, "c2VjcmV0") {
		t.Errorf("a pasted private key: status %d, repeated = %t; want it refused and not repeated", again.status, strings.Contains(again.body, "c2VjcmV0"))
	}
	made := v.post("/account/tokens", "name", "ci", "scope", "read", "expires", "30d")
	made.wants(t, http.StatusCreated, "It is not shown again", "machine 127.0.0.1 login admin password gmr_", "gitmirror login "+site.url, "in 30 days")
	if strings.Contains(v.get("/account").body, "gmr_") {
		t.Error("the token is shown a second time")
	}
	v.post("/account/password", "current", "wrong", "new", "another long password", "again", "another long password").wants(t, http.StatusUnprocessableEntity, "The current password is not right")
	v.post("/account/password", "current", adminPassword, "new", "short", "again", "short").wants(t, http.StatusUnprocessableEntity, "cannot be used")
	v.post("/account/password", "current", adminPassword, "new", "another long password", "again", "another long passwort").wants(t, http.StatusUnprocessableEntity, "differ")
	other := site.signedIn(t, "admin", adminPassword)
	v.post("/account/password", "current", adminPassword, "new", "another long password", "again", "another long password").wants(t, http.StatusOK, "Password changed")
	if got := other.get("/account").path; !strings.HasPrefix(got, "/login") {
		t.Errorf("another session after a change of password is at %s, want /login", got)
	}
	v.post("/users", "name", "Ada", "role", "developer", "password", "a long enough password").wants(t, http.StatusOK, "ada was added")
	v.post("/users", "name", "ada", "role", "developer").wants(t, http.StatusConflict, "There is a user named ada already")
	v.post("/users", "name", "x y", "role", "developer").wants(t, http.StatusUnprocessableEntity, "cannot be a user name")
	ada, err := site.accounts.UserByName(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	v.post("/users/"+ada.ID+"/role", "role", "admin").wants(t, http.StatusOK, "The role is now admin")
	v.post("/users/"+ada.ID+"/tokens", "name", "x", "scope", "read").wants(t, http.StatusUnprocessableEntity, "not a robot")
	v.post("/users", "name", "ci", "role", "robot").wants(t, http.StatusOK, "ci was added, without a password")
	ci, err := site.accounts.UserByName(t.Context(), "ci")
	if err != nil {
		t.Fatal(err)
	}
	v.post("/users/"+ci.ID+"/tokens", "name", "pipeline", "scope", "write").wants(t, http.StatusCreated, "It is not shown again", "machine 127.0.0.1 login ci password gmr_")
	v.post("/users/"+ada.ID+"/role", "role", "king").wants(t, http.StatusOK, "No role is called")
	v.post("/users/"+ada.ID+"/disable").wants(t, http.StatusOK, "Disabled", ">disabled<")
	v.post("/users/"+ada.ID+"/enable").wants(t, http.StatusOK, "Enabled again")
	v.post("/users/"+ada.ID+"/password", "password", "yet another long one").wants(t, http.StatusOK, "The password was set")
	v.post("/users/"+site.admin.ID+"/password", "password", "my own new password").wants(t, http.StatusOK, "The password was set")
	v.post("/users/"+ada.ID+"/remove").wants(t, http.StatusOK, "The user was removed")
	v.post("/users/"+site.admin.ID+"/remove").wants(t, http.StatusOK, "last")
	v.post("/users/nosuch/remove").wants(t, http.StatusNotFound)
}

func TestRules(t *testing.T) {
	site := newConsoleSite(t)
	v := site.signedIn(t, "admin", adminPassword)
	v.post("/rules/credentials", "name", "acme", "host", "github.com", "user", "bot", "secret", "hunter2").wants(t, http.StatusOK, "Credential acme is stored", "bot")
	if strings.Contains(v.get("/rules").body, "hunter2") {
		t.Error("a stored credential is shown")
	}
	v.post("/rules", "pattern", "github.com/acme/*", "credential", "acme").wants(t, http.StatusOK, "github.com/acme/*", "people who sign in")
	v.post("/rules", "pattern", "*").wants(t, http.StatusUnprocessableEntity, "is not a pattern", `value="*"`)
	v.post("/rules/aliases", "prefix", "go.acme.dev/x", "repo", "github.com/acme/x").wants(t, http.StatusNotFound, "not mirrored here")
	v.post("/mirrors/new", "do", "add", "urls", "github.com/acme/x")
	v.post("/rules/aliases", "prefix", "go.acme.dev/x", "repo", "github.com/acme/x").wants(t, http.StatusOK, "go.acme.dev/x", "an administrator")
	v.post("/rules/aliases/remove", "prefix", "go.acme.dev/x").wants(t, http.StatusOK, "go.acme.dev/x was removed")
	v.post("/rules/remove", "pattern", "github.com/acme/*").wants(t, http.StatusOK, "was removed")
	v.post("/rules/credentials/remove", "name", "acme").wants(t, http.StatusOK, "acme was removed")
}

// What strangers and developers may not, they may not by typing the address.
func TestWhoMay(t *testing.T) {
	site := newConsoleSite(t)
	main := site.seed(t)
	at := "/mirrors/" + string(main.ID)
	dev, stranger := site.signedIn(t, "ada", "a long enough password"), site.visitor(t)
	for _, path := range []string{"/mirrors", at, "/start", "/account"} {
		dev.get(path).wants(t, http.StatusOK)
	}
	if body := dev.get(at).body; !strings.Contains(body, "Sync now") || strings.Contains(body, ">Edit<") || strings.Contains(body, ">Remove<") {
		t.Error("a developer's page of a mirror offers not exactly what a developer may")
	}
	dev.post(at+"/sync").wants(t, http.StatusOK, "Sync asked for")
	for _, path := range []string{"/mirrors/new", at + "/edit", at + "/remove", "/rules", "/users", "/system"} {
		dev.get(path).wants(t, http.StatusForbidden, "may not")
		if got := stranger.get(path).path; !strings.HasPrefix(got, "/login?next=") {
			t.Errorf("a stranger who opens %s is at %s, want /login", path, got)
		}
	}
	posts := []string{"/mirrors/new", at + "/edit", at + "/pause", at + "/resume", at + "/check", at + "/repair", at + "/remove", "/rules", "/rules/remove", "/rules/aliases",
		"/rules/aliases/remove", "/rules/credentials", "/rules/credentials/remove", "/users", "/users/" + site.admin.ID + "/role",
		"/users/" + site.admin.ID + "/tokens", "/users/" + site.admin.ID + "/password", "/users/" + site.admin.ID + "/disable", "/users/" + site.admin.ID + "/enable", "/users/" + site.admin.ID + "/remove"}
	for _, path := range posts {
		dev.post(path, "path", string(main.Path)).wants(t, http.StatusForbidden, "may not")
		if got := stranger.post(path).path; got != "/login" {
			t.Errorf("a stranger who posts to %s is at %s, want /login", path, got)
		}
	}
	// Somebody else's keys and tokens are not there.
	tokens, err := site.accounts.Tokens(t.Context(), site.admin.ID)
	if err != nil || len(tokens) != 1 {
		t.Fatalf("Tokens() = %v, %v, want 1", tokens, err)
	}
	dev.post("/account/tokens/"+tokens[0].ID+"/remove").wants(t, http.StatusNotFound)
	// A developer's token never has a scope beyond the role's reach.
	if body := dev.get("/account").body; strings.Contains(body, `value="write"`) {
		t.Error("a developer is offered a token that manages mirrors")
	}
}

// A GET changes nothing: the addresses of forms answer no GET, whoever asks.
func TestHostileE08FormsAnswerNoGET(t *testing.T) {
	site := newConsoleSite(t)
	main := site.seed(t)
	v, at := site.signedIn(t, "admin", adminPassword), "/mirrors/"+string(main.ID)
	for _, path := range []string{"/logout", at + "/sync", at + "/pause", at + "/resume", "/rules/remove", "/account/keys", "/account/tokens",
		"/account/password", "/users/" + site.admin.ID + "/disable", "/users/" + site.admin.ID + "/remove"} {
		v.get(path).wants(t, http.StatusMethodNotAllowed)
	}
	v.get("/account").wants(t, http.StatusOK)
}

// Text of strangers is text, on every page it comes to.
func TestHostileE01Text(t *testing.T) {
	site := newConsoleSite(t)
	evil := `"><script>alert(1)</script><img src=x onerror=alert(2)>{{.Name}}` + "\u202egnp.exe"
	ctx, now := t.Context(), time.Now().UTC()
	repo := mirror.Repo{
		ID: mirror.NewID(), Path: "github.com/evil/corp", Upstream: mirror.Upstream{Scheme: "https", Host: "github.com", Path: "/evil/corp"},
		Tags: mirror.FreezeTags, Created: now, Updated: now, Version: 1, State: mirror.State{
			Status: mirror.Failed, Failures: 1, NextSync: now, LastAttempt: now, Head: "refs/heads/" + evil,
			Problem: &mirror.Problem{Code: "E1104", Kind: mirror.ErrUpstream, What: evil, Why: evil, Do: "javascript:alert(3)", Raw: evil},
		},
	}
	if err := site.db.AddRepo(ctx, repo); err != nil {
		t.Fatal(err)
	}
	site.seedHistory(t, repo, repo.State.Problem)
	if _, err := site.accounts.AddKey(ctx, site.admin.ID, `<b onclick="x">key</b>`, publicKey); err != nil {
		t.Fatal(err)
	}
	if _, _, err := site.accounts.CreateToken(ctx, site.admin.ID, `<script>alert(4)</script>`, auth.ScopeRead, 0); err != nil {
		t.Fatal(err)
	}
	v := site.signedIn(t, "admin", adminPassword)
	at := "/mirrors/" + string(repo.ID)
	pages := []answer{
		v.get("/mirrors"), v.get(at), v.get(at + "/edit"), v.get("/account"), v.get("/system"), v.get("/mirrors?q=" + `%22%3E%3Cscript%3Ealert(1)%3C/script%3E`),
		v.get(at + "?ref=%3Cscript%3Ealert(1)"), v.get("/mirrors/%3Cscript%3E"), v.get("/nosuch/%3Cscript%3Ealert(1)%3C/script%3E"),
		v.post("/mirrors/new", "do", "check", "urls", evil), v.post("/users", "name", evil, "role", evil), v.post("/login", "name", evil, "password", "x"),
	}
	for _, p := range pages {
		for _, bad := range []string{"<script>alert", "<img src=x", `<b onclick`, `href="javascript:`, "ZgotmplZ"} {
			if strings.Contains(p.body, bad) {
				t.Errorf("%s holds %q", p.path, bad)
			}
		}
		if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: Content-Security-Policy = %q", p.path, csp)
		}
	}
}

// Trouble inside is told with the id under which the log has it, and nothing more.
func TestInternalError(t *testing.T) {
	site := newConsoleSite(t)
	main := site.seed(t)
	v := site.signedIn(t, "admin", adminPassword)
	site.reader.broken.Store(true)
	got := v.get("/mirrors/" + string(main.ID))
	got.wants(t, http.StatusInternalServerError, "Something broke on the server", "request <code>"+got.header.Get("X-Request-Id"), "/rules")
	if strings.Contains(got.body, "sector") {
		t.Error("the page tells what only the log should")
	}
}

func TestStatic(t *testing.T) {
	site := newConsoleSite(t)
	v := site.visitor(t)
	page := v.get("/login")
	files := regexp.MustCompile(`(?:href|src)="(/static/[^"]+)"`).FindAllStringSubmatch(page.body, -1)
	if len(files) != 5 {
		t.Fatalf("the page names %d static files, want 5: %v", len(files), files)
	}
	for _, f := range files {
		got := v.get(f[1])
		got.wants(t, http.StatusOK)
		if !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: Cache-Control = %q, want immutable", f[1], got.header.Get("Cache-Control"))
		}
	}
	v.get("/static/app.css").wants(t, http.StatusNotFound)
	v.get("/static/../pages.go").wants(t, http.StatusNotFound)
	v.get("/static/").wants(t, http.StatusNotFound)
	if regexp.MustCompile(`(?:href|src|action)="(?:https?:)?//`).MatchString(page.body) {
		t.Error("a page names a file of another host")
	}
}
