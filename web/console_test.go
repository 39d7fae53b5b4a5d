package web_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
	"github.com/gitmirror/gitmirror/rewrite"
	"github.com/gitmirror/gitmirror/store"
	"github.com/gitmirror/gitmirror/web"
)

const adminPassword = "correct horse battery"

// consoleSite is a whole server on loopback: real database, real accounts,
// real disk. Its syncer runs only after run.
type consoleSite struct {
	url      string
	file     string // of the database
	db       *store.DB
	accounts *auth.Accounts
	catalog  *mirror.Catalog
	api      map[string]string // of hosts, as git.Disk has it
	syncer   *mirror.Syncer
	roads    *mirror.Roads
	admin    auth.User
	reader   *brokenReader
	served   mirror.Traffic
	modules  *modproxy.Handler
	alerts   *mirror.Alerts
	vault    mirror.Vault
	server   *web.Server
}

// brokenReader is a disk that fails once it is broken.
type brokenReader struct {
	mirror.Reader
	broken atomic.Bool
}

func (r *brokenReader) Refs(ctx context.Context, id mirror.ID) (mirror.Listing, error) {
	if r.broken.Load() {
		return mirror.Listing{}, errors.New("read packed-refs: bad sector")
	}
	return r.Reader.Refs(ctx, id)
}

func newConsoleSite(t testing.TB, change ...func(*web.Server)) *consoleSite {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	db, err := store.Open(ctx, filepath.Join(dir, "gitmirror.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	api := map[string]string{}
	disk, err := git.Open(ctx, git.Disk{Root: dir, AllowPrivate: true, API: api})
	if err != nil {
		t.Fatal(err)
	}
	vault, err := auth.OpenVault(filepath.Join(dir, "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	// The address must be known before the server is made: pages print it.
	server := httptest.NewUnstartedServer(nil)
	log := slog.New(slog.DiscardHandler)
	trail := &auth.Trail{Store: db, Log: log}
	recorded := auth.RecordMirrors(db, trail)
	s := &consoleSite{
		url: "http://" + server.Listener.Addr().String(), file: filepath.Join(dir, "gitmirror.db"), db: db, vault: vault, api: api, reader: &brokenReader{Reader: disk},
		accounts: &auth.Accounts{Store: auth.RecordAccounts(db), Trail: trail, Log: log, Vault: vault},
	}
	site := mirror.Site{URL: s.url, SSH: "ssh://git@127.0.0.1:2222"}
	s.syncer = &mirror.Syncer{
		Store: db, Disk: disk, Owner: "test", Log: log, Schedule: mirror.Schedule{Min: time.Minute, Max: 8 * time.Hour},
		Credential: func(ctx context.Context, name string) (*mirror.Credential, error) {
			return s.catalog.OpenCredential(ctx, name)
		},
	}
	s.catalog = &mirror.Catalog{Store: recorded, Disk: disk, Syncer: s.syncer, Vault: vault, Site: site}
	s.catalog.Owners = &mirror.Owners{Catalog: s.catalog, Lister: disk, Log: log}
	s.roads = &mirror.Roads{Store: recorded, Prober: disk, Credential: s.catalog.OpenCredential, Check: s.catalog.CheckEndpoint, Log: log}
	done := make(chan struct{})
	rules, err := modproxy.OpenRules(ctx, &modproxy.RuleBook{Stored: db})
	if err != nil {
		t.Fatal(err)
	}
	s.modules = &modproxy.Handler{
		Repos: &modproxy.Repos{Catalog: s.catalog, Reader: disk, Site: site, Temp: t.TempDir()}, Policy: auth.Policy{AnonymousRead: true},
		Rules: rules, Pins: &modproxy.Pins{Store: db},
	}
	s.alerts = &mirror.Alerts{Store: db, Repos: db, Vault: vault, Owner: "test", Site: site, Log: log, Sender: newSender(disk)}
	s.server = &web.Server{
		Catalog: s.catalog, Syncer: s.syncer, Roads: s.roads, Upkeep: &mirror.Upkeep{Store: db, Disk: disk, Syncer: s.syncer, Log: log}, Traffic: &s.served, Packs: func() (int, int) { return 2, 1 }, Store: recorded, Trail: trail, Alerts: s.alerts, Reader: s.reader, Comparer: disk, Accounts: s.accounts,
		Policy: auth.Policy{AnonymousRead: true}, Sessions: db.Sessions(), Modules: noModules{}, ModulesIn: s.modules.Repos.Serves, ModuleCache: s.modules, ModulesOf: requires, WishesOf: wishes, Site: site, SetUp: setUp(site), HostKey: hostKey, Version: "v0.1.0-test",
		Settings: []web.Setting{
			{Key: "data", Value: "/srv/gitmirror", Origin: "flag"},
			{Key: "public_url", Value: s.url, Origin: "environment"},
			{Key: "database.url", Value: "postgres://gitmirror:…@db/gitmirror", Origin: "file"},
			{Key: "sync.interval_max", Value: "8h", Origin: "default"},
		},
		Headroom: &mirror.Headroom{Watermarks: mirror.Watermarks{Repacks: 15, Syncs: 10, ReadOnly: 5}, Look: func() (mirror.Space, error) {
			return mirror.Space{Free: 120 << 30, Total: 250 << 30}, nil
		}},
		Done: done, Log: log,
	}
	for _, f := range change {
		f(s.server)
	}
	handler, err := s.server.Handler()
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	t.Cleanup(func() {
		close(done)
		server.CloseClientConnections()
		server.Close()
	})
	if s.admin, err = s.accounts.AddUser(ctx, "admin", auth.Admin, adminPassword); err != nil {
		t.Fatal(err)
	}
	return s
}

// run starts the syncer and returns what stops it; the test's end stops it too.
func (s *consoleSite) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.syncer.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Syncer.Run() = %v, want nil", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// noModules is for servers whose test asks nothing about modules.
type noModules struct{}

func (noModules) Resolve(context.Context, []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	return nil, nil
}

func (noModules) ResolveGraph(context.Context, []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	return nil, nil
}

// visitor is a browser without JavaScript: cookies, forms, redirects.
type visitor struct {
	t      testing.TB
	site   *consoleSite
	client *http.Client
	reads  string // Accept-Language
}

func (s *consoleSite) visitor(t testing.TB) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, site: s, client: &http.Client{Jar: jar, Timeout: 2 * time.Minute}}
}

func (s *consoleSite) signedIn(t testing.TB, name, password string) *visitor {
	t.Helper()
	v := s.visitor(t)
	if got := v.post("/login", "name", name, "password", password); got.path == "/login" {
		t.Fatalf("sign in as %s: still on the sign-in page: %s", name, got.body)
	}
	return v
}

// answer is the page a visitor ends on.
type answer struct {
	status int
	path   string // with the query, after redirects
	header http.Header
	body   string
}

func (v *visitor) get(path string) answer {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.site.url+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.do(req)
}

// post sends a form, given as name, value, name, value, ….
func (v *visitor) post(path string, fields ...string) answer {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.site.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", v.site.url)
	return v.do(req)
}

func (v *visitor) do(req *http.Request) answer {
	v.t.Helper()
	req.Header.Set("Accept", "text/html")
	if v.reads != "" {
		req.Header.Set("Accept-Language", v.reads)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body strings.Builder
	if _, err := io.Copy(&body, resp.Body); err != nil {
		v.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Request.URL.RequestURI(), resp.Header, body.String()}
}

// wants fails unless the page has the status and holds every text.
func (a answer) wants(t testing.TB, status int, texts ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: status = %d, want %d", a.path, a.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%s does not hold %q", a.path, text)
		}
	}
}

