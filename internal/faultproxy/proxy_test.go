package faultproxy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/faultproxy"
)

// body is what every target answers.
var body = strings.Repeat("0123456789", 10_000)

func target(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-test")
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s
}

// get asks along the road with a client of its own, for at most d.
func get(t *testing.T, url string, d time.Duration) (status int, got string, err error) {
	t.Helper()
	client := &http.Client{
		Timeout: d, Transport: &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	res, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// short is long enough for all that comes before a road goes silent.
const long, short = 2 * time.Minute, 3 * time.Second

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		toxic faultproxy.Toxic
		got   string // what comes before the end
		fails bool
		wait  time.Duration
	}{
		{faultproxy.Toxic{Kind: faultproxy.Latency, Delay: faultproxy.Duration(time.Millisecond), Jitter: faultproxy.Duration(time.Millisecond)}, body, false, long},
		{faultproxy.Toxic{Kind: faultproxy.Bandwidth, Rate: 2_000_000}, body, false, long},
		{faultproxy.Toxic{Kind: faultproxy.Slice, Size: 997}, body, false, long},
		{faultproxy.Toxic{Kind: faultproxy.Stall, Bytes: 4000}, body[:4000], true, short},
		{faultproxy.Toxic{Kind: faultproxy.Stall}, "", true, short},
		{faultproxy.Toxic{Kind: faultproxy.Reset, Bytes: 0}, "", true, long},
		{faultproxy.Toxic{Kind: faultproxy.Truncate, Bytes: 99_999}, body[:99_999], true, long},
		{faultproxy.Toxic{Kind: faultproxy.HalfClose, Bytes: 5}, body[:5], true, long},
		{faultproxy.Toxic{Kind: faultproxy.Flip, Bytes: 50_000, Mask: 1}, body[:50_000] + "1" + body[50_001:], false, long},
		{faultproxy.Toxic{Kind: faultproxy.EndEarly, Bytes: 10}, body[:10], false, long},
		{faultproxy.Toxic{Kind: faultproxy.Length, Bytes: 10}, body, true, long},
		{faultproxy.Toxic{Kind: faultproxy.Length, Bytes: -10}, body[:99_990], false, long},
		{faultproxy.Toxic{Kind: faultproxy.NeverClose}, body, true, short},
		{faultproxy.Toxic{Kind: faultproxy.SlowHeaders, Delay: faultproxy.Duration(time.Microsecond)}, body, false, long},
	} {
		t.Run(fmt.Sprint(c.toxic.Kind, " at ", c.toxic.Bytes), func(t *testing.T) {
			t.Parallel()
			road := faultproxy.New(t, target(t).URL)
			mend := road.Add(c.toxic)
			_, got, err := get(t, road.URL()+"/x", c.wait)
			if got != c.got || (err != nil) != c.fails || c.wait == short && !timedOut(err) {
				t.Errorf("GET = %d bytes, %v, want %d, error %v", len(got), err, len(c.got), c.fails)
			}
			mend()
			if _, got, err := get(t, road.URL()+"/x", long); got != body || err != nil {
				t.Errorf("mended: GET = %d bytes, %v, want %d", len(got), err, len(body))
			}
		})
	}
}

