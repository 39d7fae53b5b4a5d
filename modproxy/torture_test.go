package modproxy_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// oracleRow is what the go command itself (GOPROXY=direct) answered for a query
// of the torture repositories.
type oracleRow struct{ query, version, time, sum, mod, trouble string }

func oracle(t *testing.T) (rows []oracleRow, lists map[string][]string) {
	t.Helper()
	data, err := os.ReadFile("testdata/oracle.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lists = map[string][]string{}
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if path, ok := strings.CutPrefix(f[0], "LIST "); ok {
			lists[path] = strings.Fields(f[1])[1:]
			continue
		}
		rows = append(rows, oracleRow{f[0], f[1], f[2], f[3], f[4], strings.TrimSpace(f[5])})
	}
	return rows, lists
}

// tortureWorld has two repositories full of corner cases, testdata/torture.sh.
func tortureWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	dir := t.TempDir()
	script, err := filepath.Abs("testdata/torture.sh")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("bash", script, dir).CombinedOutput(); err != nil {
		t.Fatalf("torture.sh: %v\n%s", err, out)
	}
	for _, name := range []string{"torture", "incompat"} {
		w.up.Import(t, "example.com/"+name, filepath.Join(dir, name+".git"))
		w.add(t, "example.com/"+name)
	}
	return w
}

func TestTorture(t *testing.T) {
	w := tortureWorld(t)
	t.Run("go", func(t *testing.T) { tortureByGo(t, w) })
	t.Run("queries", func(t *testing.T) { tortureQueries(t, w) })
	t.Run("resolve", func(t *testing.T) { tortureResolve(t, w) })
	t.Run("files", func(t *testing.T) { temporaryFiles(t, w) })
}

// The go command behind our proxy gets what it gets from git itself.
func tortureByGo(t *testing.T, w *world) {
	env, dir := w.goEnv(t), goModule(t)
	rows, lists := oracle(t)
	for _, row := range rows {
		cmd := exec.Command("go", "mod", "download", "-json", row.query)
		cmd.Dir, cmd.Env = dir, env
		out, _ := cmd.Output()
		var got downloaded
		_ = json.Unmarshal(out, &got)
		if row.trouble != "" {
			if got.Error == "" && cmd.ProcessState.Success() {
				t.Errorf("go mod download %s = %s, want an error like %s", row.query, got.Version, row.trouble)
			}
			continue
		}
		if got.Version != row.version || got.Sum != row.sum || got.GoModSum != row.mod {
			t.Errorf("go mod download %s = %s %s %s %s, want %s %s %s", row.query, got.Version, got.Sum, got.GoModSum, got.Error, row.version, row.sum, row.mod)
			continue
		}
		var info struct{ Time string }
		data, err := os.ReadFile(got.Info)
		if err != nil || json.Unmarshal(data, &info) != nil || info.Time != row.time {
			t.Errorf("go mod download %s: time %s, want %s", row.query, info.Time, row.time)
		}
	}
	for path, want := range lists {
		cmd := exec.Command("go", "list", "-m", "-versions", "-retracted", path)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		f := strings.Fields(string(out))
		if len(want) == 0 && err != nil {
			continue // asking git itself, go forgives a module without versions
		}
		if len(f) == 0 || strings.Join(f[1:], " ") != strings.Join(want, " ") {
			t.Errorf("go list -m -versions %s = %s, want %v", path, out, want)
		}
	}
}

