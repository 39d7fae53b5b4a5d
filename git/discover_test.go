package git_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
)

// vanity is an https server that is example.com and everything below it, for a
// disk that reaches the world through a company's proxy.
type vanity struct {
	pages map[string]string // by host and path
	asked atomic.Int64
	disk  *git.Disk
}

const head = `<!DOCTYPE html><html><head>`

func tagged(contents ...string) string {
	page := head
	for _, c := range contents {
		page += fmt.Sprintf("<meta name=\"go-import\" content=%q>\n", c)
	}
	return page + "</head><body>x"
}

func newVanity(t *testing.T, private bool) *vanity {
	t.Helper()
	v := &vanity{pages: map[string]string{}}
	server := httptest.NewTLSServer(http.HandlerFunc(v.answer))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o644); err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(connectTo(server.Listener.Addr().String()))
	t.Cleanup(proxy.Close)
	disk, err := git.Open(t.Context(), git.Disk{Root: t.TempDir(), AllowPrivate: private, CAFile: ca, Proxy: proxy.URL})
	if err != nil {
		t.Fatal(err)
	}
	v.disk = disk
	return v
}

func (v *vanity) answer(w http.ResponseWriter, r *http.Request) {
	v.asked.Add(1)
	page, ok := v.pages[r.Host+r.URL.Path]
	switch to, redirect := strings.CutPrefix(page, "redirect "); {
	case r.URL.Query().Get("go-get") != "1" && !strings.Contains(r.URL.Path, "landing"):
		http.Error(w, "for people", http.StatusTeapot)
	case !ok:
		http.NotFound(w, r)
	case redirect:
		http.Redirect(w, r, to, http.StatusFound)
	case page == "trouble":
		http.Error(w, page, http.StatusBadGateway)
	default:
		if strings.Contains(page, "missing") {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, page)
	}
}

// connectTo is a proxy whose every tunnel ends at one address.
func connectTo(address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || !strings.HasSuffix(r.Host, "example.com:443") {
			http.Error(w, "no such host", http.StatusBadGateway)
			return
		}
		far, err := net.Dial("tcp", address)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer far.Close()
		near, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer near.Close()
		io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { // ends with either side
			io.Copy(far, buffered)
			far.Close()
		}()
		io.Copy(near, far)
	})
}

