package web_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// TestApprovalsAndKept is the way of a moved tag and of a deleted branch
// through the API.
func TestApprovalsAndKept(t *testing.T) {
	r := newRig(t)
	up := gittest.NewUpstream(t)
	const path = "git.test/acme/tool"
	first := up.Commit(t, path, map[string]string{"a": "1"}, "v1.0.0")
	second := up.Commit(t, path, map[string]string{"a": "2"})
	up.CommitTo(t, path, "topic", map[string]string{"a": "3"})
	up.CommitTo(t, path, "bot/x", map[string]string{"a": "4"})
	r.runSyncer()
	admin, dev := r.admin(), r.dev()
	added := decode[web.AddedMirrors](t, r.want(201, "POST", "/api/v1/mirrors", web.NewMirror{
		PathOrURL: path, Upstream: up.URL(path), Refs: &mirror.RefPolicy{Exclude: []string{"refs/heads/bot/**"}},
	}, admin))
	m := added.Items[0].Mirror
	if len(m.Refs.Exclude) != 1 {
		t.Errorf("refs of the new mirror = %+v, want what was asked for", m.Refs)
	}
	sync := func() web.Run {
		t.Helper()
		got := decode[web.Synced](t, r.want(200, "POST", "/api/v1/mirrors/"+string(m.ID)+"/sync?wait_s=60", nil, admin))
		if got.Run == nil || got.Run.Error != nil {
			t.Fatalf("sync = %+v, want a run without a problem", got)
		}
		return *got.Run
	}
	sync()
	r.want(422, "PATCH", "/api/v1/mirrors/"+string(m.ID), `{"refs":{"include":["main"]}}`, admin)

	up.MoveTag(t, path, "v1.0.0", second)
	up.DeleteRef(t, path, "refs/heads/topic")
	sync()
	page := decode[web.Approvals](t, r.want(200, "GET", "/api/v1/approvals?mirror="+url.QueryEscape(path), nil, dev))
	if len(page.Items) != 1 || page.Items[0].Path != path || page.Items[0].Code != mirror.CodeTagMoved || page.Items[0].State != "open" {
		t.Fatalf("approvals = %+v, want that of the tag", page)
	}
	at := fmt.Sprintf("/api/v1/approvals/%d", page.Items[0].ID)
	one := decode[web.Approval](t, r.want(200, "GET", at, nil, dev))
	if one.OldCommit == nil || one.OldCommit.Hash != first || one.NewCommit == nil || one.NewCommit.Hash != second || one.NewCommit.Subject == "" || one.NewCommit.At.IsZero() {
		t.Errorf("approval = %+v, want both commits", one)
	}
	r.want(422, "POST", at, `{"decision":"perhaps"}`, admin)
	done := decode[web.Approval](t, r.want(200, "POST", at, `{"decision":"accept","reason":"a new release"}`, admin))
	if done.State != "accepted" || done.DecidedBy != "admin" || done.Reason != "a new release" {
		t.Errorf("decided = %+v", done)
	}
	r.want(200, "POST", at, `{"decision":"accept"}`, admin)
	r.want(409, "POST", at, `{"decision":"keep"}`, admin)
	sync()
	refs := decode[web.Refs](t, r.want(200, "GET", "/api/v1/mirrors/"+string(m.ID)+"/refs?kind=tag", nil, dev))
	if len(refs.Items) != 1 || refs.Items[0].Hash != second {
		t.Errorf("tags = %+v, want v1.0.0 at %s", refs.Items, second)
	}
	for state, n := range map[string]int{"open": 0, "decided": 1, "all": 1} {
		if page := decode[web.Approvals](t, r.want(200, "GET", "/api/v1/approvals?state="+state, nil, dev)); len(page.Items) != n {
			t.Errorf("approvals that are %s = %+v, want %d", state, page.Items, n)
		}
	}

	kept := decode[web.KeptRefs](t, r.want(200, "GET", "/api/v1/mirrors/"+string(m.ID)+"/kept?limit=1", nil, dev))
	if len(kept.Items) != 1 || kept.NextCursor == "" {
		t.Fatalf("kept = %+v, want one of two", kept)
	}
	more := decode[web.KeptRefs](t, r.want(200, "GET", "/api/v1/mirrors/"+string(m.ID)+"/kept?cursor="+url.QueryEscape(kept.NextCursor), nil, dev))
	if len(more.Items) != 1 || more.NextCursor != "" {
		t.Fatalf("the rest of kept = %+v, want one", more)
	}
	back := decode[web.Ref](t, r.want(201, "POST", "/api/v1/mirrors/"+string(m.ID)+"/kept/restore", `{"ref":"topic"}`, admin))
	if back.Name != "refs/heads/restored/topic" || back.Kind != "branch" {
		t.Errorf("restored = %+v", back)
	}
	r.want(409, "POST", "/api/v1/mirrors/"+string(m.ID)+"/kept/restore", `{"ref":"topic","as":"main"}`, admin)
	r.want(404, "POST", "/api/v1/mirrors/"+string(m.ID)+"/kept/restore", `{"ref":"nosuch"}`, admin)
	r.want(422, "DELETE", "/api/v1/mirrors/"+string(m.ID)+"/kept", nil, admin)
	r.want(404, "DELETE", "/api/v1/mirrors/"+string(m.ID)+"/kept?ref=refs/heads/main", nil, admin)
	r.want(200, "DELETE", "/api/v1/mirrors/"+string(m.ID)+"/kept?ref="+url.QueryEscape(back.Name), nil, admin)
	tomorrow := url.QueryEscape(time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339))
	gone := decode[web.PurgedRefs](t, r.want(200, "DELETE", "/api/v1/mirrors/"+string(m.ID)+"/kept?before="+tomorrow, nil, admin))
	if gone.Purged != 2 {
		t.Errorf("purged = %d, want 2", gone.Purged)
	}
	if left := r.want(200, "GET", "/api/v1/mirrors/"+string(m.ID)+"/refs", nil, dev); strings.Contains(left.Body, "gitmirror/") {
		t.Errorf("refs after purging: %s", left.Body)
	}
}
