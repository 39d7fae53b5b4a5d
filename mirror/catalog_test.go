package mirror_test

import (
	"errors"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestAddIsIdempotent(t *testing.T) {
	r := newRig(t)
	first, existed, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "https://github.com/BurntSushi/toml.git"})
	if err != nil || existed || first.Path != "github.com/BurntSushi/toml" {
		t.Fatalf("Add = %+v, %v, %v", first, existed, err)
	}
	for _, text := range []string{"github.com/burntsushi/TOML", "git@github.com:BurntSushi/toml.git", "https://GITHUB.com/BurntSushi/toml/"} {
		again, existed, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: text})
		if err != nil || !existed || again.ID != first.ID {
			t.Errorf("Add(%q) = %s, %v, %v, want the mirror that is there", text, again.Path, existed, err)
		}
	}
	_, _, err = r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/BurntSushi/toml", Upstream: "https://evil.example/toml"})
	if !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Add with another upstream = %v, want ErrExists", err)
	}
}

func TestAddAndEditRefuse(t *testing.T) {
	r := newRig(t)
	r.catalog.Site = mirror.Site{URL: "https://git.corp.test", SSH: "ssh://git@git.corp.test:2222"}
	good, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/a/b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, upstream := range []string{
		"https://git.corp.test/github.com/a/b", "ssh://git@git.corp.test:2222/github.com/a/b", // ourselves
		"file:///etc", "ext::sh -c id", "--upload-pack=x", "http://2130706433/x",
	} {
		if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/x/y", Upstream: upstream}); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("Add from %q = %v, want ErrInvalid", upstream, err)
		}
		if _, err := r.catalog.Edit(t.Context(), good.ID, mirror.Edit{Upstream: &upstream}); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("Edit to %q = %v, want ErrInvalid", upstream, err)
		}
	}
	for _, m := range []mirror.NewMirror{
		{Text: "github.com/x/y", Interval: 1}, {Text: "github.com/x/y", Tags: "sometimes"}, {Text: "github.com/x/y", Credential: "unknown"},
	} {
		if _, _, err := r.catalog.Add(t.Context(), m); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("Add(%+v) = %v, want ErrInvalid", m, err)
		}
	}
	// Every name this machine has for itself is this machine.
	r.catalog.Site = mirror.Site{URL: "http://127.0.0.1:8080"}
	for _, upstream := range []string{"http://127.0.0.1:8080/a/b", "http://localhost:8080/a/b", "http://[::1]:8080/a/b", "http://127.1.2.3:8080/a/b"} {
		if _, err := r.catalog.Edit(t.Context(), good.ID, mirror.Edit{Upstream: &upstream}); mirror.AsProblem(err).Code != mirror.CodeSelf {
			t.Errorf("Edit to %q = %v, want %s", upstream, err, mirror.CodeSelf)
		}
	}
	if repos, err := r.db.Repos(t.Context(), mirror.RepoQuery{}); err != nil || len(repos) != 1 {
		t.Errorf("%d mirrors after refusals (%v), want 1", len(repos), err)
	}
}

// Adding a mirror again with a new password in the URL renews the password; it
// is not dropped in silence.
func TestPasswordInURLIsRenewed(t *testing.T) {
	r := newRig(t)
	for _, password := range []string{"first-secret", "second-secret"} {
		repo, existed, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "https://robot:" + password + "@git.corp.test/team/tool"})
		if err != nil || existed != (password == "second-secret") {
			t.Fatalf("Add with %s = %v, %v", password, existed, err)
		}
		cred, err := r.catalog.OpenCredential(t.Context(), repo.Credential)
		if err != nil || cred.Secret.Reveal() != password {
			t.Errorf("OpenCredential(%s) = %v, %v, want %s", repo.Credential, cred, err, password)
		}
	}
	if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "git.corp.test/team/open"}); err != nil {
		t.Fatal(err)
	}
	_, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "https://robot:secret-secret@git.corp.test/team/open"})
	if p := mirror.AsProblem(err); !errors.Is(err, mirror.ErrExists) || p.Do == "" {
		t.Errorf("Add of a mirror without a credential = %v, want ErrExists and what to do", err)
	}
}