func TestDiscover(t *testing.T) {
	v := newVanity(t, true)
	const git = " git https://github.com/acme/tools"
	for path, page := range map[string]string{
		"example.com/tools":             tagged("example.com/tools" + git),
		"example.com/tools/v2":          tagged("example.com/tools"+git, "example.com/other git https://github.com/acme/other"),
		"example.com/suffix":            tagged("example.com/suffix git https://github.com/acme/tools.git"),
		"example.com/mod":               tagged("example.com/mod mod https://proxy.example.com", "example.com/mod"+git),
		"example.com/dir":               tagged("example.com/dir" + git + " go/lib"),
		"example.com/404":               "missing" + tagged("example.com/404"+git),
		"example.com/ssh":               tagged("example.com/ssh git ssh://git@github.com/acme/tools"),
		"example.com/plus":              tagged("example.com/plus git git+ssh://git@code.example.com/acme/tools"),
		"example.com/http":              tagged("example.com/http git http://github.com/acme/tools"),
		"example.com/lax":               "<html><meta charset=utf-8><br><p class=x>&nbsp;<META NAME=go-import CONTENT='example.com/lax git https://github.com/acme/tools'><body>",
		"example.com/moved":             "redirect https://www.example.com/landing",
		"www.example.com/landing":       tagged("example.com/moved" + git),
		"example.com/":                  tagged("example.com" + git),
		"example.com/none":              head + "</head>",
		"example.com/body":              head + "</head><body>" + tagged("example.com/body"+git),
		"example.com/two":               tagged("example.com/two"+git, "example.com/two"+git),
		"example.com/onlymod":           tagged("example.com/onlymod mod https://proxy.example.com"),
		"example.com/hg":                tagged("example.com/hg hg https://hg.example.com/x"),
		"example.com/file":              tagged("example.com/file git file:///etc"),
		"example.com/ext":               tagged("example.com/ext git ext::sh"),
		"example.com/option":            tagged("example.com/option git --upload-pack=x"),
		"example.com/password":          tagged("example.com/password git https://u:p@github.com/acme/tools"),
		"example.com/updir":             tagged("example.com/updir" + git + " ../x"),
		"example.com/liar/x":            tagged("example.com/liar" + git),
		"example.com/liar":              tagged("example.com/liar git https://github.com/evil/tools"),
		"example.com/unbacked/x":        tagged("example.com/unbacked" + git),
		"example.com/plain":             "redirect http://example.com/landing",
		"example.com/landing":           tagged("example.com/plain" + git),
		"example.com/loop":              "redirect https://example.com/landing/loop",
		"example.com/landing/loop":      "redirect https://example.com/landing/loop",
		"example.com/trouble":           "trouble",
		"example.com/late":              head + strings.Repeat(" ", 2<<20) + tagged("example.com/late"+git),
		"example.com/latin":             `<?xml version="1.0" encoding="latin1"?>` + tagged("example.com/latin"+git),
		"example.com/internal":          "redirect https://169.254.169.254/latest",
		"example.com/tools/deep/inside": tagged("example.com/tools" + git),
	} {
		v.pages[path] = page
	}
	for path, want := range map[string]string{
		"example.com/tools":             "example.com/tools https://github.com/acme/tools ",
		"example.com/tools/v2":          "example.com/tools https://github.com/acme/tools ",
		"example.com/tools/deep/inside": "example.com/tools https://github.com/acme/tools ",
		"example.com/suffix":            "example.com/suffix https://github.com/acme/tools ",
		"example.com/mod":               "example.com/mod https://github.com/acme/tools ",
		"example.com/dir":               "example.com/dir https://github.com/acme/tools go/lib",
		"example.com/404":               "example.com/404 https://github.com/acme/tools ",
		"example.com/ssh":               "example.com/ssh ssh://git@github.com/acme/tools ",
		"example.com/plus":              "example.com/plus ssh://git@code.example.com/acme/tools ",
		"example.com/http":              "example.com/http http://github.com/acme/tools ",
		"example.com/lax":               "example.com/lax https://github.com/acme/tools ",
		"example.com/moved":             "example.com/moved https://github.com/acme/tools ",
		"example.com":                   "example.com https://github.com/acme/tools ",
		"example.com/none":              "E1111 no go-import tag",
		"example.com/absent":            "E1111 status 404",
		"example.com/body":              "E1111 no go-import tag",
		"example.com/two":               "E1111 more than one",
		"example.com/onlymod":           "E1111 module proxy",
		"example.com/hg":                `E1111 "hg"`,
		"example.com/file":              "E1111 cannot be used",
		"example.com/ext":               "E1111 cannot be used",
		"example.com/option":            "E1111 cannot be used",
		"example.com/password":          "E1111 cannot be used",
		"example.com/updir":             `E1111 "../x"`,
		"example.com/liar/x":            "E1111 evil",
		"example.com/unbacked/x":        "E1111 status 404",
		"example.com/plain":             "E1111 not https",
		"example.com/loop":              "E1111 on and on",
		"example.com/trouble":           "E1205 status 502",
		"example.com/late":              "E1111 no go-import tag",
		"example.com/latin":             "E1111 no go-import tag",
		"example.com/internal":          "E1108 link-local",
	} {
		found, err := v.disk.Discover(t.Context(), path)
		got := fmt.Sprintf("%s %s %s", found.Prefix, found.Upstream, found.Dir)
		if err != nil {
			p := mirror.AsProblem(err)
			got = string(p.Code) + " " + p.Why
			code, why, _ := strings.Cut(want, " ")
			if string(p.Code) == code && strings.Contains(p.Why, why) && p.What != "" {
				continue
			}
		}
		if got != want {
			t.Errorf("Discover(%s) = %s (%v), want %s", path, got, err, want)
		}
	}
	before := v.asked.Load()
	if _, err := v.disk.Discover(t.Context(), "example.com/loop"); err == nil || v.asked.Load()-before > 6 {
		t.Errorf("Discover of a loop asked %d times (%v), want at most 6", v.asked.Load()-before, err)
	}
	if _, err := v.disk.Discover(t.Context(), "nowhere.test/x"); mirror.AsProblem(err).Kind != mirror.ErrUpstream {
		t.Errorf("Discover(nowhere) = %v, want ErrUpstream", err)
	}
}

// Without private upstreams a page cannot lead to http.
func TestDiscoverRefusesHTTP(t *testing.T) {
	v := newVanity(t, false)
	v.pages["example.com/http"] = tagged("example.com/http git http://github.com/acme/tools")
	if found, err := v.disk.Discover(t.Context(), "example.com/http"); mirror.AsProblem(err).Code != mirror.CodeNoImport {
		t.Errorf("Discover = %+v, %v, want it refused", found, err)
	}
}
