package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// held makes a mirror of a real upstream with one hold of each kind but a move,
// something kept, and something restored.
func (s *consoleSite) held(t testing.TB) mirror.Repo {
	t.Helper()
	up := gittest.NewUpstream(t)
	const path = "git.test/acme/held"
	first := up.Commit(t, path, map[string]string{"a": "1"}, "v1.0.0")
	up.CommitTo(t, path, "topic", map[string]string{"a": "2"})
	for i := range 30 {
		gittest.Git(t, up.Dir(path), "branch", fmt.Sprintf("work/in-progress-%02d", i), first)
	}
	stop := s.run(t)
	defer stop()
	repo, _, err := s.catalog.Add(t.Context(), mirror.NewMirror{Text: path, Upstream: up.URL(path)})
	if err != nil {
		t.Fatal(err)
	}
	sync := func() {
		t.Helper()
		if got, err := s.syncer.Sync(t.Context(), repo.ID, mirror.ByHand); err != nil || got.Problem != nil {
			t.Fatalf("Sync = %+v, %v", got, err)
		}
	}
	sync()
	up.DeleteRef(t, path, "refs/heads/topic")
	sync()
	if _, err := s.catalog.Restore(t.Context(), repo.ID, "topic", ""); err != nil {
		t.Fatal(err)
	}
	up.CommitTo(t, path, "slip", map[string]string{"a": "evil"})
	up.MoveTag(t, path, "v1.0.0", "slip")
	up.DeleteRef(t, path, "refs/heads/slip")
	args := []string{"branch", "-q", "-D"}
	for i := range 25 {
		args = append(args, fmt.Sprintf("work/in-progress-%02d", i))
	}
	gittest.Git(t, up.Dir(path), args...)
	sync()
	if repo, err = s.db.RepoByID(t.Context(), repo.ID); err != nil {
		t.Fatal(err)
	}
	return repo
}

func TestApprovalsPage(t *testing.T) {
	site := newConsoleSite(t)
	repo := site.held(t)
	v := site.signedIn(t, "admin", adminPassword)
	v.get("/approvals").wants(t, http.StatusOK, "The original moved a tag", "v1.0.0", "Its new commit is on no branch", "25 of 32 branches and tags",
		"work/in-progress-07", "If you accept", "Keep ours (recommended)", `class="badge">2<`, "Nothing yet.")
	at := "/mirrors/" + string(repo.ID)
	v.get(at).wants(t, http.StatusOK, "The original moved a tag", "Kept", "dropped by the original", "only here", `value="refs/gitmirror/kept/`)

	if _, err := site.accounts.AddUser(t.Context(), "reader", auth.Developer, "a long enough password"); err != nil {
		t.Fatal(err)
	}
	reader := site.signedIn(t, "reader", "a long enough password")
	if got := reader.get("/approvals"); got.status != http.StatusOK || strings.Contains(got.body, "Keep ours (recommended)") {
		t.Errorf("a developer sees the buttons of an approval, or not the page (%d)", got.status)
	}
	open, err := site.catalog.Holds(t.Context(), mirror.HoldQuery{State: "open"})
	if err != nil || len(open) != 2 {
		t.Fatalf("Holds = %+v, %v, want two", open, err)
	}
	for _, h := range open {
		reader.post(fmt.Sprintf("/approvals/%d", h.ID), "decision", "keep").wants(t, http.StatusForbidden)
	}
	if got := v.post(fmt.Sprintf("/approvals/%d", open[0].ID), "decision", "keep", "reason", "<b>not ours</b>"); got.path != "/approvals" {
		t.Errorf("deciding leads to %s, want /approvals", got.path)
	} else {
		got.wants(t, http.StatusOK, "Ours is kept", "&lt;b&gt;not ours&lt;/b&gt;", `class="badge">1<`)
	}
	v.post(fmt.Sprintf("/approvals/%d", open[0].ID), "decision", "accept", "from", "mirror").wants(t, http.StatusOK, "is kept already")
	v.post(fmt.Sprintf("/approvals/%d", open[1].ID), "decision", "").wants(t, http.StatusOK, "is not a decision")
	v.post("/approvals/987654", "decision", "keep").wants(t, http.StatusNotFound)
	v.post("/approvals/x", "decision", "keep").wants(t, http.StatusNotFound)

	kept, err := site.catalog.Kept(t.Context(), repo.ID)
	if err != nil || len(kept) != 1 {
		t.Fatalf("Kept = %+v, %v, want one", kept, err)
	}
	v.post(at+"/restore", "ref", kept[0].Ref.Name, "as", "again").wants(t, http.StatusOK, "Served again as again")
	v.post(at+"/restore", "ref", "nosuch").wants(t, http.StatusNotFound)
	reader.post(at+"/restore", "ref", kept[0].Ref.Name).wants(t, http.StatusForbidden)

	v.post(at+"/edit", "version", fmt.Sprint(repo.Version), "upstream", repo.Upstream.String(), "tags", "freeze", "include", "main").
		wants(t, http.StatusUnprocessableEntity, "does not select refs")
	v.post(at+"/edit", "version", fmt.Sprint(repo.Version), "upstream", repo.Upstream.String(), "tags", "freeze",
		"include", "refs/heads/main\nrefs/tags/**", "exclude", "refs/tags/*-rc*", "pulls", "yes").wants(t, http.StatusOK, "Saved", "refs/tags/*-rc*", "mirrored, not advertised")
	v.get(at+"/edit").wants(t, http.StatusOK, "refs/heads/main\nrefs/tags/**")
}

// TestJourneyOfAnApproval decides one way, then the other, and sees what was decided.
func TestJourneyOfAnApproval(t *testing.T) {
	site := newConsoleSite(t)
	site.held(t)
	site.run(t)
	b := openBrowser(t, site)
	b.look("light", 1280)
	b.signIn("admin", adminPassword)
	b.press("Approvals 2 open")
	b.sees("25 of 32 branches and tags")
	b.press("Show commits and files")
	b.sees("1 added, 1 dropped")
	b.shot("journey-approval-difference-light-1280")
	b.open("/approvals")
	gone := `section:has(summary) form[action^="/approvals/"]`
	b.do(fill(gone+" input[name=reason]", "We still build from these branches."))
	b.click(gone + " button[value=keep]")
	b.sees("Ours is kept")
	b.sees("We still build from these branches.")
	b.press("Accept upstream’s")
	b.sees("Accepted. A sync begins now")
	b.shot("approvals-decided")
	b.press("git.test/acme/held")
	b.eventually(`[...document.querySelectorAll("section")].some(e => e.innerText.includes("Kept") && e.innerText.includes("tag moved by the original"))`, "see the old tag kept")
	b.do(chromedp.Click(chromedp.CSS(`button[aria-label="Restore tags/v1.0.0"]`), chromedp.NodeVisible))
	b.sees("Served again as")
	b.shot("journey-approval-restored-light-1280")
}
