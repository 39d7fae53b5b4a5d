package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// seeded is what is on a site with something on every page.
type seeded struct {
	main mirror.Repo // with history
	held mirror.Repo // with holds and kept refs; real
	runs []mirror.Run
	// phone is who signs in with a password and a second factor.
	phone string
}

const phonePassword = "a password and a phone"

// seedAll puts something on every page.
func (s *consoleSite) seedAll(t testing.TB) seeded {
	t.Helper()
	ctx := t.Context()
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	all := seeded{held: s.held(t), phone: "lin"}
	all.main = s.seed(t)
	s.seedTraffic(t, all.main)
	s.seedUpstreams(t)
	s.seedModules(t)
	ok("cool down", s.db.SaveCooldown(ctx, mirror.Cooldown{What: "host github.com with acme-read", Until: time.Now().Add(time.Hour), Why: "github.com limits how often it is asked"}))
	var err error
	all.runs, err = s.db.Runs(ctx, all.main.ID, 0, 100)
	ok("runs", err)
	_, err = s.modules.AddModuleRule(ctx, mirror.ModuleRule{Action: mirror.ActionDeny, Pattern: "example.com/abandoned/*", Reason: "Nobody mends it any more."}, 0)
	ok("module rule", err)
	s.seedAccess(t)
	s.seedAlerts(t)
	s.hostAPI(t, "api", "attic", "secret")
	ok("credential", s.catalog.AddCredential(ctx, mirror.Credential{Name: "local-read", Host: "127.0.0.1", User: "acme-bot", Secret: "s3cret"}))
	phone, err := s.accounts.AddUser(ctx, all.phone, auth.Developer, phonePassword)
	ok("user", err)
	enrolment, err := s.accounts.NewFactor(ctx, phone.ID, "127.0.0.1")
	ok("second factor", err)
	code, err := totp.GenerateCode(enrolment.Secret, time.Now())
	ok("code", err)
	_, err = s.accounts.ConfirmFactor(ctx, phone.ID, code, "127.0.0.1", "")
	ok("confirm", err)
	v := s.signedIn(t, "admin", adminPassword)
	at := "/mirrors/" + string(all.main.ID)
	v.post(at+"/pause").wants(t, http.StatusOK)
	v.post(at+"/resume").wants(t, http.StatusOK)
	s.signedIn(t, "ada", "a long enough password").post("/users", "name", "mallory").wants(t, http.StatusForbidden)
	return all
}

// seedAccess makes groups, grants and a trusted CI.
func (s *consoleSite) seedAccess(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	for _, name := range []string{"backend", "contractors"} {
		group, err := s.accounts.AddGroup(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if name != "backend" {
			continue
		}
		for _, pattern := range []string{"github.com/acme/*", "gitlab.com/a-rather-long-group-name/with-a-subgroup/*"} {
			if _, err := s.accounts.Grant(ctx, group, pattern); err != nil {
				t.Fatal(err)
			}
		}
		for _, user := range []string{"ada", "grace"} {
			u, err := s.accounts.UserByName(ctx, user)
			if err == nil {
				err = s.accounts.Join(ctx, group, u)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	robot, err := s.accounts.UserByName(ctx, "ci-runner")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.accounts.AddTrust(ctx, auth.Trust{
		Name: "github-acme", Issuer: "https://token.actions.githubusercontent.com", Audience: s.url, User: robot.ID, Scope: auth.ScopeRead,
		Claims: map[string]string{"repository": "acme/*", "ref": "refs/heads/main"},
	}); err != nil {
		t.Fatal(err)
	}
}

// seedAlerts makes channels, rules, what is on, and messages: one that arrived,
// one that was refused.
func (s *consoleSite) seedAlerts(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/refuses") {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(receiver.Close)
	for _, c := range []mirror.AlertChannel{
		{Name: "ops", Kind: mirror.ByWebhook, URL: mirror.Secret(receiver.URL + "/hook"), Secret: "signing-secret"},
		{Name: "chat", Kind: mirror.ByFeishu, URL: mirror.Secret(receiver.URL + "/refuses")},
		{Name: "mail", Kind: mirror.ByMail, Server: "mail.example.com:587", TLS: "starttls", From: "gitmirror@example.com", To: []string{"on-call@example.com", "platform-team@example.com"}},
	} {
		if err := s.alerts.SaveChannel(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []mirror.AlertRule{
		{Name: "failing", Kind: mirror.AlertFailing, Times: 3, Channels: []string{"ops"}},
		{Name: "late", Kind: mirror.AlertLate, After: time.Hour, Pattern: "github.com/*", Channels: []string{"ops", "chat"}},
		{Name: "tags", Kind: mirror.AlertTag},
		{Name: "tokens", Kind: mirror.AlertExpiring, After: 14 * 24 * time.Hour, Disabled: true},
	} {
		if err := s.alerts.SaveRule(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.alerts.Look(ctx); err != nil {
		t.Fatal(err)
	}
	_ = s.alerts.Trial(ctx, "ops")
	_ = s.alerts.Trial(ctx, "chat") // refused
	if on, err := s.db.Alerts(ctx, ""); err != nil || len(on) < 2 {
		t.Fatalf("alerts = %+v, %v, want two or more", on, err)
	}
}

// runningSite is one with a mirror whose first clone goes on until the end of the test.
func runningSite(t *testing.T, upstream string) (s *consoleSite, runPage string) {
	t.Helper()
	s = newConsoleSite(t)
	slow := newGate(t, upstream)
	s.run(t)
	t.Cleanup(slow.open)
	repo, _, err := s.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/acme/app", Upstream: slow.url + "/github.com/acme/app"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pack is on its way", func() bool {
		p, ok := s.syncer.Progress(repo.ID)
		if ok && p.Run > 0 && p.Phase == mirror.Receiving {
			runPage = fmt.Sprintf("/mirrors/%s/runs/%d", repo.ID, p.Run)
			return true
		}
		return false
	})
	return s, runPage
}

// consoleGets are the console's pages: routes that answer a GET with one.
func (s *consoleSite) consoleGets(t *testing.T) []string {
	t.Helper()
	routes, err := s.server.Routes()
	if err != nil {
		t.Fatal(err)
	}
	var gets []string
	for _, r := range routes {
		path, get := strings.CutPrefix(r, "GET ")
		if get && !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/static") {
			gets = append(gets, path)
		}
	}
	slices.Sort(gets)
	return gets
}
