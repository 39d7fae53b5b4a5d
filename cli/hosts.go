package cli

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// hosts are the names this server answers for over HTTP. A page of somebody else
// whose name suddenly leads here (DNS rebinding) must not read what is served to
// this network, and nothing that is kept must be about a name a client made up. A
// name without a dot, and an address, cannot be anybody's on the outside.
type hosts struct {
	any   bool
	exact map[string]bool
	below []string // ".corp.example" of "*.corp.example"
}

// newHosts are the host of public_url, that of http.addr, the machine's own name
// and those of http.hosts; every name while neither setting says what this server
// is called: whoever tries it out reaches it under any.
func newHosts(c Config, site mirror.Site) hosts {
	h := hosts{any: c.text("public_url") == "" && c.text("http.hosts") == "", exact: map[string]bool{}}
	listens, _, _ := net.SplitHostPort(c.text("http.addr"))
	own, _ := os.Hostname() // one that cannot be had is none
	for _, name := range append([]string{site.Host(), listens, own}, strings.Split(c.text("http.hosts"), ",")...) {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case name == "":
		case name == "*":
			h.any = true
		case strings.HasPrefix(name, "*."):
			h.below = append(h.below, name[1:])
		default:
			h.exact[name] = true
		}
	}
	return h
}

// has tells whether a Host header, in which a port may be, is one of them.
func (h hosts) has(header string) bool {
	name := header
	if host, _, err := net.SplitHostPort(header); err == nil {
		name = host
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if h.exact[name] || !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	for _, suffix := range h.below {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// guard refuses requests for other names, apart from questions how the server does.
func (h hosts) guard(next http.Handler) http.Handler {
	if h.any {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.has(r.Host) || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Connection", "close")
		http.Error(w, "this server does not answer for the host name of this request\n"+
			"if it should: name it in the setting http.hosts, or let public_url begin with it", http.StatusMisdirectedRequest)
	})
}
