package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// TestLook opens every page in both languages, in both themes, on a phone and on
// a desk, keeps a picture of each for people to look at, and checks it by the
// rules of WCAG 2.2 AA: once per language, and so once per theme and per width. What
// depends on the theme, the contrast, is checked in all four.
func TestLook(t *testing.T) {
	site := newConsoleSite(t)
	all := site.seedAll(t)
	b := openBrowser(t, site)
	check := newAccessibility(b)
	for _, p := range outsidePages(all) {
		check.looks(p)
	}
	b.speak("en")
	b.signIn("admin", adminPassword)
	for _, p := range consolePages(all) {
		check.looks(p)
	}
}

// TestLookRunning is TestLook for what changes while one looks: a first clone.
func TestLookRunning(t *testing.T) {
	up := gittest.NewUpstream(t)
	up.Init(t, "github.com/acme/app")
	up.Commit(t, "github.com/acme/app", map[string]string{"data.txt": noise(400_000)}, "v1.0.0")
	site, run := runningSite(t, up.Base())
	b := openBrowser(t, site)
	check := newAccessibility(b)
	b.signIn("admin", adminPassword)
	running := func(b *browser) { b.do(chromedp.WaitVisible(chromedp.CSS(".steps .now"))) }
	for _, p := range []consolePage{
		{"run-running", "", run, running}, {"mirror-first-clone", "", run[:len("/mirrors/")+20], running},
		{"mirrors-first-clone", "", "/mirrors", nil},
	} {
		check.looks(p)
	}
}

// TestLookEmpty is TestLook for a server where nobody has done anything yet.
func TestLookEmpty(t *testing.T) {
	site := newConsoleSite(t)
	b := openBrowser(t, site)
	check := newAccessibility(b)
	b.signIn("admin", adminPassword)
	for _, path := range []string{"mirrors", "approvals", "upstreams", "modules", "traffic", "rules", "account", "alerts", "access", "audit", "system"} {
		check.looks(consolePage{name: path + "-empty", path: "/" + path})
	}
}

// looks opens a page in both languages and takes its pictures: English in light,
// Chinese in dark, both as wide as a desk and as a phone. GITMIRROR_LOOK=all takes
// every combination.
func (a *accessibility) looks(p consolePage) {
	a.b.t.Helper()
	every := os.Getenv("GITMIRROR_LOOK") == "all"
	for _, mode := range []struct {
		language, theme string
		axe             int64 // width to be checked at
	}{{"en", "light", 1280}, {"zh", "dark", 390}, {"en", "dark", 0}, {"zh", "light", 0}} {
		if mode.axe == 0 && !every {
			continue
		}
		a.b.speak(mode.language)
		a.b.look(mode.theme, 1280)
		a.b.open(p.path)
		if p.prepare != nil {
			p.prepare(a.b)
		}
		for _, width := range []int64{1280, 390} {
			a.b.look(mode.theme, width)
			name := fmt.Sprintf("%s-%s-%s-%d", p.name, mode.language, mode.theme, width)
			a.fits(name)
			a.b.shot(name)
			if width == mode.axe {
				a.page(name)
				other := map[string]string{"light": "dark", "dark": "light"}[mode.theme]
				a.b.look(other, width)
				a.contrast(name + "-in-" + other)
			}
		}
		if mode.language == "zh" {
			a.speaks(p.name)
		}
	}
	a.b.speak("en")
}

// speaks fails on what is left in English on a page in Chinese, but for what
// people and programs wrote themselves.
func (a *accessibility) speaks(name string) {
	a.b.t.Helper()
	text, err := chromedp.Run(a.b.ctx, chromedp.Evaluate[string](`(m => (m.querySelectorAll("code, pre, .raw, time, textarea, del, ins, .agent").forEach(e => e.remove()), m.innerText))(document.querySelector("body").cloneNode(true))`))
	if err != nil {
		a.b.t.Fatal(err)
	}
	for _, line := range latin(text) {
		if !slices.ContainsFunc(ownWords(), func(own string) bool { return strings.Contains(line, own) }) {
			a.b.t.Errorf("%s in Chinese says: %s", name, line)
		}
	}
}

// ownWords are what people wrote in what the tests seed.
func ownWords() []string { return []string{"Nobody mends it any more."} }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

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

// fits fails on a page that is wider than the screen.
func (a *accessibility) fits(name string) {
	a.b.t.Helper()
	over, err := chromedp.Run(a.b.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`))
	if err != nil || over > 0 {
		a.b.t.Errorf("%s: the page is %d px too wide (%v)", name, over, err)
	}
}

// page fails on everything axe calls serious or critical.
func (a *accessibility) page(name string) {
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
	a.run(name, `{resultTypes: ["violations"]}`)
}

// contrast is page for the colours of a page that was checked in another theme.
func (a *accessibility) contrast(name string) {
	a.b.t.Helper()
	a.run(name, `{resultTypes: ["violations"], runOnly: ["color-contrast"]}`)
}

// run has axe look at the page it is in.
func (a *accessibility) run(name, options string) {
	a.b.t.Helper()
	found, err := chromedp.Run(a.b.ctx, chromedp.Evaluate[[]violation](
		`axe.run(document, `+options+`).then(r => r.violations.filter(v => v.impact === "serious" || v.impact === "critical"))`, chromedp.EvalAwaitPromise))
	if err != nil {
		a.b.t.Fatalf("axe on %s: %v", name, err)
	}
	for _, v := range found {
		for _, n := range v.Nodes {
			a.b.t.Errorf("%s: %s (%s): %s\n%s", name, v.Help, v.ID, n.HTML, n.Summary)
		}
	}
}
