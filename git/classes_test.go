package git_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestRetryAfter(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(1, 1))
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		status        int
		name, value   string
		code          mirror.Code
		class         mirror.Class
		atLeast, most time.Duration // from now; zero = not said
	}{
		{429, "Retry-After", "120", mirror.CodeThrottled, mirror.Throttled, time.Minute, 2 * time.Minute},
		{429, "Retry-After", date(10 * time.Minute), mirror.CodeThrottled, mirror.Throttled, 5 * time.Minute, 10 * time.Minute},
		{429, "Retry-After", "315360000", mirror.CodeThrottled, mirror.Throttled, 50 * time.Minute, time.Hour},
		{429, "Retry-After", date(87600 * time.Hour), mirror.CodeThrottled, mirror.Throttled, 50 * time.Minute, time.Hour},
		{429, "Retry-After", "99999999999999999999999", mirror.CodeThrottled, mirror.Throttled, 50 * time.Minute, time.Hour},
		{429, "Retry-After", "-5", mirror.CodeThrottled, mirror.Throttled, 0, 0},
		{429, "Retry-After", date(-time.Hour), mirror.CodeThrottled, mirror.Throttled, 0, 0},
		{429, "Retry-After", "soon", mirror.CodeThrottled, mirror.Throttled, 0, 0},
		{429, "X", "", mirror.CodeThrottled, mirror.Throttled, 0, 0},
		{403, "Retry-After", "120", mirror.CodeThrottled, mirror.Throttled, time.Minute, 2 * time.Minute},
		{403, "X", "", mirror.CodeAuth, mirror.Ambiguous, 0, 0},
		{503, "Retry-After", "120", mirror.CodeServer, mirror.ServerTrouble, time.Minute, 2 * time.Minute},
		{502, "X", "", mirror.CodeServer, mirror.ServerTrouble, 0, 0},
	} {
		mend := h.up.Break(gittest.Fault{Status: c.status, Header: http.Header{c.name: {c.value}}})
		before := time.Now()
		_, err := h.List(t.Context(), h.from)
		p := problem(t, "List", err, nil, c.code)
		if p.Class() != c.class {
			t.Errorf("%d %s: Class = %q, want %q", c.status, c.value, p.Class(), c.class)
		}
		if wait := p.RetryAfter.Sub(before); p.RetryAfter.IsZero() != (c.most == 0) || c.most != 0 && (wait < c.atLeast || wait > c.most+time.Minute) {
			t.Errorf("%d %s: %s: RetryAfter = %v, in %v, want in %v to %v", c.status, c.name, c.value, p.RetryAfter, wait, c.atLeast, c.most)
		}
		mend()
	}
	mend := h.up.Break(gittest.Fault{Status: 403, Body: "You have exceeded a secondary rate limit", Header: http.Header{"Content-Type": {"text/plain"}}})
	_, err := h.List(t.Context(), h.from)
	problem(t, "List with a secondary limit", err, mirror.ErrUpstream, mirror.CodeThrottled)
	mend()
}

func TestThrottledAnonymously(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(1, 1))
	inBand := gittest.Fault{Path: "/git-upload-pack", Status: 200, Header: http.Header{"Content-Type": {"application/x-git-upload-pack-result"}},
		Body: pkt("ERR GitHub is temporarily limiting some unauthenticated downloads. Please sign in.")}
	mend := h.up.Break(inBand)
	_, err := h.List(t.Context(), h.from)
	p := problem(t, "List", err, mirror.ErrUpstream, mirror.CodeAnonymous)
	if p.Class() != mirror.ThrottledAnonymous {
		t.Errorf("Class = %q, want %q", p.Class(), mirror.ThrottledAnonymous)
	}
	ref := []mirror.Ref{{Name: "refs/heads/main", Hash: h.up.Rev(t, project, "main")}}
	_, err = h.Fetch(t.Context(), h.id, h.from, ref, nil)
	problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeAnonymous)
	// Who signs in is limited like anybody, and cannot be told to sign in.
	h.from.Credential = &mirror.Credential{Name: "ci", Host: "127.0.0.1", User: "reader", Secret: password}
	_, err = h.List(t.Context(), h.from)
	problem(t, "List with a credential", err, mirror.ErrUpstream, mirror.CodeThrottled)
	mend()
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(1, 1))
	const there = "https://git.example.com/new/name"
	for to, want := range map[string]string{
		there + ".git/info/refs?service=git-upload-pack":                there + ".git",
		there + "/git-upload-pack":                                      there,
		"https://user:secret@git.example.com/new/name/info/refs#x":      there,
		"/new/name.git/info/refs?service=git-upload-pack&token=hunter2": h.up.Base() + "/new/name.git",
		"http://169.254.169.254/latest/meta-data":                       "http://169.254.169.254/latest/meta-data",
	} {
		for _, status := range []int{301, 302, 307, 308} {
			mend := h.up.Break(gittest.Fault{Status: status, Header: http.Header{"Location": {to}}})
			_, err := h.List(t.Context(), h.from)
			p := problem(t, "List", err, mirror.ErrUpstream, mirror.CodeRedirect)
			if p.Location != want || p.Class() != mirror.Moved || strings.Contains(p.Error(), "hunter2") || strings.Contains(p.Error(), "secret") {
				t.Errorf("%d to %s: Location = %q, %q, want %q", status, to, p.Location, p.Error(), want)
			}
			mend()
		}
	}
	mend := h.up.Break(gittest.Fault{Status: 302})
	_, err := h.List(t.Context(), h.from)
	if p := problem(t, "List", err, mirror.ErrUpstream, mirror.CodeRedirect); p.Location != "" {
		t.Errorf("Location = %q of a redirect to nowhere, want none", p.Location)
	}
	mend()
	if n := len(h.up.Requests()); n != 5*4+1 {
		t.Errorf("%d requests, want one each", n)
	}
}

