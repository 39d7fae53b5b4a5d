package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

const api = "/api/v1"

// mirrorQuery selects mirrors; the zero value selects all.
type mirrorQuery struct {
	Search string
	State  string
}

// mirrors returns what q selects, up to most of it.
func (c *client) mirrors(ctx context.Context, q mirrorQuery, most int) ([]web.Mirror, error) {
	values := url.Values{}
	for name, v := range map[string]string{"search": q.Search, "state": q.State} {
		if v != "" {
			values.Set(name, v)
		}
	}
	return pagesOf[web.Mirror](ctx, c, "/mirrors", values, most)
}

// mirror returns the one at a path, however the path is written.
func (c *client) mirror(ctx context.Context, text string) (web.Mirror, error) {
	path, err := pathOf(text)
	if err != nil {
		return web.Mirror{}, err
	}
	var m web.Mirror
	err = c.call(ctx, http.MethodGet, api+"/mirrors/"+segment(string(path)), nil, &m)
	return m, err
}

// pathOf reads a path or a URL a person gives to name a mirror.
func pathOf(text string) (mirror.Path, error) {
	if strings.Contains(text, "://") || strings.Contains(text, "@") {
		path, _, _, err := mirror.ParseMapping(text)
		return path, err
	}
	return mirror.ParsePath(text)
}

func (c *client) addMirrors(ctx context.Context, in web.AddMirrors) ([]web.AddedMirror, error) {
	var out web.AddedMirrors
	err := c.call(ctx, http.MethodPost, api+"/mirrors", in, &out)
	return out.Items, err
}

func (c *client) editMirror(ctx context.Context, id mirror.ID, in web.EditMirror) (web.Mirror, error) {
	var m web.Mirror
	err := c.call(ctx, http.MethodPatch, api+"/mirrors/"+segment(string(id)), in, &m)
	return m, err
}

// cancelSync stops the sync that goes on, and pauses the mirror.
func (c *client) cancelSync(ctx context.Context, id mirror.ID) (web.Mirror, error) {
	var m web.Mirror
	err := c.call(ctx, http.MethodPost, api+"/mirrors/"+segment(string(id))+"/cancel", nil, &m)
	return m, err
}

func (c *client) removeMirror(ctx context.Context, id mirror.ID) error {
	return c.call(ctx, http.MethodDelete, api+"/mirrors/"+segment(string(id)), nil, nil)
}

// syncMirror asks for a sync and returns at once.
func (c *client) syncMirror(ctx context.Context, id mirror.ID) (web.Synced, error) {
	var s web.Synced
	err := c.call(ctx, http.MethodPost, api+"/mirrors/"+segment(string(id))+"/sync", nil, &s)
	return s, err
}

func (c *client) runs(ctx context.Context, id mirror.ID, limit int) ([]web.Run, error) {
	var page web.Runs
	err := c.call(ctx, http.MethodGet, api+"/mirrors/"+segment(string(id))+"/runs?limit="+strconv.Itoa(limit), nil, &page)
	return page.Items, err
}

// ended returns the oldest run behind after that has ended, if there is one.
func (c *client) ended(ctx context.Context, id mirror.ID, after int64) (web.Run, bool, error) {
	var page web.Runs
	path := fmt.Sprintf("%s/mirrors/%s/runs?after=%d", api, segment(string(id)), after)
	if err := c.call(ctx, http.MethodGet, path, nil, &page); err != nil {
		return web.Run{}, false, err
	}
	for _, run := range slices.Backward(page.Items) {
		if !run.EndedAt.IsZero() {
			return run, true, nil
		}
	}
	return web.Run{}, false, nil
}

func (c *client) mirrorEvents(ctx context.Context, id mirror.ID, limit int) ([]web.Event, error) {
	var page web.Events
	err := c.call(ctx, http.MethodGet, api+"/mirrors/"+segment(string(id))+"/log?limit="+strconv.Itoa(limit), nil, &page)
	return page.Items, err
}

// byRun are the latest events of a mirror, by the run that saw them.
func (c *client) byRun(ctx context.Context, id mirror.ID) (map[int64][]web.Event, error) {
	events, err := c.mirrorEvents(ctx, id, 200)
	by := map[int64][]web.Event{}
	for _, e := range slices.Backward(events) {
		by[e.Run] = append(by[e.Run], e)
	}
	return by, err
}

// problemOf is a problem inside an answer as an error.
func problemOf(p *mirror.Problem) error {
	if p == nil {
		return nil
	}
	return p
}

// or is the first of its arguments that is not zero.
func or[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
