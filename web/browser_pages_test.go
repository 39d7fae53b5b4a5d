package web_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/gitmirror/gitmirror/mirror"
)

// consolePage is a page somebody looks at: every GET route of the console is one of these,
// or one of noPages.
type consolePage struct {
	name, route, path string
	prepare           func(b *browser) // after it was opened, in any language; nil = nothing
}

// noPages are GET routes that answer with no page of their own, and why.
var noPages = map[string]string{
	"/login/oidc":                 "redirects to the provider",
	"/login/oidc/callback":        "redirects from the provider",
	"/account/oidc":               "redirects to the provider",
	"/mirrors/open":               "redirects to the page of a mirror",
	"/mirrors/live":               "an event stream",
	"/mirrors/:id/live":           "an event stream",
	"/mirrors/:id/runs/:run/live": "an event stream",
	"/start/seen":                 "an event stream",
	"/audit/export":               "a file",
}

// outsidePages are what a person sees who has not signed in.
func outsidePages(all seeded) []consolePage {
	return []consolePage{
		{"login", "/login", "/login", nil},
		{"login-wrong", "/login", "/login", func(b *browser) {
			b.do(fill("#name", "admin"), fill("#password", "not the password"))
			b.submit("main form:not(.look)")
			b.eventually(`document.querySelector("[role=alert]") !== null`, "be refused")
		}},
		{"login-code", "/login/code", "/login", func(b *browser) {
			b.do(fill("#name", all.phone), fill("#password", phonePassword))
			b.submit("main form:not(.look)")
			b.do(chromedp.WaitVisible(chromedp.CSS("#code")))
		}},
	}
}

// consolePages are what an administrator sees.
func consolePages(all seeded) []consolePage {
	at, held := "/mirrors/"+string(all.main.ID), "/mirrors/"+string(all.held.ID)
	run := func(i int) string { return at + "/runs/" + itoa(all.runs[i].ID) }
	return []consolePage{
		{"overview", "/", "/", nil},
		{"mirrors", "/mirrors", "/mirrors", nil},
		{"mirrors-none", "/mirrors", "/mirrors?q=nosuch", nil},
		{"mirrors-chosen", "/mirrors", "/mirrors", func(b *browser) { b.tick("input[name=id]", 2) }},
		{"bulk-remove", "/mirrors", "/mirrors", func(b *browser) {
			b.tick("input[name=id]", 2)
			b.click("button[formaction='/mirrors/bulk/remove']")
			b.do(chromedp.WaitVisible(chromedp.CSS("#count")))
		}},
		{"new", "/mirrors/new", "/mirrors/new", nil},
		{"new-checked", "/mirrors/new", "/mirrors/new", func(b *browser) {
			b.do(fill("#urls", "https://github.com/stretchr/testify\ngithub.com/rs/xid\nhtps://github.com/x/y\ngolang.org/x/text\nfile:///etc/passwd"))
			b.click("button[value=check]")
			b.do(chromedp.WaitVisible(chromedp.CSS("#preview")))
		}},
		{"owner", "/mirrors/new/owner", "/mirrors/new/owner", nil},
		{"owner-listed", "/mirrors/new/owner", "/mirrors/new/owner?owner=127.0.0.1/acme", func(b *browser) {
			b.choose("#credential", "local-read")
			b.click("button[value=check]:not([hidden])")
			b.do(chromedp.WaitVisible(chromedp.CSS("#preview")))
		}},
		{"mirror", "/mirrors/:id", at, nil},
		{"mirror-held", "/mirrors/:id", held, nil},
		{"refs", "/mirrors/:id/refs", held + "/refs", nil},
		{"compare", "/mirrors/:id/compare", held + "/compare?old=v1.0.0&new=refs/gitmirror/held/tags/v1.0.0", nil},
		{"serves", "/mirrors/:id/modules", held + "/modules", nil},
		{"edit", "/mirrors/:id/edit", held + "/edit", nil},
		{"rename", "/mirrors/:id/rename", at + "/rename", nil},
		{"remove", "/mirrors/:id/remove", at + "/remove", nil},
		{"run-failed", "/mirrors/:id/runs/:run", run(0), nil},
		{"run-ended", "/mirrors/:id/runs/:run", run(7), nil},
		{"approvals", "/approvals", "/approvals", nil},
		{"upstreams", "/upstreams", "/upstreams", nil},
		{"upstream", "/upstreams/:host", "/upstreams/github.com", nil},
		{"upstream-edit", "/upstreams/:host/edit", "/upstreams/github.com/edit", nil},
		{"modules", "/modules", "/modules", nil},
		{"modules-none", "/modules", "/modules?q=nosuch", nil},
		{"module", "/modules/of/*module", "/modules/of/github.com/spf13/pflag", nil},
		{"module-rules", "/modules/rules", "/modules/rules", nil},
		{"module-test", "/modules/test", "/modules/test", nil},
		{"module-test-answer", "/modules/test", "/modules/test?module=example.com/lib@v1.0.0", nil},
		{"traffic", "/traffic", "/traffic", nil},
		{"start", "/start", "/start", nil},
		{"account", "/account", "/account", nil},
		{"account-token", "/account", "/account", func(b *browser) {
			b.do(fill("#token-name", "laptop"))
			b.submit("form[action='/account/tokens']")
			b.do(chromedp.WaitVisible(chromedp.CSS("#secret")))
		}},
		{"confirm", "/account", "/account", func(b *browser) { b.click(".confirm summary") }},
		{"second-factor", "/account/second-factor", "/account/second-factor", func(b *browser) {
			b.eventually(`document.querySelector(".qr") !== null || (document.querySelector("main form").submit(), false)`, "see the QR code")
		}},
		{"rules", "/rules", "/rules", nil},
		{"users", "/users", "/users", func(b *browser) {
			b.eventually(`(document.querySelectorAll("main details").forEach((d, i) => d.open = i < 2), true)`, "open two")
		}},
		{"alerts", "/alerts", "/alerts", nil},
		{"access", "/access", "/access", nil},
		{"audit", "/audit", "/audit", nil},
		{"system", "/system", "/system", nil},
		{"not-found", "/mirrors/:id", "/mirrors/nosuch", nil},
		{"nothing-there", "/mirrors/:id", "/nosuch", nil},
	}
}

