package cli

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/net/http/httpproxy"

	"github.com/gitmirror/gitmirror/mirror"
)

// goClient asks a mirror what the go command would ask it, with the trust, the
// proxies and the credentials the go command would use: not those of our logins.
// Nothing it gets is run or written.
type goClient struct {
	http  *http.Client
	netrc []netrcEntry
}

// netrcEntry is one machine of a netrc file.
type netrcEntry struct{ machine, login, password string }

// proxies are the proxy settings of the environment.
func (p *program) proxies() *httpproxy.Config {
	return &httpproxy.Config{
		HTTPProxy:  or(p.lookup("HTTP_PROXY"), p.lookup("http_proxy")),
		HTTPSProxy: or(p.lookup("HTTPS_PROXY"), p.lookup("https_proxy")),
		NoProxy:    or(p.lookup("NO_PROXY"), p.lookup("no_proxy")),
	}
}

func (p *program) goClient() *goClient {
	through := p.proxies().ProxyFunc()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = func(r *http.Request) (*url.URL, error) { return through(r.URL) }
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = 10 * time.Second
	c := &goClient{netrc: p.readNetrc()}
	c.http = &http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if len(before) >= 10 || before[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
			return fmt.Errorf("redirected to %s", next.URL.Redacted())
		}
		return nil
	}}
	return c
}

// goNetrc is the file the go command reads credentials from.
func (p *program) goNetrc() string {
	if name := p.lookup("NETRC"); name != "" {
		return name
	}
	name := ".netrc"
	if runtime.GOOS == "windows" {
		name = "_netrc"
	}
	if p.lookup("HOME") == "" {
		return ""
	}
	return filepath.Join(p.lookup("HOME"), name)
}

// readNetrc reads it as cmd/go/internal/auth.parseNetrc does.
func (p *program) readNetrc() (all []netrcEntry) {
	name := p.goNetrc()
	if info, err := os.Stat(name); name == "" || err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var e netrcEntry
	macro := false
	for line := range strings.Lines(string(text)) {
		if macro {
			macro = strings.TrimSpace(line) != ""
			continue
		}
		f := strings.Fields(line)
		i := 0
		for ; i < len(f)-1; i += 2 {
			switch f[i] {
			case "machine":
				e = netrcEntry{machine: f[i+1]}
			case "login":
				e.login = f[i+1]
			case "password":
				e.password = f[i+1]
			case "macdef":
				macro = true
			}
			if e.machine != "" && e.login != "" && e.password != "" {
				all = append(all, e)
				e = netrcEntry{}
			}
		}
		if i < len(f) && f[i] == "default" {
			break
		}
	}
	return all
}

// credentials are those of a host; over http the go command sends none.
func (c *goClient) credentials(u *url.URL) (netrcEntry, bool) {
	for _, e := range c.netrc {
		if e.machine == u.Host {
			return e, u.Scheme == "https"
		}
	}
	return netrcEntry{}, false
}

// get reads an answer of at most 1 MB. The error is a *mirror.Problem.
func (c *goClient) get(ctx context.Context, address string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	if e, ok := c.credentials(req.URL); ok {
		req.SetBasicAuth(e.login, e.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return 0, nil, ctx.Err()
		}
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return 0, nil, explainSaid(err.Error(), req.URL.Host+" does not answer")
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, nil, explainSaid(err.Error(), "the answer of "+req.URL.Host+" broke off")
	}
	return resp.StatusCode, body, nil
}

// metaImport is a go-import tag.
type metaImport struct{ prefix, vcs, url string }

// discover finds where a module path is, as "go get" does.
func (c *goClient) discover(ctx context.Context, path string) (metaImport, error) {
	address := "https://" + path + "?go-get=1"
	status, body, err := c.get(ctx, address)
	if err != nil {
		return metaImport{}, err
	}
	var found metaImport
	for _, m := range parseMeta(body) {
		if path != m.prefix && !strings.HasPrefix(path, m.prefix+"/") {
			continue
		}
		if m.vcs == "mod" || found.vcs == "" { // the module protocol is preferred
			found = m
		}
	}
	switch {
	case found.vcs != "":
		return found, nil
	case status != http.StatusOK:
		text := fmt.Sprintf("unrecognized import path %q: reading %s: %d %s", path, address, status, http.StatusText(status))
		return metaImport{}, explainSaid(text, address+" answers "+http.StatusText(status))
	}
	return metaImport{}, explainSaid("parse "+address+": no go-import meta tags ()", "")
}

// parseMeta reads the go-import tags of a page's head, as cmd/go does.
func parseMeta(body []byte) (all []metaImport) {
	d := xml.NewDecoder(bufio.NewReader(strings.NewReader(string(body))))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	d.Strict = false
	for {
		t, err := d.RawToken()
		if err != nil {
			return all
		}
		if e, ok := t.(xml.EndElement); ok && strings.EqualFold(e.Name.Local, "head") {
			return all
		}
		e, ok := t.(xml.StartElement)
		if ok && strings.EqualFold(e.Name.Local, "body") {
			return all
		}
		if !ok || !strings.EqualFold(e.Name.Local, "meta") {
			continue
		}
		attr := map[string]string{}
		for _, a := range e.Attr {
			attr[strings.ToLower(a.Name.Local)] = a.Value
		}
		if f := strings.Fields(attr["content"]); attr["name"] == "go-import" && len(f) == 3 {
			all = append(all, metaImport{f[0], f[1], f[2]})
		}
	}
}

// goMod asks a module proxy for the go.mod of a version.
func (c *goClient) goMod(ctx context.Context, proxy string, m mirror.ModuleVersion) error {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return err
	}
	status, body, err := c.get(ctx, strings.TrimSuffix(proxy, "/")+"/"+path+"/@v/"+version+".mod")
	if err != nil || status == http.StatusOK {
		return err
	}
	said := strings.TrimSpace(string(body))
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return explainSaid(fmt.Sprintf("%s: %d %s", proxy, status, http.StatusText(status)), "")
	case http.StatusNotFound, http.StatusGone:
		return &mirror.Problem{Code: codeGoBuild, Kind: mirror.ErrNotFound, What: "the mirror does not have " + m.String(), Why: said,
			Do: "run: gitmirror rewrite --check; it says what to do for each module that is missing"}
	}
	return &mirror.Problem{Code: codeGoBuild, Kind: mirror.ErrUpstream, What: fmt.Sprintf("%s answers %d %s for %s", proxy, status, http.StatusText(status), m), Why: said,
		Do: "look into the server's log"}
}
