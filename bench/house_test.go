//go:build unix

package bench_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// house is the program itself, built from this tree, with its mirrors.
type house struct {
	binary, home, data string
	http, ssh          string // addresses
	group              *group
	cmd                *exec.Cmd
	ended              chan error
	clientKey          *ssh.ClientConfig
	settings           []string // flags of serve besides those of every house
}

const housePassword = "correct-horse-battery-staple"

// newHouse builds the program, mirrors the repositories (path → upstream URL)
// with their pull requests, packs them as upkeep does in time, and serves.
func newHouse(b *testing.B, mirrors map[string]string) *house {
	b.Helper()
	h := openHouse(b)
	config, public := newKeys(b)
	h.clientKey = config
	key := filepath.Join(b.TempDir(), "id.pub")
	if err := os.WriteFile(key, []byte(public), 0o600); err != nil {
		b.Fatal(err)
	}
	h.run(b, "", "key", "add", "bench", key)
	for path, url := range mirrors {
		h.run(b, "", "mirror", "add", path, "--upstream", url, "--pulls", "--wait")
	}
	h.stop(b)
	h.repack(b)
	h.start(b)
	return h
}

// openHouse builds the program and serves, with nothing mirrored.
func openHouse(b *testing.B, settings ...string) *house {
	b.Helper()
	work := b.TempDir()
	h := &house{
		binary: filepath.Join(work, "gitmirror"), home: filepath.Join(work, "home"), data: filepath.Join(work, "data"),
		http: freeAddr(b), ssh: freeAddr(b), group: newGroup(b), settings: settings,
	}
	build := exec.Command("go", "build", "-o", h.binary, "github.com/gitmirror/gitmirror")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v: %s", err, out)
	}
	if err := os.MkdirAll(h.home, 0o700); err != nil {
		b.Fatal(err)
	}
	h.start(b)
	b.Cleanup(func() {
		h.stop(b)
		if log, _ := os.ReadFile(filepath.Join(work, "log")); b.Failed() {
			b.Logf("the server said:\n%s", log)
		}
	})
	h.run(b, housePassword+"\n", "login", "http://"+h.http, "--username", "admin", "--password-stdin")
	return h
}

// repack does to every mirror what upkeep does some days after a first clone.
func (h *house) repack(b *testing.B) {
	b.Helper()
	d, err := git.Open(b.Context(), git.Disk{Root: h.data, AllowPrivate: true})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	names, _ := filepath.Glob(filepath.Join(h.data, "repos", "*.git"))
	for _, name := range names {
		id := mirror.ID(strings.TrimSuffix(filepath.Base(name), ".git"))
		if err := d.Repack(b.Context(), id, 14*24*time.Hour); err != nil {
			b.Fatal(err)
		}
		if _, err := d.Maintain(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

func (h *house) start(b *testing.B) {
	b.Helper()
	h.cmd = h.group.command(h.binary, append([]string{"serve", "--data", h.data, "--http-addr", h.http, "--ssh-addr", h.ssh,
		"--security-allow-private-upstreams", "true", "--log-level", "warn", "--log-format", "text"}, h.settings...)...)
	h.cmd.Env = gittest.Env(h.home, "GITMIRROR_ADMIN_PASSWORD="+housePassword)
	log, err := os.OpenFile(filepath.Join(filepath.Dir(h.data), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	h.cmd.Stderr = log
	if err := h.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	h.ended = make(chan error, 1)
	go func(cmd *exec.Cmd) { h.ended <- cmd.Wait() }(h.cmd)
	for range 1200 {
		if res, err := http.Get("http://" + h.http + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatal("the server is not ready after a minute")
}

func (h *house) stop(b *testing.B) {
	b.Helper()
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-h.ended:
		if err != nil {
			b.Errorf("the server ended with %v", err)
		}
	case <-time.After(time.Minute):
		h.cmd.Process.Kill()
		<-h.ended
		b.Error("the server still ran a minute after SIGTERM")
	}
}

// run is one command of the program.
func (h *house) run(b *testing.B, stdin string, args ...string) {
	b.Helper()
	cmd := exec.Command(h.binary, args...)
	cmd.Env, cmd.Stdin = gittest.Env(h.home), strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		b.Fatalf("gitmirror %s: %v\n%s", strings.Join(args, " "), err, said.String())
	}
}

func (h *house) url(path string) string { return fmt.Sprintf("http://%s/%s", h.http, path) }
