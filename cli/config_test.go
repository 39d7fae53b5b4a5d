package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type settingDoc struct{ Key, Value, Origin, Env, Flag string }

func settingsOf(t *testing.T, r result) map[string]settingDoc {
	t.Helper()
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("config show = %+v, want exit 0 and nothing on stderr", r)
	}
	byKey := map[string]settingDoc{}
	for _, d := range decode[[]settingDoc](t, r.out) {
		byKey[d.Key] = d
	}
	return byKey
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsPrecedence(t *testing.T) {
	file := write(t, "gitmirror.yaml", "http:\n  addr: 127.0.0.1:1001\nssh:\n  addr: 127.0.0.1:1002\nsync:\n  workers: 3\nauth.anonymous_read: false\n")
	environ := []string{"GITMIRROR_HTTP_ADDR=127.0.0.1:2001", "GITMIRROR_SSH_ADDR=127.0.0.1:2002"}
	got := settingsOf(t, run(t, environ, "config", "show", "--json", "--config", file, "--http-addr", "127.0.0.1:3001"))
	for key, want := range map[string][2]string{
		"http.addr":           {"127.0.0.1:3001", "flag --http-addr"},
		"ssh.addr":            {"127.0.0.1:2002", "environment GITMIRROR_SSH_ADDR"},
		"sync.workers":        {"3", "file " + file},
		"auth.anonymous_read": {"false", "file " + file},
		"sync.timeout":        {"30m", "default"},
		"public_url":          {"http://127.0.0.1:3001", "default"},
	} {
		if d := got[key]; d.Value != want[0] || d.Origin != want[1] {
			t.Errorf("setting %s = %q from %q, want %q from %q", key, d.Value, d.Origin, want[0], want[1])
		}
	}
	// The flag of a yes-or-no setting may stand alone.
	for _, flags := range [][]string{
		{"--security-allow-private-upstreams"}, {"--security-allow-private-upstreams", "true"}, {"--security-allow-private-upstreams", "--http-addr", "off"},
	} {
		got := settingsOf(t, run(t, nil, append([]string{"config", "show", "--json"}, flags...)...))
		if d := got["security.allow_private_upstreams"]; d.Value != "true" {
			t.Errorf("config show %q = %q, want true", flags, d.Value)
		}
	}
}

func TestSettingsFileInDataDirectory(t *testing.T) {
	file := write(t, "gitmirror.yaml", "http:\n  addr: off\nlog:\n  level: debug\n")
	got := settingsOf(t, run(t, []string{"GITMIRROR_DATA=" + filepath.Dir(file)}, "config", "show", "--json"))
	if got["http.addr"].Value != "off" || got["log.level"].Value != "debug" {
		t.Errorf("settings = %v and %v, want those of %s", got["http.addr"], got["log.level"], file)
	}
}

func TestSettingsRefused(t *testing.T) {
	yaml := func(text string) []string { return []string{"--config", write(t, "x.yaml", text)} }
	rows := []struct {
		name    string
		environ []string
		args    []string
		want    string
	}{
		{"unknown key in the file", nil, yaml("htpp:\n  addr: 127.0.0.1:1\n"), "did you mean http.addr?"},
		{"unknown variable", []string{"GITMIRROR_SYNC_WORKER=3"}, nil, "did you mean GITMIRROR_SYNC_WORKERS?"},
		{"case is not folded", nil, yaml("HTTP:\n  addr: 127.0.0.1:1\n"), "did you mean http.addr?"},
		{"duration without unit", nil, yaml("sync:\n  timeout: 30\n"), "with its unit"},
		{"not a number", []string{"GITMIRROR_SYNC_WORKERS=many"}, nil, "whole number"},
		{"not a bool", []string{"GITMIRROR_AUTH_ANONYMOUS_READ=perhaps"}, nil, "true or false"},
		{"not an address", nil, []string{"--http-addr", "8080"}, "host:port"},
		{"not a URL", nil, []string{"--public-url", "git.corp.test"}, "begins with https://"},
		{"a list", nil, yaml("data: [a, b]\n"), "single value"},
		{"not YAML", nil, yaml("a: [\n"), "not YAML"},
		{"missing file", nil, []string{"--config", "/no/such/file.yaml"}, "cannot be read"},
		{"nobody served", nil, []string{"--http-addr", "off", "--ssh-addr", "off"}, "serve nobody"},
		{"TLS without files", nil, []string{"--tls-mode", "files"}, "tls.cert"},
		{"intervals", nil, []string{"--sync-interval-min", "9h"}, "longer than"},
		{"data in its own file", []string{"GITMIRROR_DATA=" + filepath.Dir(write(t, "gitmirror.yaml", "data: /elsewhere\n"))}, nil, "sets data"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got := run(t, r.environ, append([]string{"config", "show"}, r.args...)...)
			if got.code != 2 || got.out != "" || !strings.Contains(got.stderr, r.want) {
				t.Errorf("config show = %+v, want exit 2 and %q", got, r.want)
			}
		})
	}
}

func TestSettingsOfOthersAreNotOurs(t *testing.T) {
	settingsOf(t, run(t, []string{"GITMIRROR_PORT=tcp://10.0.0.1:80", "GITMIRROR_SERVICE_HOST=10.0.0.1", "GITMIRROR_TOKEN=x"}, "config", "show", "--json"))
}

func TestSettingsMaskSecrets(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://mirror:hunter2@db/mirror":           "postgres://mirror:********@db/mirror",
		"postgres://db/mirror?password=hunter2":         "********",
		"host=db user=mirror password=hunter2":          "********",
		"postgres://mirror@db/mirror":                   "postgres://mirror@db/mirror",
		"postgres://mirror:hunter2@db/mirror?sslmode=x": "********",
	} {
		got := run(t, []string{"GITMIRROR_DATABASE_URL=" + url}, "config", "show", "database.url", "--json")
		docs := decode[[]settingDoc](t, got.out)
		if len(docs) != 1 || docs[0].Value != want || strings.Contains(got.out, "hunter2") {
			t.Errorf("config show of %q = %q, want %q", url, docs[0].Value, want)
		}
	}
}
