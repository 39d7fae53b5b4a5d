package web_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// TestJourneyOfATrouble: a host is in trouble. The page of a mirror says that it is
// not alone and leads to the road; another one is entered and taken, and all is
// well before the host is.
func TestJourneyOfATrouble(t *testing.T) {
	site := newConsoleSite(t)
	up, away := gittest.NewUpstream(t), gittest.NewUpstream(t)
	site.syncer.Roads = site.roads
	site.run(t)
	for _, name := range []string{"api", "web"} {
		for _, u := range []*gittest.Upstream{up, away} {
			u.Commit(t, "acme/"+name, map[string]string{"data.txt": name}, "v1.0.0")
		}
		repo, _, err := site.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/acme/" + name, Upstream: up.URL("acme/" + name)})
		if err != nil {
			t.Fatal(err)
		}
		if run, err := site.syncer.Sync(t.Context(), repo.ID, mirror.ByHand); err != nil || run.Problem != nil {
			t.Fatalf("Sync = %+v, %v", run, err)
		}
	}
	b := openBrowser(t, site)
	b.look("light", 1280)
	b.signIn("admin", adminPassword)
	mend := up.Break(gittest.Fault{Status: http.StatusServiceUnavailable})
	b.open("/mirrors")
	b.tick("input[name=id]", 2)
	b.click(`button[formaction="/mirrors/bulk/sync"]`)
	b.sees("Done for 2 mirrors")
	b.eventually(`document.querySelector("#health").innerText === "2 retrying"`, "see the trouble in the head of the page")
	b.press("github.com/acme/api")
	b.sees("2 mirrors of 127.0.0.1 fail for the same reason")
	b.sees("Clients still get what was fetched")
	b.shot("journey-trouble-light-1280")
	b.look("dark", 390)
	b.shot("journey-trouble-dark-390")
	newAccessibility(b).page("journey-trouble-dark-390")
	b.look("light", 1280)

	b.press("Look at the road to 127.0.0.1")
	b.press("Probe now")
	b.sees("measured just now")
	b.press("Edit")
	b.do(fill("#name1", "corp"), fill("#url1", away.Base()))
	b.press("Save")
	b.click(`details:has(form[action$="/use"] input[value=corp]) summary`)
	b.press("Use corp")
	b.sees("Syncs reach 127.0.0.1 by corp now")
	b.shot("journey-road-light-1280")
	b.open("/mirrors?q=acme/api")
	b.press("github.com/acme/api")
	b.press("Sync now")
	b.eventually(`document.querySelector("h1 + .state").innerText === "Ready"`, "see it synced by the other road")

	mend()
	b.press("Upstreams")
	b.press("127.0.0.1")
	b.press("Back to automatic")
	b.sees("The rule decides again")
}

// TestJourneyOfAFullDisk: the console says that there is no room, what that means
// and what to do; with room again it goes on. A copy is checked and cloned anew.
func TestJourneyOfAFullDisk(t *testing.T) {
	site := newConsoleSite(t)
	var free atomic.Int64
	room := site.server.Headroom
	room.Look = func() (mirror.Space, error) { return mirror.Space{Free: free.Load() << 30, Total: 100 << 30}, nil }
	now := func(percent int64) {
		free.Store(percent)
		room.Update()
	}
	now(50)
	site.syncer.Pause, site.catalog.Full = room.Full, room.Full
	up := gittest.NewUpstream(t)
	up.Commit(t, "acme/app", map[string]string{"data.txt": "one"}, "v1.0.0")
	repo, _, err := site.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/acme/app", Upstream: up.URL("acme/app")})
	if err != nil {
		t.Fatal(err)
	}
	site.run(t)
	site.upkeep(t)
	b := openBrowser(t, site)
	b.look("light", 1280)
	b.signIn("admin", adminPassword)
	b.open("/mirrors/" + string(repo.ID))
	b.eventually(`document.querySelector("h1 + .state").innerText === "Ready"`, "see it cloned")

	now(7)
	b.press("Sync now")
	b.sees("Nothing is fetched for now")
	b.shot("journey-disk-refused-light-1280")
	b.press("Overview")
	b.sees("The disk: Too low to sync")
	b.shot("journey-disk-overview-light-1280")
	b.click(`.concerns a[href="/system#disk"]`)
	b.sees("It goes on by itself when there is room")
	b.look("dark", 390)
	b.shot("journey-disk-system-dark-390")
	b.look("light", 1280)
	b.press("The largest mirrors")
	b.sees("github.com/acme/app")
	b.open("/mirrors/new")
	b.do(fill("#urls", "github.com/acme/more"))
	b.press("Check")
	b.press("Add this mirror")
	b.sees("Nothing is fetched for now")

	now(50)
	b.open("/system")
	b.eventually(`document.querySelector("#disk").closest("section").innerText.includes("Enough")`, "see that there is room")
	b.open("/mirrors/" + string(repo.ID))
	b.press("Check")
	b.sees("Check asked for")
	checked := `document.querySelector("#ondisk").closest("section").innerText`
	b.reloadUntil(checked+`.match(/Read in full\s+(just now|\d+ s ago)/) !== null`, "see that it was read in full")
	b.press("Clone anew")
	b.sees("Repair asked for")
	b.reloadUntil(`!document.querySelector('form[action$="/repair"] button').disabled && `+checked+`.includes("Fine")`, "see it whole")
	b.sees("v1.0.0")
}

// upkeep has copies tidied, checked and mended until the test ends.
func (s *consoleSite) upkeep(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.server.Upkeep.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Upkeep.Run() = %v, want nil", err)
		}
	})
}

// reloadUntil loads the page again until an expression is true, as a person does
// where nothing says when it will be.
func (b *browser) reloadUntil(expression, what string) {
	b.t.Helper()
	eventually(b.t, what, func() bool {
		b.do(chromedp.Reload(), chromedp.WaitReady(chromedp.CSS("main")))
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		return err == nil && ok
	})
}

// TestJourneyOfTheFirstSignIn: somebody who has just started the server signs in
// with the password it printed, sees how to begin, and chooses a password.
func TestJourneyOfTheFirstSignIn(t *testing.T) {
	site := newConsoleSite(t)
	b := openBrowser(t, site)
	b.look("light", 1280)
	b.open("/")
	b.sees("First time here?")
	b.shot("journey-first-light-1280")
	b.do(fill("#name", "admin"), fill("#password", adminPassword))
	b.press("Sign in")
	b.sees("No mirrors yet")
	b.shot("journey-first-empty-light-1280")
	b.look("dark", 390)
	b.shot("journey-first-empty-dark-390")
	b.look("light", 1280)
	b.press("admin")
	b.do(fill("#current", adminPassword), fill("#new", "my own long password"), fill("#again", "another long password"))
	b.submit(`form[action="/account/password"]`)
	b.eventually(`document.querySelector("[role=alert]") !== null`, "be told that they differ")
	b.do(fill("#current", adminPassword), fill("#new", "my own long password"), fill("#again", "my own long password"))
	b.submit(`form[action="/account/password"]`)
	b.eventually(`document.querySelector(".notice.good") !== null`, "see it changed")
	b.press("Sign out")
	b.do(fill("#name", "admin"), fill("#password", adminPassword))
	b.press("Sign in")
	b.eventually(`document.querySelector("[role=alert]") !== null`, "be refused with the old one")
	b.do(fill("#password", "my own long password"))
	b.press("Sign in")
	b.sees("No mirrors yet")
	b.do(fill("#first", "github.com/acme/app"))
	b.press("Go on")
	b.sees("1 new")
	b.press("Set up")
	b.sees("Set up my machine")
}
