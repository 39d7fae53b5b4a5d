package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type upstreamEditPage struct {
	page
	Host        string
	Seen        int64 // version the form was made of
	Roads       []roadField
	Bandwidth   string // "5 MB"; empty = no limit
	Budget      string
	Credentials []mirror.SealedCredential
	Wrong       *mirror.Problem
}

// roadField is a row of the form.
type roadField struct {
	mirror.Endpoint
	N      int // of the row
	Place  string
	Remove bool
}

// emptyRoads is how many rows a form has for new endpoints.
const emptyRoads = 2

func (c *console) upstreamForm(g *gin.Context) error {
	h, err := c.upstream(g.Request.Context(), g.Param("host"))
	if err != nil {
		return err
	}
	data := upstreamEditPage{Host: h.Name, Seen: h.Version}
	for i, e := range h.Host.Endpoints {
		data.Roads = append(data.Roads, roadField{Endpoint: e, N: i, Place: strconv.Itoa(i + 1)})
	}
	if h.Bandwidth > 0 {
		data.Bandwidth = humanize.Bytes(uint64(h.Bandwidth))
	}
	if h.Budget > 0 {
		data.Budget = strconv.FormatFloat(h.Budget, 'g', -1, 64)
	}
	return c.renderUpstreamForm(g, http.StatusOK, data)
}

func (c *console) renderUpstreamForm(g *gin.Context, status int, data upstreamEditPage) error {
	var err error
	if data.page, err = c.page(g, c.words(g).t("Roads to {1}", data.Host), "/upstreams"); err != nil {
		return err
	}
	for range emptyRoads {
		n := len(data.Roads)
		data.Roads = append(data.Roads, roadField{N: n, Place: strconv.Itoa(n + 1)})
	}
	if data.Credentials, err = c.Store.Credentials(g.Request.Context()); err != nil {
		return err
	}
	return c.render(g, status, "upstream-edit", data)
}

func (c *console) editUpstream(g *gin.Context) error {
	data := readUpstreamForm(g)
	edit, err := data.edit()
	if err == nil {
		_, err = c.Roads.Edit(g.Request.Context(), edit)
	}
	if err == nil {
		return c.then(g, nil, "Saved. New endpoints are measured at once; they are used by their place, and when those before them fail.", upstreamURL(data.Host))
	}
	status := newProblem(g.Request.Context(), err).Status
	stale := errors.Is(err, mirror.ErrExists)
	if data.Wrong, err = told(err); err != nil {
		return err
	}
	if stale { // the next save overwrites what is looked at now
		if now, seeErr := c.Store.Host(g.Request.Context(), data.Host); seeErr == nil {
			data.Seen = now.Version
		}
	}
	return c.renderUpstreamForm(g, status, data)
}

// maxRoadFields bounds the rows of a form.
const maxRoadFields = 40

func readUpstreamForm(g *gin.Context) upstreamEditPage {
	data := upstreamEditPage{Host: g.Param("host"), Bandwidth: strings.TrimSpace(g.PostForm("bandwidth")), Budget: strings.TrimSpace(g.PostForm("budget"))}
	data.Seen = seenVersion(g)
	for i := range maxRoadFields {
		n := strconv.Itoa(i)
		f := roadField{N: len(data.Roads), Place: strings.TrimSpace(g.PostForm("place" + n)), Endpoint: mirror.Endpoint{
			Name: strings.TrimSpace(g.PostForm("name" + n)), URL: strings.TrimRight(strings.TrimSpace(g.PostForm("url"+n)), "/"),
			Credential: g.PostForm("credential" + n), Authoritative: g.PostForm("authoritative"+n) == "yes", Disabled: g.PostForm("disabled"+n) == "yes",
		}}
		if f.Name == "" && f.URL == "" || g.PostForm("remove"+n) == "yes" {
			continue
		}
		data.Roads = append(data.Roads, f)
	}
	return data
}

// edit is what the form asks for; rows are put in the order of their places.
func (p upstreamEditPage) edit() (mirror.HostEdit, error) {
	e := mirror.HostEdit{Name: p.Host, Version: p.Seen}
	roads := slices.Clone(p.Roads)
	place := func(f roadField) float64 {
		n, err := strconv.ParseFloat(f.Place, 64)
		if err != nil {
			return maxRoadFields
		}
		return n
	}
	slices.SortStableFunc(roads, func(a, b roadField) int {
		switch {
		case place(a) < place(b):
			return -1
		case place(a) > place(b):
			return 1
		}
		return 0
	})
	for _, f := range roads {
		e.Endpoints = append(e.Endpoints, f.Endpoint)
	}
	if p.Bandwidth != "" {
		n, err := humanize.ParseBytes(strings.TrimSuffix(p.Bandwidth, "/s"))
		if err != nil || n > 1<<50 {
			return e, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the bandwidth is not a size", Do: "write bytes a second as 500 KB or 5 MB, or leave it empty"}
		}
		e.Bandwidth = int64(n)
	}
	if p.Budget != "" {
		var err error
		if e.Budget, err = strconv.ParseFloat(p.Budget, 64); err != nil {
			return e, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the budget is not a number", Do: "write requests a second as 0.5 or 10, or leave it empty"}
		}
	}
	return e, nil
}
