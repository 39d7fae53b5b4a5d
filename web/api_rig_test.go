package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/notify"
	"github.com/gitmirror/gitmirror/store"
	"github.com/gitmirror/gitmirror/web"
)

// rig is a whole server on a real database, disk and syncer, behind real HTTP.
type rig struct {
	t        *testing.T
	db       *store.DB
	accounts *auth.Accounts
	catalog  *mirror.Catalog
	syncer   *mirror.Syncer
	roads    *mirror.Roads
	server   *web.Server
	http     *httptest.Server
	log      *logBuffer
	done     chan struct{} // web.Server.Done
	// contract is what every answer of the API is held against.
	contract func() *contract
	api      map[string]string // of the disk
	database string            // file
}

// Passwords of the rig's people, whose names say what they are.
const (
	apiAdminPassword = "correct horse battery admin"
	apiDevPassword   = "correct horse battery dev"
)

// logBuffer collects the log, for tests that look for secrets in it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newSender may send to loopback, where receivers of tests are.
func newSender(disk *git.Disk) *notify.Sender {
	client, dial := disk.Outgoing(true)
	return &notify.Sender{Client: client, Dial: dial, Agent: "gitmirror/test"}
}

// newRig starts a server; change may alter it before.
func newRig(t *testing.T, change ...func(*web.Server)) *rig {
	t.Helper()
	dir := t.TempDir()
	ctx := t.Context()
	r := &rig{t: t, log: &logBuffer{}, done: make(chan struct{}), api: map[string]string{}, database: filepath.Join(dir, "gitmirror.db")}
	log := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.db, err = store.Open(ctx, r.database, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	disk, err := git.Open(ctx, git.Disk{Root: dir, AllowPrivate: true, API: r.api})
	if err != nil {
		t.Fatal(err)
	}
	vault, err := auth.OpenVault(filepath.Join(dir, "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	trail := &auth.Trail{Store: r.db, Log: log}
	recorded := auth.RecordMirrors(r.db, trail)
	r.accounts = &auth.Accounts{Store: auth.RecordAccounts(r.db), Vault: vault, Trail: trail, Log: log}
	r.syncer = &mirror.Syncer{Store: r.db, Disk: disk, Owner: "test", Schedule: mirror.Schedule{Min: time.Hour, Max: time.Hour}, Log: log}
	r.catalog = &mirror.Catalog{Store: recorded, Disk: disk, Syncer: r.syncer, Vault: vault, Site: mirror.Site{URL: "http://mirror.example:8080"}}
	r.syncer.Credential = r.catalog.OpenCredential
	r.roads = &mirror.Roads{Store: recorded, Prober: disk, Credential: r.catalog.OpenCredential, Check: r.catalog.CheckEndpoint, Log: log}
	r.server = &web.Server{
		Catalog: r.catalog, Syncer: r.syncer, Roads: r.roads, Store: recorded, Trail: trail, Reader: disk, Comparer: disk,
		Answers: &web.Answers{Store: r.db, Vault: vault},
		Alerts:  &mirror.Alerts{Store: r.db, Repos: r.db, Vault: vault, Owner: "test", Site: mirror.Site{URL: "http://mirror.example:8080"}, Log: log, Sender: newSender(disk)}, Accounts: r.accounts,
		Upkeep: &mirror.Upkeep{Store: r.db, Disk: disk, Syncer: r.syncer, Log: log},
		Policy: auth.Policy{AnonymousRead: true}, Sessions: r.db.Sessions(), Version: "v0.0.0-test",
		Site: mirror.Site{URL: "http://mirror.example:8080", SSH: "ssh://git@mirror.example:2222"},
		Done: r.done, Log: log,
	}
	for _, f := range change {
		f(r.server)
	}
	handler, err := r.server.Handler()
	if err != nil {
		t.Fatal(err)
	}
	r.http = httptest.NewServer(handler)
	t.Cleanup(r.http.Close)
	r.contract = sync.OnceValue(func() *contract {
		resp, err := http.Get(r.http.URL + "/api/openapi.json")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return newContract(t, text)
	})
	r.addUser("admin", auth.Admin, apiAdminPassword)
	r.addUser("dev", auth.Developer, apiDevPassword)
	r.addUser("robot", auth.Robot, "")
	return r
}

// runSyncer has syncs done until the test ends.
func (r *rig) runSyncer() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.syncer.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && ctx.Err() == nil {
			r.t.Errorf("Syncer.Run: %v", err)
		}
	})
}