func TestUpstreamElsewhere(t *testing.T) {
	r := newRig(t)
	for text, want := range map[string]mirror.Path{
		"github.com/a/b":             "github.com/a/b",
		"https://github.com/a/c.git": "github.com/a/c",
		"git@github.com:a/d.git":     "github.com/a/d",
	} {
		repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: text, Upstream: "https://near.example/x/y"})
		if err != nil || repo.Path != want || repo.Upstream.String() != "https://near.example/x/y" {
			t.Errorf("Add(%q from elsewhere) = %s from %s, %v, want %s", text, repo.Path, repo.Upstream, err, want)
		}
	}
}

func TestPasswordInThePathIsRefused(t *testing.T) {
	r := newRig(t)
	_, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "https://u:p@github.com/a/b", Upstream: "https://near.example/x/y"})
	if !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Add = %v, want ErrInvalid", err)
	}
}

func TestBlockedUpstreamIsNotAdded(t *testing.T) {
	r := newRig(t)
	blocked := &mirror.Problem{Code: mirror.CodeBlocked, Kind: mirror.ErrDenied, What: "no"}
	r.catalog.Blocked = func(up mirror.Upstream) error {
		if up.Host == "10.0.0.1" {
			return blocked
		}
		return nil
	}
	good, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/a/b"})
	if err != nil {
		t.Fatal(err)
	}
	bad := "https://10.0.0.1/a/b"
	if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/x/y", Upstream: bad}); !errors.Is(err, mirror.ErrDenied) {
		t.Errorf("Add from %s = %v, want ErrDenied", bad, err)
	}
	if _, err := r.catalog.Edit(t.Context(), good.ID, mirror.Edit{Upstream: &bad}); !errors.Is(err, mirror.ErrDenied) {
		t.Errorf("Edit to %s = %v, want ErrDenied", bad, err)
	}
}

func TestCredentialGoesToItsHostOnly(t *testing.T) {
	r := newRig(t)
	if err := r.catalog.AddCredential(t.Context(), mirror.Credential{Name: "ci", Host: "git.corp.test", User: "x", Secret: "s"}); err != nil {
		t.Fatal(err)
	}
	_, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/x/y", Credential: "ci"})
	if !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Add with another host's credential = %v, want ErrInvalid", err)
	}
	repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "https://git.corp.test/x/y", Credential: "ci"})
	if err != nil || !repo.Private {
		t.Fatalf("Add = %+v, %v, want a private mirror", repo, err)
	}
	if err := r.catalog.RemoveCredential(t.Context(), "ci"); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("RemoveCredential of one in use = %v, want ErrExists", err)
	}
	if err := r.catalog.AddCredential(t.Context(), mirror.Credential{Name: "rule", Host: "git.corp.test", User: "x", Secret: "s"}); err != nil {
		t.Fatal(err)
	}
	if err := r.catalog.AddRule(t.Context(), mirror.Rule{Pattern: "git.corp.test/team/*", Credential: "rule"}); err != nil {
		t.Fatal(err)
	}
	if err := r.catalog.RemoveCredential(t.Context(), "rule"); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("RemoveCredential of a rule's = %v, want ErrExists", err)
	}
}

