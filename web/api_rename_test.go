package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

func at(path string) string { return "/api/v1/mirrors/" + url.PathEscape(path) }

// TestRenameByAPI: the answer, the paths that lead to the mirror, what is refused,
// and what the audit trail says.
func TestRenameByAPI(t *testing.T) {
	r := newRig(t)
	admin := r.admin()
	id, err := r.ensureMirror("git.example/acme/tool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ensureMirror("git.example/acme/other"); err != nil {
		t.Fatal(err)
	}
	const old, now = "git.example/acme/tool", "git.example/team/tool"
	r.want(401, "POST", at(old)+"/rename", `{"path":"`+now+`"}`)
	r.want(403, "POST", at(old)+"/rename", `{"path":"`+now+`"}`, r.dev())
	r.want(403, "POST", at(old)+"/rename", `{"path":"`+now+`"}`, bearer(r.token("robot", auth.ScopeRead)))
	r.want(404, "POST", at("git.example/acme/none")+"/rename", `{"path":"`+now+`"}`, admin)
	r.want(409, "POST", at(old)+"/rename", `{"path":"git.example/acme/OTHER"}`, admin)
	for _, bad := range []string{`{}`, `{"path":""}`, `{"path":"git.example/acme/TOOL"}`, `{"path":"../x"}`, `{"path":"git.example/acme/other/x"}`, `{"path":"mirror.example/x"}`} {
		r.want(422, "POST", at(old)+"/rename", bad, admin)
	}
	got := r.want(200, "POST", at(old)+"/rename", `{"path":"`+now+`"}`, admin, header("If-Match", `"1"`))
	done := decode[web.RenamedMirror](t, got)
	if string(done.Mirror.ID) != id || done.Mirror.Path != now || done.From != old || !done.Alias || done.Gained != nil || done.Lost != nil || got.Header.Get("ETag") != `"2"` || !strings.HasSuffix(done.Mirror.CloneHTTP, now) {
		t.Errorf("rename = %s, ETag %s", got.Body, got.Header.Get("ETag"))
	}
	for _, path := range []string{old, now, "git.example/ACME/Tool", id} {
		if m := decode[web.Mirror](t, r.want(200, "GET", at(path), nil, admin)); m.Path != now {
			t.Errorf("GET %s = %s, want %s", path, m.Path, now)
		}
	}
	late := r.want(412, "POST", at(old)+"/rename", `{"path":"git.example/late/tool"}`, admin, header("If-Match", `"1"`))
	if p := decode[web.Problem](t, late); len(p.Differences) != 1 || p.Differences[0].Now != now || p.Differences[0].Yours != "git.example/late/tool" || late.Header.Get("ETag") != `"2"` {
		t.Errorf("too late = %s, ETag %s", late.Body, late.Header.Get("ETag"))
	}
	r.want(409, "POST", at("git.example/acme/other")+"/rename", `{"path":"`+old+`"}`, admin) // the old path is taken
	r.want(204, "DELETE", "/api/v1/aliases/"+url.PathEscape(old), nil, admin)
	r.want(404, "GET", at(old), nil, admin)
	r.want(200, "POST", at("git.example/acme/other")+"/rename", `{"path":"`+old+`","no_alias":true}`, admin)
	r.want(404, "GET", at("git.example/acme/other"), nil, admin)

	var deeds []string
	for _, rec := range r.audit(auth.AuditQuery{Oldest: true, Action: "rename-mirror"}) {
		d := rec.Deed
		line := fmt.Sprint(d.Actor, " ", d.Outcome, " ", d.Status, " ", d.Objects)
		for _, c := range d.Changes {
			line += fmt.Sprintf(" %s>%s", c.Before, c.After)
		}
		if d.Status == 200 || d.Status == 409 {
			deeds = append(deeds, line)
		}
	}
	want := []string{
		"admin refused 409 [mirror git.example/acme/tool]",
		"admin done 200 [mirror git.example/acme/tool mirror git.example/team/tool alias git.example/acme/tool] git.example/acme/tool>git.example/team/tool >git.example/team/tool",
		"admin refused 409 [mirror git.example/acme/other]",
		"admin done 200 [mirror git.example/acme/other mirror git.example/acme/tool] git.example/acme/other>git.example/acme/tool",
	}
	if !slices.Equal(deeds, want) {
		t.Errorf("audit trail =\n%s\nwant\n%s", strings.Join(deeds, "\n"), strings.Join(want, "\n"))
	}
}

