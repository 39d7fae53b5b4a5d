package web_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// evilText would run if any page took it for something else than text.
const evilText = `"><script>window.pwned=1</script><img src=x onerror="window.pwned=1">'{{.Name}}javascript:alert(1)` + "\u202egnp.exe"

// seedEvil has text of strangers wherever pages show some, written past the
// checks of what people type.
func (s *consoleSite) seedEvil(t *testing.T, all seeded) seeded {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	problem := &mirror.Problem{Code: "E1104", Kind: mirror.ErrUpstream, What: evilText, Why: evilText, Do: "javascript:alert(3)", Raw: evilText}
	evil := mirror.Repo{
		ID: mirror.NewID(), Path: "github.com/evil/corp", Upstream: mirror.Upstream{Scheme: "https", Host: "github.com", Path: "/evil/corp"},
		Tags: mirror.FreezeTags, Created: now, Updated: now, Version: 1, Credential: evilText, State: mirror.State{
			Status: mirror.Failed, Failures: 9, Digest: "d", LastSuccess: now.Add(-time.Hour), LastAttempt: now, NextSync: now.Add(-time.Hour), Head: "refs/heads/" + evilText, Problem: problem,
		},
	}
	ok("add", s.db.AddRepo(ctx, evil))
	// The queue gives what is asked for by hand first.
	s.seedHistory(t, evil, problem)
	at := now.Add(time.Minute)
	_, err := s.db.Ask(ctx, evil.ID, mirror.ByHand, at)
	ok("ask", err)
	claims, err := s.db.Claim(ctx, "evil", at, time.Minute, mirror.Room{People: 1})
	if err != nil || len(claims) != 1 {
		t.Fatalf("Claim() = %d claims, %v, want 1", len(claims), err)
	}
	run := claims[0].Run
	run.Ended, run.Outcome, run.Problem = at.Add(time.Second), mirror.RunFailed, problem
	ok("end", s.db.EndRun(ctx, claims[0], mirror.Ending{Run: run, State: evil.State,
		Events: []mirror.Event{{Repo: evil.ID, Run: run.ID, At: at, Kind: mirror.TagMoved, Ref: "refs/tags/" + evilText, Old: evilText, New: evilText, Text: evilText}},
		Holds:  []mirror.Hold{{Repo: evil.ID, Kind: mirror.HoldDeletions, Ref: "refs/heads/" + evilText, Old: evilText, New: evilText, Refs: []string{evilText}, Text: evilText, Opened: at}},
	}))
	all.main = evil
	all.runs, err = s.db.Runs(ctx, evil.ID, 0, 100)
	ok("runs", err)
	user := auth.User{ID: "evil0000000000000000", Name: evilText, Role: auth.Robot, Created: now}
	ok("user", s.db.AddUser(ctx, user))
	group := auth.Group{ID: "evil0000000000000001", Name: evilText, Created: now}
	ok("group", s.db.AddGroup(ctx, group))
	ok("join", s.db.Join(ctx, auth.Member{Group: group.ID, User: user.ID}))
	ok("grant", s.db.AddGrant(ctx, auth.Grant{Pattern: evilText, Group: group.ID, Created: now}))
	ok("trust", s.db.AddTrust(ctx, auth.Trust{ID: "evil0000000000000002", Name: evilText, Issuer: evilText, Claims: map[string]string{evilText: evilText}, User: user.ID, Scope: auth.ScopeRead, Created: now}))
	_, _, err = s.accounts.CreateToken(ctx, s.admin.ID, strings.ReplaceAll(evilText[:60], "\u202e", ""), auth.ScopeRead, 0)
	ok("token", err)
	ok("alias", s.db.AddAlias(ctx, mirror.Alias{Prefix: evilText, Repo: evil.Path, Dir: evilText, Found: evilText}))
	ok("module", s.db.AddModuleUse(ctx, []mirror.ModuleUse{{Module: evilText, Version: evilText, Source: evilText, Sums: mirror.Sums{Zip: evilText, Mod: evilText}, Requests: 1e6, Downloads: 1e6, At: now.Add(time.Minute)}}))
	ok("refusals", s.db.AddModuleRefusals(ctx, []mirror.ModuleRefusal{{ModuleEvent: mirror.ModuleEvent{At: now, Kind: mirror.ModuleForged, Module: evilText, Version: evilText, User: evilText, Address: evilText, From: evilText, Text: evilText}, Times: 1}}))
	ok("alerts", s.db.SetAlerts(ctx, "failing", []mirror.Alert{{Rule: "failing", Subject: evilText, Text: evilText, Link: "javascript:window.pwned=1", Since: now}}, now,
		[]mirror.AlertMessage{{Channel: "ops", Rule: "failing", At: now, Body: mirror.AlertBody{Title: evilText}, Due: now.Add(time.Hour), Problem: evilText}}))
	ok("cool down", s.db.SaveCooldown(ctx, mirror.Cooldown{What: "host github.com with " + evilText, Until: now.Add(time.Hour), Why: evilText}))
	ok("switch", s.db.SwitchHost(ctx, mirror.Switch{HostEvent: mirror.HostEvent{Host: "github.com", At: now, From: "proxy-hk", To: mirror.Direct, By: evilText, Reason: evilText}}))
	s.visitor(t).post("/login", "name", evilText, "password", "x") // an entry of the audit trail
	return all
}

