package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// TestJourneyOfAMirror is the life of a mirror as a person sees it: added,
// cloned before their eyes, synced, edited, failing, mended, paused, removed.
func TestJourneyOfAMirror(t *testing.T) {
	up := gittest.NewUpstream(t)
	up.Init(t, "github.com/acme/app")
	up.Commit(t, "github.com/acme/app", map[string]string{"data.txt": noise(400_000)}, "v1.0.0")
	slow := newGate(t, up.Base())
	site := newConsoleSite(t)
	site.run(t)
	b := openBrowser(t, site)
	b.look("light", 1280)

	b.open("/mirrors") // leads to the sign-in page, and back
	b.do(fill("#name", "admin"), fill("#password", "not the password"))
	b.press("Sign in")
	b.eventually(`document.querySelector("[role=alert]") !== null`, "be refused")
	b.do(fill("#password", adminPassword))
	b.press("Sign in")
	b.sees("No mirrors yet")

	b.do(fill("#first", "htps://github.com/acme/app"))
	b.press("Go on")
	b.sees("E4003")
	b.do(fill("#urls", "github.com/acme/app"))
	b.press("Options for all of them")
	b.do(fill("#upstream", slow.url+"/github.com/acme/app"))
	b.press("Check again")
	b.sees("1 new")
	b.press("Add this mirror")

	b.sees("Receiving objects") // live: the page was not loaded again
	b.eventually(`document.querySelector(".steps .now").innerText.startsWith("receive")`, "see the phase")
	b.eventually(`document.querySelector("[role=status].sr-only").textContent === "Receiving objects"`, "have the phase read out")
	b.shot("journey-cloning-light-1280")
	b.look("dark", 390)
	b.shot("journey-cloning-dark-390")
	b.look("light", 1280)
	b.press("Cancel this sync")
	b.sees("Cancelled, and paused")
	b.eventually(`document.querySelector("h1 + .state").innerText === "Paused"`, "see it stopped")
	b.sees("Somebody cancelled it")
	b.sees("no data yet")
	b.eventually(`getComputedStyle(document.querySelector(".while-running")).display === "none"`, "have nothing to cancel")
	b.shot("journey-cancelled-light-1280")
	b.press("Resume")
	b.sees("Receiving objects")
	b.open("/mirrors")
	b.sees("The first mirror is being cloned")
	b.eventually(`document.querySelector("tbody tr").innerText.includes("Receiving objects")`, "see the row move")
	b.shot("journey-list-light-1280")
	slow.open()
	b.eventually(`document.querySelector("tbody .state").innerText === "Ready"`, "see the row become ready")
	b.eventually(`document.querySelector("#health").innerText === "All mirrors healthy"`, "see it in the head of the page")
	b.press("github.com/acme/app")
	b.sees("v1.0.0")
	b.sees("first clone")
	b.eventually(`(window.copied = 0, new MutationObserver(list => list.forEach(m => { if (m.target.matches("[data-copy]")) window.copied++ })).observe(document.body, {childList: true, subtree: true}), true)`, "watch the buttons")
	b.press("Copy")
	b.eventually(`window.copied > 0`, "have something copied") // the word stays for two seconds only

	up.Commit(t, "github.com/acme/app", map[string]string{"more.txt": "more"}, "v1.1.0")
	b.press("Sync now")
	b.sees("Sync asked for")
	b.sees("v1.1.0") // live again
	b.do(fill("input[name=ref]", "v1.0"))
	b.do(chromedp.Submit(chromedp.CSS("input[name=ref]")))
	b.eventually(`!document.querySelector("#refs").closest("section").innerText.includes("v1.1.0")`, "see one tag only")

	b.press("Edit")
	b.do(chromedp.WaitVisible(chromedp.CSS("#interval")), fill("#interval", "30m"))
	b.press("Save")
	b.sees("Every 30m because somebody set it") // the sync that follows has ended
	b.press("Edit")
	b.do(chromedp.WaitVisible(chromedp.CSS("#interval")), fill("#interval", "45m"))
	repo := site.repos(t)[0]
	hour := time.Hour
	if _, err := site.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Interval: &hour}); err != nil {
		t.Fatal(err)
	}
	b.press("Save")
	b.sees("Somebody else was faster")
	b.shot("journey-conflict-light-1280")
	b.press("Save mine")
	b.sees("every 45m")

	mend := up.Break(gittest.Fault{Status: http.StatusServiceUnavailable})
	b.press("Sync now")
	b.sees("What happened")
	b.sees("Clients still get what was fetched")
	b.eventually(`document.querySelector("#health").innerText === "1 retrying"`, "see it in the head of the page")
	b.shot("journey-failing-light-1280")
	mend()
	b.press("Sync now")
	b.eventually(`document.querySelector("h1 + .state").innerText === "Ready"`, "see it mended")

	b.press("Pause")
	b.sees("no longer synced until you resume it")
	b.press("Resume")
	b.sees("Resumed")
	b.press("Remove")
	b.sees("What is lost")
	b.do(fill("#path", "app"))
	b.press("Remove this mirror")
	b.sees("not the name of this mirror")
	b.do(fill("#path", "github.com/acme/app"))
	b.press("Remove this mirror")
	b.sees("github.com/acme/app was removed")
	b.sees("No mirrors yet")
	b.press("Sign out")
	b.sees("Sign in")
}

