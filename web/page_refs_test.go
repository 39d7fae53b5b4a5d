package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

func TestRefsPage(t *testing.T) {
	site := newConsoleSite(t)
	repo := site.held(t)
	v := site.signedIn(t, "admin", adminPassword)
	at := "/mirrors/" + string(repo.ID)
	v.get(at).wants(t, http.StatusOK, at+"/refs")
	v.get(at+"/refs").wants(t, http.StatusOK, "<code>main</code>", "default", "work/in-progress-29", ">Kept <", ">Held <", ">Tags <", "only here")
	v.get(at+"/refs?kind=tag").wants(t, http.StatusOK, "<code>v1.0.0</code>")
	v.get(at+"/refs?q=progress-07").wants(t, http.StatusOK, "<code>work/in-progress-07</code>", "1 found")
	v.get(at+"/refs?q=nosuch").wants(t, http.StatusOK, "Nothing matches")
	held := v.get(at + "/refs?kind=held")
	held.wants(t, http.StatusOK, "<code>tags/v1.0.0</code>", "ours is served until somebody decides", "Decide under Approvals")
	kept := v.get(at + "/refs?kind=kept")
	kept.wants(t, http.StatusOK, "<code>heads/topic</code>", "dropped by the original")

	diff := regexp.MustCompile(`href="(` + at + `/compare\?[^"]+)"`).FindStringSubmatch(held.body)
	if diff == nil {
		t.Fatal("the held tag has no difference to show")
	}
	v.get(strings.ReplaceAll(diff[1], "&amp;", "&")).wants(t, http.StatusOK, "nothing: these are two histories", "1 added", "1 dropped", "1 differ", "<code>a</code>", "changed", "Added commits", "Dropped commits")
	v.get("/approvals").wants(t, http.StatusOK, "Show commits and files")
	v.get(at+"/compare").wants(t, http.StatusOK, "Compare")
	v.get(at+"/compare?old=main&new=nosuch").wants(t, http.StatusNotFound, "There is no commit")
	v.get(at+"/compare?old=--output%3D%2Ftmp%2Fx&new=main").wants(t, http.StatusNotFound, "There is no commit")
	v.get(at+"/compare?old=main&new=main").wants(t, http.StatusOK, "All files are the same")
	dev := site.signedIn(t, "admin", adminPassword)
	dev.get("/mirrors/nosuch/refs").wants(t, http.StatusNotFound)
	dev.get("/mirrors/nosuch/compare?old=a&new=b").wants(t, http.StatusNotFound)
}

// Many refs are paged and searched; one of them has a name as bad as we take it.
func TestManyRefs(t *testing.T) {
	site := newConsoleSite(t)
	up := gittest.NewUpstream(t)
	const path, many = "git.test/acme/many", 20_000
	first := up.Commit(t, path, map[string]string{"a": "1"})
	var in strings.Builder
	for i := range many {
		fmt.Fprintf(&in, "create refs/tags/t%06d %s\n", i, first)
	}
	fmt.Fprintf(&in, "create refs/tags/<script>alert(1)</script> %s\n", first)
	cmd := exec.Command("git", "-C", up.Dir(path), "update-ref", "--stdin")
	cmd.Stdin, cmd.Env = strings.NewReader(in.String()), gittest.Env(t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	gittest.Git(t, up.Dir(path), "pack-refs", "--all")
	stop := site.run(t)
	repo, _, err := site.catalog.Add(t.Context(), mirror.NewMirror{Text: path, Upstream: up.URL(path)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := site.syncer.Sync(t.Context(), repo.ID, mirror.ByHand); err != nil || got.Problem != nil {
		t.Fatalf("Sync = %+v, %v", got, err)
	}
	stop()
	v := site.signedIn(t, "admin", adminPassword)
	at := "/mirrors/" + string(repo.ID) + "/refs?kind=tag"
	first100 := v.get(at)
	first100.wants(t, http.StatusOK, "t000000", "t000098", "Next page", "&lt;script&gt;alert(1)")
	if strings.Contains(first100.body, "<script>alert") || strings.Contains(first100.body, "t000101") {
		t.Error("the page shows a script, or more than a page of refs")
	}
	v.get(at+"&after="+url.QueryEscape("refs/tags/t010000")).wants(t, http.StatusOK, "t010001", "t010100", "First page")
	v.get(at+"&q=T0199").wants(t, http.StatusOK, "t019900", "100 found")
	v.get(at+"&after="+url.QueryEscape("refs/tags/zzz")).wants(t, http.StatusOK)
}

func TestAPICompare(t *testing.T) {
	r := newRig(t, func(s *web.Server) { s.Policy.Access = &auth.Access{Store: s.Accounts.Store} })
	r.runSyncer()
	up := gittest.NewUpstream(t)
	const path = "git.test/acme/pair"
	first := up.Commit(t, path, map[string]string{"a": "1\n"}, "v1.0.0")
	second := up.Commit(t, path, map[string]string{"a": "1\n2\n", "b": "x\n"})
	admin := r.admin()
	r.want(201, "POST", "/api/v1/groups", `{"name":"them"}`, admin)
	r.want(201, "POST", "/api/v1/groups/them/grants", `{"pattern":"git.test/acme/*"}`, admin)
	r.want(201, "POST", "/api/v1/mirrors", map[string]any{"path_or_url": path, "upstream": up.URL(path), "private": true}, admin)
	at := "/api/v1/mirrors/" + url.PathEscape(path)
	r.want(200, "POST", at+"/sync?wait_s=60", nil, admin)
	got := decode[web.RefComparison](t, r.want(200, "GET", at+"/compare?old=v1.0.0&new=main", nil, admin))
	if got.Old.Hash != first || got.New.Hash != second || got.Ahead != 1 || got.Behind != 0 || got.Base != first || got.Total != (web.FileTotals{Files: 2, Added: 2, Counted: true}) || len(got.Files) != 2 {
		t.Errorf("compare = %+v, want one commit and two files more", got)
	}
	r.want(404, "GET", at+"/compare?old=v1.0.0&new=none", nil, admin)
	r.want(422, "GET", at+"/compare?old=v1.0.0", nil, admin)
	r.want(401, "GET", at+"/compare?old=v1.0.0&new=main", nil)
	// A mirror that is for others is not there.
	r.want(404, "GET", at+"/compare?old=v1.0.0&new=main", nil, r.dev())
}

// TestLookOfRefs keeps pictures of the pages of refs, and checks them as TestLook does.
func TestLookOfRefs(t *testing.T) {
	site := newConsoleSite(t)
	repo := site.held(t)
	b := openBrowser(t, site)
	b.signIn("admin", adminPassword)
	check := newAccessibility(b)
	at := "/mirrors/" + string(repo.ID)
	for _, p := range []struct{ name, path string }{
		{"refs", at + "/refs"}, {"refs-kept", at + "/refs?kind=kept"}, {"refs-held", at + "/refs?kind=held"},
		{"compare", at + "/compare?old=v1.0.0&new=refs/gitmirror/held/tags/v1.0.0"},
	} {
		for theme, width := range map[string]int64{"light": 1280, "dark": 390} {
			b.look(theme, width)
			b.open(p.path)
			b.shot(fmt.Sprintf("%s-%s-%d", p.name, theme, width))
			check.page(fmt.Sprintf("%s-%s-%d", p.name, theme, width))
		}
	}
}
