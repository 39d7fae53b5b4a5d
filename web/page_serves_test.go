package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// grown is a mirror of a real upstream with two modules, whose size was noted on
// some days.
func (s *consoleSite) grown(t *testing.T) mirror.Repo {
	t.Helper()
	up := gittest.NewUpstream(t)
	const path = "git.test/acme/modules"
	up.Commit(t, path, map[string]string{"go.mod": "module git.test/acme/modules\n", "a.go": "package a\n", "tool/go.mod": "module git.test/acme/modules/tool\n", "tool/t.go": "package tool\n"}, "v1.2.0", "tool/v0.1.0")
	stop := s.run(t)
	repo, _, err := s.catalog.Add(t.Context(), mirror.NewMirror{Text: path, Upstream: up.URL(path)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.syncer.Sync(t.Context(), repo.ID, mirror.ByHand); err != nil || got.Problem != nil {
		t.Fatalf("Sync = %+v, %v", got, err)
	}
	stop()
	if repo, err = s.db.RepoByID(t.Context(), repo.ID); err != nil {
		t.Fatal(err)
	}
	last := repo.State
	for i, size := range []int64{10_000_000, 10_400_000, 31_000_000, 24_000_000} {
		at := time.Now().UTC().Add(time.Duration(i-4) * 9 * 24 * time.Hour)
		if _, err := s.db.Ask(t.Context(), repo.ID, mirror.ByHand, at); err != nil {
			t.Fatal(err)
		}
		claims, err := s.db.Claim(t.Context(), "seed", time.Now().UTC(), time.Minute, mirror.Room{People: 1})
		if err != nil || len(claims) != 1 {
			t.Fatalf("Claim() = %d claims, %v, want 1", len(claims), err)
		}
		run := claims[0].Run
		run.Ended, run.Outcome = at, mirror.Updated
		last.Bytes = size
		if err := s.db.EndRun(t.Context(), claims[0], mirror.Ending{Run: run, State: last}); err != nil {
			t.Fatal(err)
		}
	}
	return repo
}

func TestModulesAndSizeOfAMirror(t *testing.T) {
	site := newConsoleSite(t)
	repo := site.grown(t)
	v := site.signedIn(t, "admin", adminPassword)
	at := "/mirrors/" + string(repo.ID)
	v.get(at).wants(t, http.StatusOK, "Size over time", "31 MB", "10 MB", `role="img" aria-label="Size on disk in the last 37 days`, at+"/modules")
	v.get(at+"/modules").wants(t, http.StatusOK, "git.test/acme/modules</span>", "go get git.test/acme/modules@v1.2.0", "go get git.test/acme/modules/tool@v0.1.0", "in the directory <code>tool</code>")
	v.get("/mirrors/nosuch/modules").wants(t, http.StatusNotFound)
	page := v.get("/start")
	page.wants(t, http.StatusOK, "go list -m git.test/acme/modules@latest")
	b := openBrowser(t, site)
	b.signIn("admin", adminPassword)
	check := newAccessibility(b)
	for name, path := range map[string]string{"mirror-grown": at, "mirror-modules": at + "/modules"} {
		for theme, width := range map[string]int64{"light": 1280, "dark": 390} {
			b.look(theme, width)
			b.open(path)
			b.shot(fmt.Sprintf("%s-%s-%d", name, theme, width))
			check.page(fmt.Sprintf("%s-%s-%d", name, theme, width))
		}
	}
}

func TestAPISizes(t *testing.T) {
	r := newRig(t)
	r.runSyncer()
	up := gittest.NewUpstream(t)
	const path = "git.test/acme/size"
	up.Commit(t, path, map[string]string{"a": "1\n"}, "v1.0.0")
	r.want(201, "POST", "/api/v1/mirrors", map[string]any{"path_or_url": path, "upstream": up.URL(path)}, r.admin())
	at := "/api/v1/mirrors/" + strings.ReplaceAll(path, "/", "%2F")
	if got := decode[web.Sizes](t, r.want(200, "GET", at+"/sizes", nil, r.dev())); got.Items == nil {
		t.Error("sizes before the first clone = null, want a list")
	}
	r.want(200, "POST", at+"/sync?wait_s=60", nil, r.admin())
	got := decode[web.Sizes](t, r.want(200, "GET", at+"/sizes", nil, r.dev()))
	if len(got.Items) == 0 || got.Items[len(got.Items)-1].Refs != 2 || got.Items[0].Bytes == 0 {
		t.Errorf("sizes after a sync = %+v, want a sample of two refs", got.Items)
	}
}
