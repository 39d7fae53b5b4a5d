package modproxy_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// The rows of HOSTILE section D that are about modules; those about git itself,
// D01 to D09, are in package gitserver. D10 is TestHiddenReadsAsAbsent, D14 is
// TestForged, too, D18 TestEndpoints and TestProxied, D19 TestSumDBRefusals, D20
// TestSumDBLies, TestSumDBForks and TestSumDBRollback; D15 is the story
// 14-moved-tag.

// D11: what is no module path is refused before anything is looked up.
func TestD11Paths(t *testing.T) {
	h := &modproxy.Handler{Repos: &modproxy.Repos{Catalog: nothing{t}, Site: mirror.Site{URL: "https://" + host}}}
	h.Policy.AnonymousRead = true
	long := strings.Repeat("x", 10<<10)
	for _, path := range []string{
		"github.com/a!/b", "github.com/!", "github.com/!A/b", "github.com/A/b", "github.com/../b", "github.com/a/..", "./a", "github.com/a/./b", "-x/a",
		"github.com/a b/c", "github.com/a\\b", "github.com/a%2fb", "github.com/ä/b", "github.com/a\u202eb/c", "github.com/a/b\n", "github.com//b", "con/aux", "a/b.", "a/~1~1", long, "",
	} {
		for _, file := range []string{"@v/list", "@latest", "@v/v1.0.0.zip", "@v/../../x", "@v/v1.0.0.zip/../", "@v/" + long + ".info"} {
			if got := ask(h, "GET", "/proxy/"+path+"/"+file); got.Code != 400 && got.Code != 404 {
				t.Errorf("GET %.60q/%.20q = %d, want 400 or 404", path, file, got.Code)
			}
		}
	}
	if got := ask(h, "GET", "/proxy/github.com/a/b@v/v1.0.0.zip/../"); got.Code != 404 {
		t.Errorf("GET b@v/v1.0.0.zip/../ = %d, want 404", got.Code)
	}
}

// D12: what stands for a version never becomes an option of git, and is one or is
// refused.
func TestD12Versions(t *testing.T) {
	w := pflagWorld(t)
	for version, want := range map[string]int{
		"v1.0.5": 200, "!h!e!a!d": 200, "HEAD": 400, "main": 200, "v1": 404, "latest": 404, "upgrade": 404, "patch": 404, "none": 404,
		"v1.0.0+incompatible": 404, "v2.0.0+incompatible": 404, "v1.0.5+incompatible": 404, "v1.0.5+meta": 404, "V1.0.5": 400,
		"v0.0.0-00010101000000-000000000000": 404, "v0.0.0-20240101000000-aaaaaaaaaaaa": 404, "v1.0.6-0.20240101000000-" + strings.Repeat("a", 40): 404,
		"--upload-pack=touch x": 400, "--upload-pack": 404, "-h": 404, "-": 404, "@": 400, "@{-1}": 400, "HEAD~1": 404, "HEAD^": 400, "main:a.go": 400, "main..v1.0.5": 404, ":/x": 400,
		"refs/heads/main": 400, "!heads": 404, "0000000": 404, strings.Repeat("0", 40): 404, strings.Repeat("v", 1024): 404, "v1.0.5.": 404, ".": 400, "..": 400, "x.lock": 404, "\x00": 400,
	} {
		for _, kind := range []string{"info", "mod", "zip"} {
			got := ask(w.handler, "GET", "/proxy/github.com/!spf13/pflag/@v/"+version+"."+kind)
			switch canonical := version == "v1.0.5"; {
			case kind == "info" && got.Code != want && !(want >= 400 && (got.Code == 400 || got.Code == 404)),
				kind != "info" && canonical && got.Code != 200,
				kind != "info" && !canonical && got.Code != 400 && got.Code != 404:
				t.Errorf("GET %.50q.%s = %d %s, want %d", version, kind, got.Code, got.Body, want)
			}
		}
	}
}

