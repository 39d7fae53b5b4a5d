package git_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func userGit(t *testing.T, extra ...string) (c git.Client, home string) {
	t.Helper()
	home = t.TempDir()
	return git.Client{Environ: gittest.Env(home, append([]string{"GIT_CONFIG_GLOBAL=" + filepath.Join(home, ".gitconfig")}, extra...)...), Dir: t.TempDir()}, home
}

func TestClientReadsTheUsersSettings(t *testing.T) {
	c, home := userGit(t, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.editor", "GIT_CONFIG_VALUE_0=two\nlines")
	file := filepath.Join(home, ".gitconfig")
	if err := os.WriteFile(file, []byte("[url \"http://m/\"]\n\tinsteadOf = https://m/\n[core]\n\tbare\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	version, err := c.Version(t.Context())
	if err != nil || !git.Recent(version) {
		t.Errorf("Version() = %q, %v, want one that is recent", version, err)
	}
	got, err := c.Config(t.Context())
	for _, want := range []git.ConfigValue{
		{Key: "url.http://m/.insteadof", Value: "https://m/", Origin: "file:" + file},
		{Key: "core.bare", Origin: "file:" + file},
		{Key: "core.editor", Value: "two\nlines", Origin: "command line:"},
	} {
		if err != nil || !slices.Contains(got, want) {
			t.Errorf("Config() = %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestRecent(t *testing.T) {
	for version, want := range map[string]bool{"2.39.5": true, "2.38.9": false, "3.0": true, "1.9": false, "2.50.1 (Apple Git-155)": true, "": false, "x": false} {
		if got := git.Recent(version); got != want {
			t.Errorf("Recent(%q) = %v, want %v", version, got, want)
		}
	}
}

// What lies in the directory, or above it, is a stranger's.
func TestClientReadsNoRepository(t *testing.T) {
	c, _ := userGit(t)
	outer := t.TempDir()
	gittest.Git(t, outer, "init", "-q")
	gittest.Git(t, outer, "config", "core.sshCommand", "touch "+filepath.Join(outer, "ran"))
	c.Dir = filepath.Join(outer, "inner")
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.Environ = append(c.Environ, "GIT_DIR="+filepath.Join(outer, ".git"))
	all, err := c.Config(t.Context())
	if err != nil || slices.ContainsFunc(all, func(v git.ConfigValue) bool { return v.Key == "core.sshcommand" }) {
		t.Errorf("Config() = %+v, %v, want nothing of the repository", all, err)
	}
	c.ListRemote(t.Context(), "ssh://git@127.0.0.1:1/x")
	if _, err := os.Stat(filepath.Join(outer, "ran")); err == nil {
		t.Error("ListRemote() ran the repository's core.sshCommand")
	}
}

func TestClientLists(t *testing.T) {
	up := gittest.NewUpstream(t)
	commit := up.Commit(t, "github.com/o/r", map[string]string{"a": "a\n"}, "v1.0.0")
	c, _ := userGit(t, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url."+up.Base()+"/.insteadOf", "GIT_CONFIG_VALUE_0=https://mirror.test/")
	refs, err := c.ListRemote(t.Context(), "https://mirror.test/github.com/o/r")
	if err != nil || !slices.Contains(refs, mirror.Ref{Name: "refs/tags/v1.0.0", Hash: commit}) {
		t.Errorf("ListRemote() = %+v, %v, want v1.0.0", refs, err)
	}
	for _, url := range []string{"--upload-pack=touch x", "ext::sh -c id", strings.Replace(up.URL("nothing"), "http://", "http://me:secret@", 1)} {
		refs, err := c.ListRemote(t.Context(), url)
		var said *git.ClientError
		if !errors.As(err, &said) || said.Said == "" || strings.Contains(said.Said, "secret") {
			t.Errorf("ListRemote(%s) = %v, %v, want what git said, without the password", url, refs, err)
		}
	}
}

// Who never answers is not waited for.
func TestClientEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		conn, err := l.Accept()
		if err == nil {
			cancel()
			<-ctx.Done()
			conn.Close()
		}
	}()
	ctx, late := context.WithTimeout(ctx, time.Minute)
	defer late()
	c, _ := userGit(t)
	if _, err := c.ListRemote(ctx, "http://"+l.Addr().String()+"/x"); !errors.Is(err, context.Canceled) {
		t.Errorf("ListRemote() = %v, want canceled", err)
	}
}

func TestClientWithoutGit(t *testing.T) {
	c, _ := userGit(t)
	c.Environ = append(c.Environ, "PATH=.:"+t.TempDir())
	if _, err := c.Version(t.Context()); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Version() = %v, want ErrNotFound", err)
	}
}
