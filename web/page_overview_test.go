package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestOverview(t *testing.T) {
	site := newConsoleSite(t)
	v := site.signedIn(t, "admin", adminPassword)
	if got := v.get("/").path; got != "/mirrors" {
		t.Errorf("the first page of an empty server is %s, want /mirrors", got)
	}
	main := site.seed(t)
	site.seedTraffic(t, main)
	got := v.get("/")
	got.wants(t, http.StatusOK, "What needs you", "github.com/acme/internal-tools", "E1203", "Nothing is being synced",
		"in step with", `class="new"`, `class="bad"`, "3 failed", "Next syncs", "66 % of 3", "github.com/kubernetes/kubernetes")
	if strings.Contains(got.body, "style=") || strings.Contains(got.body, "NaN") {
		t.Error("the overview has inline styles or NaN")
	}
	v.reads = "zh"
	v.get("/").wants(t, http.StatusOK, "需要您处理", "次有更新")
}

func TestSortedAndFiltered(t *testing.T) {
	site := newConsoleSite(t)
	site.seed(t)
	v := site.signedIn(t, "admin", adminPassword)
	before := func(path, first, second string) {
		t.Helper()
		body := v.get(path).body
		a, b := strings.Index(body, ">"+first+"</a>"), strings.Index(body, ">"+second+"</a>")
		if a < 0 || b < 0 || a > b {
			t.Errorf("%s: %s at %d, %s at %d, want them in this order", path, first, a, second, b)
		}
	}
	before("/mirrors?sort=size", "github.com/kubernetes/kubernetes", "github.com/gin-gonic/gin")
	before("/mirrors", "github.com/gin-gonic/gin", "github.com/kubernetes/kubernetes")
	before("/mirrors?sort=failures", "github.com/acme/internal-tools", "github.com/gin-gonic/gin")
	v.get("/mirrors?status=late").wants(t, http.StatusOK, "github.com/gin-gonic/gin", `aria-sort="ascending"`)
	if got := v.get("/mirrors?status=late"); strings.Contains(got.body, "github.com/rs/xid") {
		t.Error("a fresh mirror is listed as late")
	}
	v.get("/mirrors?status=held").wants(t, http.StatusOK, "No mirror matches")
	v.get("/mirrors?sort=nosuch&from=-3&status=nosuch").wants(t, http.StatusOK, "No mirror matches")
}

func TestBulk(t *testing.T) {
	site := newConsoleSite(t)
	var ids []string
	v := site.signedIn(t, "admin", adminPassword)
	v.post("/mirrors/new", "do", "add", "urls", "github.com/a/one\ngithub.com/a/two\ngithub.com/b/three")
	for _, r := range site.repos(t) {
		ids = append(ids, string(r.ID))
	}
	paused := func(want string) {
		t.Helper()
		got := ""
		for _, r := range site.repos(t) {
			if r.Paused {
				got += string(r.Path) + " "
			}
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("paused are %q, want %q", got, want)
		}
	}
	v.post("/mirrors/bulk", "do", "pause").wants(t, http.StatusOK, "No mirror is chosen")
	v.post("/mirrors/bulk", "do", "pause", "id", ids[0], "id", ids[2]).wants(t, http.StatusOK, "Done for 2 mirrors.")
	paused("github.com/a/one github.com/b/three")
	v.post("/mirrors/bulk", "do", "pause", "id", ids[0], "id", ids[1]).wants(t, http.StatusOK, "Done for 1 mirror. 1 was that way already")
	got := v.post("/mirrors/bulk", "do", "resume", "all", "yes", "q", "/a/", "sort", "size")
	got.wants(t, http.StatusOK, "Done for 2 mirrors.")
	if want := "/mirrors?" + (url.Values{"q": {"/a/"}, "sort": {"size"}}).Encode(); got.path != want {
		t.Errorf("after a change of many one is at %s, want %s", got.path, want)
	}
	paused("github.com/b/three")
	v.post("/mirrors/bulk", "do", "interval", "interval", "soon", "all", "yes").wants(t, http.StatusOK, "not a time between syncs")
	v.post("/mirrors/bulk", "do", "interval", "interval", "2h", "all", "yes").wants(t, http.StatusOK, "Done for 3 mirrors.")
	v.post("/mirrors/bulk/sync", "all", "yes").wants(t, http.StatusOK, "Done for 2 mirrors. 1 was")
	v.post("/mirrors/bulk", "do", "nonsense", "all", "yes").wants(t, http.StatusUnprocessableEntity)
	v.post("/mirrors/bulk", "do", "pause", "id", "../etc").wants(t, http.StatusNotFound)
	v.post("/mirrors/bulk", "do", "pause", "id", string(mirror.NewID())).wants(t, http.StatusOK, "No mirror is chosen")

	v.post("/mirrors/bulk/remove", "id", ids[0], "id", ids[1]).wants(t, http.StatusOK, "Remove 2 mirrors?", "github.com/a/one", "github.com/a/two")
	v.post("/mirrors/bulk/remove", "id", ids[0], "id", ids[1], "count", "3").wants(t, http.StatusUnprocessableEntity, "not the number of these mirrors")
	if n := len(site.repos(t)); n != 3 {
		t.Fatalf("there are %d mirrors, want 3: nothing was confirmed", n)
	}
	v.post("/mirrors/bulk/remove", "id", ids[0], "id", ids[1], "count", "2").wants(t, http.StatusOK, "Done for 2 mirrors.")
	if left := site.repos(t); len(left) != 1 || left[0].Path != "github.com/b/three" {
		t.Errorf("left are %v, want github.com/b/three", left)
	}
	if _, err := site.accounts.AddUser(t.Context(), "dev", auth.Developer, "a long enough password"); err != nil {
		t.Fatal(err)
	}
	dev := site.signedIn(t, "dev", "a long enough password")
	dev.post("/mirrors/bulk", "do", "pause", "id", ids[2]).wants(t, http.StatusForbidden)
	dev.post("/mirrors/bulk/remove", "id", ids[2]).wants(t, http.StatusForbidden)
	dev.post("/mirrors/bulk/sync", "id", ids[2]).wants(t, http.StatusOK)
}