func TestBrokenConnections(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(1, 1))
	for name, f := range map[string]gittest.Fault{
		"reset before the answer": {Reset: true},
		"reset in the answer":     {Reset: true, After: 20},
		"ended in the answer":     {Truncate: true, After: 20},
	} {
		mend := h.up.Break(f)
		_, err := h.List(t.Context(), h.from)
		if p := problem(t, name, err, mirror.ErrUpstream, mirror.CodeCutOff); p.Class() != mirror.Network {
			t.Errorf("%s: Class = %q, want %q", name, p.Class(), mirror.Network)
		}
		mend()
	}
}

func TestCredentialIsSentAtOnce(t *testing.T) {
	// Hosts limit those who do not sign in, and cannot know who would.
	h := newHouse(t)
	h.up.Commit(t, project, files(1, 1)) // public
	h.from.Credential = &mirror.Credential{Name: "ci", Host: "127.0.0.1", User: "reader", Secret: password}
	h.mustSync(t)
	for _, r := range h.up.Requests() {
		if r.User != "reader" {
			t.Errorf("%s %s came without the credential", r.Method, r.Path)
		}
	}
}

func TestCertificates(t *testing.T) {
	now := time.Now()
	ca := newCA(t)
	for name, c := range map[string]struct {
		config func(*tls.Config)
		says   string
	}{
		"expired": {func(c *tls.Config) {
			c.Certificates = ca.leaf(t, now.Add(-48*time.Hour), now.Add(-24*time.Hour), "127.0.0.1")
		}, "expired on"},
		"not yet": {func(c *tls.Config) {
			c.Certificates = ca.leaf(t, now.Add(24*time.Hour), now.Add(48*time.Hour), "127.0.0.1")
		}, "valid only from"},
		"other host": {func(c *tls.Config) { c.Certificates = ca.leaf(t, now.Add(-time.Hour), now.Add(time.Hour), "192.0.2.1") }, "other names"},
		"unknown CA": {func(c *tls.Config) {
			c.Certificates = newCA(t).leaf(t, now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1")
		}, "not valid here"},
		"TLS 1.0":     {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }, "not valid here"},
		"client cert": {func(c *tls.Config) { c.ClientAuth = tls.RequireAndVerifyClientCert }, "not valid here"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.TLS = &tls.Config{Certificates: ca.leaf(t, now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1")}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			c.config(server.TLS)
			server.StartTLS()
			defer server.Close()
			disk := open(t, t.TempDir(), func(d *git.Disk) { d.CAFile = ca.file })
			from := remote(t, server.URL+"/team/project")
			_, err := disk.List(t.Context(), from)
			p := problem(t, "List", err, mirror.ErrUpstream, mirror.CodeTLS)
			if !strings.Contains(p.Why, c.says) || p.Class() != mirror.Network {
				t.Errorf("Why = %q (%s), want %q in it\n%s", p.Why, p.Class(), c.says, p.Raw)
			}
		})
	}
}

// authority signs certificates; file holds its own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newCA(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	ca := &authority{cert: cert, key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	write(t, ca.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return ca
}

// leaf is a server's certificate for names and addresses.
func (ca *authority) leaf(t *testing.T, from, to time.Time, hosts ...string) []tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
}
