package web_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

func newMirror(text string) mirror.NewMirror { return mirror.NewMirror{Text: text} }

// TestMirrorLife adds, shows, edits and removes a mirror as a script would.
func TestMirrorLife(t *testing.T) {
	r := newRig(t)
	robot := bearer(r.token("robot", auth.ScopeWrite))
	got := r.want(201, "POST", "/api/v1/mirrors", `{"path_or_url":"https://github.com/spf13/cobra/tree/main","interval_s":600}`, robot)
	added := decode[web.AddedMirrors](t, got)
	if len(added.Items) != 1 || added.Items[0].Mirror == nil || added.Items[0].Existed {
		t.Fatalf("POST /mirrors = %s, want one new mirror", got.Body)
	}
	m := *added.Items[0].Mirror
	if m.Path != "github.com/spf13/cobra" || m.Upstream != "https://github.com/spf13/cobra" || m.IntervalS != 600 || m.State != mirror.Queued || m.Tags != mirror.FreezeTags {
		t.Errorf("mirror = %+v", m)
	}
	if m.CloneHTTP != "http://mirror.example:8080/github.com/spf13/cobra" || m.CloneSSH != "ssh://git@mirror.example:2222/github.com/spf13/cobra" {
		t.Errorf("clone URLs = %q, %q", m.CloneHTTP, m.CloneSSH)
	}
	if loc := got.Header.Get("Location"); loc != "/api/v1/mirrors/"+string(m.ID) {
		t.Errorf("Location = %q", loc)
	}
	again := decode[web.AddedMirrors](t, r.want(200, "POST", "/api/v1/mirrors", `{"path_or_url":"github.com/SPF13/Cobra"}`, robot))
	if !again.Items[0].Existed || again.Items[0].Mirror.ID != m.ID {
		t.Errorf("adding again = %+v, want the same mirror", again.Items[0])
	}

	for _, ref := range []string{string(m.ID), "github.com%2Fspf13%2Fcobra", "GitHub.com%2FSPF13%2FCobra", "github.com%2fspf13%2fcobra.git"} {
		show := r.want(200, "GET", "/api/v1/mirrors/"+ref, nil, r.dev())
		if one := decode[web.Mirror](t, show); one.NextWhy != "as soon as there is room because it was not cloned yet" {
			t.Errorf("next_why = %q, want that it was not cloned yet", one.NextWhy)
		} else if one.ID != m.ID || show.Header.Get("ETag") != `"1"` {
			t.Errorf("GET /mirrors/%s = %s with ETag %q, want %s with \"1\"", ref, one.ID, show.Header.Get("ETag"), m.ID)
		}
	}

	edited := decode[web.Mirror](t, r.want(200, "PATCH", "/api/v1/mirrors/"+string(m.ID), `{"paused":true,"tags":"follow","interval_s":0}`, robot, header("If-Match", `"1"`)))
	if !edited.Paused || edited.Tags != mirror.FollowTags || edited.IntervalS != 0 || edited.Version != 2 {
		t.Errorf("edited = %+v", edited)
	}
	// Two people at once: the second must look again.
	late := r.want(412, "PATCH", "/api/v1/mirrors/"+string(m.ID), `{"paused":false}`, robot, header("If-Match", `"1"`)).problem(t)
	if late.Kind != "exists" || !strings.Contains(late.Detail, "version 2") {
		t.Errorf("stale edit = %+v", late)
	}
	r.want(412, "DELETE", "/api/v1/mirrors/"+string(m.ID), nil, robot, header("If-Match", `"1"`))
	r.want(422, "DELETE", "/api/v1/mirrors/"+string(m.ID), nil, robot, header("If-Match", `"x"`))
	r.want(204, "DELETE", "/api/v1/mirrors/"+string(m.ID), nil, robot, header("If-Match", `"2"`))
	gone := r.want(404, "GET", "/api/v1/mirrors/github.com%2Fspf13%2Fcobra", nil, robot).problem(t)
	if gone.Code != mirror.CodeNotMirrored || gone.Action == "" || gone.RequestID == "" {
		t.Errorf("problem = %+v, want code %s with an action and a request id", gone, mirror.CodeNotMirrored)
	}
}

