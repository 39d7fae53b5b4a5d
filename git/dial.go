package git

import (
	"context"
	"net"
	"net/http/httptrace"
	"net/netip"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	// headStart is how long an address has before the next one is tried beside it
	// (RFC 8305, 5).
	headStart = 250 * time.Millisecond
)

// dial connects to a host through the guard: every connection to an upstream
// that takes no proxy begins here. It connects to the addresses that were
// checked. Who traces the request in ctx sees one look-up and one connect.
func (d *Disk) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := traced(ctx, host, d.resolve)
	if err != nil {
		return nil, err
	}
	conn, err := race(ctx, network, addrs, port)
	if err != nil {
		return nil, err
	}
	return d.state.bandwidths.limit(host, conn), nil
}

// quiet hides the values of a context, the trace of net/http among them.
type quiet struct{ context.Context }

func (quiet) Value(any) any { return nil }

// traced looks a name up and tells the trace of the request in ctx.
func traced(ctx context.Context, host string, look func(context.Context, string) ([]netip.Addr, error)) ([]netip.Addr, error) {
	trace := httptrace.ContextClientTrace(ctx)
	_, err := netip.ParseAddr(host)
	if trace == nil || err == nil {
		return look(quiet{ctx}, host)
	}
	if trace.DNSStart != nil {
		trace.DNSStart(httptrace.DNSStartInfo{Host: host})
	}
	addrs, err := look(quiet{ctx}, host)
	if trace.DNSDone != nil {
		done := httptrace.DNSDoneInfo{Err: err}
		for _, a := range addrs {
			done.Addrs = append(done.Addrs, net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()})
		}
		trace.DNSDone(done)
	}
	return addrs, err
}

// race connects to the first of the addresses that answers. They are tried in
// turn, families alternating, each a head start behind the one before.
func race(ctx context.Context, network string, addrs []netip.Addr, port string) (net.Conn, error) {
	addrs = alternating(addrs)
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.ConnectStart != nil {
		trace.ConnectStart(network, net.JoinHostPort(addrs[0].String(), port))
	}
	conn, err := raced(quiet{ctx}, network, addrs, port)
	if trace != nil && trace.ConnectDone != nil {
		address := net.JoinHostPort(addrs[0].String(), port)
		if conn != nil {
			address = conn.RemoteAddr().String()
		}
		trace.ConnectDone(network, address, err)
	}
	return conn, err
}

func raced(ctx context.Context, network string, addrs []netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	begin := func(a netip.Addr) {
		dialer := net.Dialer{Timeout: dialTimeout}
		conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		select {
		case results <- result{conn, err}:
		case <-ctx.Done(): // another one has won
			if conn != nil {
				_ = conn.Close()
			}
		}
	}
	var first error
	next := time.NewTimer(0)
	defer next.Stop()
	for begun, ended := 0, 0; ended < len(addrs); {
		select {
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		case <-next.C:
			if begun < len(addrs) {
				go begin(addrs[begun])
				begun++
				next.Reset(headStart)
			}
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			if ended++; first == nil {
				first = r.err
			}
			next.Reset(0) // no use in waiting
		}
	}
	return nil, first
}

// alternating orders addresses so that neighbours are of different families,
// beginning with the resolver's favourite.
func alternating(addrs []netip.Addr) []netip.Addr {
	var same, other []netip.Addr
	for _, a := range addrs {
		if a.Is4() == addrs[0].Is4() {
			same = append(same, a)
		} else {
			other = append(other, a)
		}
	}
	out := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(same), len(other)) {
		if i < len(same) {
			out = append(out, same[i])
		}
		if i < len(other) {
			out = append(out, other[i])
		}
	}
	return out
}
