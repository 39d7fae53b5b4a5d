package modproxy_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// sumUpstream is a checksum database as the public one is made, behind a module
// proxy: golang.org/x/mod's own server, with a key of the test's.
type sumUpstream struct {
	db     mirror.SumDB
	url    string
	served atomic.Int64
	mu     sync.Mutex
	spoil  func(path string, data []byte) []byte
	down   bool
	hidden string // what its name has, the database does not know
	log    *sumdb.Server
}

const sumName = "sum.corp.test"

func sumLines(path, version string) ([]byte, error) {
	if strings.Contains(path, "unknown") {
		return nil, os.ErrNotExist
	}
	return fmt.Appendf(nil, "%s %s h1:%s=\n%s %s/go.mod h1:%s=\n", path, version, strings.Repeat("A", 43), path, version, strings.Repeat("B", 43)), nil
}

func newSumUpstream(t *testing.T) *sumUpstream {
	t.Helper()
	signer, verifier, err := note.GenerateKey(rand.Reader, sumName)
	if err != nil {
		t.Fatal(err)
	}
	db, err := mirror.ParseSumDB(verifier)
	if err != nil {
		t.Fatal(err)
	}
	u := &sumUpstream{db: db, log: sumdb.NewServer(sumdb.NewTestServer(signer, sumLines))}
	srv := httptest.NewServer(u)
	t.Cleanup(srv.Close)
	u.url = srv.URL
	return u
}

func (u *sumUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.served.Add(1)
	u.mu.Lock()
	spoil, down, hidden := u.spoil, u.down, u.hidden
	u.mu.Unlock()
	name, ok := strings.CutPrefix(r.URL.Path, "/sumdb/"+sumName)
	switch {
	case down:
		http.Error(w, "tired", http.StatusServiceUnavailable)
		return
	case !ok:
		http.NotFound(w, r)
		return
	case name == "/supported":
		return
	case hidden != "" && strings.HasPrefix(name, "/lookup/") && strings.Contains(name, hidden):
		http.NotFound(w, r)
		return
	}
	rec := httptest.NewRecorder()
	inner := r.Clone(r.Context())
	inner.URL.Path = name
	u.log.ServeHTTP(rec, inner)
	data := rec.Body.Bytes()
	if spoil != nil && rec.Code == 200 {
		data = spoil(name, data)
	}
	w.WriteHeader(rec.Code)
	w.Write(data)
}

func (u *sumUpstream) set(down bool, spoil func(string, []byte) []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down, u.spoil = down, spoil
}

// hide has it not know modules whose names have a text.
func (u *sumUpstream) hide(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hidden = text
}

// passOn is a handler that passes the database on and knows nothing yet.
func (u *sumUpstream) passOn(t *testing.T, w *world) *modproxy.SumDB {
	t.Helper()
	s := &modproxy.SumDB{DB: u.db, Proxies: u.url, Client: w.disk.HTTPClient(), Dir: t.TempDir()}
	w.handler.SumDB = s
	return s
}

// sumClient is what the go command does with such a database.
type sumClient struct {
	*mirror.SumFiles
	w     *world
	key   string
	fetch func(path string) ([]byte, error)
	fork  string
	*sumdb.Client
}

func (w *world) sumClient(t *testing.T, db mirror.SumDB) *sumClient {
	c := &sumClient{SumFiles: &mirror.SumFiles{Dir: t.TempDir()}, w: w, key: db.Key}
	c.fetch = func(path string) ([]byte, error) {
		got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+path)
		if got.Code != 200 {
			return nil, fmt.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
		return got.Body.Bytes(), nil
	}
	c.Client = sumdb.NewClient(c)
	return c
}

func (c *sumClient) ReadConfig(name string) ([]byte, error) {
	if name == "key" {
		return []byte(c.key), nil
	}
	return c.SumFiles.ReadConfig(name)
}
func (c *sumClient) ReadRemote(path string) ([]byte, error) { return c.fetch(path) }
func (c *sumClient) Log(string)                             {}
func (c *sumClient) SecurityError(text string)              { c.fork = text }

func (c *sumClient) lookup(path, version string) (string, error) {
	lines, err := c.Lookup(path, version)
	return strings.Join(lines, "\n"), err
}

