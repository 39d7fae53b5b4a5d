package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// maxPaste bounds how many repositories one form adds.
const maxPaste = 500

type newPage struct {
	page
	options
	Text     string // as it was pasted
	Height   int    // of the field, in lines
	Upstream string
	Most     int
	Options  bool // some option is set, so show them
	Wrong    *mirror.Problem

	Checked bool
	Summary string
	Fresh   int // lines that would add a mirror
	Lines   []pastedLine
}

// options are the settings that adding and editing share, as the form has them.
type options struct {
	Interval    string
	Tags        string
	Credential  string
	Private     bool
	Include     string // one a line
	Exclude     string
	Pulls       bool
	Credentials []mirror.SealedCredential
}

// pastedLine is what would happen, or has happened, to one line of the paste.
type pastedLine struct {
	Text    string
	Module  bool // Text is a module's path
	Path    mirror.Path
	From    string // upstream, where it is not what the path says
	For     string // import path that will lead here
	ID      mirror.ID
	Fate    fate
	Word    string // of Fate
	Look    string
	Problem *mirror.Problem
}

func (c *console) newForm(g *gin.Context) error {
	data, err := c.newPage(g)
	if err != nil {
		return err
	}
	return c.render(g, http.StatusOK, "new", data)
}

func (c *console) newPage(g *gin.Context) (newPage, error) {
	p, err := c.page(g, "Add mirrors", "/mirrors")
	if err != nil {
		return newPage{}, err
	}
	data := newPage{page: p, Text: g.PostForm("urls"), Upstream: strings.TrimSpace(g.PostForm("upstream")), Most: maxPaste}
	data.Narrow = true
	data.Height = min(max(5, strings.Count(data.Text, "\n")+2), 16)
	if data.options, err = c.readOptions(g); err != nil {
		return newPage{}, err
	}
	o := data.options
	data.Options = o.Interval != "" || o.Tags == string(mirror.FollowTags) || o.Credential != "" || o.Private || !o.refs().Equal(mirror.RefPolicy{}) || data.Upstream != ""
	return data, nil
}

func (c *console) readOptions(g *gin.Context) (options, error) {
	o := options{
		Interval: strings.TrimSpace(g.PostForm("interval")), Tags: g.PostForm("tags"),
		Credential: g.PostForm("credential"), Private: g.PostForm("private") == "yes",
		Include: strings.TrimSpace(g.PostForm("include")), Exclude: strings.TrimSpace(g.PostForm("exclude")), Pulls: g.PostForm("pulls") == "yes",
	}
	var err error
	o.Credentials, err = c.Store.Credentials(g.Request.Context())
	return o, err
}

// parse reads the interval and the tag policy.
func (o options) parse() (time.Duration, mirror.TagPolicy, error) {
	tags, err := mirror.ParseTagPolicy(o.Tags)
	if err != nil || o.Interval == "" {
		return 0, tags, err
	}
	interval, err := time.ParseDuration(o.Interval)
	if err != nil || interval <= 0 {
		return 0, "", &mirror.Problem{
			Kind: mirror.ErrInvalid, What: fmt.Sprintf("%.40q is not a time between syncs", o.Interval),
			Do: "write for example 10m or 1h30m, or leave it empty",
		}
	}
	return interval, tags, nil
}

// refs is the policy as it was typed; the catalog checks it.
func (o options) refs() mirror.RefPolicy {
	return mirror.RefPolicy{Include: strings.Fields(o.Include), Exclude: strings.Fields(o.Exclude), Pulls: o.Pulls}
}

// addMirrors answers both buttons of the form. "check" shows what would
// happen; it is a POST all the same because a pasted URL may hold a password,
// which has no business in an address.
func (c *console) addMirrors(g *gin.Context) error {
	data, err := c.newPage(g)
	if err != nil {
		return err
	}
	lines, err := c.pasted(data.Text, data.Upstream)
	if err == nil {
		err = c.previewAll(g, &data, lines)
	}
	if data.Wrong, err = told(err); err != nil {
		return err
	}
	if data.Wrong != nil || g.PostForm("do") != "add" || data.Fresh == 0 {
		data.summarise(c.words(g))
		return c.render(g, http.StatusOK, "new", data)
	}
	return c.addAll(g, data)
}

// pasted reads a paste: a go.mod or go.sum, or lines, of which the empty ones
// and comments are left out.
func (c *console) pasted(text, upstream string) ([]mirror.NewMirror, error) {
	var lines []mirror.NewMirror
	if c.ModulesOf != nil {
		list, known, err := c.ModulesOf(text)
		if err != nil {
			return nil, err
		}
		if known && len(list) == 0 {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "what was pasted requires no module", Do: "paste the go.mod of a project that has dependencies, or addresses"}
		}
		for _, path := range list {
			lines = append(lines, mirror.NewMirror{Text: path, Module: true})
		}
	}
	if lines == nil {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, mirror.NewMirror{Text: line})
			}
		}
	}
	switch {
	case len(lines) == 0:
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "there is no repository in the field", Do: "paste at least one address, for example https://github.com/spf13/cobra"}
	case len(lines) > maxPaste:
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: fmt.Sprintf("these are %d lines", len(lines)), Do: fmt.Sprintf("paste at most %d at once", maxPaste)}
	case upstream != "" && len(lines) > 1:
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "\"Fetch from another place\" fits one repository only", Do: "clear that field, or paste one repository"}
	}
	return lines, nil
}

func (c *console) asked(data *newPage, line mirror.NewMirror, interval time.Duration, tags mirror.TagPolicy) mirror.NewMirror {
	return mirror.NewMirror{
		Text: line.Text, Module: line.Module, Upstream: data.Upstream, Interval: interval, Credential: data.Credential, Private: data.Private, Tags: tags, Refs: data.refs(), May: c.mayHave,
	}
}

