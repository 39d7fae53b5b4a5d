package modproxy_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// peer is a module proxy of somebody else: a tree of files as in a module cache's
// download directory. What it is told to answer otherwise, it does.
type peer struct {
	dir string
	url string

	mu    sync.Mutex
	odd   func(w http.ResponseWriter, r *http.Request) bool
	asked map[string]int
}

func newPeer(t testing.TB) *peer {
	t.Helper()
	p := &peer{dir: t.TempDir(), asked: map[string]int{}}
	files := http.FileServer(http.Dir(p.dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		odd := p.odd
		p.mu.Unlock()
		if odd == nil || !odd(w, r) {
			files.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

func (p *peer) set(odd func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.odd = odd
}

// times is how often something was asked for.
func (p *peer) times(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

func (p *peer) all() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.asked {
		n += k
	}
	return n
}

// add publishes a version, with files of the module besides its go.mod.
func (p *peer) add(t testing.TB, path, version, time string, files map[string]string) {
	t.Helper()
	escaped, err := module.EscapePath(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(p.dir, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, ok := files["go.mod"]; !ok {
		files["go.mod"] = "module " + path + "\n"
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: path + "@" + version + "/" + name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		version + ".info": fmt.Sprintf(`{"Version":%q,"Time":%q}`, version, time),
		version + ".mod":  files["go.mod"], version + ".zip": b.String(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, err := os.OpenFile(filepath.Join(dir, "list"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	fmt.Fprintln(list, version)
}

// h1 are the sums of a published version.
func (p *peer) h1(path, version string) (mirror.Sums, error) {
	escaped, err := module.EscapePath(path)
	if err != nil {
		return mirror.Sums{}, err
	}
	stem := filepath.Join(p.dir, filepath.FromSlash(escaped), "@v", version)
	zipSum, err := dirhash.HashZip(stem+".zip", dirhash.Hash1)
	if err != nil {
		return mirror.Sums{}, err
	}
	mod, err := os.ReadFile(stem + ".mod")
	if err != nil {
		return mirror.Sums{}, err
	}
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return readCloser{bytes.NewReader(mod)}, nil })
	return mirror.Sums{Zip: zipSum, Mod: modSum}, err
}

// behind has the world ask proxies, in the form of GOPROXY, and keep what they send.
func (w *world) behind(t testing.TB, list string) *modproxy.Store {
	t.Helper()
	proxies, err := modproxy.OpenProxies(&modproxy.Proxies{List: list, Client: w.disk.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	store, err := modproxy.OpenStore(&modproxy.Store{Dir: t.TempDir(), MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	w.handler.Rest()
	w.handler.Proxies, w.handler.Store = proxies, store
	return store
}

// vouch gives the world a checksum database that knows what the peer has when it
// is first asked, and what the mirrors have.
func (w *world) vouch(t *testing.T, p *peer) *sumUpstream {
	t.Helper()
	signer, verifier, err := note.GenerateKey(rand.Reader, sumName)
	if err != nil {
		t.Fatal(err)
	}
	db, err := mirror.ParseSumDB(verifier)
	if err != nil {
		t.Fatal(err)
	}
	log := sumdb.NewServer(sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		sums, err := p.h1(path, version)
		if err != nil {
			answers, resolved := w.repos.Resolve(context.Background(), []mirror.ModuleQuery{{Path: path, Version: version}})
			if resolved == nil && answers[0].Problem == nil {
				sums, err = answers[0].Original, nil
			}
		}
		return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, sums.Zip, path, version, sums.Mod), err
	}))
	u := &sumUpstream{db: db, log: log}
	srv := httptest.NewServer(u)
	t.Cleanup(srv.Close)
	w.handler.SumDB = &modproxy.SumDB{DB: db, Proxies: srv.URL, Client: w.disk.HTTPClient(), Dir: t.TempDir()}
	return u
}

const someTime = "2024-01-02T03:04:05Z"

func TestProxied(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/Lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	p.add(t, "example.com/Lib", "v1.1.0", someTime, map[string]string{"a.go": "package lib\n"})
	w.behind(t, p.url)
	w.vouch(t, p)
	const at = "/proxy/example.com/!lib/"
	for _, tt := range []struct{ path, body, cache string }{
		{"@v/list", "v1.0.0\nv1.1.0\n", "public, max-age=60"},
		{"@v/v1.0.0.info", `{"Version":"v1.0.0","Time":"2024-01-02T03:04:05Z"}`, "public, max-age=31536000, immutable"},
		{"@v/v1.0.0.mod", "module example.com/Lib\n", "public, max-age=31536000, immutable"},
		{"@v/v1.0.0.zip", "PK", "public, max-age=31536000, immutable"},
		{"@latest", `{"Version":"v1.1.0","Time":"2024-01-02T03:04:05Z"}`, "public, max-age=60"}, // made of the list
	} {
		first := ask(w.handler, "GET", at+tt.path)
		if first.Code != 200 || !strings.HasPrefix(first.Body.String(), tt.body) || first.Header().Get("Cache-Control") != tt.cache {
			t.Errorf("GET %s = %d %q %q, want 200 %q %q", tt.path, first.Code, first.Body, first.Header().Get("Cache-Control"), tt.body, tt.cache)
		}
		n := p.times("/example.com/!lib/" + tt.path)
		again := ask(w.handler, "GET", at+tt.path)
		if again.Code != 200 || again.Body.String() != first.Body.String() || again.Header().Get("ETag") == "" {
			t.Errorf("GET %s again = %d, %d bytes, ETag %q", tt.path, again.Code, again.Body.Len(), again.Header().Get("ETag"))
		}
		if got := p.times("/example.com/!lib/" + tt.path); got != n {
			t.Errorf("GET %s again asked the proxy again", tt.path)
		}
		if tt.path != "@latest" && again.Header().Get("X-Cache") != "hit" {
			t.Errorf("GET %s again: X-Cache %q, want hit", tt.path, again.Header().Get("X-Cache"))
		}
		if part := ask(w.handler, "GET", at+tt.path, "Range", "bytes=0-1"); part.Code != 206 || part.Body.Len() != 2 {
			t.Errorf("GET %s bytes 0-1 = %d, %d bytes, want 206, 2", tt.path, part.Code, part.Body.Len())
		}
		if same := ask(w.handler, "GET", at+tt.path, "If-None-Match", again.Header().Get("ETag")); same.Code != 304 {
			t.Errorf("GET %s If-None-Match = %d, want 304", tt.path, same.Code)
		}
	}
	if n := p.times("/example.com/!lib/@v/v1.1.0.zip") + p.times("/example.com/!lib/@v/v1.1.0.mod"); n > 1 {
		t.Errorf("files nobody asked for were fetched %d times", n)
	}
}

// What proxies answer is made into what the go command understands, and never
// into an internal error.
func TestProxyStatuses(t *testing.T) {
	for _, tt := range []struct {
		status, want int
		text         string
	}{
		{404, 404, "E2104"}, {410, 404, "E2104"}, {403, 404, "E2104"}, {400, 404, "E2104"},
		{500, 502, "E1205: the module proxy"}, {503, 502, "E1205"}, {401, 502, "credentials"}, {429, 503, "too many"},
		{200, 502, "E1110"}, // a sign-in page
	} {
		w, p := newWorld(t), newPeer(t)
		w.behind(t, p.url)
		p.set(func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(tt.status)
			fmt.Fprint(w, "<html>sign in</html>")
			return true
		})
		for _, file := range []string{"@v/list", "@latest", "@v/v1.0.0.info", "@v/main.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip"} {
			got := ask(w.handler, "GET", "/proxy/example.com/lib/"+file)
			if got.Code != tt.want || !strings.Contains(got.Body.String(), tt.text) && tt.status != 200 {
				t.Errorf("GET %s, proxy answers %d = %d %q, want %d %q", file, tt.status, got.Code, got.Body, tt.want, tt.text)
			}
			if got.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("GET %s: %s", file, got.Header().Get("Content-Type"))
			}
		}
	}
}

// "," goes on after "not here" alone, "|" after any trouble.
func TestProxyList(t *testing.T) {
	w := newWorld(t)
	has, lacks, broken := newPeer(t), newPeer(t), newPeer(t)
	has.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{})
	broken.set(func(w http.ResponseWriter, r *http.Request) bool { http.Error(w, "tired", 500); return true })
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, tt := range []struct {
		list string
		want int
	}{
		{has.url, 200},
		{lacks.url + "," + has.url, 200},
		{lacks.url + "|" + has.url, 200},
		{broken.url + "|" + has.url, 200},
		{gone.URL + "|" + has.url, 200},
		{broken.url + "," + has.url, 502},
		{gone.URL + "," + has.url, 502},
		{broken.url + "|" + lacks.url, 502}, // "not here" was not heard from all
		{lacks.url + ",off," + has.url, 404},
		{lacks.url + ",direct", 404},
		{"off", 404},
		{"file://" + has.dir, 200},
	} {
		w.behind(t, tt.list)
		w.handler = &modproxy.Handler{Repos: w.repos, Policy: w.handler.Policy, Proxies: w.handler.Proxies, Store: w.handler.Store}
		for _, file := range []string{"@v/v1.0.0.mod", "@v/v1.0.0.zip"} {
			if got := ask(w.handler, "GET", "/proxy/example.com/lib/"+file); got.Code != tt.want {
				t.Errorf("GET %s of %s = %d %s, want %d", file, tt.list, got.Code, got.Body, tt.want)
			}
		}
	}
}

// HOSTILE D14: a proxy that says something else than the checksum database is not
// believed.
func TestForged(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	big := strings.Repeat("// filler\n", 60_000)
	p.add(t, "example.com/lib", "v1.1.0", someTime, map[string]string{"a.go": "package lib\n" + big})
	store := w.behind(t, p.url)
	w.vouch(t, p)
	w.counting()
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	// Now the database knows what is true, and then the proxy changes its mind.
	for _, v := range []string{"v1.0.0", "v1.1.0"} {
		if _, err := w.handler.SumDB.Sums(t.Context(), module.Version{Path: "example.com/lib", Version: v}); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(filepath.Join(p.dir, "example.com/lib/@v/list"))
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package evil\n", "go.mod": "module example.com/lib\n\ngo 1.21\n"})
	p.add(t, "example.com/lib", "v1.1.0", someTime, map[string]string{"a.go": "package evil\n" + big})
	for _, file := range []string{"v1.0.0.mod", "v1.0.0.zip"} {
		got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/"+file)
		if got.Code != 502 || !strings.Contains(got.Body.String(), "E2106: example.com/lib@v1.0.0 is not what the checksum database says") {
			t.Errorf("GET %s = %d %q, want 502 E2106", file, got.Code, got.Body)
		}
	}
	// One that is sent while it arrives is cut before its end.
	res, err := http.Get(srv.URL + "/proxy/example.com/lib/@v/v1.1.0.zip")
	if err == nil {
		defer res.Body.Close()
		var b bytes.Buffer
		if _, err = b.ReadFrom(res.Body); err == nil && res.StatusCode == 200 {
			t.Errorf("a forged zip of %d bytes was sent to its end", b.Len())
		}
	}
	w.tell(t)
	forged, err := w.db.ModuleRefusals(t.Context(), mirror.RefusalQuery{Unseen: true})
	if err != nil || len(forged) != 2 || forged[0].Times+forged[1].Times != 3 || forged[0].Kind != mirror.ModuleForged || forged[0].From != p.url {
		t.Errorf("refusals = %+v %v, want 3 forged ones of 2 versions", forged, err)
	}
	var state mirror.ModuleCacheState
	if store.State(&state); state.Files != 0 {
		t.Errorf("%d files were kept, want none", state.Files)
	}
}

// The go command behind us builds with what a proxy has, and again when that is
// away, from an empty module cache with verification on.
func TestGoBehindProxy(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n\nfunc F() {}\n"})
	p.add(t, "example.com/lib", "v1.2.0-rc.1", someTime, map[string]string{"a.go": "package lib\n\nfunc F() {}\n"})
	p.add(t, "example.com/lib/v2", "v2.0.0", someTime, map[string]string{"a.go": "package lib\n\nfunc F() {}\n"})
	w.behind(t, p.url)
	w.vouch(t, p)
	build := func(get ...string) string {
		t.Helper()
		env := append(w.goEnv(t), "GONOSUMDB=", "GONOSUMCHECK=", "GOSUMDB="+w.handler.SumDB.DB.Key)
		dir := goModule(t)
		main := "package main\n\nimport (\n\t\"example.com/lib\"\n\tv2 \"example.com/lib/v2\"\n)\n\nfunc main() { lib.F(); v2.F() }\n"
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(main), 0o644); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		for _, args := range [][]string{append([]string{"get"}, get...), {"mod", "verify"}, {"mod", "vendor"}} {
			cmd := exec.Command("go", args...)
			cmd.Dir, cmd.Env, cmd.Stderr = dir, env, &log
			if err := cmd.Run(); err != nil {
				t.Fatalf("go %v: %v\n%s", args, err, log.String())
			}
		}
		sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
		if err != nil {
			t.Fatal(err)
		}
		return string(sums)
	}
	want, err := p.h1("example.com/lib", "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	first := build("example.com/lib@latest", "example.com/lib/v2@latest")
	if !strings.Contains(first, "example.com/lib v1.0.0 "+want.Zip) {
		t.Errorf("go.sum = %s, want %s", first, want.Zip)
	}
	p.set(func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return true
	})
	if again := build("example.com/lib@v1.0.0", "example.com/lib/v2@v2.0.0"); again != first {
		t.Errorf("go.sum = %s, want %s", again, first)
	}
	if got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/list"); got.Code != 200 {
		t.Errorf("GET list while the proxy is down = %d %s, want 200", got.Code, got.Body)
	}
}

// Many who want the same at once cost one transfer, and share it as it arrives.
func TestProxiedTogether(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n" + strings.Repeat("// filler\n", 100_000)})
	w.behind(t, p.url)
	arrived, release := make(chan bool, 100), make(chan bool)
	p.set(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, ".zip") {
			return false
		}
		data, err := os.ReadFile(filepath.Join(p.dir, r.URL.Path))
		if err != nil {
			t.Error(err)
		}
		rw.Header().Set("Content-Length", fmt.Sprint(len(data)))
		rw.Write(data[:len(data)/2])
		rw.(http.Flusher).Flush()
		arrived <- true
		<-release
		rw.Write(data[len(data)/2:])
		return true
	})
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	var all sync.WaitGroup
	begun := make(chan bool, 32)
	for range 32 {
		all.Go(func() {
			res, err := http.Get(srv.URL + "/proxy/example.com/lib/@v/v1.0.0.zip")
			if err != nil {
				t.Error(err)
				begun <- false
				return
			}
			defer res.Body.Close()
			part := make([]byte, 1000)
			n, _ := res.Body.Read(part)
			begun <- n > 0 // while the rest is held back
			var b bytes.Buffer
			if _, err := b.ReadFrom(res.Body); err != nil || int64(b.Len()+n) != res.ContentLength {
				t.Errorf("got %d bytes and %v, want %d", b.Len()+n, err, res.ContentLength)
			}
		})
	}
	for range 32 {
		if !<-begun {
			t.Error("nothing came while the zip arrived")
		}
	}
	close(release)
	all.Wait()
	if n := p.times("/example.com/lib/@v/v1.0.0.zip"); n != 1 {
		t.Errorf("the proxy was asked %d times, want once", n)
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
