package git

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"

	"github.com/gitmirror/gitmirror/mirror"
)

const tunnelTimeout = 30 * time.Second

// company is the proxy of the network this server is in. What goes through it
// is resolved by it: the guard sees names only, and it is for the proxy to keep
// clients off its own network. Addresses written out in a URL are checked as ever.
type company struct {
	url    *url.URL
	choose func(*url.URL) (*url.URL, error)
}

// ParseProxy reads the URL of a proxy: http, https or socks5, perhaps with user
// and password. Empty = none.
func ParseProxy(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Hostname() == "":
		err = errors.New("write a URL such as http://proxy.corp.example:3128")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		err = errors.New("its scheme must be http, https or socks5")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		err = errors.New("leave out path, query and fragment")
	}
	if err != nil {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the proxy for outgoing connections is not valid", Why: err.Error(),
			Do: "correct the setting network.proxy"}
	}
	return u, nil
}

func newCompany(text, except string) (*company, error) {
	u, err := ParseProxy(text)
	if err != nil || u == nil {
		return nil, err
	}
	config := httpproxy.Config{HTTPProxy: text, HTTPSProxy: text, NoProxy: except}
	return &company{url: u, choose: config.ProxyFunc()}, nil
}

// takes tells whether an upstream host is reached through the proxy. This
// machine itself never is.
func (c *company) takes(scheme, host, port string) bool {
	if c == nil {
		return false
	}
	to, err := c.choose(&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)})
	return err == nil && to != nil
}

// address is where the proxy listens.
func (c *company) address() string {
	port := c.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080"}[c.url.Scheme]
	}
	return net.JoinHostPort(c.url.Hostname(), port)
}

// reach connects to a host for https, or for any protocol of its own: through
// the company's proxy by name, or else through the guard by checked address.
func (d *Disk) reach(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !d.state.company.takes("https", host, port) {
		return d.dial(ctx, network, address)
	}
	if err := d.Blocked(mirror.Upstream{Host: host}); err != nil {
		return nil, err
	}
	conn, err := d.tunnel(ctx, network, address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, d.proxyFailed(host, err)
	}
	return d.state.bandwidths.limit(host, conn), nil
}

// dialProxy connects to the company's proxy. Whoever runs this server named it,
// so it may be on a private address, as most are.
func (d *Disk) dialProxy(ctx context.Context, network, _ string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(d.state.company.address())
	if err != nil {
		return nil, err
	}
	addrs, err := traced(ctx, host, func(ctx context.Context, host string) ([]netip.Addr, error) { return lookUp(ctx, host) })
	if err != nil {
		return nil, err
	}
	conn, err := race(ctx, network, addrs, port)
	if err != nil || d.state.company.url.Scheme != "https" {
		return conn, err
	}
	config := d.state.tls.Clone()
	config.ServerName = host
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// tunnel asks the proxy for a connection to address.
func (d *Disk) tunnel(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, tunnelTimeout)
	defer cancel()
	via := d.state.company.url
	if via.Scheme == "socks5" {
		var auth *proxy.Auth
		if via.User != nil {
			password, _ := via.User.Password()
			auth = &proxy.Auth{User: via.User.Username(), Password: password}
		}
		socks, err := proxy.SOCKS5(network, d.state.company.address(), auth, proxyDialer{d})
		if err != nil {
			return nil, err
		}
		return socks.(proxy.ContextDialer).DialContext(ctx, network, address)
	}
	conn, err := d.dialProxy(ctx, network, "")
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = connect(conn, via, address, d.userAgent())
	if !stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// connect is the CONNECT of RFC 9110, 9.3.6.
func connect(conn net.Conn, via *url.URL, address, agent string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{"User-Agent": {agent}}}
	if user := via.User; user != nil {
		password, _ := user.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReader(io.LimitReader(conn, 64<<10))
	res, err := http.ReadResponse(in, req)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New("it answered with status " + strconv.Itoa(res.StatusCode))
	}
	if in.Buffered() > 0 { // upstreams wait for us to speak
		return errors.New("it said more than it was asked")
	}
	return nil
}

// proxyFailed explains why there is no way through the company's proxy.
func (d *Disk) proxyFailed(host string, err error) *mirror.Problem {
	why := "the proxy did not let us through"
	if p := (*mirror.Problem)(nil); errors.As(err, &p) {
		why = p.What
	}
	password, _ := d.state.company.url.User.Password()
	return &mirror.Problem{Code: mirror.CodeConnect, Kind: mirror.ErrUpstream,
		What: "no connection to " + host + " through the proxy " + d.state.company.address(), Why: why,
		Do: "check the settings network.proxy and network.no_proxy, and whether the proxy allows this host; it is tried again by itself", Raw: clean(err.Error(), []string{password})}
}

// proxyDialer is how the SOCKS client reaches the proxy.
type proxyDialer struct{ disk *Disk }

func (p proxyDialer) Dial(network, address string) (net.Conn, error) {
	return p.DialContext(context.Background(), network, address)
}

func (p proxyDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return p.disk.dialProxy(ctx, network, address)
}