func TestSumDBPassedOn(t *testing.T) {
	w := newWorld(t)
	up := newSumUpstream(t)
	up.passOn(t, w)
	if got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/supported"); got.Code != 200 {
		t.Fatalf("GET supported = %d %s, want 200", got.Code, got.Body)
	}
	c := w.sumClient(t, up.db)
	want, _ := sumLines("example.org/m1", "v1.0.0")
	for i := range 300 { // past a full tile
		path := fmt.Sprintf("example.org/m%d", i)
		lines, err := c.lookup(path, "v1.0.0")
		if wanted := strings.Replace(strings.SplitN(string(want), "\n", 2)[0], "m1", fmt.Sprintf("m%d", i), 1); err != nil || lines != wanted {
			t.Fatalf("Lookup(%s) = %q, %v, want %q", path, lines, err, wanted)
		}
	}
	// Another client, with no memory, asks about the same: nothing is asked twice.
	before := up.served.Load()
	other := w.sumClient(t, up.db)
	for i := range 300 {
		if _, err := other.lookup(fmt.Sprintf("example.org/m%d", i), "v1.0.0"); err != nil {
			t.Fatalf("Lookup() of another client: %v", err)
		}
	}
	if asked := up.served.Load() - before; asked > 2 {
		t.Errorf("300 look-ups of what is kept asked the database %d times, want none", asked)
	}
	got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/lookup/example.org/m7@v1.0.0")
	if cc := got.Header().Get("Cache-Control"); got.Code != 200 || !strings.Contains(cc, "immutable") {
		t.Errorf("GET lookup = %d, Cache-Control %q, want 200 and immutable", got.Code, cc)
	}
	if cc := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/latest").Header().Get("Cache-Control"); strings.Contains(cc, "immutable") {
		t.Errorf("Cache-Control of latest = %q, want a short one", cc)
	}
}

func TestSumDBAwayIsServedFromWhatIsKept(t *testing.T) {
	w := newWorld(t)
	up := newSumUpstream(t)
	s := up.passOn(t, w)
	if _, err := w.sumClient(t, up.db).lookup("example.org/kept", "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	up.set(true, nil)
	again := &modproxy.SumDB{DB: up.db, Proxies: up.url, Client: w.disk.HTTPClient(), Dir: s.Dir} // after a restart
	w.handler.SumDB = again
	if got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/supported"); got.Code != 200 {
		t.Errorf("GET supported while the database is away = %d %s, want 200", got.Code, got.Body)
	}
	if _, err := w.sumClient(t, up.db).lookup("example.org/kept", "v1.0.0"); err != nil {
		t.Errorf("Lookup() of what is kept, database away: %v", err)
	}
	if got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/lookup/example.org/new@v1.0.0"); got.Code != 502 || !strings.Contains(got.Body.String(), "503") {
		t.Errorf("GET lookup of what is not kept = %d %s, want 502 and the reason", got.Code, got.Body)
	}
	// One that never worked says so, and the go command goes on to the database.
	w.handler.SumDB = &modproxy.SumDB{DB: up.db, Proxies: up.url, Client: w.disk.HTTPClient(), Dir: t.TempDir()}
	if got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/supported"); got.Code != 404 {
		t.Errorf("GET supported of a database never reached = %d, want 404", got.Code)
	}
	w.handler.SumDB = &modproxy.SumDB{DB: up.db, Proxies: "off", Client: w.disk.HTTPClient(), Dir: t.TempDir()}
	if got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/supported"); got.Code != 404 {
		t.Errorf("GET supported with proxies off = %d, want 404", got.Code)
	}
}

func TestSumDBProxiesInOrder(t *testing.T) {
	w := newWorld(t)
	up := newSumUpstream(t)
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	defer broken.Close()
	for _, tt := range []struct {
		proxies string
		status  int
	}{
		{none.URL + "," + up.url, 200},
		{broken.URL + "|" + up.url, 200},
		{broken.URL + "," + up.url, 404},
		{"file:///nowhere," + up.url + "/", 200},
		{"off," + up.url, 404},
	} {
		w.handler.SumDB = &modproxy.SumDB{DB: up.db, Proxies: tt.proxies, Client: w.disk.HTTPClient(), Dir: t.TempDir()}
		if got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/supported"); got.Code != tt.status {
			t.Errorf("GET supported with %s = %d %s, want %d", tt.proxies, got.Code, got.Body, tt.status)
		}
	}
}

// HOSTILE D20.
func TestSumDBLies(t *testing.T) {
	for name, spoil := range map[string]func(string, []byte) []byte{
		"record": func(path string, data []byte) []byte {
			if strings.HasPrefix(path, "/lookup/") {
				return []byte(strings.Replace(string(data), "AAAA", "CCCC", 1))
			}
			return data
		},
		"tile": func(path string, data []byte) []byte {
			if strings.HasPrefix(path, "/tile/") {
				data[0] ^= 1
			}
			return data
		},
		"short tile": func(path string, data []byte) []byte {
			if strings.HasPrefix(path, "/tile/") {
				return data[:len(data)/2]
			}
			return data
		},
		"signature": func(path string, data []byte) []byte {
			if i := strings.LastIndex(string(data), "— "); i > 0 {
				return append(data[:i], []byte("— "+sumName+" AAAAAAAA\n")...)
			}
			return data
		},
		"page of a portal": func(string, []byte) []byte { return []byte("<html>sign in</html>") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			up := newSumUpstream(t)
			up.passOn(t, w)
			for i := range 3 {
				if _, err := w.sumClient(t, up.db).lookup(fmt.Sprintf("example.org/m%d", i), "v1.0.0"); err != nil {
					t.Fatal(err)
				}
			}
			up.set(false, spoil)
			var events []mirror.ModuleEvent
			w.handler.OnEvent = func(e mirror.ModuleEvent) { events = append(events, e) }
			got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/lookup/example.org/lied@v1.0.0")
			if got.Code != 502 || !strings.Contains(got.Body.String(), "E2106") {
				t.Errorf("GET lookup = %d %s, want 502 and E2106", got.Code, got.Body)
			}
			if len(events) != 1 || events[0].Kind != mirror.ModuleForged || events[0].From != sumName || events[0].Module != "example.org/lied" {
				t.Errorf("events = %+v, want the database's lie", events)
			}
			up.set(false, nil)
			if _, err := w.sumClient(t, up.db).lookup("example.org/lied", "v1.0.0"); err != nil {
				t.Errorf("Lookup() after the lie: %v, want what is true", err)
			}
		})
	}
}