// readersRig has a private mirror for the group team, and a robot and a developer
// who are in it.
func readersRig(t *testing.T, strict bool) (r *rig, admin option) {
	t.Helper()
	r = newRig(t, func(s *web.Server) { s.Policy.Access = &auth.Access{Store: s.Accounts.Store, Strict: strict} })
	r.server.Policy.Access.Changes = r.db.Changes
	admin = r.admin()
	if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "git.example/team/plan", Private: true}); err != nil {
		t.Fatal(err)
	}
	for group, patterns := range map[string][]string{"team": {"git.example/team/*", "git.example/team/plan"}, "board": {"git.example/board/*"}} {
		r.want(201, "POST", "/api/v1/groups", `{"name":"`+group+`"}`, admin)
		for _, p := range patterns {
			r.want(201, "POST", "/api/v1/groups/"+group+"/grants", `{"pattern":"`+p+`"}`, admin)
		}
	}
	r.want(204, "PUT", "/api/v1/groups/team/members/robot", nil, admin)
	r.want(204, "PUT", "/api/v1/groups/team/members/dev", nil, admin)
	return r, admin
}

// TestHostileE15RenameReaders: a private mirror is not opened to others by giving
// it a path that their grants reach, unless an administrator says so.
func TestHostileE15RenameReaders(t *testing.T) {
	r, admin := readersRig(t, false)
	robot, dev := bearer(r.token("robot", auth.ScopeWrite)), r.dev()
	const path = "git.example/team/plan"
	eve := r.addUser("eve", auth.Developer, "a long enough password")
	r.want(204, "PUT", "/api/v1/groups/board/members/"+eve.Name, nil, admin)
	hers := bearer(r.token("eve", auth.ScopeAdmin))

	// Into another group's folder: those may read it then.
	held := r.want(409, "POST", at(path)+"/rename", `{"path":"git.example/board/plan"}`, admin)
	if p := decode[web.Problem](t, held); p.Kind != "held" || !strings.Contains(p.Detail, "board") || strings.Contains(p.Detail, "team") {
		t.Errorf("into another folder = %s", held.Body)
	}
	if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "git.example/board/none", Private: true}); err != nil {
		t.Fatal(err)
	}
	// The robot may not have it where it may not read, taken or not, and hears nothing of groups.
	for _, to := range []string{"git.example/board/plan", "git.example/board/none"} {
		if got := r.want(403, "POST", at(path)+"/rename", `{"path":"`+to+`"}`, robot); !strings.Contains(got.Body, "may not read "+to) {
			t.Errorf("the robot hears %s", got.Body)
		}
	}
	// To where only the grant of the path itself closes it: that goes with it.
	free := decode[web.RenamedMirror](t, r.want(200, "POST", at(path)+"/rename", `{"path":"git.example/free/plan"}`, robot))
	if free.Gained != nil || free.Lost != nil {
		t.Errorf("to the open = %+v, want the same readers", free)
	}
	r.want(404, "GET", at(path), nil, hers)
	r.want(404, "GET", at("git.example/free/plan"), nil, hers)
	r.want(200, "GET", at(path), nil, dev)
	// Without that grant it would be for whoever is signed in.
	r.want(204, "DELETE", "/api/v1/groups/team/grants/"+url.PathEscape("git.example/free/plan"), nil, admin)
	r.want(200, "GET", at(path), nil, hers) // nobody's folder: as documented
	r.want(200, "POST", at(path)+"/rename", `{"path":"git.example/team/plan"}`, admin)
	r.want(404, "GET", at(path), nil, hers)
	held = r.want(409, "POST", at(path)+"/rename", `{"path":"git.example/free/plan"}`, admin)
	if p := decode[web.Problem](t, held); p.Kind != "held" || !strings.Contains(p.Detail, "whoever is signed in") {
		t.Errorf("to where nobody has a grant = %s", held.Body)
	}
	for _, body := range []string{`{"path":"git.example/free/plan"}`, `{"path":"git.example/free/plan","widen":true}`} {
		r.want(403, "POST", at(path)+"/rename", body, robot)
	}
	r.want(404, "GET", at("git.example/free/plan"), nil, hers)
	// An administrator agrees, and is told who gains and who loses.
	done := decode[web.RenamedMirror](t, r.want(200, "POST", at(path)+"/rename", `{"path":"git.example/board/plan","widen":true}`, admin))
	if done.Gained == nil || !slices.Equal(done.Gained.Groups, []string{"board"}) || done.Lost == nil || !slices.Equal(done.Lost.Groups, []string{"team"}) {
		t.Errorf("rename = %+v, want board to gain and team to lose", done)
	}
	r.want(200, "GET", at("git.example/board/plan"), nil, hers)
	for _, old := range []string{path, "git.example/board/plan", "git.example/free/plan"} { // no alias is a way around
		r.want(404, "GET", at(old), nil, dev)
		r.want(404, "GET", at(old), nil, robot)
	}
	// Nor does adding the old path tell what became of it.
	for _, body := range []string{`{"path_or_url":"` + path + `"}`, `{"path_or_url":"` + path + `","upstream":"https://git.example/x/y"}`, `{"path_or_url":"https://x:stolen@` + path + `"}`} {
		if got := r.want(403, "POST", "/api/v1/mirrors", body, robot); strings.Contains(got.Body, "board") {
			t.Errorf("add of an old path says %s", got.Body)
		}
	}
	last := r.audit(auth.AuditQuery{Action: "rename-mirror", Limit: 1})[0].Deed
	if text := fmt.Sprint(last.Changes); !strings.Contains(text, "readers added  board") || !strings.Contains(text, "readers dropped  team") {
		t.Errorf("audit entry = %s, want who gained and who lost", text)
	}
	// What is public is read by all, wherever it is.
	if _, err := r.ensureMirror("git.example/team/open"); err != nil {
		t.Fatal(err)
	}
	r.want(200, "POST", at("git.example/team/open")+"/rename", `{"path":"git.example/board/open"}`, admin)
}

