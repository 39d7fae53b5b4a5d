package git

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// HTTPClient is for what goes out and is not git: it passes the same guard and
// the company's proxy, and follows no redirect. Its requests need a deadline.
func (d *Disk) HTTPClient() *http.Client { return d.state.client }

// httpClient is the HTTP client for upstreams: guarded, along no proxy but the
// company's, following nothing.
func (d *Disk) httpClient() (*http.Client, error) {
	d.state.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if d.CAFile != "" {
		pem, err := os.ReadFile(d.CAFile)
		if err != nil {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the file of trusted certificates cannot be read", Why: err.Error()}
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the file of trusted certificates holds none", Why: d.CAFile + " is not in PEM form"}
		}
		d.state.tls.RootCAs = pool
	}
	return &http.Client{
		Transport:     d.newTransport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// transport chooses the road and the version of HTTP by host.
type transport struct {
	versions *versions
	company  *company
	modern   *http.Transport // https, HTTP/2 where the host knows it
	old      *http.Transport // https, HTTP/1.1 alone
	plain    *http.Transport // http
	asked    *http.Transport // http, through the company's proxy
}

func (d *Disk) newTransport() *transport {
	return &transport{
		versions: &d.state.versions, company: d.state.company,
		modern: d.pool(d.reach, true), old: d.pool(d.reach, false), plain: d.pool(d.dial, false), asked: d.asking(),
	}
}

// pool keeps connections that dial makes.
func (d *Disk) pool(dial func(ctx context.Context, network, address string) (net.Conn, error), modern bool) *http.Transport {
	config := d.state.tls.Clone()
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		d.state.versions.spoke(cs.ServerName, cs.NegotiatedProtocol == "h2")
		return nil
	}
	t := &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    64, // checks run side by side
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              new(http.Protocols),
		// A connection that died without a word is noticed by its silence.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 20 * time.Second, PingTimeout: 15 * time.Second},
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(modern)
	return t
}

// asking is for plain http through the company's proxy, which is asked for the
// whole URL. A SOCKS proxy knows nothing of HTTP and gives a connection.
func (d *Disk) asking() *http.Transport {
	if d.state.company == nil {
		return nil
	}
	if d.state.company.url.Scheme == "socks5" {
		return d.pool(d.reach, false)
	}
	via := *d.state.company.url
	via.Scheme = "http" // dialProxy has agreed on TLS already
	t := d.pool(d.dialProxy, false)
	t.Proxy = http.ProxyURL(&via)
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Hostname()
	var pool *http.Transport
	switch {
	case req.URL.Scheme == "http" && t.company.takes("http", host, port(req)):
		pool = t.asked
	case req.URL.Scheme == "http":
		pool = t.plain
	case t.versions.downgraded(host):
		pool = t.old
	default:
		pool = t.modern
	}
	res, err := pool.RoundTrip(req)
	if pool != t.modern {
		return res, err
	}
	if err != nil {
		t.versions.failed(req.Context(), host, err)
		return nil, err
	}
	if res.ProtoMajor == 2 {
		t.versions.spoke(host, true)
		res.Body = &watchedBody{ReadCloser: res.Body, ctx: req.Context(), versions: t.versions, host: host}
	}
	return res, nil
}

// CloseIdleConnections is for http.Client's.
func (t *transport) CloseIdleConnections() {
	for _, pool := range []*http.Transport{t.modern, t.old, t.plain, t.asked} {
		if pool != nil {
			pool.CloseIdleConnections()
		}
	}
}

func port(req *http.Request) string {
	if p := req.URL.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[req.URL.Scheme]
}

// watchedBody is the body of an answer over HTTP/2.
type watchedBody struct {
	io.ReadCloser
	ctx      context.Context // of the request
	versions *versions
	host     string
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.versions.failed(b.ctx, b.host, err)
	}
	return n, err
}