// previewAll fills in what each line would do. Modules of one repository share a line.
func (c *console) previewAll(g *gin.Context, data *newPage, lines []mirror.NewMirror) error {
	interval, tags, err := data.parse()
	if err != nil {
		return err
	}
	list := each(lines, func(m mirror.NewMirror) mirror.NewMirror { return c.asked(data, m, interval, tags) })
	// Hosts of import paths are asked side by side; each preview then finds the answer.
	if _, err := c.Catalog.PlanAll(g.Request.Context(), list, nil); err != nil {
		return err
	}
	seen := map[string]int{}
	for _, m := range list {
		plan, err := c.Catalog.Preview(g.Request.Context(), m)
		if mirror.IsPattern(m.Text) {
			err = &mirror.Problem{Kind: mirror.ErrInvalid, What: "this is a pattern, not one repository", Do: "Enter it under Mapping rules, \"Mirror on first use\""}
		}
		p, err := told(err)
		if err != nil {
			return err
		}
		if p != nil {
			data.Lines = append(data.Lines, pastedLine{Text: shown(m.Text), Module: m.Module, Problem: p, Fate: isWrong})
			continue
		}
		l := pastedLine{Text: m.Text, Module: m.Module, Path: plan.Repo.Path, For: plan.Alias.Prefix}
		if from := plan.Repo.Upstream.String(); from != "https://"+string(l.Path) {
			l.From = from
		}
		first, again := seen[plan.Repo.Path.Key()]
		switch {
		case again && m.Module:
			data.Lines[first].alsoFor(l.For)
			continue
		case plan.Existed:
			l.Fate, l.ID = isHere, plan.Repo.ID
		case again:
			l.Fate = isTwice
		default:
			data.Fresh++
		}
		if !again {
			seen[plan.Repo.Path.Key()] = len(data.Lines)
		}
		data.Lines = append(data.Lines, l)
	}
	data.Checked = true
	return nil
}

// alsoFor adds an import prefix to those that lead to the line's repository.
func (l *pastedLine) alsoFor(prefix string) {
	const most = 5
	if have := strings.Split(l.For, ", "); prefix == "" || slices.Contains(have, prefix) || len(have) >= most {
		return
	}
	l.For = strings.TrimPrefix(l.For+", "+prefix, ", ")
}

// shown is a line that could not be read, without the password it may hold.
func shown(line string) string {
	scheme, rest, ok := strings.Cut(line, "://")
	if at := strings.LastIndexByte(rest, '@'); ok && at >= 0 {
		line = scheme + "://…" + rest[at:]
	}
	if r := []rune(line); len(r) > 200 {
		line = string(r[:200]) + "…"
	}
	return line
}

// summarise fills in the words of the lines and of the whole.
func (data *newPage) summarise(w *words) {
	if !data.Checked {
		return
	}
	counts := map[fate]int{}
	for i := range data.Lines {
		l := &data.Lines[i]
		counts[l.Fate]++
		l.Word, l.Look, _ = w.fate(l.Fate, 0)
	}
	data.Summary = w.fates(counts)
}

// fates sums up how many there are of each.
func (w *words) fates(counts map[fate]int) string {
	var parts []string
	for _, f := range []fate{isNew, isAdded, isHere, isTwice, isWrong} {
		if n := counts[f]; n > 0 {
			_, _, summary := w.fate(f, n)
			parts = append(parts, summary)
		}
	}
	return strings.Join(parts, " · ")
}

// fate is what becomes of a pasted line.
type fate int

const (
	isNew fate = iota
	isAdded
	isHere
	isTwice
	isWrong
)

// fate is f in a word, its look, and n of its kind in a sum.
func (w *words) fate(f fate, n int) (word, look, summary string) {
	switch f {
	case isNew:
		return w.t("New"), "good", w.t("{1} new", n)
	case isAdded:
		return w.t("Added"), "good", w.t("{1} added", n)
	case isHere:
		return w.t("Already here"), "wait", w.t("{1} already here", n)
	case isTwice:
		return w.t("Twice in the list"), "wait", w.t("{1} twice in the list", n)
	}
	return w.t("Wrong"), "bad", w.t("{1} wrong", n)
}

// addAll adds the new lines. What went wrong stays on the page to be mended;
// the rest is done.
func (c *console) addAll(g *gin.Context, data newPage) error {
	interval, tags, err := data.parse()
	if err != nil {
		return err
	}
	var added []mirror.Repo
	wrong := 0
	var left []string
	for i := range data.Lines {
		l := &data.Lines[i]
		if l.Fate == isNew {
			repo, existed, err := c.Catalog.Add(g.Request.Context(), c.asked(&data, mirror.NewMirror{Text: l.Text, Module: l.Module}, interval, tags))
			if l.Problem, err = told(err); err != nil {
				return err
			}
			switch {
			case l.Problem != nil:
				l.Fate = isWrong
			case existed:
				l.Fate, l.ID = isHere, repo.ID
			default:
				l.Fate, l.ID = isAdded, repo.ID
				added = append(added, repo)
			}
		}
		if l.Problem != nil {
			wrong++
			left = append(left, l.Text)
		}
	}
	if wrong > 0 {
		data.Fresh, data.Text = 0, strings.Join(left, "\n")
		data.summarise(c.words(g))
		return c.render(g, http.StatusOK, "new", data)
	}
	if len(added) == 1 {
		return c.then(g, nil, "Mirror added. Its first clone has begun.", mirrorURL(added[0].ID))
	}
	return c.then(g, nil, "{1} mirrors added. Their first clones have begun.", "/mirrors", len(added))
}
