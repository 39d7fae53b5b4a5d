package web_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// seedModules stores what a gateway would have counted, and what it refused.
func (s *consoleSite) seedModules(t testing.TB) {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	var uses []mirror.ModuleUse
	for i := range 60 {
		uses = append(uses, mirror.ModuleUse{
			Module: "github.com/spf13/pflag", Version: fmt.Sprintf("v1.0.%d", i%7), Source: "https://proxy.example", Size: 81_000, Sums: mirror.Sums{Zip: "h1:iy+VFUOCP1a+8yFto/drg2CJ5u0yRoB7fZw3DKv/JXA=", Mod: "h1:DZBOEdcfeFLTkQfJQh8kKEHhpRkVsVnYkM7Pzg8KdGU="},
			Proven: true, Requests: int64(9 + i%5), Hits: int64(5 + i%4), Downloads: int64(2 + i%6), Bytes: 500_000, At: now.AddDate(0, 0, -i),
		})
	}
	for i := range 70 {
		uses = append(uses, mirror.ModuleUse{Module: fmt.Sprintf("example.com/team/module%02d", i), Version: "v0.1.0", Source: mirror.ModuleOfMirror, Requests: 3, Downloads: 1, Bytes: 10_000, At: now.Add(-time.Duration(i) * time.Hour)})
	}
	if err := s.db.AddModuleUse(ctx, uses); err != nil {
		t.Fatal(err)
	}
	forged := mirror.ModuleEvent{At: now, Kind: mirror.ModuleForged, Module: "github.com/spf13/pflag", Version: "v1.0.3", From: "https://proxy.example", Text: "E2106: github.com/spf13/pflag@v1.0.3 is not what the checksum database says"}
	denied := mirror.ModuleEvent{At: now, Kind: mirror.ModuleDenied, Module: "example.com/<b>evil", User: "ada", Address: "10.0.0.7", Text: "E2111: it is not allowed here: <script>alert(1)</script>"}
	if err := s.db.AddModuleRefusals(ctx, []mirror.ModuleRefusal{{ModuleEvent: forged, Times: 3}, {ModuleEvent: denied, Times: 1}}); err != nil {
		t.Fatal(err)
	}
}

