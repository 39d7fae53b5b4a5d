package rewrite_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

var templateEnv = rewrite.Environment{
	Site: mirror.Site{URL: "http://mirror.corp.test:8080"}, Coverage: rewrite.Coverage{Modules: 1, Mirrored: 1},
	Current: map[string]string{"GOPRIVATE": "this.machine", "GIT_CONFIG_COUNT": "4"}, // of no interest elsewhere
}

func template(t *testing.T, name string, e rewrite.Environment) string {
	t.Helper()
	text, err := rewrite.Template(name, e)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "this.machine") || strings.Contains(text, "<no value>") {
		t.Errorf("Template(%s) =\n%s\nwant nothing of this machine", name, text)
	}
	return text
}

func TestTemplatesOfJobs(t *testing.T) {
	type object = map[string]any
	github := parseYAML(t, template(t, "github-job", templateEnv))
	job := github["jobs"].(object)["build"].(object)
	env := job["env"].(object)
	gitlab := parseYAML(t, template(t, "gitlab-job", templateEnv))["mirror"].(object)
	variables := gitlab["variables"].(object)
	for name, want := range map[string]string{
		"GITMIRROR_SERVER": "http://mirror.corp.test:8080", "GOPRIVATE": "mirror.corp.test", "GIT_CONFIG_COUNT": "1",
		"GIT_CONFIG_KEY_0": "url.http://mirror.corp.test:8080/.insteadOf", "GIT_CONFIG_VALUE_0": "https://mirror.corp.test/",
	} {
		if env[name] != want || variables[name] != want {
			t.Errorf("%s = %v in the GitHub job and %v in the GitLab job, want %q", name, env[name], variables[name], want)
		}
	}
	if env["GITMIRROR_TOKEN"] != "${{ secrets.GITMIRROR_TOKEN }}" {
		t.Errorf("GITMIRROR_TOKEN = %v, want the secret", env["GITMIRROR_TOKEN"])
	}

	// Both sign in to the mirror by the same lines; run them.
	scripts := map[string]string{"gitlab": gitlab["before_script"].([]any)[0].(string)}
	var commands []string
	for _, step := range job["steps"].([]any) {
		if run, ok := step.(object)["run"].(string); ok {
			if strings.Contains(run, ".netrc") {
				scripts["github"] = run
			}
			commands = append(commands, run)
		}
	}
	for _, command := range gitlab["script"].([]any) {
		commands = append(commands, command.(string))
	}
	if all := strings.Join(commands, "\n"); strings.Count(all, "gitmirror rewrite --check ./...") != 2 {
		t.Errorf("the jobs run\n%s\nwant a check in each", all)
	}
	for name, script := range scripts {
		home := t.TempDir()
		cmd := exec.Command("bash", "-eo", "pipefail", "-c", script)
		cmd.Env = gittest.Env(home, "GITMIRROR_TOKEN=gmr_x")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		info, err := os.Stat(filepath.Join(home, ".netrc"))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, home)[".netrc"]; got != "machine mirror.corp.test:8080 login ci password gmr_x\nmachine mirror.corp.test login ci password gmr_x\n" || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: .netrc = %q, %v", name, got, info.Mode())
		}
	}
	e := templateEnv
	e.Mode = rewrite.GOPROXY
	if text := template(t, "gitlab-job", e); !strings.Contains(text, "gitmirror rewrite --mode goproxy --check ./...") {
		t.Errorf("Template(gitlab-job) for goproxy =\n%s", text)
	}
}

func TestTemplatesOfBots(t *testing.T) {
	var renovate struct {
		PackageRules []struct{ MatchPackageNames []string }
	}
	if err := json.Unmarshal([]byte(template(t, "renovate", templateEnv)), &renovate); err != nil || renovate.PackageRules[0].MatchPackageNames[0] != "mirror.corp.test/**" {
		t.Errorf("Template(renovate) = %+v, %v", renovate, err)
	}
	dependabot := parseYAML(t, template(t, "dependabot", templateEnv))
	if dependabot["version"] != 2 || len(dependabot["updates"].([]any)) != 1 {
		t.Errorf("Template(dependabot) = %v", dependabot)
	}
	if _, err := rewrite.Template("jenkins", templateEnv); !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Template(jenkins) = %v, want ErrInvalid", err)
	}
}

// The hook runs in a real repository, with a program that answers as gitmirror does.
func TestPreCommitHook(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	gittest.Git(t, dir, "init", "-q")
	hook := filepath.Join(dir, ".git", "hooks", "pre-commit")
	write(t, dir, map[string]string{"go.mod": "module x\n", "README": "x\n", ".git/hooks/pre-commit": template(t, "pre-commit", templateEnv)})
	write(t, bin, map[string]string{"gitmirror": "#!/bin/sh\necho \"$GITMIRROR_SERVER $*\" >> \"$HOME/asked\"\nexit ${ANSWER:-0}\n"})
	for _, name := range []string{hook, filepath.Join(bin, "gitmirror")} {
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(answer string, files ...string) (ok, asked bool) {
		t.Helper()
		gittest.Git(t, dir, append([]string{"add"}, files...)...)
		home := t.TempDir()
		cmd := exec.Command("git", "commit", "-q", "--allow-empty", "-m", "x")
		cmd.Dir = dir
		cmd.Env = gittest.Env(home, "ANSWER="+answer, "PATH="+bin+":"+os.Getenv("PATH"))
		err := cmd.Run()
		text := read(t, home)["asked"]
		if text != "" && text != "http://mirror.corp.test:8080 rewrite --check ./...\n" {
			t.Errorf("the hook asked %q", text)
		}
		return err == nil, text != ""
	}
	for _, c := range []struct {
		name      string
		answer    string
		text      string // of go.mod; "" = it is not in the commit
		ok, asked bool
	}{
		{"nothing of Go", "3", "", true, false},
		{"all is well", "0", "module y\n", true, true},
		{"something is to be done", "3", "module z\n", false, true},
		{"the mirror is away", "6", "module z\n", true, true},
		{"a hash differs", "9", "module a\n", false, true},
	} {
		file := "README"
		if c.text != "" {
			write(t, dir, map[string]string{"go.mod": c.text})
			file = "go.mod"
		}
		if ok, asked := commit(c.answer, file); ok != c.ok || asked != c.asked {
			t.Errorf("%s: committed %v, asked %v, want %v, %v", c.name, ok, asked, c.ok, c.asked)
		}
	}
}
