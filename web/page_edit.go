package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type editPage struct {
	page
	options
	ID       mirror.ID
	Path     mirror.Path
	Seen     int64 // version of the mirror the form was made of
	Upstream string
	Wrong    *mirror.Problem
	// Conflict is set when somebody else saved first.
	Conflict *conflict
}

// conflict shows both edits, for a person to choose.
type conflict struct {
	At     time.Time // when the other edit was saved
	Fields []conflictField
}

type conflictField struct {
	Name         string
	Theirs, Ours string
	Differ       bool
}

func (c *console) editForm(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	p, err := c.page(g, c.words(g).t("Edit {1}", string(repo.Path)), "/mirrors")
	if err != nil {
		return err
	}
	p.Narrow = true
	data := editPage{page: p, ID: repo.ID, Path: repo.Path, Seen: repo.Version, Upstream: repo.Upstream.String(), options: stored(repo)}
	if data.Credentials, err = c.Store.Credentials(g.Request.Context()); err != nil {
		return err
	}
	return c.render(g, http.StatusOK, "edit", data)
}

// stored are the options of a mirror as the form shows them.
func stored(r mirror.Repo) options {
	return options{Interval: intervalText(r.Interval), Tags: string(r.Tags), Credential: r.Credential, Private: r.Private,
		Include: strings.Join(r.Refs.Include, "\n"), Exclude: strings.Join(r.Refs.Exclude, "\n"), Pulls: r.Refs.Pulls}
}

// seenVersion is the version of what a form shows. Without one nobody has looked at
// what this would overwrite: it is none that anything has.
func seenVersion(g *gin.Context) int64 {
	version, err := strconv.ParseInt(g.PostForm("version"), 10, 64)
	if err != nil || version < 1 {
		return -1
	}
	return version
}

func (c *console) edit(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	o, err := c.readOptions(g)
	if err != nil {
		return err
	}
	upstream := strings.TrimSpace(g.PostForm("upstream"))
	version := seenVersion(g)
	interval, tags, err := o.parse()
	refs := o.refs()
	if err == nil {
		_, err = c.Catalog.Edit(g.Request.Context(), repo.ID, mirror.Edit{
			Version: version, Upstream: &upstream, Interval: &interval, Credential: &o.Credential, Private: &o.Private, Tags: &tags, Refs: &refs,
		})
	}
	if err == nil {
		return c.then(g, nil, "Saved. A sync begins now, so that the change takes effect.", mirrorURL(repo.ID))
	}
	data := editPage{options: o, ID: repo.ID, Path: repo.Path, Seen: version, Upstream: upstream}
	status := newProblem(g.Request.Context(), err).Status
	if errors.Is(err, mirror.ErrExists) {
		now, failed := c.Store.RepoByID(g.Request.Context(), repo.ID)
		if failed != nil {
			return failed
		}
		data.Seen, data.Conflict = now.Version, c.words(g).compare(now, o, upstream)
	} else if data.Wrong, err = told(err); err != nil {
		return err
	}
	if data.page, err = c.page(g, c.words(g).t("Edit {1}", string(repo.Path)), "/mirrors"); err != nil {
		return err
	}
	data.Narrow = true
	return c.render(g, status, "edit", data)
}

func (w *words) compare(now mirror.Repo, o options, upstream string) *conflict {
	theirs := stored(now)
	c := &conflict{At: now.Updated}
	for _, f := range []conflictField{
		{Name: w.t("Fetched from"), Theirs: now.Upstream.String(), Ours: upstream},
		{Name: w.t("Time between syncs"), Theirs: or(theirs.Interval, w.t("automatic")), Ours: or(o.Interval, w.t("automatic"))},
		{Name: w.t("Moved tags"), Theirs: w.tagPolicy(theirs.Tags), Ours: w.tagPolicy(o.Tags)},
		{Name: w.t("Credential"), Theirs: or(theirs.Credential, w.t("none")), Ours: or(o.Credential, w.t("none"))},
		{Name: w.t("Only these refs"), Theirs: or(theirs.Include, w.t("all")), Ours: or(o.Include, w.t("all"))},
		{Name: w.t("Without these refs"), Theirs: or(theirs.Exclude, w.t("none")), Ours: or(o.Exclude, w.t("none"))},
		{Name: w.t("Pull requests"), Theirs: w.yesNo(theirs.Pulls), Ours: w.yesNo(o.Pulls)},
		{Name: w.t("Private"), Theirs: w.yesNo(theirs.Private), Ours: w.yesNo(o.Private)},
	} {
		f.Differ = f.Theirs != f.Ours
		c.Fields = append(c.Fields, f)
	}
	return c
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func (w *words) yesNo(b bool) string {
	if b {
		return w.t("yes")
	}
	return w.t("no")
}

func (w *words) tagPolicy(policy string) string {
	if policy == string(mirror.FollowTags) {
		return w.t("follow the original")
	}
	return w.t("keep ours")
}
