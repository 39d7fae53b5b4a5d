package cli_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// HOSTILE D21: the server answers for its own names; what else a client says of
// where it is comes back to nobody.
func TestD21Hosts(t *testing.T) {
	s := serve(t, http.DefaultClient, "http", "--public-url", "https://git.corp.example", "--http-hosts", "other.example,*.lab.example", "--modules-proxies", "off", "--modules-sumdb", "off")
	get := func(path, host string, header ...string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Header.Del("X-Request-Id")
		return resp.StatusCode, fmt.Sprint(resp.Header, string(body))
	}
	paths := []string{"/", "/login", "/api/v1/site", "/proxy/example.com/x/@v/list", "/github.com/a/b/info/refs?service=git-upload-pack", "/github.com/a/b?go-get=1"}
	for _, path := range paths {
		for _, host := range []string{"evil.test", "git.corp.example.evil.test", "lab.example", "evil.test:8080", "1.2.3.4.evil.test", "evil.test."} {
			if got, text := get(path, host); got != http.StatusMisdirectedRequest || !strings.Contains(text, "http.hosts") || strings.Contains(text, "evil") {
				t.Errorf("GET %s for %s = %d %.200s, want 421 and how to mend it", path, host, got, text)
			}
		}
		for _, host := range []string{"git.corp.example", "GIT.corp.example.:443", "other.example:8080", "a.b.lab.example", "127.0.0.1", "127.0.0.1:99", "[::1]:8080", "localhost:1", "gitmirror", "10.1.2.3"} {
			if got, text := get(path, host); got == http.StatusMisdirectedRequest {
				t.Errorf("GET %s for %s = %d %.200s, want an answer", path, host, got, text)
			}
		}
		for _, header := range [][]string{{"X-Forwarded-Host", "evil.test"}, {"X-Forwarded-Proto", "evil.test"}, {"Forwarded", "host=evil.test"}, {"X-Original-Url", "/evil.test"}, {"X-Forwarded-Prefix", "/evil.test"}, {"X-Forwarded-For", "evil.test"}} {
			if got, text := get(path, "git.corp.example", header...); strings.Contains(text, "evil.test") {
				t.Errorf("GET %s with %v = %d %.300s: it comes back", path, header, got, text)
			}
		}
	}
	if got, text := get("/healthz", "evil.test"); got != http.StatusOK {
		t.Errorf("GET /healthz = %d %s, want 200", got, text)
	}
	unnamed := serve(t, http.DefaultClient, "http", "--modules-proxies", "off", "--modules-sumdb", "off")
	s.url = unnamed.url
	if got, text := get("/api/v1/site", "anything.test:8080"); got != http.StatusOK {
		t.Errorf("GET /api/v1/site of a server without a name = %d %.200s, want 200", got, text)
	}
}

// say sends bytes and returns what comes back until the server hangs up.
func say(t *testing.T, conn net.Conn, text string) string {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(conn, strings.NewReader(text)) }() // it may hang up before the end
	var got bytes.Buffer
	_, _ = io.Copy(&got, conn)
	return got.String()
}

// HOSTILE D07: requests that are none, or do not end, cost their sender the
// connection, and nobody else anything.
func TestD07Requests(t *testing.T) {
	s := serve(t, http.DefaultClient, "http")
	addr := strings.TrimPrefix(s.url, "http://")
	dial := func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	const at = "POST /api/v1/login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
	for _, tt := range []struct{ name, request, want string }{
		{"two lengths", at + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400"},
		{"no length", at + "Content-Length: x\r\n\r\n", "400"},
		{"odd coding", at + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"},
		{"space before the colon", at + "Content-Length : 3\r\n\r\nabc", "400"},
		{"folded", at + "X: a\r\n b\r\nConnection: close\r\n\r\n", ""},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
		{"100,000 headers", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + strings.Repeat("X-A: b\r\n", 100_000) + "\r\n", "431"},
		{"one of 1 MB", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", "431"},
		{"odd expectation", at + "Expect: 200-maybe\r\nContent-Length: 3\r\n\r\nabc", "417"},
		{"a line without end", "GET /" + strings.Repeat("a", 1<<20), ""},
	} {
		got := say(t, dial(), tt.request)
		if !strings.HasPrefix(got, strings.TrimSpace("HTTP/1.1 "+tt.want)) && tt.want != "" || strings.Contains(got, "HTTP/1.1 5") && tt.want != "501" {
			t.Errorf("%s: %.100q, want %s", tt.name, got, tt.want)
		}
	}

	// Of two ways to say how long a body is the chunks count, and what is behind them
	// is no second request of somebody else's: one answer, or two in their order.
	both := at + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
	smuggled := "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
	got := say(t, dial(), both+smuggled)
	r := bufio.NewReader(strings.NewReader(got))
	first, err := http.ReadResponse(r, nil)
	if err != nil || first.StatusCode < 400 {
		t.Fatalf("answer to chunks with a length = %q, want a refusal", got)
	}
	if n := strings.Count(got, "HTTP/1.1 "); n > 2 {
		t.Errorf("%d answers to two requests", n)
	}

	// Somebody who waits for 100-continue and is refused need not send the body.
	conn := dial()
	if got := say(t, conn, "POST /github.com/a/b.git/git-receive-pack HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 1000000000\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 4") {
		t.Errorf("answer to one who expects 100-continue = %.200q, want a refusal and no 100", got)
	}

	// Headers that do not come to an end.
	slow := dial()
	fmt.Fprint(slow, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow:")
	began := time.Now()
	if got := say(t, slow, " a"); strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("answer to half a request = %.100q", got)
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("half a request was waited for for %v", took)
	}
	resp, err := http.Get(s.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET /readyz afterwards = %d, want 200", resp.StatusCode)
	}
}

// HOSTILE D07: streams that are begun and reset at once, ten thousand of them, end
// the connection at most; others are served.
func TestD07RapidReset(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir+"/cert.pem", dir+"/key.pem", 1)
	trusting := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}} // it is ours
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	s := serve(t, client, "https", "--tls-mode", "files", "--tls-cert", dir+"/cert.pem", "--tls-key", dir+"/key.pem")
	addr := strings.TrimPrefix(s.url, "https://")
	conn, err := (&tls.Dialer{Config: trusting}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Fatalf("the server speaks %q, want HTTP/2", got)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, conn)
	}()
	fmt.Fprint(conn, http2.ClientPreface)
	var block bytes.Buffer
	fields := hpack.NewEncoder(&block)
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for id := uint32(1); id < 20_000; id += 2 {
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/proxy/example.com/x/@v/list"}, {":authority", addr}} {
			if err := fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				t.Fatal(err)
			}
		}
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}) != nil ||
			framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break // it has hung up
		}
	}
	resp, err := client.Get(s.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET /readyz meanwhile = %d, want 200", resp.StatusCode)
	}
	conn.Close()
	<-ended
}