// TestRenameReadersStrict: where only grants open, no path opens more than they say.
func TestRenameReadersStrict(t *testing.T) {
	r, admin := readersRig(t, true)
	const path = "git.example/team/plan"
	r.want(204, "DELETE", "/api/v1/groups/team/grants/"+url.PathEscape(path), nil, admin)
	done := decode[web.RenamedMirror](t, r.want(200, "POST", at(path)+"/rename", `{"path":"git.example/free/plan"}`, admin))
	if done.Gained != nil || done.Lost == nil || !slices.Equal(done.Lost.Groups, []string{"team"}) {
		t.Errorf("rename = %+v, want team to lose it", done)
	}
	r.want(404, "GET", at(path), nil, r.dev())
	r.want(409, "POST", at(path)+"/rename", `{"path":"git.example/team/plan"}`, admin)
	r.want(200, "POST", at(path)+"/rename", `{"path":"git.example/team/plan","widen":true}`, admin)
	r.want(200, "GET", at(path), nil, r.dev())
}

// TestHostileE15RenameTogether: of many renamings at once one is done; a mirror that
// is removed meanwhile leaves no name behind.
func TestHostileE15RenameTogether(t *testing.T) {
	r := newRig(t)
	admin := r.admin()
	var ids []string
	for i := range 16 {
		id, err := r.ensureMirror(fmt.Sprintf("git.example/acme/m%d", i))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	got := r.together(16, func(i int) reply {
		return r.call("POST", "/api/v1/mirrors/"+ids[i]+"/rename", `{"path":"git.example/acme/best"}`, admin)
	})
	if got[200] != 1 || got[409] != 15 {
		t.Errorf("16 mirrors to one path: %v, want one 200 and 15 times 409", got)
	}
	best := decode[web.Mirror](t, r.want(200, "GET", at("git.example/acme/best"), nil, admin))
	got = r.together(16, func(i int) reply {
		return r.call("POST", "/api/v1/mirrors/"+string(best.ID)+"/rename", fmt.Sprintf(`{"path":"git.example/new/n%d"}`, i), admin, header("If-Match", versionOf(best)))
	})
	if got[200] != 1 || got[412] != 15 {
		t.Errorf("one mirror to 16 paths: %v, want one 200 and 15 times 412", got)
	}
	got = r.together(32, func(i int) reply { // renamed and removed at once
		if i%2 == 0 {
			return r.call("POST", "/api/v1/mirrors/"+ids[i/2]+"/rename", fmt.Sprintf(`{"path":"git.example/last/l%d"}`, i), admin)
		}
		return r.call("DELETE", "/api/v1/mirrors/"+ids[i/2], nil, admin)
	})
	if got[204] != 16 || got[200]+got[404] != 16 {
		t.Errorf("renamed and removed at once: %v, want 16 times 204, and 200 or 404", got)
	}
	tables := r.tables()
	for _, table := range []string{"repos", "aliases", "runs", "upkeep"} {
		if tables[table] != "" {
			t.Errorf("the table %s still has %.400s", table, tables[table])
		}
	}
}

func versionOf(m web.Mirror) string { return fmt.Sprintf(`"%d"`, m.Version) }

// TestRenameInConsole: the form, what it refuses, and the question it asks.
func TestRenameInConsole(t *testing.T) {
	r, admin := readersRig(t, false)
	b := r.browser("admin", apiAdminPassword)
	r.want(204, "DELETE", "/api/v1/groups/team/grants/"+url.PathEscape("git.example/team/plan"), nil, admin)
	m := decode[web.Mirror](t, r.want(200, "GET", at("git.example/team/plan"), nil, admin))
	base := "/mirrors/" + string(m.ID)
	html := func(path string) string {
		t.Helper()
		got := r.callWith(b, "GET", path, nil, header("Accept", "text/html"))
		if got.Status != http.StatusOK {
			t.Fatalf("GET %s = %d", path, got.Status)
		}
		return got.Body
	}
	post := func(values url.Values) reply {
		return r.callWith(b, "POST", base+"/rename", values.Encode(), header("Content-Type", "application/x-www-form-urlencoded"), header("Accept", "text/html"))
	}
	if !strings.Contains(html(base), base+"/rename") || !strings.Contains(html(base+"/edit"), base+"/rename") {
		t.Error("the mirror's pages do not lead to the form")
	}
	if page := html(base + "/rename"); !strings.Contains(page, `value="git.example/team/plan"`) || !strings.Contains(page, `name="alias" value="1" checked`) || strings.Contains(page, "widen") {
		t.Errorf("form = %s", page[strings.Index(page, "<main"):])
	}
	if got := post(url.Values{"path": {"git.example/team/PLAN"}, "alias": {"1"}, "version": {"1"}}); got.Status != 422 || !strings.Contains(got.Body, "etter case makes no difference") {
		t.Errorf("only letter case = %d", got.Status)
	}
	if got := post(url.Values{"path": {"git.example/new/plan"}, "alias": {"1"}}); got.Status != 409 || !strings.Contains(got.Body, "changed by somebody else") {
		t.Errorf("a form without a version = %d", got.Status)
	}
	got := post(url.Values{"path": {"git.example/board/plan"}, "version": {"1"}})
	if got.Status != 409 || !strings.Contains(got.Body, `name="widen"`) || !strings.Contains(got.Body, "hese may not read it now: board") || strings.Contains(got.Body, `name="alias" value="1" checked`) {
		t.Errorf("into another folder = %d %s", got.Status, got.Body[strings.Index(got.Body, "<main"):])
	}
	if got := post(url.Values{"path": {"git.example/board/plan"}, "version": {"1"}, "widen": {"1"}, "alias": {"1"}}); got.Status != http.StatusSeeOther || got.Header.Get("Location") != base {
		t.Errorf("with consent = %d to %s", got.Status, got.Header.Get("Location"))
	}
	if page := html(base); !strings.Contains(page, "git.example/team/plan is now git.example/board/plan. These may not read it any more: team.") {
		t.Errorf("afterwards the page does not say what happened: %s", page[strings.Index(page, "<main"):][:800])
	}
	if page := html(base + "/rename"); !strings.Contains(page, "<code>git.example/team/plan</code>") {
		t.Error("the form does not name the old path")
	}
	if page := html("/rules"); !strings.Contains(page, "a new name of the mirror") {
		t.Error("the list of aliases does not say where the old path is from")
	}
}