func TestImport(t *testing.T) {
	r := newRig(t)
	for _, text := range []string{
		"github.com/spf13/cobra", "golang.org/x/mod", "gopkg.in/yaml.v3", "github.com/go-check/check", "go.uber.org/zap",
		"gopkg.in/natefinch/lumberjack.v2", "gorm.io/driver/postgres", "miniflux.app", "github.com/etcd-io/etcd",
	} {
		if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: text}); err != nil && text != "miniflux.app" {
			t.Fatalf("Add(%q) = %v", text, err)
		}
	}
	if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/miniflux/v2"}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]string{
		"github.com/spf13/cobra":           {"github.com/spf13/cobra", "github.com/spf13/cobra"},
		"github.com/spf13/cobra/doc":       {"github.com/spf13/cobra", "github.com/spf13/cobra"},
		"golang.org/x/mod/semver":          {"golang.org/x/mod", "github.com/golang/mod"},
		"gopkg.in/yaml.v3":                 {"gopkg.in/yaml.v3", "github.com/go-yaml/yaml"},
		"gopkg.in/yaml.v2":                 {"gopkg.in/yaml.v2", "github.com/go-yaml/yaml"},
		"gopkg.in/check.v1/sub":            {"gopkg.in/check.v1", "github.com/go-check/check"},
		"gopkg.in/natefinch/lumberjack.v2": {"gopkg.in/natefinch/lumberjack.v2", "github.com/natefinch/lumberjack"},
		"go.uber.org/zap/zapcore":          {"go.uber.org/zap", "github.com/uber-go/zap"},
		"gorm.io/driver/postgres":          {"gorm.io/driver/postgres", "github.com/go-gorm/postgres"},
		"go.etcd.io/etcd/api/v3":           {"go.etcd.io/etcd", "github.com/etcd-io/etcd"},
		"miniflux.app":                     {"miniflux.app", "github.com/miniflux/v2"},
		"miniflux.app/client":              {"miniflux.app", "github.com/miniflux/v2"},
	} {
		got, err := r.catalog.Import(t.Context(), path)
		if err != nil || got.Prefix != want[0] || string(got.Repo.Path) != want[1] {
			t.Errorf("Import(%q) = %q in %q, %v, want %q", path, got.Prefix, got.Repo.Path, err, want)
		}
	}
	for _, path := range []string{"github.com/spf13/viper", "golang.org/x/tools", "example.com/x", "../x", "gopkg.in/x.v1", "", "a b/c"} {
		if _, err := r.catalog.Import(t.Context(), path); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Import(%q) = %v, want ErrNotFound", path, err)
		}
	}
	if err := r.catalog.AddAlias(t.Context(), mirror.Alias{Prefix: "corp.test/tools", Repo: "github.com/spf13/cobra"}); err != nil {
		t.Fatal(err)
	}
	if got, err := r.catalog.Import(t.Context(), "corp.test/tools/x"); err != nil || got.Prefix != "corp.test/tools" {
		t.Errorf("Import of an alias = %+v, %v", got, err)
	}
}

func TestRuleAdmitsOnFirstUse(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, "127.0.0.1/acme/tool", files("1"))
	for _, bad := range []string{"github.com", "*", "*/x", "github.com/*/x", "github.com/a b/*", "/*", "x/*"} {
		if err := r.catalog.AddRule(t.Context(), mirror.Rule{Pattern: bad}); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("AddRule(%q) = %v, want ErrInvalid", bad, err)
		}
	}
	if err := r.catalog.AddRule(t.Context(), mirror.Rule{Pattern: "127.0.0.1/acme/*"}); err != nil {
		t.Fatal(err)
	}
	run(t, r.syncer)
	if _, err := r.catalog.Serve(t.Context(), "127.0.0.1/other/tool"); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Serve of what no rule admits = %v, want ErrNotFound", err)
	}
	// The rule's upstream is https on port 443 of that host, where nothing listens:
	// the mirror is added, and the client hears why there is nothing yet.
	_, err := r.catalog.Serve(t.Context(), "127.0.0.1/acme/tool")
	if !errors.Is(err, mirror.ErrUpstream) {
		t.Errorf("Serve of an admitted repository = %v, want ErrUpstream", err)
	}
	if repo, err := r.catalog.Find(t.Context(), "127.0.0.1/acme/tool"); err != nil || repo.State.Failures == 0 {
		t.Errorf("Find after that = %+v, %v, want a mirror that failed", repo.State, err)
	}
}