// HOSTILE D20. Two logs with one key: the second is refused, by us and by the client.
func TestSumDBForks(t *testing.T) {
	w := newWorld(t)
	signer, verifier, err := note.GenerateKey(rand.Reader, sumName)
	if err != nil {
		t.Fatal(err)
	}
	up := newSumUpstream(t)
	if up.db, err = mirror.ParseSumDB(verifier); err != nil {
		t.Fatal(err)
	}
	up.log = sumdb.NewServer(sumdb.NewTestServer(signer, sumLines))
	s := up.passOn(t, w)
	for i := range 5 {
		if _, err := w.sumClient(t, up.db).lookup(fmt.Sprintf("example.org/m%d", i), "v1.0.0"); err != nil {
			t.Fatal(err)
		}
	}
	up.log = sumdb.NewServer(sumdb.NewTestServer(signer, sumLines)) // from nothing again
	got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/lookup/example.org/else@v1.0.0")
	if got.Code != 502 || !strings.Contains(got.Body.String(), "contradicts") {
		t.Errorf("GET lookup in another log = %d %s, want 502 that says so", got.Code, got.Body)
	}
	w.handler.SumDB = &modproxy.SumDB{DB: up.db, Proxies: up.url, Client: w.disk.HTTPClient(), Dir: s.Dir}
	if got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/supported"); got.Code != 502 || !strings.Contains(got.Body.String(), "contradicts") {
		t.Errorf("GET supported in another log = %d %s, want 502 that says so", got.Code, got.Body)
	}
}

// HOSTILE D19.
func TestSumDBRefusals(t *testing.T) {
	w := newWorld(t)
	w.row(t, "github.com/secret/lib", true)
	up := newSumUpstream(t)
	up.passOn(t, w)
	w.handler.NoSum = "*.corp.example"
	at := "/proxy/sumdb/" + sumName + "/"
	for _, tt := range []struct {
		path   string
		status int
	}{
		{at + "lookup/git.corp.example/secret/lib@v1.0.0", 404},
		{at + "lookup/github.com/secret/lib@v1.0.0", 404},
		{at + "lookup/" + host + "/github.com/o/r@v1.0.0", 404},
		{at + "lookup/example.org/unknown@v1.0.0", 404},
		{at + "lookup/example.org/m@main", 400},
		{at + "lookup/../../etc/passwd@v1.0.0", 400},
		{at + "lookup/" + strings.Repeat("x", 3000) + "@v1.0.0", 400},
		{at + "tile/8/0/000", 404},
		{at + "tile/8/0/x999/x999/x999/x999/x999/x999/999", 404},
		{at + "tile/8/data/000", 404},
		{at + "tile/7/0/000", 404},
		{at + "tile/8/99/000.p/1", 404},
		{at + "tile/nonsense", 404},
		{at + "../..", 404},
		{at + "anything", 404},
		{"/proxy/sumdb/evil.test/supported", 404},
		{"/proxy/sumdb/" + sumName, 404},
		{"/proxy/sumdb/", 404},
	} {
		got := ask(w.handler, "GET", tt.path)
		if got.Code != tt.status {
			t.Errorf("GET %s = %d %s, want %d", tt.path, got.Code, got.Body, tt.status)
		}
		if strings.Contains(tt.path, "secret") && up.served.Load() > 0 {
			t.Errorf("the name of a private module went to the database")
		}
	}
	left, err := filepath.Glob(w.handler.SumDB.Dir + "/*/records/*/*")
	if err != nil || len(left) > 0 {
		t.Errorf("records kept of what does not exist: %v, %v", left, err)
	}
}

func TestSumDBManyAtOnce(t *testing.T) {
	w := newWorld(t)
	up := newSumUpstream(t)
	up.passOn(t, w)
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			c := w.sumClient(t, up.db)
			for j := range 8 {
				if _, err := c.lookup(fmt.Sprintf("example.org/m%d", (i+j)%40), "v1.0.0"); err != nil {
					t.Errorf("Lookup() of client %d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
}
