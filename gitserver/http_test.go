package gitserver_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	infoRefs = "/info/refs?service=git-upload-pack"
	missing  = "github.com/acme/nothing"
)

// HOSTILE D01 (writing), D02 (paths) and D03 (the dumb protocol).
func TestHTTPRoutes(t *testing.T) {
	r := newRig(t)
	signed := basic("x", r.token)
	html := map[string]string{"Accept": "text/html,*/*"}
	for _, row := range []struct {
		method, path string
		header       map[string]string
		status       int
		text         string // part of the body
	}{
		{"GET", "/" + tool + infoRefs, nil, 200, "# service=git-upload-pack"},
		{"GET", "/" + tool + ".git" + infoRefs, nil, 200, "# service=git-upload-pack"},
		{"HEAD", "/" + tool + infoRefs, nil, 200, ""},
		{"GET", "/GITHUB.com/Acme/Tool" + infoRefs, nil, 200, ""},

		// Writing is refused by the route that executes, whatever the query says.
		{"GET", "/" + tool + "/info/refs?service=git-receive-pack", nil, 403, "E3201: Mirrors are read-only."},
		{"POST", "/" + tool + "/git-receive-pack", nil, 403, "E3201"},
		{"POST", "/" + tool + "/git-receive-pack?service=git-upload-pack", signed, 403, "E3201"},
		{"POST", "/" + missing + "/git-receive-pack", nil, 403, "E3201"},
		{"POST", "/" + secret + "/git-receive-pack", signed, 403, "E3201"},
		{"POST", "/" + tool + "/git-upload-pack?service=git-receive-pack", signed, 400, "contradicts"},
		{"POST", "/" + tool + "/git-upload-pack?service=git-upload-pack&service=git-receive-pack", signed, 400, "contradicts"},
		{"GET", "/" + tool + "/info/refs?service=git-upload-pack&service=git-receive-pack", signed, 400, "more than one"},
		{"GET", "/" + tool + "/info/refs?service=git-upload-archive", signed, 404, ""},
		{"POST", "/" + tool + infoRefs, signed, 405, ""},
		{"GET", "/" + tool + "/git-upload-pack", signed, 405, ""},
		{"DELETE", "/" + tool, signed, 405, ""},
		{"POST", "/" + tool + "/git-upload-pack", signed, 415, "Content-Type"},

		// The dumb protocol.
		{"GET", "/" + tool + "/info/refs", signed, 404, "dumb"},
		{"GET", "/" + tool + ".git/HEAD", signed, 404, ""},
		{"GET", "/" + tool + ".git/objects/info/packs", signed, 404, ""},
		{"GET", "/" + tool + ".git/config", signed, 404, ""},
		{"GET", "/" + tool + ".git/hooks/post-update", signed, 404, ""},
		{"GET", "/" + tool + "/HEAD", signed, 404, ""},

		// Tricks with paths.
		{"GET", "/github.com/acme/nothing/../tool" + infoRefs, signed, 404, ""},
		{"GET", "/github.com/acme/x.git/../tool.git" + infoRefs, signed, 404, ""},
		{"GET", "/github.com/acme/%2e%2e/acme/tool" + infoRefs, signed, 404, "E4004"},
		{"GET", "/github.com/acme%2ftool" + infoRefs, signed, 404, "E4004"},
		{"GET", "/github.com//acme/tool" + infoRefs, signed, 404, ""},
		{"GET", "//github.com/acme/tool" + infoRefs, signed, 404, ""},
		{"GET", "/github.com/acme/tool;x" + infoRefs, signed, 404, ""},
		{"GET", "/github.com/acme/tool%00" + infoRefs, signed, 404, ""},
		{"GET", `/github.com/acme\tool` + infoRefs, signed, 404, ""},
		{"GET", "/github.com/acme/tool." + infoRefs, signed, 404, ""},
		{"GET", "/github.com/acme/tool.git.git" + infoRefs, signed, 404, ""},
		{"GET", "/github.com/acme/tool.GIT" + infoRefs, signed, 404, ""},
		{"GET", "/github.com/acme/tool/.git" + infoRefs, signed, 404, ""},
		{"GET", "/github.com/acme/-x" + infoRefs, signed, 404, ""},
		{"GET", "/github.com" + infoRefs, signed, 404, ""},
		{"GET", "/github.com/" + strings.Repeat("a/", 300) + infoRefs, signed, 404, ""},

		// What is not cloned yet is there, and says so.
		{"GET", "/" + queued + infoRefs, nil, 503, "github.com/acme/queued"},

		// Browsers go to the console; git's credentials do not matter there.
		{"GET", "/" + tool, html, 302, ""},
		{"GET", "/" + missing, html, 302, ""},
		{"GET", "/" + tool, nil, 404, ""},
	} {
		status, _, text := r.do(t, row.method, row.path, row.header, nil)
		if status != row.status || !strings.Contains(text, row.text) {
			t.Errorf("%s %.80s = %d %.80q, want %d with %q", row.method, row.path, status, text, row.status, row.text)
		}
		if strings.Contains(text, r.dir) || strings.Contains(text, "classified") {
			t.Errorf("%s %.80s tells %q", row.method, row.path, text)
		}
	}
	_, head, _ := r.do(t, "GET", "/github.com/a&b/%3Cx%3E", html, nil)
	if got := head.Get("Location"); got != "" {
		t.Errorf("Location for an escaped path = %q, want none", got)
	}
	_, head, _ = r.do(t, "GET", "/"+tool, html, nil)
	if got, want := head.Get("Location"), "/mirrors/open?path=github.com%2Facme%2Ftool"; got != want {
		t.Errorf("Location = %q, want %q", got, want)
	}
	_, head, _ = r.do(t, "GET", "/"+tool+infoRefs, nil, nil)
	if got := head.Get("Cache-Control"); !strings.Contains(got, "no-cache") {
		t.Errorf("Cache-Control = %q, want no-cache", got)
	}
}