func TestModulePages(t *testing.T) {
	site := newConsoleSite(t)
	v := site.signedIn(t, "admin", adminPassword)
	v.get("/modules").wants(t, http.StatusOK, "No module was served yet")
	site.seedModules(t)
	list := v.get("/modules?sort=path")
	list.wants(t, http.StatusOK, "example.com/team/module00", "Files that were forged", "I have seen it", "Next page")
	if strings.Contains(list.body, "github.com/spf13/pflag</a>") {
		t.Error("the first page by name holds the last module")
	}
	v.get("/modules?q=PFLAG").wants(t, http.StatusOK, `href="/modules/of/github.com/spf13/pflag"`, "https://proxy.example")
	v.get("/modules?q=nothing").wants(t, http.StatusOK, "No module matches.")
	v.get("/modules?after=x").wants(t, http.StatusUnprocessableEntity)
	v.get("/modules/of/github.com/spf13/pflag").wants(t, http.StatusOK, "go get github.com/spf13/pflag@latest", "h1:iy&#43;VFUOCP1a&#43;8yFto/drg2CJ5u0yRoB7fZw3DKv/JXA=",
		"proven by the checksum database", "<svg", "Downloads over time", "E2106")
	v.get("/modules/of/example.com/none").wants(t, http.StatusNotFound)
	v.post("/modules/pin", "module", "github.com/spf13/pflag", "version", "v1.0.5", "reason", "shipped").wants(t, http.StatusOK, "github.com/spf13/pflag@v1.0.5 is never dropped", "Unpin", "shipped")
	v.post("/modules/unpin", "module", "github.com/spf13/pflag", "version", "v1.0.5").wants(t, http.StatusOK, "is not pinned any more")

	v.post("/modules/warm", "text", "example.com/lib v1.0.0 h1:x=\nexample.com/lib v1.0.0/go.mod h1:x=\nexample.com/mod v1.0.0/go.mod h1:x=\n").wants(t, http.StatusOK, "2 module versions are being fetched", "0 of 2 module versions", "running")
	v.post("/modules/warm", "text", "example.com/lib").wants(t, http.StatusOK, "No module version")
	jobs := site.modules.Warmings()
	if len(jobs) != 1 || jobs[0].By != "admin" || jobs[0].Total != 2 {
		t.Fatalf("jobs = %+v, want one of admin", jobs)
	}
	v.post("/modules/warm/cancel", "job", jobs[0].ID).wants(t, http.StatusOK, "Canceled; what was fetched stays.", "canceled")
	v.post("/modules/warm/cancel", "job", "none").wants(t, http.StatusNotFound)

	v.get("/modules/rules").wants(t, http.StatusOK, "every module may be had", "&lt;script&gt;alert(1)", "ada")
	v.post("/modules/rules", "action", "deny", "pattern", "example.com/*", "value", ">=v2.0.0", "reason", "broken").wants(t, http.StatusOK, "The rule about example.com/* is in force.", "broken")
	v.post("/modules/rules", "action", "age", "pattern", "*", "value", "soon").wants(t, http.StatusUnprocessableEntity, "no length of time", `value="soon"`)
	v.post("/modules/rules", "action", "age", "pattern", "*", "value", "7d", "before", "-1").wants(t, http.StatusOK, "7d")
	rules := site.modules.ModuleRules()
	if len(rules) != 2 || rules[0].Age != 7*24*time.Hour || rules[1].By != "admin" {
		t.Fatalf("rules = %+v, want the age, then the one of admin", rules)
	}
	v.post("/modules/rules/remove", "rule", fmt.Sprint(rules[1].ID)).wants(t, http.StatusOK, "The rule is removed.")
	v.get("/modules/test?module=example.com/lib@v1.0.0").wants(t, http.StatusOK, "Not found", "no mirror has it", "prefer-mirror")
	v.get("/modules/test?module=-").wants(t, http.StatusUnprocessableEntity, "is no module version")

	forged, err := site.db.ModuleRefusals(t.Context(), mirror.RefusalQuery{Unseen: true})
	if err != nil || len(forged) != 1 {
		t.Fatalf("unseen refusals = %+v %v, want one", forged, err)
	}
	if seen := v.post(fmt.Sprintf("/modules/refusals/%d/seen", forged[0].ID)); strings.Contains(seen.body, "Files that were forged") {
		t.Error("what was seen is still on the list of what needs a person")
	}
	v.post("/modules/refusals/x/seen").wants(t, http.StatusNotFound)
}

// TestModulesCleanUp looks at what nobody used for long, and drops it.
func TestModulesCleanUp(t *testing.T) {
	site := newConsoleSite(t)
	v := site.signedIn(t, "admin", adminPassword)
	if got := v.get("/modules"); strings.Contains(got.body, "Clean up") {
		t.Error("there is something to clean up where nothing is kept")
	}
	dir := t.TempDir()
	open := func() *modproxy.Store {
		t.Helper()
		s, err := modproxy.OpenStore(&modproxy.Store{Dir: dir, MaxBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := open()
	for i := range 3 {
		k := modproxy.Kept{Key: fmt.Sprintf("example.com/lib/@v/v1.%d.0.mod", i), Module: "example.com/lib", Version: fmt.Sprintf("v1.%d.0", i), Kind: "mod", At: time.Now()}
		if _, err := before.PutBytes(k, fmt.Appendf(nil, "%-1000d", i)); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "names", "*", "*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("%d names, %v, want 3", len(names), err)
	}
	long := time.Now().AddDate(0, 0, -100)
	for _, name := range names[:2] {
		if err := os.Chtimes(name, long, long); err != nil {
			t.Fatal(err)
		}
	}
	site.modules.Store = open()

	v.get("/modules").wants(t, http.StatusOK, "Clean up", "What would go?", "1.1 GB")
	v.get("/modules?unused=200").wants(t, http.StatusOK, "Everything that may be dropped was used in that time.")
	v.get("/modules?unused=90").wants(t, http.StatusOK, "2 files, 2.0 kB, were not used in that time.", "Drop them")
	for _, days := range []string{"0", "-1", "x", "99999999999999999999"} {
		v.get("/modules?unused="+days).wants(t, http.StatusUnprocessableEntity, "is no number of days")
		v.post("/modules/trim", "unused", days).wants(t, http.StatusUnprocessableEntity)
	}
	v.post("/modules/trim", "unused", "90").wants(t, http.StatusOK, "Dropped: 2 files, 2.0 kB.")
	if files, _ := site.modules.Store.Spare(time.Time{}, 0); files != 1 {
		t.Errorf("%d files are left, want 1", files)
	}
}
