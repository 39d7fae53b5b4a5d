package gitserver_test

import (
	"io"
	"log"
	"net"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// startPeers serves the very same repositories, under the same paths, by git
// http-backend and by git daemon, which over a connection speak as git does
// over SSH. They are set as our upload-pack is.
func (w *matrix) startPeers(t *testing.T) (httpURL, gitURL string) {
	t.Helper()
	root := t.TempDir()
	for _, path := range []string{tool, many, super, large} {
		repo, err := w.catalog.Find(t.Context(), mustPath(t, path))
		if err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(root, filepath.FromSlash(path)+".git")
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(w.dir, "repos", string(repo.ID)+".git"), link); err != nil {
			t.Fatal(err)
		}
	}
	env := gittest.Env(root, "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1")
	settings := [][2]string{
		{"safe.directory", "*"}, {"uploadpack.allowFilter", "true"}, {"uploadpack.allowAnySHA1InWant", "true"},
		{"transfer.hideRefs", "refs/gitmirror"}, {"transfer.hideRefs", "refs/pull"},
	}
	env = append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(settings)))
	for i, s := range settings {
		n := strconv.Itoa(i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+s[0], "GIT_CONFIG_VALUE_"+n+"="+s[1])
	}
	core := gittest.Git(t, "", "--exec-path")
	server := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(core, "git-http-backend"), Dir: root, Env: env, Stderr: io.Discard, Logger: log.New(io.Discard, "", 0),
	})
	t.Cleanup(server.Close)
	return server.URL, "git://" + startDaemon(t, root, env)
}

// startDaemon answers each connection by a git daemon of its own.
func startDaemon(t *testing.T, root string, env []string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			file, err := conn.(*net.TCPConn).File()
			conn.Close()
			if err != nil {
				continue
			}
			running.Go(func() {
				defer file.Close()
				cmd := exec.Command("git", "daemon", "--inetd", "--export-all", "--base-path="+root)
				cmd.Env, cmd.Stdin, cmd.Stdout = env, file, file
				_ = cmd.Run() // a client that is refused or interrupted makes it fail
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}