// HOSTILE D08 and D10: strangers cannot tell a private mirror from none; those who are signed in
// without the right to it neither.
func TestExistenceIsNotRevealed(t *testing.T) {
	r := newRig(t)
	same := func(what string, header map[string]string, status int, suffix string) {
		t.Helper()
		s1, h1, t1 := r.do(t, "GET", "/"+secret+suffix, header, nil)
		s2, h2, t2 := r.do(t, "GET", "/"+missing+suffix, header, nil)
		t1, t2 = strings.ReplaceAll(t1, secret, "PATH"), strings.ReplaceAll(t2, missing, "PATH")
		h1.Del("Date")
		h2.Del("Date")
		h1.Del("Content-Length") // follows the path's own length
		h2.Del("Content-Length")
		if s1 != status || s2 != status || t1 != t2 || fmt.Sprint(h1) != fmt.Sprint(h2) {
			t.Errorf("%s: private = %d %v %q, missing = %d %v %q, want the same %d", what, s1, h1, t1, s2, h2, t2, status)
		}
		if status == 401 && h1.Get("WWW-Authenticate") != `Basic realm="gitmirror"` {
			t.Errorf("%s: WWW-Authenticate = %q, want basic", what, h1.Get("WWW-Authenticate"))
		}
	}
	same("anonymous", nil, 401, infoRefs)
	same("anonymous go", nil, 401, "?go-get=1")
	same("wrong token", basic("x", "gmr_wrong"), 401, infoRefs)
	same("token in query", nil, 401, infoRefs+"&access_token="+r.token+"&private_token="+r.token)
	same("token in cookie", map[string]string{"Cookie": "token=" + r.token}, 401, infoRefs)
	r.http.Policy.AnonymousRead = false
	if s, _, _ := r.do(t, "GET", "/"+tool+infoRefs, nil, nil); s != 401 {
		t.Errorf("anonymous read of a public mirror when that is off = %d, want 401", s)
	}
	same("anonymous read off", nil, 401, infoRefs)
	if s, _, text := r.do(t, "GET", "/"+missing+infoRefs, basic("x", r.token), nil); s != 404 || !strings.Contains(text, "E2104") || !strings.Contains(text, "gitmirror mirror add "+missing) {
		t.Errorf("missing for a developer = %d %q, want 404 with E2104 and what to do", s, text)
	}
}

