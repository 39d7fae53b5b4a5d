package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// corpServer is a server at https://git.corp.test, SSH on port 2222, of which
// the mirrors are changed from one case to the next.
type corpServer struct {
	dir    string // with its certificate, and the home of its admin
	env    []string
	token  string
	client *http.Client
	log    *lockedBuffer
}

// startCorp starts one; it stops with the test. Only in a namespace.
func startCorp(t *testing.T) *corpServer {
	t.Helper()
	s := &corpServer{dir: t.TempDir(), log: &lockedBuffer{}}
	cert, key := filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem")
	if err := writeCertificate(corp, cert, key); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	s.env = gittest.Env(s.dir, "SSL_CERT_FILE="+cert, "NO_COLOR=1", "GITMIRROR_ADMIN_PASSWORD=correct-horse-battery-staple", "GITMIRROR_SERVER=https://"+corp)
	cmd := exec.Command("gitmirror", "serve", "--data", filepath.Join(s.dir, "data"), "--http-addr", "127.0.0.1:443", "--ssh-addr", "127.0.0.1:2222", "--modules-proxies", "off",
		"--tls-mode", "files", "--tls-cert", cert, "--tls-key", key, "--public-url", "https://"+corp, "--security-allow-private-upstreams", "true", "--log-format", "text")
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.env, s.dir, s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that runs out of time cleans nothing up
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v\n%s", err, s.log)
		}
		s.client.CloseIdleConnections()
	})
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(20 * time.Millisecond) {
		if resp, err := s.client.Get("https://" + corp + "/readyz"); err == nil {
			if resp.Body.Close(); resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server is not ready after 2 minutes\n%s", s.log)
		}
	}
	var made struct{ Secret string }
	s.call(t, http.MethodPost, "/tokens", map[string]any{"name": "cases", "scope": "admin"}, &made)
	s.token = made.Secret
	s.env = append(s.env, "GITMIRROR_TOKEN="+s.token)
	return s
}

// call uses the API.
func (s *corpServer) call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+corp+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.token == "" {
		req.SetBasicAuth("admin", "correct-horse-battery-staple")
	} else {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s = %s, %v\n%s", method, path, resp.Status, err, text)
	}
	if out != nil && len(text) > 0 {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("%s %s: %v\n%s", method, path, err, text)
		}
	}
}

// mirrorsOf has the server mirror exactly what a case maps, until its test ends.
func (s *corpServer) mirrorsOf(t *testing.T, c gittest.RewriteCase, upstreams map[string]string) {
	t.Helper()
	var add []map[string]any
	for path, url := range upstreams {
		add = append(add, map[string]any{"path_or_url": path, "upstream": url})
	}
	if len(add) == 0 {
		return
	}
	var added struct {
		Items []struct {
			Mirror *struct{ ID, Path string }
			Error  any
		}
	}
	s.call(t, http.MethodPost, "/mirrors", map[string]any{"mirrors": add}, &added)
	for _, item := range added.Items {
		if item.Mirror == nil {
			t.Fatalf("add mirrors %v: %v", add, item.Error)
		}
		id := item.Mirror.ID
		t.Cleanup(func() {
			clean := &corpServer{client: s.client, token: s.token}
			clean.remove(t, id)
		})
		s.await(t, id)
	}
	// Prefixes the server does not know by itself.
	for prefix, repo := range c.Mapping {
		if upstreams[repo] == "" || prefix == repo {
			continue
		}
		var located struct{ Items []struct{ Path string } }
		s.call(t, http.MethodPost, "/modules/locate", map[string]any{"modules": []string{prefix}}, &located)
		if located.Items[0].Path != repo {
			s.call(t, http.MethodPost, "/aliases", map[string]any{"prefix": prefix, "repo": repo}, nil)
		}
	}
}

// await waits until a mirror has been cloned.
func (s *corpServer) await(t *testing.T, id string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(10 * time.Millisecond) {
		var m struct {
			State string
			Error any
		}
		s.call(t, http.MethodGet, "/mirrors/"+id, nil, &m)
		if m.State == "ready" {
			return
		}
		if m.Error != nil || time.Now().After(deadline) {
			t.Fatalf("mirror %s is %s: %v\n%s", id, m.State, m.Error, s.log)
		}
	}
}

func (s *corpServer) remove(t *testing.T, id string) {
	req, err := http.NewRequest(http.MethodDelete, "https://"+corp+"/api/v1/mirrors/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.client.Do(req)
	if err != nil {
		t.Errorf("remove mirror: %v", err)
		return
	}
	if resp.Body.Close(); resp.StatusCode/100 != 2 {
		t.Errorf("remove mirror = %s", resp.Status)
	}
}

// sshFor gives a home directory a key that the server knows.
func (s *corpServer) sshFor(t *testing.T, home string) {
	t.Helper()
	key := filepath.Join(home, ".ssh", "id_ed25519")
	s.must(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	s.must(t, "gitmirror", "key", "add", fmt.Sprintf("case %d", time.Now().UnixNano()), key+".pub")
}

func (s *corpServer) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = s.env, s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