// TestJourneyOfCredentials makes and ends a key and a token, and uses the token.
func TestJourneyOfCredentials(t *testing.T) {
	site := newConsoleSite(t)
	b := openBrowser(t, site)
	b.signIn("admin", adminPassword)
	b.press("admin")
	b.sees("My account")
	b.do(fill("#key", "-----BEGIN OPENSSH PRIVATE KEY-----"))
	b.press("Add key")
	b.eventually(`document.querySelector("#key").validationMessage.includes("Nothing was sent")`, "be stopped before a private key leaves")
	b.do(fill("#key", publicKey))
	b.press("Add key")
	b.sees("Key admin@laptop added")
	b.press("Remove…")
	b.press("Remove the key")
	b.sees("The key was removed")

	b.do(fill("#token-name", "script"))
	b.press("Create token")
	b.sees("It is not shown again")
	secret, err := chromedp.Run(b.ctx, chromedp.TextContent(chromedp.CSS("#secret")))
	if err != nil || !strings.HasPrefix(secret, "gmr_") {
		t.Fatalf("the token is %q (%v), want gmr_…", secret, err)
	}
	if got := site.askWith(t, secret); got != http.StatusOK {
		t.Errorf("the API answers the new token with %d, want 200", got)
	}
	b.press("Revoke…")
	b.press("Revoke the token")
	b.sees("The token was revoked")
	if got := site.askWith(t, secret); got != http.StatusUnauthorized {
		t.Errorf("the API answers the revoked token with %d, want 401", got)
	}
}

func (s *consoleSite) askWith(t *testing.T, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/mirrors", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestWithoutScripts does the main things in a browser whose JavaScript is off.
func TestWithoutScripts(t *testing.T) {
	up := gittest.NewUpstream(t)
	up.Init(t, "github.com/acme/app")
	up.Commit(t, "github.com/acme/app", map[string]string{"a": "a"}, "v1.0.0")
	site := newConsoleSite(t)
	site.run(t)
	b := openBrowser(t, site)
	b.withoutScripts(true)
	b.signIn("admin", adminPassword)
	b.open("/mirrors/new")
	b.press("Options for all of them")
	b.do(chromedp.SendKeys(chromedp.CSS("#urls"), "github.com/acme/app"), chromedp.SendKeys(chromedp.CSS("#upstream"), up.URL("github.com/acme/app")))
	b.press("Check")
	b.do(chromedp.WaitVisible(chromedp.CSS("#preview")))
	b.press("Add this mirror")
	b.do(chromedp.WaitVisible(chromedp.CSS(".times")))
	repo := site.repos(t)[0]
	if _, err := site.syncer.Sync(t.Context(), repo.ID, mirror.ByClient); err != nil {
		t.Fatal(err)
	}
	b.open("/mirrors/" + string(repo.ID))
	b.shot("without-scripts-mirror")
	b.press("Pause")
	b.do(chromedp.WaitVisible(chromedp.Search(`//button[text()="Resume"]`)))
}

// gate is a slow road to an upstream: packs stop half way until it is opened.
type gate struct {
	url    string
	opened chan struct{}
	once   sync.Once
}

// gateAfter lets lists of refs and the begin of a pack pass.
const gateAfter = 100_000

func newGate(t *testing.T, upstream string) *gate {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{opened: make(chan struct{})}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			r.Body = &gatedBody{ReadCloser: r.Body, gate: g, left: gateAfter, gone: r.Request.Context().Done()}
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	g.url = server.URL
	t.Cleanup(func() {
		g.open()
		server.CloseClientConnections()
		server.Close()
	})
	return g
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

type gatedBody struct {
	io.ReadCloser
	gate *gate
	left int
	gone <-chan struct{}
}

func (b *gatedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		select {
		case <-b.gate.opened:
		case <-b.gone:
		}
	} else if len(p) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	return n, err
}

// noise is text that does not compress, the same at every run.
func noise(n int) string {
	b, x := make([]byte, n), uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = '!' + byte(x>>32)%90
	}
	return string(b)
}
