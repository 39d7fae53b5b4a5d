package web_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// together calls n times at once and counts the answers by status.
func (r *rig) together(n int, call func(i int) reply) map[int]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	counts := map[int]int{}
	for i := range n {
		wg.Go(func() {
			got := call(i)
			mu.Lock()
			defer mu.Unlock()
			counts[got.Status]++
		})
	}
	wg.Wait()
	return counts
}

// TestAddTogether: the same mirror asked for 30 times at once is added once.
func TestAddTogether(t *testing.T) {
	r := newRig(t)
	admin := r.admin()
	got := r.together(30, func(int) reply {
		return r.call("POST", "/api/v1/mirrors", `{"path_or_url":"github.com/spf13/cobra"}`, admin)
	})
	if got[201] != 1 || got[200] != 29 {
		t.Errorf("answers by status = %v, want one 201 and 29 times 200", got)
	}
}

// TestEditTogether: of many edits of what all have seen, one is done and the
// others are told.
func TestEditTogether(t *testing.T) {
	r := newRig(t)
	admin := r.admin()
	id, err := r.ensureMirror("github.com/spf13/cobra")
	if err != nil {
		t.Fatal(err)
	}
	got := r.together(20, func(i int) reply {
		return r.call("PATCH", "/api/v1/mirrors/"+id, fmt.Sprintf(`{"interval_s":%d}`, 60+i), admin, header("If-Match", `"1"`))
	})
	if got[200] != 1 || got[412] != 19 {
		t.Errorf("answers by status = %v, want one 200 and 19 times 412", got)
	}
	if m := decode[web.Mirror](t, r.want(200, "GET", "/api/v1/mirrors/"+id, nil, admin)); m.Version != 2 {
		t.Errorf("version = %d, want 2", m.Version)
	}
}

// TestHostileE15RemoveWhileCloning: a mirror says how far its clone is, and can be
// removed in the middle of it.
func TestHostileE15RemoveWhileCloning(t *testing.T) {
	up := gittest.NewUpstream(t)
	up.Commit(t, "git.example/acme/big", map[string]string{"data": gittest.Noise(500_000, 1)})
	mend := up.Break(gittest.Fault{Path: "git-upload-pack", After: 100_000, Stall: true})
	t.Cleanup(mend)
	r := newRig(t)
	r.runSyncer()
	admin := r.admin()
	body := map[string]any{"path_or_url": "git.example/acme/big", "upstream": up.URL("git.example/acme/big")}
	m := decode[web.AddedMirrors](t, r.want(201, "POST", "/api/v1/mirrors", body, admin)).Items[0].Mirror
	base := "/api/v1/mirrors/" + string(m.ID)
	eventually(t, "the clone is seen to run", func() bool {
		now := decode[web.Mirror](t, r.want(200, "GET", base, nil, admin))
		return now.State == mirror.Cloning && now.Progress != nil && now.Phase != "" && now.Progress.Bytes > 0
	})
	if runs := decode[web.Runs](t, r.want(200, "GET", base+"/runs", nil, admin)); len(runs.Items) != 1 || !runs.Items[0].EndedAt.IsZero() || runs.Items[0].Outcome != "" {
		t.Errorf("runs = %+v, want one that runs", runs)
	}
	// Waiting has an end of its own, and is no error.
	if got := decode[web.Synced](t, r.want(202, "POST", base+"/sync?wait_s=1", nil, admin)); got.Run != nil {
		t.Errorf("sync = %+v, want no run yet", got)
	}
	r.want(204, "DELETE", base, nil, admin)
	r.want(404, "GET", base, nil, admin)
	eventually(t, "the sync ends", func() bool { return r.syncer.Busy() == 0 })
}

// TestLocate says what to mirror for the lines of a go.mod.
func TestLocate(t *testing.T) {
	r := newRig(t)
	if _, err := r.ensureMirror("github.com/spf13/cobra"); err != nil {
		t.Fatal(err)
	}
	got := decode[web.LocatedModules](t, r.want(200, "POST", "/api/v1/modules/locate",
		`{"modules":["github.com/spf13/cobra","github.com/acme/lib/v2","golang.org/x/mod","gopkg.in/yaml.v3","../../etc","<script>"]}`, r.dev()))
	for i, want := range []string{"github.com/spf13/cobra true", "github.com/acme/lib false", "github.com/golang/mod false", "github.com/go-yaml/yaml false", " false", " false"} {
		item := got.Items[i]
		if have := fmt.Sprint(item.Path, " ", item.Mirrored); have != want {
			t.Errorf("locate(%s) = %q, want %q", item.Module, have, want)
		}
		if (item.Error != nil) != strings.HasPrefix(want, " ") {
			t.Errorf("locate(%s): error = %v", item.Module, item.Error)
		}
	}
}

// TestRulesAliasesCredentials are kept, listed and removed.
func TestRulesAliasesCredentials(t *testing.T) {
	r := newRig(t)
	admin := r.admin()
	if _, err := r.ensureMirror("github.com/acme/tool"); err != nil {
		t.Fatal(err)
	}
	r.want(201, "POST", "/api/v1/credentials", `{"name":"ci","host":"github.com","user":"bot","secret":"canary-secret"}`, admin)
	r.want(201, "POST", "/api/v1/rules", `{"pattern":"github.com/acme/*","credential":"ci"}`, admin)
	r.want(201, "POST", "/api/v1/aliases", `{"prefix":"go.acme.example/tool","repo":"github.com/acme/tool"}`, admin)
	for path, want := range map[string]string{
		"/credentials": `"name":"ci","host":"github.com","user":"bot"`,
		"/rules":       `"pattern":"github.com/acme/*","credential":"ci","private":true`,
		"/aliases":     `"prefix":"go.acme.example/tool","repo":"github.com/acme/tool","found":"admin"`,
	} {
		got := r.want(200, "GET", "/api/v1"+path, nil, admin)
		if !strings.Contains(got.Body, want) || strings.Contains(got.Body, "canary") {
			t.Errorf("GET %s = %s, want %s and no secret", path, got.Body, want)
		}
	}
	r.want(422, "POST", "/api/v1/rules", `{"pattern":"*"}`, admin)
	r.want(422, "POST", "/api/v1/rules", `{"pattern":"github.com/*/x"}`, admin)
	r.want(404, "POST", "/api/v1/aliases", `{"prefix":"go.acme.example/x","repo":"github.com/acme/none"}`, admin)
	r.want(422, "POST", "/api/v1/mirrors", `{"path_or_url":"gitlab.com/acme/x","credential":"ci"}`, admin) // for another host
	r.want(201, "POST", "/api/v1/mirrors", `{"path_or_url":"github.com/acme/x","credential":"ci"}`, admin)
	r.want(409, "DELETE", "/api/v1/credentials/ci", nil, admin) // in use
	r.want(204, "DELETE", "/api/v1/mirrors/github.com%2Facme%2Fx", nil, admin)
	r.want(204, "DELETE", "/api/v1/rules/github.com%2Facme%2F*", nil, admin)
	r.want(204, "DELETE", "/api/v1/aliases/go.acme.example%2Ftool", nil, admin)
	r.want(204, "DELETE", "/api/v1/credentials/ci", nil, admin)
	for _, path := range []string{"/rules/github.com%2Facme%2F*", "/aliases/go.acme.example%2Ftool", "/credentials/ci"} {
		r.want(404, "DELETE", "/api/v1"+path, nil, admin)
	}
}
