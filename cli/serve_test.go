package cli_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/cli"
)

// served is a server of a test.
type served struct {
	url, data string
	client    *http.Client
	said      *words
	stop      func() int // ends it and returns its exit code
}

// words is what a server said on stderr.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// serve runs a server until the test ends, and returns when it is ready.
func serve(t *testing.T, client *http.Client, scheme string, flags ...string) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	s := &served{url: scheme + "://" + addr, data: filepath.Join(t.TempDir(), "data"), client: client, said: &words{}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, cli.Process{
			Args: append([]string{"gitmirror", "serve", "--data", s.data, "--http-addr", addr, "--ssh-addr", "127.0.0.1:0"}, flags...),
			In:   strings.NewReader(""), Out: s.said, Err: s.said, Environ: []string{"PATH=" + os.Getenv("PATH")},
		})
	}()
	code := -1
	s.stop = sync.OnceValue(func() int { cancel(); code = <-ended; return code })
	t.Cleanup(func() { s.stop() })
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server said:\n%s", s.said)
		}
	})
	until(t, "the server to be ready", func() bool {
		resp, err := client.Get(s.url + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return s
}

// until polls, with a deadline.
func until(t *testing.T, what string, true func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !true() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 2 minutes for %s", what)
		}
	}
}

func (s *served) status(t *testing.T, path string, header ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestFirstStart(t *testing.T) {
	s := serve(t, http.DefaultClient, "http")
	file := filepath.Join(s.data, "initial-admin-password")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("Stat(initial-admin-password) = %v, %v, want mode 0600", info, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.TrimSpace(string(text))
	if n := strings.Count(s.said.String(), first); n != 1 {
		t.Errorf("the server said the first password %d times, want once:\n%s", n, s.said)
	}
	if info, err := os.Stat(s.data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("Stat(data) = %v, %v, want mode 0700", info, err)
	}
	// The file goes when the password is changed.
	environ := []string{"HOME=" + t.TempDir()}
	if got := runIn(t, environ, first+"\n", "login", s.url, "-u", "admin", "--password-stdin"); got.code != 0 {
		t.Fatalf("login = %+v, want exit 0", got)
	}
	if got := runIn(t, environ, first+"\nanother long passphrase\n", "user", "passwd", "--password-stdin"); got.code != 0 {
		t.Fatalf("user passwd = %+v, want exit 0", got)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat(initial-admin-password) = %v after the change, want it gone", err)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("serve = exit %d when stopped, want 0\n%s", code, s.said)
	}
}

func TestPathsOfTheSite(t *testing.T) {
	s := serve(t, http.DefaultClient, "http")
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/metrics": 200, "/api/v1/site": 200, "/login": 200, "/api/v1/mirrors": 401,
		"/favicon.ico": 404, "/.well-known/x": 404, // not repositories
		"/github.com/no/body/info/refs?service=git-upload-pack": 401, // git's: asks for credentials
	} {
		if got := s.status(t, path); got != want && !(path == "/favicon.ico" && got == 200) {
			t.Errorf("GET %s = %d, want %d", path, got, want)
		}
	}
	// Behind a proxy on this machine everybody seems to be local.
	if got := s.status(t, "/metrics", "X-Forwarded-For", "203.0.113.9"); got != http.StatusUnauthorized {
		t.Errorf("GET /metrics for a stranger behind a proxy = %d, want 401", got)
	}
	first, err := os.ReadFile(filepath.Join(s.data, "initial-admin-password"))
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"HOME=" + t.TempDir()}
	runIn(t, environ, string(first), "login", s.url, "-u", "admin", "--password-stdin")
	for scope, want := range map[string]int{"admin": 200, "read": 403} {
		token := strings.TrimSpace(run(t, environ, "token", "create", scope, "--scope", scope).out)
		if got := s.status(t, "/metrics", "X-Forwarded-For", "203.0.113.9", "Authorization", "Bearer "+token); got != want {
			t.Errorf("GET /metrics with a token of scope %s = %d, want %d", scope, got, want)
		}
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := run(t, []string{"PATH=" + os.Getenv("PATH")}, "serve", "--data", t.TempDir(), "--http-addr", l.Addr().String())
	if got.code != 1 || !strings.Contains(got.stderr, "in use by another program") || !strings.Contains(got.stderr, "--http-addr 127.0.0.1:0") {
		t.Errorf("serve on a taken port = %+v, want exit 1 and what to do", got)
	}
}

// certificate writes a new self-signed pair for 127.0.0.1 and returns its serial number.
func certificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate(t, certFile, keyFile, 1)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} // the serial number is what is looked at
	s := serve(t, client, "https", "--tls-mode", "files", "--tls-cert", certFile, "--tls-key", keyFile)
	serial := func() int64 {
		resp, err := client.Get(s.url + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("serial number = %d, want 1", got)
	}
	certificate(t, certFile, keyFile, 2)
	until(t, "the new certificate", func() bool { return serial() == 2 })
	if err := os.WriteFile(keyFile, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the broken pair to be noticed", func() bool {
		if got := serial(); got != 2 {
			t.Fatalf("serial number with a broken key file = %d, want the last good one, 2", got)
		}
		return strings.Contains(s.said.String(), "keep the old certificate")
	})
	bad := run(t, []string{"PATH=" + os.Getenv("PATH")}, "serve", "--data", t.TempDir(), "--http-addr", "127.0.0.1:0", "--ssh-addr", "off",
		"--tls-mode", "files", "--tls-cert", certFile, "--tls-key", keyFile)
	if bad.code != 2 || !strings.Contains(bad.stderr, "cannot be used") {
		t.Errorf("serve with a broken key file = %+v, want exit 2", bad)
	}
}