// requires reads a go.mod, as the program does.
func requires(text string) (paths []string, known bool, err error) {
	f, err := modfile.ParseLax("go.mod", []byte(text), nil)
	if err != nil || f.Module == nil {
		return nil, false, nil
	}
	for _, r := range f.Require {
		paths = append(paths, r.Mod.Path)
	}
	return paths, true, nil
}

// wishes reads a go.sum.
func wishes(text string) (all []mirror.ModuleWish, err error) {
	whole := map[string]bool{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "no module version"}
		}
		version, mod := strings.CutSuffix(fields[1], "/go.mod")
		if name := fields[0] + "@" + version; !whole[name] {
			whole[name] = true
			all = append(all, mirror.ModuleWish{Path: fields[0], Version: version, GoMod: mod})
		}
	}
	return all, nil
}

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPzyXGVSTQj9RXMmHcPHPfnuJqUzBRRVHlsO5KcHhXD"

// setUp makes settings, as the program does.
func setUp(site mirror.Site) func(mode, format string) (string, error) {
	return func(mode, format string) (string, error) {
		e := rewrite.Environment{Site: site, Mode: rewrite.Mode(mode), Coverage: rewrite.Coverage{Modules: 1, Mirrored: 1}}
		if slices.Contains(rewrite.Templates(), format) {
			return rewrite.Template(format, e)
		}
		settings, _ := e.Settings()
		return rewrite.Format(settings, format, nil)
	}
}