// HOSTILE D09: a token gives the same rights however it is sent.
func TestTokenWorksAllWaysOrNone(t *testing.T) {
	r := newRig(t)
	ways := func(token string) map[string]map[string]string {
		return map[string]map[string]string{
			"basic":          basic("anybody", token),
			"user part":      basic(token, ""),
			"x-access-token": basic("x-access-token", token),
			"x-oauth-basic":  basic(token, "x-oauth-basic"),
			"bearer":         {"Authorization": "Bearer " + token},
			"BEARER":         {"Authorization": "BEARER " + token},
		}
	}
	for name, header := range ways(r.token) {
		for _, suffix := range []string{infoRefs, "?go-get=1"} {
			if s, _, text := r.do(t, "GET", "/"+secret+suffix, header, nil); s != 200 {
				t.Errorf("%s%s = %d %q, want 200", name, suffix, s, text)
			}
		}
	}
	tokens, err := r.accounts.Tokens(t.Context(), r.dev.ID)
	if err != nil || len(tokens) != 1 {
		t.Fatalf("Tokens = %v, %v, want one", tokens, err)
	}
	if err := r.accounts.RemoveToken(t.Context(), r.dev.ID, tokens[0].ID); err != nil {
		t.Fatal(err)
	}
	for name, header := range ways(r.token) {
		for _, path := range []string{secret, tool} { // bad credentials are never taken for none
			if s, _, _ := r.do(t, "GET", "/"+path+infoRefs, header, nil); s != 401 {
				t.Errorf("%s on %s after the token was removed = %d, want 401", name, path, s)
			}
		}
	}
	for name, header := range map[string]map[string]string{
		"digest": {"Authorization": "Digest username=x"}, "garbage": {"Authorization": "Basic !!!"}, "empty": {"Authorization": ""},
		"remote user": {"X-Remote-User": "root", "X-Forwarded-User": "root", "Authorization": "Bearer"},
	} {
		if s, _, _ := r.do(t, "GET", "/"+secret+infoRefs, header, nil); s != 401 {
			t.Errorf("Authorization %s = %d, want 401", name, s)
		}
	}
}

