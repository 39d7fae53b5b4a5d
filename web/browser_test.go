package web_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser is a tab of a real Chromium, in which a person uses the console.
type browser struct {
	t    *testing.T
	ctx  context.Context
	site *consoleSite
}

// openBrowser starts a Chromium of its own, with a fresh profile. What a page
// writes to the browser's console – a refused script, a violated content
// policy, a file that is not there – fails the test.
func openBrowser(t *testing.T, site *consoleSite) *browser {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Fatal("no chromium in PATH; install the package chromium")
	}
	alloc, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()),
		chromedp.ExecPath(program), chromedp.UserDataDir(profile(t)), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(2*time.Minute),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE 127.0.0.2"), // the second is that of sign-in providers
	)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithErrorf(t.Logf))
	ctx, late := context.WithTimeout(ctx, 10*time.Minute)
	b := &browser{t: t, ctx: ctx, site: site}
	said := make(chan []string, 1)
	listening, quiet := context.WithCancel(ctx)
	console := chromedp.Console(listening)
	go func() {
		var lines []string
		for m, err := range console {
			if err != nil {
				break
			}
			if m.IsException() || m.Type == "error" || m.Type == "warning" {
				lines = append(lines, m.String())
			}
		}
		said <- lines
	}()
	t.Cleanup(func() {
		quiet()
		for _, line := range <-said {
			// Chromium reports every page with a status of 400 and more; tests that
			// make such pages check them themselves.
			if !strings.Contains(line, "Failed to load resource: the server responded with a status of 4") && !strings.Contains(line, "status of 502") {
				t.Errorf("the browser's console says: %s", line)
			}
		}
		late()
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Logf("close browser: %v", err)
		}
		cancel()
		stop()
	})
	return b
}

// profile is a directory for a Chromium, whose helpers may write into it for a
// moment after the browser has ended.
func profile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gitmirror-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
			if err = os.RemoveAll(dir); err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("remove the browser's profile: %v", err)
				return
			}
		}
	})
	return dir
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		where, _ := chromedp.Run(b.ctx, chromedp.Location())
		b.shot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
		b.t.Fatalf("at %s: %v", where, err)
	}
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.site.url+path), chromedp.WaitReady(chromedp.CSS("main")))
}

func (b *browser) signIn(name, password string) {
	b.t.Helper()
	b.open("/login")
	b.do(fill("#name", name), fill("#password", password))
	b.press("Sign in")
	b.do(chromedp.WaitVisible(chromedp.CSS(".top")))
}

// fill types into a field, over what is in it.
func fill(field, text string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.WaitVisible(chromedp.CSS(field)),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := chromedp.Evaluate[bool](`document.querySelector(`+quoteJS(field)+`).value = ""; true`)(ctx, t)
			return err
		}),
		chromedp.SendKeys(chromedp.CSS(field), text),
	)
}

// press clicks the visible button or link with the text. The page may be redrawn
// between finding it and clicking it; then it is looked for again.
func (b *browser) press(text string) {
	b.t.Helper()
	name := `[normalize-space()="` + text + `"]`
	button := chromedp.Search(`//button` + name + ` | //a` + name + ` | //summary` + name)
	for deadline := time.Now().Add(2 * time.Minute); ; {
		ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
		err := chromedp.Do(ctx, chromedp.Click(button, chromedp.NodeVisible))
		cancel()
		var gone *cdproto.Error
		if err == nil {
			return
		}
		if !errors.As(err, &gone) || time.Now().After(deadline) {
			b.shot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
			b.t.Fatalf("press %q: %v", text, err)
		}
	}
}

// sees waits until the page holds the text.
func (b *browser) sees(text string) {
	b.t.Helper()
	b.eventually(`document.body.innerText.includes(`+quoteJS(text)+`)`, "see "+text)
}

// eventually waits until a JavaScript expression is true, over page loads.
func (b *browser) eventually(expression, what string) {
	b.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			b.shot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
			b.t.Fatalf("%s: not within 2 minutes (%v). The page says:\n%s", what, err, text)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func quoteJS(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// look sets theme ("light" or "dark") and width, as a phone or a desk has them.
func (b *browser) look(theme string, width int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 900), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return err
	}))
}

// shot writes a picture of the whole page to the artifacts.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("GITMIRROR_ARTIFACTS")
	if dir == "" {
		dir = filepath.Join("..", "testdata", "artifacts")
	}
	dir = filepath.Join(dir, "console")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Logf("screenshot %s: %v", name, err)
	}
}

// withoutScripts turns JavaScript off or on.
func (b *browser) withoutScripts(off bool) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
		return err
	}))
}