// D13: repositories of which there is no module zip, or not with all that is in
// them.
func TestD13Modules(t *testing.T) {
	w := newWorld(t)
	gomod := func(name string) string { return "module d.test/o/" + name + "\n\ngo 1.24\n" }
	large := "// " + strings.Repeat("x", 17<<20)
	for name, files := range map[string]map[string]string{
		"fold":        {"go.mod": gomod("fold"), "a.go": "package a\n", "A.go": "package a\n"},
		"windows":     {"go.mod": gomod("windows"), "aux.go": "package a\n"},
		"colon":       {"go.mod": gomod("colon"), "a:b": ""},
		"gomodcase":   {"GO.MOD": gomod("gomodcase"), "a.go": "package a\n"},
		"gomodlarge":  {"go.mod": gomod("gomodlarge") + large, "a.go": "package a\n"},
		"licence":     {"go.mod": gomod("licence"), "LICENSE": large},
		"brokengomod": {"go.mod": "module \x00 {{{", "a.go": "package a\n"},
		"vendored": {"go.mod": gomod("vendored"), "a.go": "package a\n", "vendor/x.test/y/y.go": "package y\n", "vendor/modules.txt": "# x\n",
			"below/go.mod": "module d.test/o/vendored/below\n", "below/b.go": "package b\n", "deep/GO.MOD": "", "deep/c.go": "package c\n"},
	} {
		w.up.Commit(t, "d.test/o/"+name, files, "v1.0.0")
		w.add(t, "d.test/o/"+name)
	}
	for name, want := range map[string]string{
		"fold": "422 E2108", "windows": "422 E2108", "colon": "422 E2108", "gomodcase": "422 E2108", "licence": "422 E2108",
		"gomodlarge": "404 E2105", "brokengomod": "200 PK", "vendored": "200 PK",
	} {
		got := ask(w.handler, "GET", "/proxy/d.test/o/"+name+"/@v/v1.0.0.zip")
		if text := fmt.Sprint(got.Code, " ", got.Body); !strings.HasPrefix(text, want) {
			t.Errorf("GET %s = %.200q, want %q", name, text, want)
		}
		if name != "vendored" {
			continue
		}
		z, err := zip.NewReader(bytes.NewReader(got.Body.Bytes()), int64(got.Body.Len()))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range z.File {
			names = append(names, strings.TrimPrefix(f.Name, "d.test/o/vendored@v1.0.0/"))
		}
		if got, want := strings.Join(names, " "), "a.go go.mod"; got != want {
			t.Errorf("the zip has %s, want %s", got, want)
		}
	}
	w.cleared(t)
}

// D13: zips of a module proxy that no go command would unpack are not passed on,
// nor kept.
func TestD13ForeignZips(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	const prefix = "d.test/o/x@v1.0.0/"
	pack := func(fill func(z *zip.Writer)) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		fill(z)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	file := func(z *zip.Writer, name, text string) {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, text)
	}
	for name, zipped := range map[string][]byte{
		"names of another module": pack(func(z *zip.Writer) { file(z, "d.test/o/y@v1.0.0/a.go", "") }),
		"names that lead out":     pack(func(z *zip.Writer) { file(z, prefix+"../../a.go", "") }),
		"absolute":                pack(func(z *zip.Writer) { file(z, "/etc/passwd", "") }),
		"folded":                  pack(func(z *zip.Writer) { file(z, prefix+"a.go", ""); file(z, prefix+"A.go", "") }),
		"twice":                   pack(func(z *zip.Writer) { file(z, prefix+"a.go", "1"); file(z, prefix+"a.go", "2") }),
		"bomb": pack(func(z *zip.Writer) {
			f, err := z.CreateRaw(&zip.FileHeader{Name: prefix + "a", Method: zip.Deflate, UncompressedSize64: 600 << 20, CompressedSize64: 4})
			if err != nil {
				t.Fatal(err)
			}
			f.Write([]byte("bomb"))
		}),
		"go.mod too large": pack(func(z *zip.Writer) { file(z, prefix+"go.mod", strings.Repeat(" ", 17<<20)) }),
		"cut":              pack(func(z *zip.Writer) { file(z, prefix+"a.go", "") })[:60],
		"empty":            {},
		"text":             []byte("PK is how zips begin"),
	} {
		p.set(func(rw http.ResponseWriter, r *http.Request) bool {
			rw.Write(zipped)
			return true
		})
		store := w.behind(t, p.url)
		got := ask(w.handler, "GET", "/proxy/d.test/o/x/@v/v1.0.0.zip")
		if got.Code != 502 || !strings.HasPrefix(got.Body.String(), "E") {
			t.Errorf("GET a zip with %s = %d %.100q, want 502", name, got.Code, got.Body)
		}
		if kept := state(store); kept.Files != 0 {
			t.Errorf("a zip with %s was kept", name)
		}
	}
	w.cleared(t)
}