func pkt(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

func packed(text []byte) io.Reader {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(text)
	z.Close()
	return &b
}

// packedBomb is packed of so much that the race detector would take a minute:
// the program gzip does it.
func packedBomb(t *testing.T, text []byte) io.Reader {
	t.Helper()
	cmd := exec.Command("gzip", "-c")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(out)
}

// HOSTILE D04.
func TestRequestBodies(t *testing.T) {
	r := newRig(t)
	lsRefs := pkt("command=ls-refs\n") + "0001" + pkt("peel\n") + "0000"
	var many strings.Builder // more than is kept in memory
	many.WriteString(pkt("command=ls-refs\n") + "0001")
	for i := range 60_000 {
		many.WriteString(pkt(fmt.Sprintf("ref-prefix refs/tags/%030d\n", i)))
	}
	many.WriteString(pkt("ref-prefix refs/heads/main\n") + "0000")
	haves := bytes.Repeat([]byte(pkt("have "+strings.Repeat("0", 40)+"\n")), 1_000_000)
	for _, row := range []struct {
		name   string
		header map[string]string
		body   io.Reader
		status int
		text   string
	}{
		{"plain", nil, strings.NewReader(lsRefs), 200, "refs/heads/main"},
		{"gzip", map[string]string{"Content-Encoding": "gzip"}, packed([]byte(lsRefs)), 200, "refs/heads/main"},
		{"x-gzip", map[string]string{"Content-Encoding": "x-gzip"}, packed([]byte(lsRefs)), 200, "refs/heads/main"},
		{"not gzip", map[string]string{"Content-Encoding": "gzip"}, strings.NewReader(lsRefs), 400, "could not be read"},
		{"gzip cut short", map[string]string{"Content-Encoding": "gzip"}, io.LimitReader(packed([]byte(lsRefs)), 20), 400, "could not be read"},
		{"brotli", map[string]string{"Content-Encoding": "br"}, strings.NewReader(lsRefs), 415, "gzip"},
		{"gzip twice", map[string]string{"Content-Encoding": "gzip, gzip"}, packed([]byte(lsRefs)), 415, "gzip"},
		{"bomb", map[string]string{"Content-Encoding": "gzip"}, packedBomb(t, bytes.Repeat([]byte("0"), 200<<20)), 413, "too large"},
		{"bomb of pkt-lines", map[string]string{"Content-Encoding": "gzip"}, packedBomb(t, haves), 413, "too large"},
		{"1 GB that is nothing", map[string]string{}, &sized{n: 1 << 30}, 400, "pkt-line"},
		{"1 GB of flushes", map[string]string{}, io.LimitReader(&flushes{}, 1<<30), 400, "too many"},
		{"empty", nil, strings.NewReader(""), 400, "pkt-line"},
		{"no pkt-line", nil, strings.NewReader("zzzzcommand=ls-refs"), 400, "pkt-line"},
		{"length 3", nil, strings.NewReader("0003"), 400, "pkt-line"},
		{"length fff5", nil, strings.NewReader("fff5command=ls-refs"), 400, "pkt-line"},
		{"cut pkt-line", nil, strings.NewReader("0014command"), 400, "pkt-line"},
		{"large", nil, strings.NewReader(many.String()), 200, "refs/heads/main"},
		{"large, gzip", map[string]string{"Content-Encoding": "gzip"}, packed([]byte(many.String())), 200, "refs/heads/main"},
		{"large, broken behind the first MiB", nil, strings.NewReader(many.String()[:1<<20+500] + "zzzz"), 400, "pkt-line"},
	} {
		header := map[string]string{"Content-Type": "application/x-git-upload-pack-request", "Git-Protocol": "version=2"}
		for k, v := range row.header {
			header[k] = v
		}
		status, _, text := r.do(t, "POST", "/"+tool+"/git-upload-pack", header, row.body)
		if status != row.status || !strings.Contains(text, row.text) {
			t.Errorf("%s = %d %.100q, want %d with %q", row.name, status, text, row.status, row.text)
		}
	}
}

// flushes are pkt-lines without end.
type flushes struct{}

func (*flushes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p) &^ 3, nil
}

// sized is n zero bytes that announce their length and are never all sent.
type sized struct{ n int64 }

func (s *sized) Read(p []byte) (int, error) {
	if s.n <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), s.n)
	s.n -= n
	return int(n), nil
}

// HOSTILE D05: what another repository has, or what is hidden, cannot be had by asking for
// its hash.
func TestForeignObjectsAreRefused(t *testing.T) {
	r := newRig(t)
	foreign := r.up.Rev(t, secret, "refs/heads/main")
	for name, url := range map[string]string{"http": r.url + "/" + tool, "ssh": r.sshURL(tool)} {
		for _, version := range []string{"0", "2"} {
			got := r.git(t, "-c", "protocol.version="+version, "fetch-pack", "--no-progress", url, foreign)
			if name == "http" { // fetch-pack speaks http only through fetch
				dir := t.TempDir()
				r.mustGit(t, "init", "-q", dir)
				got = r.git(t, "-C", dir, "-c", "protocol.version="+version, "fetch", url, foreign)
			}
			if got.code == 0 {
				t.Errorf("%s v%s: fetch of an object of another repository = exit 0, want a refusal", name, version)
			}
		}
	}
}