// TestEveryPageIsLookedAt fails for a page of the console that TestLook does not open.
func TestEveryPageIsLookedAt(t *testing.T) {
	site := newConsoleSite(t)
	looked := map[string]bool{}
	all := seeded{runs: make([]mirror.Run, 15)}
	for _, p := range append(outsidePages(all), consolePages(all)...) {
		looked[p.route] = true
	}
	gets := site.consoleGets(t)
	for _, route := range gets {
		if looked[route] == (noPages[route] != "") {
			t.Errorf("GET %s: looked at = %t, no page because it %q; want a page in consolePages, or a reason in noPages", route, looked[route], noPages[route])
		}
	}
	for route := range looked {
		if !slices.Contains(gets, route) {
			t.Errorf("%s is no route of the console", route)
		}
	}
}

// click presses the first thing that the selector finds, in any language.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// submit presses the first button of a form.
func (b *browser) submit(form string) {
	b.t.Helper()
	b.click(form + " button:not([type=button])")
}

// tick marks the first boxes that the selector finds.
func (b *browser) tick(selector string, n int64) {
	b.t.Helper()
	b.do(chromedp.WaitReady(chromedp.CSS(selector)))
	b.eventually(`(boxes => boxes.length >= `+itoa(n)+` && boxes.slice(0, `+itoa(n)+`).every(box => box.checked || (box.click(), box.checked)))([...document.querySelectorAll("`+selector+`")])`, "tick boxes")
}

// speak sets the language of the console by the cookie its switch sets.
func (b *browser) speak(language string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.SetCookie, network.SetCookieParams{Name: "gitmirror-language", Value: language, URL: b.site.url})
		return err
	}))
}

// latin are runs of letters of a page in Chinese that might have been left in English.
func latin(text string) []string {
	var found []string
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		plain := 0
		for _, w := range words {
			w = strings.Trim(w, ".,:;!?()“”\"'")
			if len(w) > 1 && strings.IndexFunc(w, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) < 0 {
				plain++
			}
		}
		if plain >= 4 && plain*2 > len(words) {
			found = append(found, line)
		}
	}
	return found
}
