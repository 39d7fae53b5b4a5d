package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestLook opens every page in both themes, on a phone and on a desk, checks it
// by the rules of WCAG 2.2 AA, and keeps a picture for people to look at.
func TestLook(t *testing.T) {
	site := newConsoleSite(t)
	main := site.seed(t)
	site.seedTraffic(t, main)
	b := openBrowser(t, site)
	check := newAccessibility(b)
	at := "/mirrors/" + string(main.ID)
	pages := []struct {
		name, path string
		prepare    func() // after it was opened
	}{
		{"login", "/login", nil},
		{"mirrors", "/mirrors", nil},
		{"mirrors-none", "/mirrors?q=nosuch", nil},
		{"new", "/mirrors/new", nil},
		{"new-checked", "/mirrors/new", func() {
			b.do(fill("#urls", "https://github.com/stretchr/testify\ngithub.com/rs/xid\nhtps://github.com/x/y\ngolang.org/x/text\nfile:///etc/passwd"))
			b.press("Check")
			b.sees("2 new")
		}},
		{"mirror", at, nil},
		{"edit", at + "/edit", nil},
		{"remove", at + "/remove", nil},
		{"rules", "/rules", nil},
		{"account", "/account", nil},
		{"account-token", "/account", func() {
			b.do(fill("#token-name", "laptop"))
			b.press("Create token")
			b.sees("Copy it now")
		}},
		{"users", "/users", func() {
			b.press("Change ada")
			b.press("Change ci-runner")
		}},
		{"confirm", "/account", func() { b.press("Revoke…") }},
		{"traffic", "/traffic", nil},
		{"start", "/start", nil},
		{"system", "/system", nil},
		{"not-found", "/mirrors/nosuch", nil},
	}
	for _, p := range pages {
		if p.name == "mirrors" {
			b.signIn("admin", adminPassword)
		}
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int64{1280, 390} {
				b.look(theme, width)
				b.open(p.path)
				if p.prepare != nil {
					p.prepare()
				}
				b.shot(fmt.Sprintf("%s-%s-%d", p.name, theme, width))
				if theme == "light" == (width == 390) { // each theme once, each width once
					check.page(p.name, theme, width)
				}
			}
		}
	}
}

// TestLookEmpty is TestLook for a server where nobody has done anything yet.
func TestLookEmpty(t *testing.T) {
	site := newConsoleSite(t)
	b := openBrowser(t, site)
	check := newAccessibility(b)
	b.signIn("admin", adminPassword)
	for _, path := range []string{"mirrors", "traffic", "rules", "account", "system"} {
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int64{1280, 390} {
				b.look(theme, width)
				b.open("/" + path)
				b.shot(fmt.Sprintf("%s-empty-%s-%d", path, theme, width))
				check.page(path+"-empty", theme, width)
			}
		}
	}
}

// accessibility runs axe-core in the page.
type accessibility struct {
	b   *browser
	axe string
}

func newAccessibility(b *browser) *accessibility {
	b.t.Helper()
	packed, err := os.ReadFile("testdata/axe-4.14.1.min.js.gz")
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		b.t.Fatal(err)
	}
	axe, err := io.ReadAll(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return &accessibility{b, string(axe)}
}

type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// page fails on everything axe calls serious or critical, and on a page that
// is wider than the screen.
func (a *accessibility) page(name, theme string, width int64) {
	a.b.t.Helper()
	a.b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true})
		return err
	}))
	defer a.b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: false})
		return err
	}))
	a.b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool](a.axe+"; true")(ctx, t)
		return err
	}))
	found, err := chromedp.Run(a.b.ctx, chromedp.Evaluate[[]violation](
		`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.filter(v => v.impact === "serious" || v.impact === "critical"))`, chromedp.EvalAwaitPromise))
	if err != nil {
		a.b.t.Fatalf("axe on %s: %v", name, err)
	}
	for _, v := range found {
		for _, n := range v.Nodes {
			a.b.t.Errorf("%s, %s, %d px: %s (%s): %s\n%s", name, theme, width, v.Help, v.ID, n.HTML, n.Summary)
		}
	}
	over, err := chromedp.Run(a.b.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`))
	if err != nil || over > 0 {
		a.b.t.Errorf("%s, %s: the page is %d px wider than %d px (%v)", name, theme, over, width, err)
	}
}
