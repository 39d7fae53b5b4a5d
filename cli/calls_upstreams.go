package cli

import (
	"context"
	"net/http"
	"strconv"

	"github.com/gitmirror/gitmirror/web"
)

func upstreamPath(host string) string { return api + "/upstreams/" + segment(host) }

func (c *client) upstreams(ctx context.Context) ([]web.Upstream, error) {
	return listOf[web.Upstream](ctx, c, "/upstreams")
}

func (c *client) upstream(ctx context.Context, host string) (web.Upstream, error) {
	var u web.Upstream
	err := c.call(ctx, http.MethodGet, upstreamPath(host), nil, &u)
	return u, err
}

// putUpstream writes what is set of a host, if it is still at the version that
// was seen; zero = whatever it is at.
func (c *client) putUpstream(ctx context.Context, host string, version int64, in web.UpstreamEdit) (web.Upstream, error) {
	matching := *c
	if version > 0 {
		matching.match = `"` + strconv.FormatInt(version, 10) + `"`
	}
	var u web.Upstream
	err := matching.call(ctx, http.MethodPut, upstreamPath(host), in, &u)
	return u, err
}

func (c *client) forgetUpstream(ctx context.Context, host string) error {
	return c.call(ctx, http.MethodDelete, upstreamPath(host), nil, nil)
}

func (c *client) useUpstream(ctx context.Context, host string, in web.UseUpstream) (web.Upstream, error) {
	var u web.Upstream
	err := c.call(ctx, http.MethodPost, upstreamPath(host)+"/use", in, &u)
	return u, err
}

func (c *client) probeUpstream(ctx context.Context, host string) ([]web.UpstreamSample, error) {
	var out items[web.UpstreamSample]
	err := c.call(ctx, http.MethodPost, upstreamPath(host)+"/probe", nil, &out)
	return out.Items, err
}

func (c *client) upstreamEvents(ctx context.Context, host string, limit int) ([]web.UpstreamEvent, error) {
	out := web.UpstreamEvents{Items: []web.UpstreamEvent{}}
	err := c.call(ctx, http.MethodGet, upstreamPath(host)+"/events?limit="+strconv.Itoa(limit), nil, &out)
	return out.Items, err
}

// edit is what is set of a host, to be changed and written back.
func edit(u web.Upstream) web.UpstreamEdit {
	e := web.UpstreamEdit{Bandwidth: u.Bandwidth, Budget: u.Budget}
	for _, end := range u.Endpoints {
		e.Endpoints = append(e.Endpoints, end.UpstreamRoad)
	}
	return e
}
