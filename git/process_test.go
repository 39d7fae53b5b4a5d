package git_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

const password = "hunter2-s3cr3t"

func TestCredential(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, func(d *git.Disk) { d.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	h.up.Commit(t, project, files(200, 1))
	h.up.Private(project, "reader", password)

	_, err := h.List(t.Context(), h.from)
	problem(t, "List without credential", err, mirror.ErrSignIn, mirror.CodeAuth)
	h.from.Credential = &mirror.Credential{Name: "ci", Host: "127.0.0.1", User: "reader", Secret: "wrong"}
	_, err = h.List(t.Context(), h.from)
	p := problem(t, "List with a wrong one", err, mirror.ErrSignIn, mirror.CodeAuth)
	if !strings.Contains(p.What, "ci") {
		t.Errorf("What = %q, want the credential's name", p.What)
	}
	ref := []mirror.Ref{{Name: "refs/heads/main", Hash: h.up.Rev(t, project, "main")}}
	_, err = h.Fetch(t.Context(), h.id, h.from, ref, nil)
	problem(t, "Fetch with a wrong one", err, mirror.ErrSignIn, mirror.CodeAuth)
	h.from.Credential.Host = "other.example"
	_, err = h.List(t.Context(), h.from)
	problem(t, "List with another host's", err, mirror.ErrDenied, mirror.CodeAuth)
	h.from.Credential = &mirror.Credential{Name: "ci", Host: "127.0.0.1", User: "reader", Secret: password}

	// While git's own fetch hangs, look at all that the processes show to everybody.
	direct := h.from.Upstream
	h.from.Upstream = remote(t, oldServer(t, h.up.Base())+"/"+project).Upstream
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Stall: true, After: 150_000})
	done := make(chan error, 1)
	go func() {
		_, err := h.Fetch(t.Context(), h.id, h.from, l.Refs, nil)
		done <- err
	}()
	packs := filepath.Join(h.Root, "staging", "*", "objects", "gm-incoming-*", "pack", "tmp_pack_*")
	eventually(t, "the pack grows", func() bool { found, _ := filepath.Glob(packs); return len(found) > 0 })
	running := processes(t, h.from.Upstream.String())
	if len(running) < 2 {
		t.Errorf("running: %v, want git and its helper", running)
	}
	for _, line := range running {
		if strings.Contains(line, password) || strings.Contains(line, "Basic") {
			t.Errorf("the secret is in the command line %q", line)
		}
	}
	mend()
	if err := <-done; err == nil || strings.Contains(err.Error()+raw(err), password) {
		t.Errorf("Fetch = %v, want an error without the secret", err)
	}
	h.from.Upstream = direct
	h.mustSync(t)
	h.same(t)
	if strings.Contains(log.String(), password) {
		t.Error("the secret is in the log")
	}
	if out := gittest.Git(t, h.dir(), "config", "--list", "--local"); strings.Contains(out, password) {
		t.Error("the secret is in the repository's config")
	}
}

func TestNoCredentialOverPlainHTTP(t *testing.T) {
	disk := open(t, t.TempDir(), func(d *git.Disk) { d.AllowPrivate = false })
	from := remote(t, "http://git.example.com/team/project")
	from.Credential = &mirror.Credential{Name: "ci", Host: "git.example.com", User: "u", Secret: password}
	_, err := disk.List(t.Context(), from)
	problem(t, "List", err, mirror.ErrDenied, mirror.CodeAuth)
	// Private upstreams being allowed makes the road to a public one no safer.
	disk = open(t, t.TempDir())
	from = remote(t, "http://8.8.8.8/team/project")
	from.Credential = &mirror.Credential{Name: "ci", Host: "8.8.8.8", User: "u", Secret: password}
	_, err = disk.List(t.Context(), from)
	problem(t, "List with private upstreams allowed", err, mirror.ErrDenied, mirror.CodeAuth)
	ref := []mirror.Ref{{Name: "refs/heads/main", Hash: strings.Repeat("12", 20)}}
	_, err = disk.Fetch(t.Context(), mirror.NewID(), from, ref, nil)
	problem(t, "Fetch with private upstreams allowed", err, mirror.ErrDenied, mirror.CodeAuth)
}

func TestEnvironmentIsOurs(t *testing.T) {
	// Every one of these would break git or run the canary if it got through.
	dir := t.TempDir()
	canary := filepath.Join(dir, "canary")
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch "+canary+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, ".gitconfig")
	if err := os.WriteFile(config, []byte("[core]\n\thooksPath = "+dir+"\n\tfsmonitor = "+script+"\n[url \"file:///nowhere/\"]\n\tinsteadOf = http://127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"HOME": dir, "XDG_CONFIG_HOME": dir, "GIT_CONFIG_GLOBAL": config, "GIT_DIR": "/nowhere", "GIT_OBJECT_DIRECTORY": "/nowhere", "GIT_SSH_COMMAND": script,
		"GIT_ASKPASS": script, "GIT_EXTERNAL_DIFF": script, "GIT_PROXY_COMMAND": script, "GIT_EXEC_PATH": "/nowhere", "GIT_TRACE": canary,
		"http_proxy": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1", "CANARY": password,
	} {
		t.Setenv(key, value)
	}
	if err := os.Unsetenv("GIT_EXEC_PATH"); err != nil { // the upstream's own git needs to live
		t.Fatal(err)
	}
	h := newHouse(t)
	h.up.Commit(t, project, files(200, 1))
	h.from = remote(t, oldServer(t, h.up.Base())+"/"+project) // git is to fetch
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Stall: true, After: 150_000})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if in, err := h.Fetch(t.Context(), h.id, h.from, l.Refs, nil); err == nil {
			_ = in.Discard()
		}
	}()
	eventually(t, "git runs", func() bool { return len(processes(t, h.from.Upstream.String())) > 1 })
	for pid, line := range processes(t, h.from.Upstream.String()) {
		env, err := os.ReadFile("/proc/" + pid + "/environ")
		if err == nil && (bytes.Contains(env, []byte(password)) || bytes.Contains(env, []byte("CANARY"))) {
			t.Errorf("%s knows our environment:\n%s", line, bytes.ReplaceAll(env, []byte{0}, []byte("\n")))
		}
	}
	mend()
	<-done
	h.mustSync(t)
	h.same(t)
	if _, err := os.Stat(canary); err == nil {
		t.Error("a setting of the user's environment had effect")
	}
}

func TestOldGitIsRefused(t *testing.T) {
	dir := t.TempDir()
	fake := "#!/bin/sh\necho git version 2.30.2\n"
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	_, err := git.Open(t.Context(), git.Disk{Root: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "2.30.2") || !strings.Contains(err.Error(), "2.39") {
		t.Errorf("Open with git 2.30.2 = %v, want that it is too old", err)
	}
	t.Setenv("PATH", t.TempDir())
	var p *mirror.Problem
	if _, err := git.Open(t.Context(), git.Disk{Root: t.TempDir()}); !errors.As(err, &p) || !strings.Contains(p.Do, "install git") {
		t.Errorf("Open without git = %v, want that it must be installed", err)
	}
}