// What a person asks the go command for (the v_ flows of the research).
func tortureQueries(t *testing.T, w *world) {
	env, dir := w.goEnv(t), goModule(t)
	const mod = "example.com/torture.git"
	list := func(args ...string) string {
		cmd := exec.Command("go", append([]string{"list", "-m"}, args...)...)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "error: " + string(out)
		}
		return strings.TrimSpace(string(out))
	}
	hash := w.up.Rev(t, "example.com/torture", "main")
	main := list("-f", "{{.Version}}", mod+"@main")
	for query, want := range map[string]string{
		"@latest": "v1.8.0", "@release-1.9": "v1.9.0-rc.1", "@v1": "v1.8.0", "@v1.1": "v1.1.0", "@<v1.6.0": "v1.1.0",
		"@>v1.6.0": "v1.8.0", "@" + hash: main, "@" + hash[:8]: main, "/v2@latest": "v2.0.0", "/v3@latest": "v3.0.0",
	} {
		if got := list("-f", "{{.Version}}", mod+query); got != want {
			t.Errorf("go list -m %s%s = %s, want %s", mod, query, got, want)
		}
	}
	if !strings.HasPrefix(main, "v1.9.0-rc.1.0.") {
		t.Errorf("go list -m %s@main = %s, want v1.9.0-rc.1.0.…", mod, main)
	}
	if got := list("-f", "{{.Version}}", "example.com/incompat.git@latest"); got != "v6.0.0+incompatible" {
		t.Errorf("go list -m example.com/incompat.git@latest = %s, want v6.0.0+incompatible", got)
	}
	if got := list("-versions", mod); strings.Contains(got, "v1.2.0") {
		t.Errorf("go list -m -versions %s = %s, with what is retracted", mod, got)
	}
	if got := list("-versions", "-retracted", mod); !strings.Contains(got, "v1.2.0") {
		t.Errorf("go list -m -versions -retracted %s = %s, without what is retracted", mod, got)
	}
	if got := list("-u", "-json", mod+"@v1.2.0"); !strings.Contains(got, `"Retracted"`) || !strings.Contains(got, `"Origin"`) {
		t.Errorf("go list -m -u -json %s@v1.2.0 = %s, want Retracted and Origin", mod, got)
	}
	base := strings.TrimPrefix(main, "v1.9.0-rc.1.0.")
	if got := ask(w.handler, "GET", "/proxy/"+mod+"/@v/v1.9.1-0."+base+".info"); got.Code != 404 {
		t.Errorf("GET a pseudo-version of another base = %d, want 404", got.Code)
	}
}

// Resolve agrees with the oracle for all canonical versions, in its hashes and
// in its reasons.
func tortureResolve(t *testing.T, w *world) {
	rows, _ := oracle(t)
	for _, row := range rows {
		path, version, _ := strings.Cut(row.query, "@")
		if version != module.CanonicalVersion(version) || row.trouble == "" && row.version != version {
			continue // a query, not a version
		}
		answers, err := w.repos.Resolve(t.Context(), []mirror.ModuleQuery{{Path: path, Version: version}})
		if err != nil {
			t.Fatal(err)
		}
		a := answers[0]
		if row.trouble == "" {
			if want := (mirror.Sums{Zip: row.sum, Mod: row.mod}); a.Original != want || a.Problem != nil {
				t.Errorf("Resolve(%s) = %v %v, want %v", row.query, a.Original, a.Problem, want)
			}
			continue
		}
		reason, ok := strings.CutPrefix(row.trouble, "create zip: ")
		if !ok {
			i := strings.LastIndex(row.trouble, "version: ")
			reason = row.trouble[max(0, i):]
			reason = strings.TrimPrefix(reason, "version: ")
		}
		switch {
		case a.Problem == nil:
			t.Errorf("Resolve(%s) has no problem, want %s", row.query, reason)
		case ok && a.Problem.Code != mirror.CodeModuleBad:
			t.Errorf("Resolve(%s).Problem = %v, want code %s", row.query, a.Problem, mirror.CodeModuleBad)
		case strings.Contains(reason, "revision") && !strings.Contains(a.Problem.Why, strings.Fields(reason)[0]):
			t.Errorf("Resolve(%s).Problem.Why = %q, want %q", row.query, a.Problem.Why, reason)
		}
	}
}

// A zip that fails leaves no file behind, and neither does one that succeeds.
func temporaryFiles(t *testing.T, w *world) {
	m, err := w.repos.Module(t.Context(), "example.com/torture.git")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Zip(t.Context(), "v1.0.0", io.Discard); err != nil {
		t.Errorf("Zip(v1.0.0) = %v", err)
	}
	if _, err := m.Zip(t.Context(), "v1.2.0", io.Discard); mirror.AsProblem(err).Code != mirror.CodeModuleBad {
		t.Errorf("Zip(v1.2.0) = %v, want %s", err, mirror.CodeModuleBad)
	}
	w.cleared(t)
}