func TestDuplicate(t *testing.T) {
	road := faultproxy.New(t, tcpTarget(t))
	road.Add(faultproxy.Toxic{Kind: faultproxy.Duplicate, Bytes: 2, Size: 3})
	if got := talk(t, road.Addr(), "hello\n"); got != "hello\n"[:5]+"llo\n" {
		t.Errorf("read = %q, want %q", got, "hellollo\n")
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		toxic  faultproxy.Toxic
		status int
		says   string
	}{
		{faultproxy.Toxic{Kind: faultproxy.Status, Status: 429, Header: map[string]string{"Retry-After": "7"}, Body: "slow down"}, 429, "slow down"},
		{faultproxy.Toxic{Kind: faultproxy.Page}, 200, "<html>"},
		{faultproxy.Toxic{Kind: faultproxy.Redirect}, 302, ""},
		{faultproxy.Toxic{Kind: faultproxy.GzipBomb, Bytes: 10 << 20}, 200, "\x1f\x8b"},
	} {
		road := faultproxy.New(t, target(t).URL)
		road.Add(c.toxic)
		status, got, err := get(t, road.URL()+"/x", long)
		if status != c.status || !strings.HasPrefix(got, c.says) || err != nil || len(got) > 1<<20 {
			t.Errorf("%s: GET = %d, %d bytes, %v, want %d, %q…", c.toxic.Kind, status, len(got), err, c.status, c.says)
		}
	}
	for _, kind := range []faultproxy.Kind{faultproxy.Hang, faultproxy.HangInside} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			road := faultproxy.New(t, target(t).URL)
			mend := road.Add(faultproxy.Toxic{Kind: kind})
			if _, _, err := get(t, road.URL(), short); !timedOut(err) {
				t.Errorf("GET = %v, want a time-out", err)
			}
			ended := make(chan error, 1)
			go func() {
				_, _, err := get(t, road.URL(), long)
				ended <- err
			}()
			for len(road.Transcript()) < 2 {
				time.Sleep(time.Millisecond)
			}
			mend() // what hangs ends
			if err := <-ended; err == nil || timedOut(err) {
				t.Errorf("mended: GET = %v, want a cut", err)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	road := faultproxy.New(t, target(t).URL)
	road.Add(faultproxy.Toxic{Kind: faultproxy.Status, Status: 503, Match: faultproxy.Match{Path: "/bad", Skip: 1, Times: 2}})
	var got []int
	for _, path := range []string{"/good", "/bad", "/bad", "/bad", "/bad", "/good"} {
		status, _, err := get(t, road.URL()+path, long)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, status)
	}
	for i, want := range []int{200, 200, 503, 503, 200, 200} {
		if got[i] != want {
			t.Errorf("statuses = %v, want %d at %d", got, want, i)
		}
	}
	if lines := road.Lines(); strings.Count(lines, `"end":"status"`) != 2 || strings.Count(lines, "\n") != 6 {
		t.Errorf("Lines = %s, want 6, two of them ended by the toxic", lines)
	}
}

func TestMatchOfBodies(t *testing.T) {
	road := faultproxy.New(t, target(t).URL)
	road.Add(faultproxy.Toxic{Kind: faultproxy.Status, Status: 503, Match: faultproxy.Match{Body: "command=fetch"}})
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, "0011command=fetch")
	_ = z.Close()
	for body, want := range map[string]int{"0014command=ls-refs": 200, "0011command=fetch": 503, zipped.String(): 503} {
		res, err := http.Post(road.URL(), "application/x-test", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("POST %q = %d, want %d", body, res.StatusCode, want)
		}
	}
}

func TestChanceIsSeeded(t *testing.T) {
	var first string
	for range 2 {
		road := faultproxy.New(t, target(t).URL, faultproxy.Options{Seed: 7})
		road.Add(faultproxy.Toxic{Kind: faultproxy.Status, Status: 500, Match: faultproxy.Match{Chance: 0.5}})
		var got strings.Builder
		for range 20 {
			status, _, err := get(t, road.URL(), long)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteByte("x."[min(1, status/500)])
		}
		if first == "" {
			first = got.String()
		} else if got.String() != first || !strings.Contains(first, "x") || !strings.Contains(first, ".") {
			t.Errorf("the same seed gives %s and %s, want the same mixture", first, got.String())
		}
	}
}

func TestTimeline(t *testing.T) {
	road := faultproxy.New(t, target(t).URL)
	err := road.Play(`[
		{"kind": "status", "status": 500, "end": "10ms"},
		{"kind": "status", "status": 501, "start": "10ms", "match": {"path": "/x"}}
	]`)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(long)
	for status := 0; status != 501; {
		if status, _, err = get(t, road.URL()+"/x", long); err != nil || time.Now().After(deadline) {
			t.Fatalf("GET = %d, %v, want 500, then 501", status, err)
		}
	}
	if status, _, err := get(t, road.URL()+"/y", long); status != 200 || err != nil {
		t.Errorf("GET of what does not match = %d, %v, want 200", status, err)
	}
	for _, bad := range []string{`[{"kind":"none"}]`, `[{"kind":"bandwidth"}]`, `[{"kind":"status"}]`, `[{"kind":"stall","bytes":-1}]`,
		`[{"kind":"hang","start":"2s","end":"1s"}]`, `[{"kind":"hang","what":1}]`, `{`, `[{"kind":"hang","start":"soon"}]`} {
		if _, err := faultproxy.Parse([]byte(bad)); err == nil {
			t.Errorf("Parse(%s) = nil, want an error", bad)
		}
	}
}

