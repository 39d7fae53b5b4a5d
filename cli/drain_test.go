package cli_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// A server that is told to stop lets a clone that runs come to its end, and
// takes nobody new.
func TestStopFinishesClones(t *testing.T) {
	const path = "github.com/acme/large"
	up := gittest.NewUpstream(t)
	files := map[string]string{"go.mod": "module " + path + "\n"}
	for i := range 8 { // more than sockets and pipes hold
		files[string(rune('a'+i))+".bin"] = gittest.Noise(2_000_000, uint64(i))
	}
	up.Commit(t, path, files, "v1.0.0")
	s := serve(t, http.DefaultClient, "http", "--security-allow-private-upstreams", "true")
	password, err := os.ReadFile(filepath.Join(s.data, "initial-admin-password"))
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	for _, step := range []struct {
		in   string
		args []string
	}{
		{string(password), []string{"login", s.url, "-u", "admin", "--password-stdin"}},
		{"", []string{"mirror", "add", path, "--upstream", up.URL(path), "--wait"}},
	} {
		if got := runIn(t, environ, step.in, step.args...); got.code != 0 {
			t.Fatalf("%v = %+v, want exit 0", step.args, got)
		}
	}
	through, client := relay(t, strings.TrimPrefix(s.url, "http://"))
	dir := filepath.Join(t.TempDir(), "clone")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "clone", "-q", "http://"+through+"/"+path, dir)
	home := t.TempDir()
	cmd.Dir, cmd.Env = home, gittest.Env(home)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-client.held // it has a megabyte, and wants no more for now
	stopped := make(chan int, 1)
	go func() { stopped <- s.stop() }()
	until(t, "the server to take nobody new", func() bool {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(s.url, "http://"), time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case code := <-stopped:
		t.Errorf("the server ended (exit %d) while a clone ran", code)
	default:
	}
	close(client.goOn)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the clone that ran = %v %s, want it finished", err, said.String())
	}
	gittest.Git(t, dir, "fsck", "--full")
	if code := <-stopped; code != 0 {
		t.Errorf("serve = exit %d, want 0", code)
	}
}

// holding is a relay that stops passing on after a megabyte.
type holding struct{ held, goOn chan struct{} }

// relay passes connections on to a server.
func relay(t *testing.T, to string) (addr string, h holding) {
	t.Helper()
	h = holding{make(chan struct{}), make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		held := false
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { io.Copy(out, in); out.(*net.TCPConn).CloseWrite() }()
			if _, err := io.CopyN(in, out, 1<<20); err == nil && !held {
				held = true
				close(h.held)
				<-h.goOn
			}
			io.Copy(in, out)
			in.Close()
			out.Close()
		}
	}()
	return l.Addr().String(), h
}
