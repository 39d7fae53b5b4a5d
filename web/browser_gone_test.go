package web_test

import (
	"net/http"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// TestJourneyOfAMove: the original of a mirror is gone; what was fetched is still
// served, the page says what to do, and with the new address all is well again.
// It moves once more, and its host tells where to; then it is gone for good, is
// kept as an archive, comes back, and is removed in the end.
func TestJourneyOfAMove(t *testing.T) {
	site := newConsoleSite(t)
	host := site.hostAPI(t, "newest")
	up := host.up
	for _, name := range []string{"old", "new"} {
		up.Commit(t, "acme/"+name, map[string]string{"data.txt": "one"}, "v1.0.0")
	}
	site.run(t)
	b := openBrowser(t, site)
	b.look("light", 1280)
	b.signIn("admin", adminPassword)
	state := func(want, what string) {
		t.Helper()
		b.eventually(`document.querySelector("h1 + .state").innerText === `+quoteJS(want), what)
	}
	gone := func(name string) (mend func()) {
		t.Helper()
		mend = up.Break(gittest.Fault{Repo: "acme/" + name, Status: http.StatusNotFound})
		b.press("Sync now")
		b.sees("E1203")
		b.sees("Clients still get what was fetched")
		return mend
	}
	b.open("/mirrors/new")
	b.do(fill("#urls", "github.com/acme/app"))
	b.press("Options for all of them")
	b.do(fill("#upstream", up.URL("acme/old")))
	b.press("Check")
	b.sees("1 new")
	b.press("Add this mirror")
	state("Ready", "see it cloned")

	gone("old")
	b.eventually(`document.querySelector("#health").innerText === "1 retrying"`, "see it in the head of the page")
	b.shot("journey-gone-light-1280")
	b.press("Give its new address")
	b.do(fill("#upstream", up.URL("acme/new")))
	b.press("Save")
	state("Ready", "see it mended")
	b.sees("v1.0.0")

	if err := site.db.SetHostID(t.Context(), site.repos(t)[0].ID, 1); err != nil { // as a webhook does
		t.Fatal(err)
	}
	gone("new")
	b.sees(up.URL("acme/newest"))
	b.shot("journey-renamed-light-1280")
	b.look("dark", 390)
	b.shot("journey-renamed-dark-390")
	newAccessibility(b).page("journey-renamed-dark-390")
	b.look("light", 1280)
	b.press("Follow to the new place")
	b.sees("Accepted. A sync begins now")
	state("Ready", "see it followed")

	host.repos.Store(&[]hostRepo{})
	mend := gone("newest")
	b.press("Keep as an archive")
	b.sees("Kept as an archive")
	state("Archived", "see that it is one")
	b.sees("the original has been gone since")
	b.eventually(`document.querySelector("#health").innerText === "All mirrors healthy"`, "see no trouble")
	b.shot("journey-archive-light-1280")
	b.look("dark", 390)
	b.shot("journey-archive-dark-390")
	b.open("/mirrors")
	b.sees("upstream gone since")
	b.shot("journey-archive-list-dark-390")
	b.look("light", 1280)
	b.press("github.com/acme/app")
	mend()
	b.press("Resume")
	state("Ready", "see it synced again")

	gone("newest")
	b.click(`.notice a[href$="/remove"]`)
	b.do(fill("#path", "github.com/acme/app"))
	b.press("Remove this mirror")
	b.sees("No mirrors yet")
}

// TestArchive: on every road, what has no data is no archive, and resuming ends one.
func TestArchive(t *testing.T) {
	r := newRig(t)
	up := gittest.NewUpstream(t)
	up.Commit(t, "acme/app", map[string]string{"data.txt": "one"})
	r.runSyncer()
	admin := r.admin()
	const at = "/api/v1/mirrors/github.com%2Facme%2Fapp"
	mend := up.Break(gittest.Fault{Repo: "acme/app", Status: http.StatusNotFound})
	r.want(201, "POST", "/api/v1/mirrors", map[string]any{"path_or_url": "github.com/acme/app", "upstream": up.URL("acme/app")}, admin)
	refused := r.want(422, "PATCH", at, `{"archived":true}`, admin)
	if p := refused.problem(t); p.Action == "" {
		t.Errorf("the refusal %+v says nothing of what to do", p)
	}
	mend()
	r.want(200, "POST", at+"/sync?wait_s=60", nil, admin)
	up.Break(gittest.Fault{Repo: "acme/app", Status: http.StatusNotFound})
	r.want(200, "POST", at+"/sync?wait_s=60", nil, admin)
	show := func() web.Mirror { return decode[web.Mirror](t, r.want(200, "GET", at, nil, admin)) }
	failed := show()
	r.want(200, "PATCH", at, `{"archived":true}`, admin)
	if got := show(); got.State != mirror.Paused || !got.Archived.Equal(failed.LastAttemptAt) {
		t.Errorf("archived mirror = %+v, want it paused, and gone since %s", got, failed.LastAttemptAt)
	}
	r.want(422, "POST", at+"/sync", nil, admin)
	r.want(200, "PATCH", at, `{"paused":false}`, admin)
	if got := show(); got.State == mirror.Paused || !got.Archived.IsZero() {
		t.Errorf("resumed mirror = %+v, want it no archive", got)
	}
}