// TestOddPaths are escaped path parameters that routers get wrong.
func TestOddPaths(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"git.example.org/a/b/c/d", "github.com/acme/c++", "example.org/~user/x.y_z"} {
		id, err := r.ensureMirror(path)
		if err != nil {
			t.Fatal(err)
		}
		got := decode[web.Mirror](t, r.want(200, "GET", "/api/v1/mirrors/"+url.PathEscape(path), nil, r.dev()))
		if string(got.ID) != id {
			t.Errorf("GET /mirrors/%s = %s, want %s", url.PathEscape(path), got.ID, id)
		}
	}
	for _, bad := range []string{"..%2F..%2Fetc%2Fpasswd", "github.com%2F..%2Fx", "%2e%2e", "github.com%2Fa%00b", "-x", "%2Fetc", "%25%32%66", strings.Repeat("a", 599)} {
		if got := r.call("GET", "/api/v1/mirrors/"+bad, nil, r.dev()); got.Status != 422 && got.Status != 404 {
			t.Errorf("GET /mirrors/%.40s = %d, want 422 or 404; body %s", bad, got.Status, got.Body)
		}
	}
}

// TestAddSeveral has one answer for each, good or bad.
func TestAddSeveral(t *testing.T) {
	r := newRig(t)
	r.ensureMirror("github.com/acme/old")
	got := decode[web.AddedMirrors](t, r.want(200, "POST", "/api/v1/mirrors",
		`{"mirrors":[{"path_or_url":"github.com/acme/new"},{"path_or_url":"file:///etc/passwd"},{"path_or_url":"github.com/acme/old"},{"path_or_url":"golang.org/x/mod"}]}`, r.admin()))
	if len(got.Items) != 4 {
		t.Fatalf("%d answers, want 4", len(got.Items))
	}
	if i := got.Items[0]; i.Mirror == nil || i.Existed || i.Error != nil {
		t.Errorf("new = %+v", i)
	}
	if i := got.Items[1]; i.Mirror != nil || i.Error == nil || i.Error.Code != mirror.CodeBadURL {
		t.Errorf("bad = %+v, want %s", i, mirror.CodeBadURL)
	}
	if i := got.Items[2]; i.Mirror == nil || !i.Existed {
		t.Errorf("old = %+v, want existed", i)
	}
	if i := got.Items[3]; i.Mirror == nil || i.Mirror.Path != "github.com/golang/mod" {
		t.Errorf("import path = %+v, want github.com/golang/mod", i)
	}
	r.want(422, "POST", "/api/v1/mirrors", `{"path_or_url":"github.com/a/b","mirrors":[{"path_or_url":"github.com/c/d"}]}`, r.admin())
	r.want(422, "POST", "/api/v1/mirrors", `{}`, r.admin())
	r.want(422, "POST", "/api/v1/mirrors", `{"mirrors":[]}`, r.admin())
}

// hostileUpstreams are section A of the list of hostile inputs.
var hostileUpstreams = []string{
	"ext::sh -c id", "--upload-pack=touch p", "git@-oProxyCommand=id:x", "ssh://-oProxyCommand=id/x",
	"file:///etc", "/etc", "./x", `C:\x`, `\\srv\x`,
	"https://github.com@evil.example/x", "https://github.com%2f@evil.example/x", `https://github.com\@evil.example/`,
	"https://github.com/a/b\r\nHost: x", "https://github.com/a/b\x00", "https://github.com/a\t/b",
	"https://github.com/" + strings.Repeat("a", 2049), "https://github.com/" + strings.Repeat("a/", 300),
	"https://github.com/a/..", "https://github.com/%2e%2e/x", "https://github.com/a/.git/hooks", "https://github.com/a/-x",
	"https://github.com/a/con", "https://github.com/a/name.lock", "javascript:alert(1)", "{{.}}", "https://mirror.example:8080/github.com/a/b", "http://mirror.example:8080/x/y",
}

// TestHostileUpstreams: an edit is refused exactly as an addition is.
func TestHostileUpstreams(t *testing.T) {
	r := newRig(t)
	id, err := r.ensureMirror("github.com/acme/kept")
	if err != nil {
		t.Fatal(err)
	}
	before := r.want(200, "GET", "/api/v1/mirrors/"+id, nil, r.admin()).Body
	for _, text := range hostileUpstreams {
		if text == "https://mirror.example:8080/github.com/a/b" {
			continue // https on the port of our http: another server, as far as we can tell
		}
		for _, call := range []struct{ method, path, field string }{
			{"POST", "/api/v1/mirrors", "path_or_url"}, {"PATCH", "/api/v1/mirrors/" + id, "upstream"},
		} {
			body, err := json.Marshal(map[string]string{call.field: text})
			if err != nil {
				t.Fatal(err)
			}
			got := r.call(call.method, call.path, string(body), r.admin())
			if got.Status != 422 {
				t.Errorf("%s %s with %.60q = %d, want 422; body %.300s", call.method, call.path, text, got.Status, got.Body)
			}
		}
	}
	if after := r.want(200, "GET", "/api/v1/mirrors/"+id, nil, r.admin()).Body; after != before {
		t.Errorf("the mirror changed from %s to %s", before, after)
	}
}