// TestHostileInBrowser opens every page with hostile text on it in a real browser:
// nothing runs, nothing is loaded, and the content policy has nothing to refuse
// (openBrowser fails the test for what the browser's console says).
func TestHostileInBrowser(t *testing.T) {
	site := newConsoleSite(t)
	all := site.seedEvil(t, site.seedAll(t))
	b := openBrowser(t, site)
	harmless := func(name string) {
		t.Helper()
		got := b.value(`[window.pwned ? "something ran" : "", document.querySelector("img, iframe, object, embed, base, script:not([src]), body script") ? "an element of the text" : "",
			[...document.querySelectorAll("*")].some(e => [...e.attributes].some(a => a.name.startsWith("on"))) ? "a handler" : "",
			[...document.querySelectorAll("[href], [src], [action]")].some(e => /^\s*(javascript|data|vbscript):/i.test(e.getAttribute("href") || e.getAttribute("src") || e.getAttribute("action"))) ? "an address that runs" : "",
			document.querySelector("[style]") ? "a style" : ""].filter(x => x).join(", ")`)
		if got != "" {
			b.shot("failed-hostile-" + name)
			t.Errorf("%s has %s", name, got)
		}
	}
	for _, p := range outsidePages(all) {
		b.open(p.path)
		if p.prepare != nil {
			p.prepare(b)
		}
		harmless(p.name)
	}
	b.signIn("admin", adminPassword)
	seen := 0
	for _, p := range append(consolePages(all),
		consolePage{name: "mirrors, hostile search", path: "/mirrors?q=" + url.QueryEscape(evilText)},
		consolePage{name: "modules, hostile search", path: "/modules?q=" + url.QueryEscape(evilText)},
		consolePage{name: "hostile module", path: "/modules/of/" + url.PathEscape(evilText)},
		consolePage{name: "hostile test", path: "/modules/test?module=" + url.QueryEscape(evilText)},
		consolePage{name: "hostile filter", path: "/audit?actor=" + url.QueryEscape(evilText)},
		consolePage{name: "hostile user search", path: "/users?q=" + url.QueryEscape(evilText)},
		consolePage{name: "hostile ref search", path: "/mirrors/" + string(all.main.ID) + "?ref=" + url.QueryEscape(evilText)},
		consolePage{name: "hostile address", path: "/nosuch/" + url.PathEscape(evilText)},
	) {
		b.open(p.path)
		if p.prepare != nil {
			p.prepare(b)
		}
		b.eventually(`(document.querySelectorAll("main details").forEach(d => d.open = true), true)`, "open all")
		harmless(p.name)
		if b.value(`String(document.documentElement.textContent.includes("window.pwned=1"))`) == "true" {
			seen++
		}
	}
	if seen < 20 {
		t.Errorf("only %d pages show the hostile text, want 20 or more: it is not where it should be", seen)
	}
	b.do(chromedp.WaitReady(chromedp.CSS("main")))
}
