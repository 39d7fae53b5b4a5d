package web

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// coolingView is somebody who is left alone for a while.
type coolingView struct {
	What  string
	Until time.Time
	Why   string
}

// cooling lists what of a host is left alone now.
func (c *console) cooling(ctx context.Context, w *words, host string, now time.Time) ([]coolingView, error) {
	all, err := c.Store.Cooldowns(ctx, now)
	if err != nil {
		return nil, err
	}
	var list []coolingView
	for _, cool := range all {
		name, ok := strings.CutPrefix(cool.What, "host ")
		if !ok {
			continue
		}
		name, how, _ := strings.Cut(name, " ")
		if name != host && !strings.HasPrefix(name, host+":") {
			continue
		}
		v := coolingView{What: w.t("Every request to {1}", name), Until: cool.Until, Why: sentence(w.say(cool.Why))}
		switch credential, with := strings.CutPrefix(how, "with "); {
		case with:
			v.What = w.t("Requests to {1} with the credential {2}", name, credential)
		case how == "anonymously":
			v.What = w.t("Requests to {1} without a credential", name)
		}
		list = append(list, v)
	}
	return list, nil
}

// raiseEndpoint puts an endpoint of a host one place higher.
func (c *console) raiseEndpoint(g *gin.Context) error {
	host, name := g.Param("host"), g.PostForm("endpoint")
	h, err := c.upstream(g.Request.Context(), host)
	if err != nil {
		return err
	}
	roads := slices.Clone(h.Host.Endpoints)
	at := slices.IndexFunc(roads, func(e mirror.Endpoint) bool { return e.Name == name })
	if at < 1 {
		return c.orTell(g, &mirror.Problem{Kind: mirror.ErrInvalid, What: "this endpoint cannot be placed higher", Do: "reload the page and look at its place"}, "", upstreamURL(host))
	}
	roads[at-1], roads[at] = roads[at], roads[at-1]
	version, err := strconv.ParseInt(g.PostForm("version"), 10, 64)
	if err != nil || version < 1 {
		version = -1 // a form without a version must not overwrite what nobody has looked at
	}
	_, err = c.Roads.Edit(g.Request.Context(), mirror.HostEdit{Name: h.Name, Version: version, Endpoints: roads, Bandwidth: h.Bandwidth, Budget: h.Budget})
	return c.orTell(g, err, "{1} is now number {2}.", upstreamURL(host), name, at)
}