// TestPasswordInURL moves to the credentials and is never shown again.
func TestPasswordInURL(t *testing.T) {
	r := newRig(t)
	const secret = "s3cretOfTheUpstream"
	got := r.want(201, "POST", "/api/v1/mirrors", `{"path_or_url":"https://bot:`+secret+`@github.com/acme/private"}`, r.admin())
	m := decode[web.AddedMirrors](t, got).Items[0].Mirror
	if !m.Private || m.Credential == "" {
		t.Errorf("mirror = %+v, want private with a credential", m)
	}
	r.want(422, "POST", "/api/v1/mirrors", `{"path_or_url":"https://bot:`+secret+`@github.com/acme/../x"}`, r.admin())
	r.want(422, "PATCH", "/api/v1/mirrors/"+string(m.ID), `{"upstream":"https://bot:`+secret+`@github.com/acme/x?y"}`, r.admin())
	all := got.Body
	for _, path := range []string{"/api/v1/mirrors", "/api/v1/mirrors/" + string(m.ID), "/api/v1/credentials"} {
		all += r.want(200, "GET", path, nil, r.admin()).Body
	}
	if strings.Contains(all, secret) || strings.Contains(r.log.String(), secret) {
		t.Error("the password of the URL came out again")
	}
}

// TestListPages walks pages by cursor and by Link.
func TestListPages(t *testing.T) {
	r := newRig(t)
	const n = 7
	for i := range n {
		if _, err := r.ensureMirror(fmt.Sprintf("github.com/acme/repo%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	r.ensureMirror("gitlab.example/other/thing")
	dev := r.dev()
	var paths []string
	next := "/api/v1/mirrors?limit=3&search=ACME&state=queued"
	for next != "" {
		got := r.want(200, "GET", next, nil, dev)
		page := decode[web.Mirrors](t, got)
		for _, m := range page.Items {
			paths = append(paths, string(m.Path))
		}
		next = ""
		if link := got.Header.Get("Link"); link != "" {
			next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		}
		if (next == "") != (page.NextCursor == "") {
			t.Errorf("Link %q and next_cursor %q disagree", next, page.NextCursor)
		}
	}
	if len(paths) != n || paths[0] != "github.com/acme/repo0" || paths[n-1] != "github.com/acme/repo6" {
		t.Errorf("paths = %v, want the seven of acme", paths)
	}
	if got := r.want(200, "GET", "/api/v1/mirrors?state=failed", nil, dev).Body; !strings.Contains(got, `"items":[]`) {
		t.Errorf("an empty list = %s, want items []", got)
	}
	status := decode[web.Status](t, r.want(200, "GET", "/api/v1/status", nil, dev))
	if status.Mirrors != n+1 || status.ByState[mirror.Queued] != n+1 {
		t.Errorf("status = %+v, want %d queued", status, n+1)
	}
}

// TestSync mirrors a real repository and reads what the API says of it.
func TestSync(t *testing.T) {
	up := gittest.NewUpstream(t)
	up.Commit(t, "git.example/acme/lib", map[string]string{"README": "one\n"}, "v1.0.0")
	r := newRig(t)
	r.runSyncer()
	dev, admin := r.dev(), r.admin()
	body := map[string]any{"path_or_url": "git.example/acme/lib", "upstream": up.URL("git.example/acme/lib")}
	m := *decode[web.AddedMirrors](t, r.want(201, "POST", "/api/v1/mirrors", body, admin)).Items[0].Mirror
	base := "/api/v1/mirrors/" + string(m.ID)

	synced := decode[web.Synced](t, r.want(200, "POST", base+"/sync?wait_s=30", nil, dev))
	if synced.Run == nil || synced.Run.Error != nil || synced.Run.EndedAt.IsZero() {
		t.Fatalf("sync = %+v, want a run that ended well", synced)
	}
	m = decode[web.Mirror](t, r.want(200, "GET", base, nil, dev))
	if m.State != mirror.Ready || m.DefaultBranch != "main" || m.Branches != 1 || m.TagCount != 1 || m.DataAgeS == nil || m.LastSuccessAt.IsZero() || m.Bytes == 0 {
		t.Errorf("mirror = %+v, want ready with one branch and one tag", m)
	}
	refs := decode[web.Refs](t, r.want(200, "GET", base+"/refs?limit=1", nil, dev))
	if len(refs.Items) != 1 || refs.Items[0].Name != "refs/heads/main" || refs.Head != "refs/heads/main" || refs.NextCursor == "" {
		t.Errorf("refs = %+v", refs)
	}
	refs = decode[web.Refs](t, r.want(200, "GET", base+"/refs?limit=1&cursor="+url.QueryEscape(refs.NextCursor), nil, dev))
	if len(refs.Items) != 1 || refs.Items[0].Name != "refs/tags/v1.0.0" || refs.Items[0].Kind != "tag" {
		t.Errorf("second page of refs = %+v", refs)
	}
	if got := decode[web.Refs](t, r.want(200, "GET", base+"/refs?kind=tag&search=v1", nil, dev)); len(got.Items) != 1 {
		t.Errorf("tags = %+v, want one", got)
	}

	// A moved tag is an event, and its run is newer than the last one we saw.
	commit := up.Commit(t, "git.example/acme/lib", map[string]string{"README": "two\n"})
	up.MoveTag(t, "git.example/acme/lib", "v1.0.0", commit)
	last := synced.Run.ID
	next := decode[web.Synced](t, r.want(200, "POST", base+"/sync?wait_s=30", nil, dev))
	if next.LastRun < last || next.Run == nil || next.Run.Outcome != mirror.Updated {
		t.Fatalf("second sync = %+v, want updated", next)
	}
	runs := decode[web.Runs](t, r.want(200, "GET", fmt.Sprintf("%s/runs?after=%d", base, last), nil, dev))
	if len(runs.Items) != 1 || runs.Items[0].ID != next.Run.ID {
		t.Errorf("runs after %d = %+v, want only %d", last, runs, next.Run.ID)
	}
	log := decode[web.Events](t, r.want(200, "GET", base+"/log", nil, dev))
	if len(log.Items) == 0 || log.Items[0].Kind != mirror.TagMoved || log.Items[0].Code != mirror.CodeTagMoved || log.Items[0].New != commit {
		t.Errorf("log = %+v, want a moved tag", log)
	}
	page := decode[web.Runs](t, r.want(200, "GET", base+"/runs?limit=1", nil, dev))
	if len(page.Items) != 1 || page.NextCursor == "" {
		t.Errorf("page of runs = %+v, want one and a cursor", page)
	}

	// A paused mirror says so.
	r.want(200, "PATCH", base, `{"paused":true}`, admin)
	paused := r.want(422, "POST", base+"/sync", nil, dev).problem(t)
	if !strings.Contains(paused.Title, "paused") {
		t.Errorf("sync of a paused mirror = %+v", paused)
	}
}

// TestSyncFails tells what happened, why, and what to do.
func TestSyncFails(t *testing.T) {
	up := gittest.NewUpstream(t)
	r := newRig(t)
	r.runSyncer()
	body := map[string]any{"path_or_url": "git.example/acme/none", "upstream": up.URL("git.example/acme/none")}
	m := decode[web.AddedMirrors](t, r.want(201, "POST", "/api/v1/mirrors", body, r.admin())).Items[0].Mirror
	synced := decode[web.Synced](t, r.want(200, "POST", "/api/v1/mirrors/"+string(m.ID)+"/sync?wait_s=30", nil, r.dev()))
	if synced.Run == nil || synced.Run.Outcome != mirror.RunFailed || synced.Run.Error == nil || synced.Run.Error.What == "" {
		t.Fatalf("sync = %+v, want a failed run with its problem", synced)
	}
	if got := decode[web.Mirror](t, r.want(200, "GET", "/api/v1/mirrors/"+string(m.ID), nil, r.dev())); got.Error == nil || got.Failures == 0 || got.DataAgeS != nil {
		t.Errorf("mirror = %+v, want its error and no age", got)
	}
}
