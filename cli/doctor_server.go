package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
	"github.com/gitmirror/gitmirror/web"
)

// examineServer asks the server who and where it is. Without an answer the
// client is nil, and the site what is known here.
func (d *doctor) examineServer(ctx context.Context) (*client, mirror.Site) {
	c, err := d.client()
	if err != nil {
		d.fail("server", err)
		site := mirror.Site{}
		if len(d.facts.Roots) > 0 {
			site.URL = "https://" + d.facts.Roots[0]
		}
		return nil, site
	}
	site := mirror.Site{URL: c.URL}
	d.examineProxies(site)
	var answer web.Site
	if err := c.call(ctx, http.MethodGet, api+"/site", nil, &answer); err != nil {
		d.fail("server", d.unanswered(ctx, c.URL, err))
		return nil, site
	}
	d.ok("server", "%s answers (gitmirror %s)", c.URL, answer.Version)
	site = mirror.Site{URL: answer.URL, SSH: answer.SSH}
	if site.URL != c.URL {
		d.examineProxies(site)
	}
	var me web.Identity
	if err := c.call(ctx, http.MethodGet, api+"/whoami", nil, &me); err != nil {
		d.fail("sign-in", err)
		c = nil
	} else {
		d.ok("sign-in", "you are %s (%s)", me.Name, me.Role)
	}
	if p := rewrite.CheckSite(site); p != nil {
		d.fail("address", p)
	}
	return c, site
}

// unanswered says more exactly why a server does not answer: it asks again as
// the go command would.
func (d *doctor) unanswered(ctx context.Context, address string, err error) error {
	if explain(err).Code != codeReach {
		return err
	}
	g := d.goClient()
	defer g.http.CloseIdleConnections()
	if _, _, again := g.get(ctx, address+"/healthz"); again != nil {
		return again
	}
	return err
}

// examineProxies looks whether the proxy settings of the environment, or git's,
// catch the mirror.
func (d *doctor) examineProxies(site mirror.Site) {
	u, err := url.Parse(site.URL)
	if err != nil || u.Host == "" {
		return
	}
	warn := func(who, proxy string) {
		shown := proxy
		if p, err := url.Parse(proxy); err == nil {
			shown = p.Redacted()
		}
		d.warn("proxy", &mirror.Problem{Code: mirror.CodeConnect, What: who + " asks for " + u.Host + " through the proxy " + shown, Why: "a proxy of the company often does not lead back inside",
			Do: "if the mirror is inside: add " + u.Hostname() + " to NO_PROXY and to no_proxy"})
	}
	config := d.proxies()
	if through, err := config.ProxyFunc()(u); err == nil && through != nil {
		warn("the go command", through.String())
	}
	// To git loopback is a host like others, and its variable for http is in lower case.
	for _, g := range d.git {
		if g.Key == "http.proxy" && g.Value != "" || strings.HasPrefix(g.Key, "http.") && strings.HasSuffix(g.Key, ".proxy") && strings.HasPrefix(site.URL+"/", strings.TrimSuffix(strings.TrimPrefix(g.Key, "http."), ".proxy")) {
			warn("git (setting "+g.Key+")", g.Value)
			return
		}
	}
	proxy := d.lookup("http_proxy")
	if u.Scheme == "https" {
		proxy = or(d.lookup("https_proxy"), d.lookup("HTTPS_PROXY"))
	}
	if proxy = or(proxy, d.lookup("all_proxy"), d.lookup("ALL_PROXY")); proxy != "" && !spared(config.NoProxy, u.Hostname()) {
		warn("git", proxy)
	}
}

// spared tells whether a NO_PROXY list names a host, as curl reads it.
func spared(list, host string) bool {
	addr, notAddr := netip.ParseAddr(host)
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if name, _, err := net.SplitHostPort(entry); err == nil {
			entry = name
		}
		if network, err := netip.ParsePrefix(entry); err == nil && notAddr == nil && network.Contains(addr) {
			return true
		}
		entry = strings.TrimPrefix(entry, ".")
		if entry == "*" || entry != "" && (strings.EqualFold(host, entry) || strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(entry))) {
			return true
		}
	}
	return false
}

// examineProxy tries, where GOPROXY names the mirror, what is not replaced.
func (d *doctor) examineProxy(ctx context.Context, site mirror.Site) {
	own := strings.TrimSuffix(site.URL, "/") + "/proxy"
	first, rest, _ := strings.Cut(strings.ReplaceAll(d.current["GOPROXY"], "|", ","), ",")
	if site.URL == "" || strings.TrimSuffix(first, "/") != own || d.facts.Vendored {
		return
	}
	g := d.goClient()
	defer g.http.CloseIdleConnections()
	var asked []mirror.ModuleVersion
	for _, m := range d.facts.Plain {
		if !d.private(m.Path) {
			asked = append(asked, m)
		}
	}
	if len(asked) == 0 {
		return
	}
	d.tryAll(ctx, "goproxy", asked, func(ctx context.Context, m mirror.ModuleVersion) error {
		err := g.goMod(ctx, own, m)
		if rest != "" && errors.Is(err, mirror.ErrNotFound) {
			return nil // the next of the list is asked
		}
		return err
	})
}
