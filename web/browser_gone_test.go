package web_test

import (
	"net/http"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// TestJourneyOfAMove: the original of a mirror is gone; what was fetched is still
// served, the page says what to do, and with the new address all is well again.
func TestJourneyOfAMove(t *testing.T) {
	up := gittest.NewUpstream(t)
	for _, repo := range []string{"github.com/acme/old", "github.com/acme/new"} {
		up.Init(t, repo)
		up.Commit(t, repo, map[string]string{"data.txt": "one"}, "v1.0.0")
	}
	site := newConsoleSite(t)
	site.run(t)
	b := openBrowser(t, site)
	b.look("light", 1280)
	b.signIn("admin", adminPassword)
	b.open("/mirrors/new")
	b.do(fill("#urls", "github.com/acme/old"))
	b.press("Options for all of them")
	b.do(fill("#upstream", up.URL("github.com/acme/old")))
	b.press("Check")
	b.sees("1 new")
	b.press("Add this mirror")
	b.eventually(`document.querySelector("h1 + .state").innerText === "Ready"`, "see it cloned")

	up.Break(gittest.Fault{Repo: "github.com/acme/old", Status: http.StatusNotFound})
	b.press("Sync now")
	b.sees("E1203")
	b.sees("Clients still get what was fetched")
	b.eventually(`document.querySelector("#health").innerText === "1 retrying"`, "see it in the head of the page")
	b.shot("journey-gone-light-1280")
	b.press("Edit")
	b.do(fill("#upstream", up.URL("github.com/acme/new")))
	b.press("Save")
	b.press("Sync now")
	b.eventually(`document.querySelector("h1 + .state").innerText === "Ready"`, "see it mended")
	b.sees("v1.0.0")
}