// tcpTarget answers a line with the line, then hangs up.
func tcpTarget(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, err := bufio.NewReader(c).ReadString('\n')
				if err == nil {
					_, _ = io.WriteString(c, line)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func talk(t *testing.T, addr, line string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "" // a reset may come so early that there was no connection
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(long))
	_, _ = io.WriteString(c, line)
	got, _ := io.ReadAll(c)
	return string(got)
}

func TestConnections(t *testing.T) {
	road := faultproxy.New(t, tcpTarget(t))
	if got := talk(t, road.Addr(), "hello\n"); got != "hello\n" {
		t.Errorf("read = %q, want the line", got)
	}
	for _, c := range []struct {
		toxic faultproxy.Toxic
		want  string
	}{
		{faultproxy.Toxic{Kind: faultproxy.Reset}, ""},
		{faultproxy.Toxic{Kind: faultproxy.Truncate, Bytes: 2}, "he"},
		{faultproxy.Toxic{Kind: faultproxy.Flip, Bytes: 0, Mask: 0x20}, "Hello\n"},
		{faultproxy.Toxic{Kind: faultproxy.Flip, Bytes: 1, Mask: 0x20, Up: true}, "hEllo\n"},
		{faultproxy.Toxic{Kind: faultproxy.Slice}, "hello\n"},
		{faultproxy.Toxic{Kind: faultproxy.Truncate, Bytes: 3, Up: true}, ""},
	} {
		mend := road.Add(c.toxic)
		if got := talk(t, road.Addr(), "hello\n"); got != c.want {
			t.Errorf("%s (up %v): read = %q, want %q", c.toxic.Kind, c.toxic.Up, got, c.want)
		}
		mend()
	}
	// A stalled connection ends when the toxic goes, and when the client does.
	mend := road.Add(faultproxy.Toxic{Kind: faultproxy.Stall})
	done := make(chan string)
	go func() { done <- talk(t, road.Addr(), "hello\n") }()
	for n := 0; n == 0; time.Sleep(time.Millisecond) {
		n = len(road.Transcript()) - 7
	}
	mend()
	if got := <-done; got != "" {
		t.Errorf("stalled: read = %q, want nothing", got)
	}
	road.Close()
	if _, err := net.Dial("tcp", road.Addr()); err == nil {
		t.Error("Dial behind Close = nil, want an error")
	}
}

func TestCertificates(t *testing.T) {
	ca := faultproxy.NewCA(t)
	good := ca.Good(t)
	road := faultproxy.New(t, target(t).URL, faultproxy.Options{TLS: &good})
	client := &http.Client{Timeout: long, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	ask := func() (string, error) {
		res, err := client.Get(road.URL())
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return string(b), err
	}
	if got, err := ask(); got != body || err != nil {
		t.Fatalf("GET = %d bytes, %v, want %d", len(got), err, len(body))
	}
	for what, cert := range map[string]tls.Certificate{
		"expired": ca.Expired(t), "127.0.0.1": ca.Issue(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "example.com"),
		"unknown authority": faultproxy.NewCA(t).Good(t),
	} {
		road.Present(cert) // kept connections must not hide it
		if _, err := ask(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("GET with another certificate = %v, want %q in it", err, what)
		}
	}
	road.Present(good)
	if got, err := ask(); got != body || err != nil {
		t.Errorf("GET = %d bytes, %v, want %d", len(got), err, len(body))
	}
	if !bytes.Contains(ca.PEM(), []byte("BEGIN CERTIFICATE")) {
		t.Errorf("PEM = %q, want a certificate", ca.PEM())
	}
}
