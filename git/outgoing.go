package git

import (
	"context"
	"net"
	"net/http"
)

// Outgoing is for what is told to others: alerts. It passes the same guard as
// everything else; private lets it reach loopback and private addresses, where a
// company's own mail server is, whatever holds for upstreams. The client follows
// no redirect and takes the company's proxy; dial takes none.
func (d *Disk) Outgoing(private bool) (client *http.Client, dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	to := *d
	to.AllowPrivate = d.AllowPrivate || private
	return &http.Client{
		Transport:     to.newTransport(),
		CheckRedirect: d.state.client.CheckRedirect,
	}, to.dial
}