func (r *rig) addUser(name string, role auth.Role, password string) auth.User {
	r.t.Helper()
	u, err := r.accounts.AddUser(r.t.Context(), name, role, password)
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

func (r *rig) user(name string) auth.User {
	r.t.Helper()
	u, err := r.accounts.UserByName(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

// token returns the secret of a new token.
func (r *rig) token(user string, scope auth.Scope) string {
	r.t.Helper()
	_, secret, err := r.accounts.CreateToken(r.t.Context(), r.user(user).ID, "test", scope, time.Hour)
	if err != nil {
		r.t.Fatal(err)
	}
	return secret
}

func (r *rig) admin() option { return bearer(r.token("admin", auth.ScopeAdmin)) }
func (r *rig) dev() option   { return bearer(r.token("dev", auth.ScopeAdmin)) }

// option changes a request before it is sent.
type option func(*http.Request)

func bearer(token string) option { return header("Authorization", "Bearer "+token) }

func basic(user, password string) option {
	return func(req *http.Request) { req.SetBasicAuth(user, password) }
}

func header(name, value string) option {
	return func(req *http.Request) { req.Header.Set(name, value) }
}

// reply is an answer, read to its end.
type reply struct {
	Status int
	Header http.Header
	Body   string
}

// problem reads the body as a problem.
func (r reply) problem(t *testing.T) web.Problem {
	t.Helper()
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("Content-Type = %q, want application/problem+json; body %s", got, r.Body)
	}
	return decode[web.Problem](t, r)
}

func decode[T any](t *testing.T, r reply) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(r.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("body %.500s: %v", r.Body, err)
	}
	return v
}

// call sends a request; body is JSON text, or a value to encode, or nil.
func (r *rig) call(method, path string, body any, opts ...option) reply {
	r.t.Helper()
	return r.callWith(r.client(), method, path, body, opts...)
}

func (r *rig) client() *http.Client {
	return &http.Client{
		Timeout:       2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (r *rig) callWith(client *http.Client, method, path string, body any, opts ...option) reply {
	r.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.http.URL+path, in)
	if err != nil {
		r.t.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, o := range opts {
		o(req)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	got := reply{resp.StatusCode, resp.Header, string(data)}
	if strings.HasPrefix(path, "/api/v1/") {
		if err := r.contract().check(method, path, got); err != nil {
			r.t.Errorf("%s %s = %d: %v", method, path, got.Status, err)
		}
	}
	return got
}

// want calls and fails the test when the status is another one.
func (r *rig) want(status int, method, path string, body any, opts ...option) reply {
	r.t.Helper()
	got := r.call(method, path, body, opts...)
	if got.Status != status {
		r.t.Fatalf("%s %s = %d, want %d; body %.800s", method, path, got.Status, status, got.Body)
	}
	return got
}

// browser is a client that has signed in on the console.
func (r *rig) browser(name, password string) *http.Client {
	r.t.Helper()
	client := r.client()
	client.Jar, _ = cookiejar.New(nil) // never fails
	got := r.signIn(client, name, password)
	if got.Status != http.StatusSeeOther {
		r.t.Fatalf("sign-in of %s = %d, want 303; body %.300s", name, got.Status, got.Body)
	}
	return client
}

func (r *rig) signIn(client *http.Client, name, password string) reply {
	r.t.Helper()
	form := url.Values{"name": {name}, "password": {password}}
	return r.callWith(client, "POST", "/login", form.Encode(), header("Content-Type", "application/x-www-form-urlencoded"))
}

// eventually polls until ok or the deadline.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 2 minutes", what)
		case <-tick.C:
		}
	}
}