// HOSTILE D06: odd filters and depths work or are refused; the server stays well.
func TestOddFetches(t *testing.T) {
	r := newRig(t)
	for _, args := range [][]string{
		{"--filter=tree:0"}, {"--filter=sparse:oid=HEAD"}, {"--filter=blob:limit=1"}, {"--depth=2147483647"},
		{"--shallow-since=1970-01-01"}, {"--shallow-since=2999-01-01"}, {"--shallow-exclude=refs/heads/nothing"},
	} {
		dir := t.TempDir() + "/clone"
		r.git(t, append(append([]string{"clone", "-q", "--no-checkout"}, args...), r.url+"/"+tool, dir)...)
	}
	r.mustGit(t, "ls-remote", r.url+"/"+tool)
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("errors in the log:\n%s", r.log)
	}
}

// HOSTILE D07: one who sends a request a byte at a time, or takes no answer, keeps nobody
// else waiting.
func TestSlowClientsHoldNobodyUp(t *testing.T) {
	r := newRig(t, func(r *rig) { r.http.Gate.Total, r.http.Gate.Each = 2, 2 })
	host := strings.TrimPrefix(r.url, "http://")
	for range 20 {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /%s/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-git-upload-pack-request\r\n"+
			"Git-Protocol: version=2\r\nContent-Length: 5000\r\n\r\n0011command=fetch0001", tool)
	}
	began := time.Now()
	r.mustGit(t, "clone", "-q", "--mirror", r.url+"/"+tool, t.TempDir()+"/clone")
	if d := time.Since(began); d > time.Minute {
		t.Errorf("clone beside slow clients took %v, want no waiting", d)
	}
}

func TestTooManyFailedSignInsIs429(t *testing.T) {
	r := newRig(t)
	status, head := 0, http.Header{}
	for i := 0; i < 100 && status != 429; i++ {
		// The address of a proxy's header is nobody's: the peer is who connects.
		h := basic("dev", "wrong password")
		h["X-Forwarded-For"] = fmt.Sprintf("192.0.2.%d", i)
		status, head, _ = r.do(t, "GET", "/"+secret+infoRefs, h, nil)
	}
	if status != 429 || head.Get("Retry-After") == "" {
		t.Errorf("status after many failures = %d, Retry-After %q, want 429 and a time", status, head.Get("Retry-After"))
	}
	if s, _, _ := r.do(t, "GET", "/"+secret+infoRefs, basic("x", r.token), nil); s != 200 {
		t.Errorf("token meanwhile = %d, want 200", s)
	}
}

func TestGitProtocolHeader(t *testing.T) {
	r := newRig(t)
	v2 := func(value string) bool {
		_, _, text := r.do(t, "GET", "/"+tool+infoRefs, map[string]string{"Git-Protocol": value}, nil)
		return strings.HasPrefix(text, "000eversion 2\n")
	}
	for value, want := range map[string]bool{
		"version=2": true, "version=2:side-band-64k": true,
		"": false, "version=9": false, "version=2;x": false, "version=2:A": false, "version=2:" + strings.Repeat("a", 100): false,
		"x:version=2": false, " version=2:$(id)": false, "version=2 ": true, // HTTP itself trims a value
	} {
		if got := v2(value); got != want {
			t.Errorf("protocol v2 for Git-Protocol %.30q = %v, want %v", value, got, want)
		}
	}
}

// A request handled without a network connection must not upset the handler.
func TestHandlerWithoutConnection(t *testing.T) {
	r := newRig(t)
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, httptest.NewRequest("GET", "/"+tool+infoRefs, nil))
	if w.Code != 200 {
		t.Errorf("info/refs on a recorder = %d %q, want 200", w.Code, w.Body)
	}
}
