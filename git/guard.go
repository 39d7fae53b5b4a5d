package git

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const resolveTimeout = 10 * time.Second

// resolve turns a host into addresses that may be connected to. Everything that
// goes out connects to these, never to the name again, so a name that answers
// differently the second time gains nothing.
func (d *Disk) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := lookUp(ctx, host)
	if err != nil {
		return nil, err
	}
	var allowed []netip.Addr
	var why string
	setting := false // would let us connect
	for _, a := range addrs {
		a = a.Unmap()
		private, never := reserved(a)
		if never == "" && (private == "" || d.AllowPrivate) {
			allowed = append(allowed, a)
			continue
		}
		why = "it is " + never + private
		if a.String() != host {
			why = host + " is " + a.String() + ", " + never + private
		}
		setting = setting || never == ""
	}
	if len(allowed) > 0 {
		return allowed, nil
	}
	do := "check the URL"
	if setting {
		do = "check the URL; to mirror from your own network set security.allow_private_upstreams"
	}
	return nil, &mirror.Problem{Code: mirror.CodeBlocked, Kind: mirror.ErrDenied,
		What: "this server does not connect to " + host, Why: why, Do: do}
}

// Blocked tells at once why an upstream can never be read: its host is an
// address, or a name of this machine, that resolve refuses. Other names are
// looked up when they are connected to, and only then.
func (d *Disk) Blocked(up mirror.Upstream) error {
	host := up.Host
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		host = "127.0.0.1"
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return nil
	}
	_, err := d.resolve(context.Background(), host) // no look-up: it is an address
	return err
}

func lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addrs) > 0 {
		return addrs, nil
	}
	p := &mirror.Problem{Code: mirror.CodeDNS, Kind: mirror.ErrUpstream,
		What: "the name " + host + " could not be resolved", Why: "the name server did not answer",
		Do: "check this machine's name server (/etc/resolv.conf); it is tried again by itself"}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		if dns.IsNotFound {
			p.Why = "no such name is known"
			p.Do = "check the spelling of the URL and this machine's name server"
		}
		p.Raw = clean(dns.Error(), nil)
	}
	return nil, p
}

// reserved says what is special about an address: private ones are for the
// setting to allow, the others lead to no git server in any network.
func reserved(a netip.Addr) (private, never string) {
	if v4, ok := embedded(a); ok {
		if p, n := reserved(v4); p+n != "" {
			return p, n
		}
		return "", ""
	}
	switch {
	case a.IsLoopback():
		return "an address of this machine itself (loopback)", ""
	case a.IsUnspecified():
		return "", "not an address one can connect to"
	case a.IsLinkLocalUnicast():
		return "", "a link-local address (cloud machines answer there with their credentials)"
	case a.IsMulticast():
		return "", "a multicast address"
	case a.IsPrivate():
		return "an address of a private network", ""
	}
	for _, r := range []struct{ prefix, private, never string }{
		{"100.64.0.0/10", "an address of a provider's private network (CGNAT)", ""},
		{"0.0.0.0/8", "", "a reserved address"},
		{"192.0.0.0/24", "", "a reserved address"},
		{"192.0.2.0/24", "an address for documentation, which some networks use as private ones", ""},
		{"198.18.0.0/15", "an address for benchmarks", ""},
		{"198.51.100.0/24", "an address for documentation, which some networks use as private ones", ""},
		{"203.0.113.0/24", "an address for documentation, which some networks use as private ones", ""},
		{"240.0.0.0/4", "", "a reserved address"},
		{"::/96", "", "a reserved address"},
		{"64:ff9b:1::/48", "an address behind a local translator (NAT64)", ""},
		{"100::/64", "", "a reserved address"},
		{"2001::/23", "", "a reserved address"},
		{"2001:db8::/32", "an address for documentation, which some networks use as private ones", ""},
		{"fec0::/10", "an address of a private network", ""},
	} {
		if netip.MustParsePrefix(r.prefix).Contains(a) {
			return r.private, r.never
		}
	}
	return "", ""
}

// embedded is the IPv4 address that a translated IPv6 address leads to: NAT64
// (RFC 6052) and 6to4 (RFC 3056).
func embedded(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
