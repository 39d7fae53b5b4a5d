package gittest

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Upstream is a Git host on loopback. Its repositories are named as they are on
// the real one, host first: "github.com/spf13/pflag".
type Upstream struct {
	root   string // directory of the bare repositories
	server *httptest.Server

	mu      sync.Mutex
	modules map[string][]Module  // what each repository was built of
	private map[string][2]string // user and password of repositories that want them
	faults  []*fault
	seen    []Request
	ticks   map[string]int // commits made by Commit, per repository: their dates
}

// Option changes how NewUpstream serves.
type Option func(*options)

type options struct{ tls bool }

// TLS serves https with a certificate for 127.0.0.1 that only CA trusts.
func TLS() Option { return func(o *options) { o.tls = true } }

// NewUpstream starts an upstream without repositories. It stops with the test.
func NewUpstream(tb testing.TB, opts ...Option) *Upstream {
	tb.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	up := &Upstream{
		root: tb.TempDir(), modules: map[string][]Module{}, private: map[string][2]string{}, ticks: map[string]int{},
	}
	core := Git(tb, "", "--exec-path")
	backend := &cgi.Handler{
		Path: filepath.Join(core, "git-http-backend"),
		Dir:  up.root,
		Env: append(Env(up.root),
			"GIT_PROJECT_ROOT="+up.root, "GIT_HTTP_EXPORT_ALL=1",
			"GIT_CONFIG_COUNT=2",
			"GIT_CONFIG_KEY_0=uploadpack.allowFilter", "GIT_CONFIG_VALUE_0=true",
			"GIT_CONFIG_KEY_1=safe.directory", "GIT_CONFIG_VALUE_1=*",
		),
		Stderr: io.Discard,
		Logger: log.New(io.Discard, "", 0),
	}
	up.server = httptest.NewUnstartedServer(up.handler(backend))
	if o.tls {
		up.server.StartTLS()
	} else {
		up.server.Start()
	}
	tb.Cleanup(func() {
		up.mend()
		up.server.CloseClientConnections()
		up.server.Close()
		up.outlive(tb)
	})
	return up
}

// outlive waits for the git processes of answers that were cut off, which the
// server has left to themselves: they may still write into what the test's end
// removes.
func (up *Upstream) outlive(tb testing.TB) {
	mark := []byte("\x00GIT_PROJECT_ROOT=" + up.root + "\x00")
	for deadline := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		running := ""
		names, _ := filepath.Glob("/proc/[0-9]*/environ") // none where there is no /proc
		for _, name := range names {
			if env, err := os.ReadFile(name); err == nil && bytes.Contains(env, mark) {
				running = filepath.Base(filepath.Dir(name))
			}
		}
		if running == "" {
			return
		}
		if time.Now().After(deadline) {
			tb.Errorf("process %s of the upstream still runs a minute after its end", running)
			return
		}
	}
}

// Base is the URL of the host: "http://127.0.0.1:PORT".
func (up *Upstream) Base() string { return up.server.URL }

// Addr is "127.0.0.1:PORT".
func (up *Upstream) Addr() string { return up.server.Listener.Addr().String() }

// URL is where a repository can be cloned from.
func (up *Upstream) URL(repo string) string { return up.server.URL + "/" + repo }

// Dir is the directory of a bare repository, for use with Git. There is none
// before the first commit.
func (up *Upstream) Dir(repo string) string {
	return filepath.Join(up.root, filepath.FromSlash(repo)+".git")
}

// CA is the certificate, PEM, that makes a TLS upstream trusted; nil without TLS.
func (up *Upstream) CA() []byte {
	cert := up.server.Certificate()
	if cert == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// CAPool is CA as a pool; nil without TLS.
func (up *Upstream) CAPool() *x509.CertPool {
	cert := up.server.Certificate()
	if cert == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

// CAFile writes CA to a file of the test, for SSL_CERT_FILE and http.sslCAInfo.
func (up *Upstream) CAFile(tb testing.TB) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "ca.pem")
	if err := os.WriteFile(name, up.CA(), 0o644); err != nil {
		tb.Fatal(err)
	}
	return name
}

// Kill stops the server as a crash would; connections are cut.
func (up *Upstream) Kill() {
	up.mend()
	up.server.Listener.Close()
	up.server.CloseClientConnections()
}

// AddModules makes the repositories of real modules, or adds commits and tags
// to them, in the order of the modules' dates. The fixtures are in the order
// of mods.
func (up *Upstream) AddModules(tb testing.TB, mods ...Module) []Fixture {
	tb.Helper()
	return up.addModules(tb, mods, false)
}

func (up *Upstream) addModules(tb testing.TB, mods []Module, dressed bool) []Fixture {
	tb.Helper()
	byRepo := map[string][]Module{}
	var repos []string
	for _, m := range mods {
		loc, err := locate(m)
		if err != nil {
			tb.Fatal(err)
		}
		if byRepo[loc.repo] == nil {
			repos = append(repos, loc.repo)
		}
		byRepo[loc.repo] = append(byRepo[loc.repo], m)
	}
	byAsked := map[Module]Fixture{}
	for _, repo := range repos {
		for _, m := range up.addTo(tb, repo, byRepo[repo], dressed) {
			byAsked[m.Asked] = m.Fixture
		}
	}
	fixtures := make([]Fixture, len(mods))
	for i, m := range mods {
		fixtures[i] = byAsked[m]
	}
	return fixtures
}

// addTo adds modules to one repository.
func (up *Upstream) addTo(tb testing.TB, repo string, mods []Module, dressed bool) []made {
	tb.Helper()
	up.mu.Lock()
	before := slices.Clone(up.modules[repo])
	up.mu.Unlock()
	var done []made
	var err error
	dir := up.Dir(repo)
	if _, missing := os.Stat(dir); errors.Is(missing, os.ErrNotExist) {
		done, err = cached(dir, mods, dressed)
	} else {
		done, err = build(dir, before, mods, dressed)
	}
	if err != nil {
		tb.Fatal(err)
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	for _, m := range done {
		up.modules[repo] = append(up.modules[repo], m.Asked)
	}
	return done
}

// handler logs, authorises and breaks requests before git answers them.
func (up *Upstream) handler(backend http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repo := repoOf(r.URL.Path)
		user, password, has := r.BasicAuth()
		f := up.note(repo, r, user, has)
		up.mu.Lock()
		want, private := up.private[repo]
		up.mu.Unlock()
		if private && (user != want[0] || password != want[1]) {
			w.Header().Set("WWW-Authenticate", `Basic realm="gittest"`)
			http.Error(w, "authentication required", http.StatusUnauthorized)
			return
		}
		if f != nil && f.answer(w, r) {
			return
		}
		// CGI needs to know the length: git sends large requests in chunks.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		r.Header.Del("Authorization") // http-backend would take REMOTE_USER from it
		if f != nil {
			w = f.writer(w, r)
		}
		backend.ServeHTTP(w, r)
	})
}

// repoOf cuts the service off a request's path: "/github.com/a/b.git/info/refs" → "github.com/a/b".
func repoOf(urlPath string) string {
	p := strings.Trim(urlPath, "/")
	for _, service := range []string{"/info/refs", "/git-upload-pack", "/git-receive-pack", "/HEAD"} {
		p = strings.TrimSuffix(p, service)
	}
	return strings.TrimSuffix(p, ".git")
}