// counting counts the archives that are read.
type counting struct {
	mirror.Reader
	archives atomic.Int64
}

func (c *counting) Archive(ctx context.Context, id mirror.ID, commit, dir string) (io.ReadCloser, error) {
	c.archives.Add(1)
	return c.Reader.Archive(ctx, id, commit, dir)
}

// D16: 500 who want the same version, which nobody has made, cost one build.
func TestD16Together(t *testing.T) {
	w := pflagWorld(t)
	w.behind(t, "off")
	reader := &counting{Reader: w.disk}
	w.repos.Reader = reader
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			if got := ask(w.handler, "GET", "/proxy/github.com/!spf13/pflag/@v/v1.0.5.zip"); got.Code != 200 {
				t.Errorf("GET = %d %s, want 200", got.Code, got.Body)
			}
		})
	}
	all.Wait()
	if n := reader.archives.Load(); n != 1 {
		t.Errorf("500 clients had %d zips built, want one", n)
	}
}

// D17: versions that do not exist are answered from what is here; the git host is
// not asked about them, and a module proxy once about each in a minute, and once a
// second when it goes on. What exists is had all the same.
func TestD17Nonsense(t *testing.T) {
	const burst, nonsense = 300, 2000
	w, p := pflagWorld(t), newPeer(t)
	w.behind(t, p.url)
	w.handler.Misses = burst
	p.add(t, "proxy.test/lib", "v1.0.0", someTime, map[string]string{})
	p.add(t, "proxy.test/lib", "v1.1.0", someTime, map[string]string{})
	p.add(t, "proxy.test/other", "v1.0.0", someTime, map[string]string{})
	get := func(want int, path, from string) {
		t.Helper()
		r := httptest.NewRequest("GET", "/proxy/"+path, nil)
		r.RemoteAddr = from + ":4711"
		got := httptest.NewRecorder()
		w.handler.ServeHTTP(got, r)
		if got.Code != want || want == 503 && (got.Header().Get("Retry-After") == "" || !strings.HasPrefix(got.Body.String(), "E2109")) {
			t.Fatalf("GET %s = %d %v %s, want %d", path, got.Code, got.Header(), got.Body, want)
		}
	}
	const evil, good = "192.0.2.1", "192.0.2.2" // the first is that of ask, too
	get(200, "proxy.test/lib/@v/list", evil)
	get(200, "proxy.test/other/@v/v1.0.0.info", evil)
	before, began := len(w.up.Requests()), time.Now()
	for range 2 {
		for i := range burst / 2 {
			get(404, fmt.Sprintf("github.com/!spf13/pflag/@v/v1.99.%d.info", i), evil)
		}
	}
	for i := range nonsense {
		ask(w.handler, "GET", fmt.Sprintf("/proxy/github.com/!spf13/pflag/@v/v1.98.%d.info", i), "X-Forwarded-For", fmt.Sprintf("10.0.0.%d", i))
		r := httptest.NewRequest("GET", fmt.Sprintf("/proxy/github.com/!spf13/pflag/@v/v1.97.%d.info", i), nil)
		r.RemoteAddr = evil + ":1"
		w.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	if got := len(w.up.Requests()); got != before {
		t.Errorf("the git host was asked %d times, want never", got-before)
	}
	most := 2 + burst + int(time.Since(began).Seconds()+2)
	if got := p.all(); got > most || got < burst {
		t.Errorf("the module proxy was asked %d times, want %d, and one a second: %d", got, burst, most)
	}
	if got := state(w.handler.Store); got.Files != 2 {
		t.Errorf("%d files are kept, want the two that exist", got.Files)
	}
	get(200, "proxy.test/lib/@v/v1.1.0.zip", evil)   // it is in the list
	get(200, "proxy.test/other/@v/v1.0.0.mod", evil) // its .info is here
	get(200, "proxy.test/lib/@v/v1.0.0.info", good)  // who asked for no nonsense
	get(404, "github.com/!spf13/pflag/@v/v1.96.1.info", good)
}

// D17: a long download of what exists is not slowed, however many files it is of.
func TestD17Cold(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	w.behind(t, p.url)
	w.handler.Misses = 5
	for i := range 60 {
		p.add(t, "proxy.test/lib", fmt.Sprintf("v1.0.%d", i), someTime, map[string]string{})
	}
	for i := range 60 {
		for _, kind := range []string{"info", "mod", "zip"} {
			if got := ask(w.handler, "GET", fmt.Sprintf("/proxy/proxy.test/lib/@v/v1.0.%d.%s", i, kind)); got.Code != 200 {
				t.Fatalf("GET v1.0.%d.%s = %d %s, want 200", i, kind, got.Code, got.Body)
			}
		}
	}
}

// D21: nothing that a client says of itself changes what others get, or comes
// back.
func TestD21Headers(t *testing.T) {
	w, p := pflagWorld(t), newPeer(t)
	p.add(t, "proxy.test/lib", "v1.0.0", someTime, map[string]string{})
	w.behind(t, p.url)
	evil := [][]string{
		{"Host", "evil.test"}, {"X-Forwarded-Host", "evil.test"}, {"X-Forwarded-Proto", "gopher"}, {"X-Forwarded-Prefix", "/evil.test"}, {"Forwarded", "host=evil.test"},
		{"X-Original-Url", "/evil.test"}, {"X-Rewrite-Url", "/evil.test"}, {"Accept-Encoding", "gzip, br, evil.test"}, {"Accept", "text/html, evil.test"}, {"Accept-Language", "evil.test"},
		{"Origin", "https://evil.test"}, {"Referer", "https://evil.test"}, {"User-Agent", "<evil.test>"}, {"X-Http-Method-Override", "DELETE"}, {"Cookie", "evil.test=1"},
	}
	for _, path := range []string{"github.com/!spf13/pflag/@v/v1.0.5.info", "proxy.test/lib/@v/v1.0.0.mod", "proxy.test/lib/@v/v1.0.0.zip", "proxy.test/none/@v/list", "healthz"} {
		ask(w.handler, "GET", "/proxy/"+path) // and now it is kept
		want := answerText(ask(w.handler, "GET", "/proxy/"+path))
		for _, header := range evil {
			got := answerText(ask(w.handler, "GET", "/proxy/"+path, header...))
			if got != want || strings.Contains(got, "evil.test") {
				t.Errorf("GET %s with %v = %.300q, want %.300q", path, header, got, want)
			}
			if after := answerText(ask(w.handler, "GET", "/proxy/"+path)); after != want {
				t.Errorf("GET %s after %v = %.300q, want %.300q", path, header, after, want)
			}
		}
	}
}

// D20: a database that shows an older tree than it did is not followed back.
func TestSumDBRollback(t *testing.T) {
	w := newWorld(t)
	up := newSumUpstream(t)
	s := up.passOn(t, w)
	const latest = "/proxy/sumdb/" + sumName + "/latest"
	look := func(n int) {
		if _, err := w.sumClient(t, up.db).lookup(fmt.Sprintf("example.org/m%d", n), "v1.0.0"); err != nil {
			t.Fatal(err)
		}
	}
	var old []byte
	up.set(false, func(path string, data []byte) []byte {
		if path == "/latest" && old == nil {
			old = bytes.Clone(data)
		}
		return data
	})
	look(0)
	if got := ask(w.handler, "GET", latest); got.Code != 200 {
		t.Fatalf("GET latest = %d %s", got.Code, got.Body)
	}
	for n := range 9 {
		look(n + 1)
	}
	want := ask(w.handler, "GET", latest).Body.String()
	stored, err := os.ReadFile(filepath.Join(s.Dir, sumName, "latest"))
	if err == nil {
		want = string(stored)
	}
	up.set(false, func(path string, data []byte) []byte {
		if path == "/latest" {
			return old
		}
		return data
	})
	w.handler.SumDB = &modproxy.SumDB{DB: up.db, Proxies: up.url, Client: w.disk.HTTPClient(), Dir: s.Dir} // asks at once
	if got := ask(w.handler, "GET", latest); got.Code != 200 || got.Body.String() != want || want == string(old) {
		t.Errorf("GET latest of a database that went back = %d %q, want the newer tree %q", got.Code, got.Body, want)
	}
}
