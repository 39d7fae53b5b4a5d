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

// maxBulk bounds how many mirrors one form changes.
const maxBulk = 2000

// bulkNamed is how many paths the question before a removal names.
const bulkNamed = 50

type bulkRemovePage struct {
	page
	IDs   []mirror.ID
	Paths []mirror.Path // the first bulkNamed
	More  int
	Bytes int64
	Back  string
	Typed string
	Wrong *mirror.Problem
}

// chosen are the mirrors a form names: those with a mark, or all that match.
func (c *console) chosen(g *gin.Context) ([]mirror.Repo, listing, error) {
	ctx := g.Request.Context()
	list, err := readListing(g)
	if err != nil {
		return nil, list, err
	}
	var repos []mirror.Repo
	if g.PostForm("all") == "yes" {
		q := list.query(time.Now())
		q.Sort, q.Offset, q.After, q.Limit = mirror.SortPath, 0, "", 1000
		for len(repos) <= maxBulk {
			more, err := c.Store.Repos(ctx, q)
			if err != nil {
				return nil, list, err
			}
			repos = append(repos, more...)
			if len(more) < q.Limit {
				break
			}
			q.After = more[len(more)-1].Path
		}
	} else {
		for _, text := range g.PostFormArray("id")[:min(len(g.PostFormArray("id")), maxBulk+1)] {
			id, err := mirror.ParseID(text)
			if err != nil {
				return nil, list, err
			}
			repo, err := c.Store.RepoByID(ctx, id)
			if errors.Is(err, mirror.ErrNotFound) {
				continue // somebody else removed it
			}
			if err != nil {
				return nil, list, err
			}
			repos = append(repos, repo)
		}
	}
	switch {
	case len(repos) == 0:
		err = &mirror.Problem{Kind: mirror.ErrInvalid, What: "no mirror is chosen", Do: "put a mark before the mirrors you mean"}
	case len(repos) > maxBulk:
		err = &mirror.Problem{Kind: mirror.ErrInvalid, What: "these are too many at once", Do: "choose at most 2,000: search for a part of them first"}
	}
	return repos, list, err
}

// bulkSync asks for a sync of every chosen mirror that is not paused.
func (c *console) bulkSync(g *gin.Context) error {
	repos, list, err := c.chosen(g)
	if err != nil {
		return c.orTell(g, err, "", list.url())
	}
	return c.bulk(g, repos, list, func(r mirror.Repo) (bool, error) {
		if r.Paused {
			return false, nil
		}
		_, err := c.Syncer.Ask(g.Request.Context(), r.ID, mirror.ByHand)
		return true, err
	})
}

// bulkEdit answers the buttons that change every chosen mirror.
func (c *console) bulkEdit(g *gin.Context) error {
	repos, list, err := c.chosen(g)
	if err != nil {
		return c.orTell(g, err, "", list.url())
	}
	var edit mirror.Edit
	same := func(mirror.Repo) bool { return false }
	switch g.PostForm("do") {
	case "pause", "resume":
		paused := g.PostForm("do") == "pause"
		edit.Paused, same = &paused, func(r mirror.Repo) bool { return r.Paused == paused }
	case "interval":
		interval, _, err := options{Interval: strings.TrimSpace(g.PostForm("interval"))}.parse()
		if err != nil {
			return c.orTell(g, err, "", list.url())
		}
		edit.Interval, same = &interval, func(r mirror.Repo) bool { return r.Interval == interval }
	default:
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: "this is nothing that can be done with mirrors", Do: "use one of the buttons under the list"}
	}
	return c.bulk(g, repos, list, func(r mirror.Repo) (bool, error) {
		if same(r) {
			return false, nil
		}
		edit.Version = r.Version
		_, err := c.Catalog.Edit(g.Request.Context(), r.ID, edit)
		return true, err
	})
}

// bulk does the same with each mirror and tells how it went. One that cannot be
// changed holds up none of the others.
func (c *console) bulk(g *gin.Context, repos []mirror.Repo, list listing, do func(mirror.Repo) (bool, error)) error {
	done, same := 0, 0
	var wrong error
	failed, first := 0, mirror.Path("")
	for _, r := range repos {
		changed, err := do(r)
		switch {
		case err != nil && g.Request.Context().Err() != nil:
			return err
		case errors.Is(err, mirror.ErrNotFound): // somebody else removed it
			same++
		case err != nil:
			if mirror.AsProblem(err).Kind == "" {
				return err
			}
			if failed++; failed == 1 {
				wrong, first = err, r.Path
			}
		case changed:
			done++
		default:
			same++
		}
	}
	w := c.words(g)
	if failed > 0 {
		c.flash(g, "problem", w.t("{1} could not be changed; {2}: {3}", failed, string(first), sentence(w.say(mirror.AsProblem(wrong).What))))
	}
	text := w.n("Done for {1} mirrors.", done)
	if same > 0 {
		text += " " + w.n("{1} were that way already.", same)
	}
	c.flash(g, "done", text)
	g.Redirect(http.StatusSeeOther, list.url())
	return nil
}

// bulkRemove asks first, and removes when the number was typed.
func (c *console) bulkRemove(g *gin.Context) error {
	repos, list, err := c.chosen(g)
	if err != nil {
		return c.orTell(g, err, "", list.url())
	}
	data := bulkRemovePage{Back: list.url(), Typed: strings.TrimSpace(g.PostForm("count")), More: max(0, len(repos)-bulkNamed)}
	if data.Typed == strconv.Itoa(len(repos)) {
		return c.bulk(g, repos, list, func(r mirror.Repo) (bool, error) {
			return true, c.Catalog.Remove(g.Request.Context(), r.ID)
		})
	}
	status := http.StatusOK
	if _, asked := g.GetPostForm("count"); asked {
		status = http.StatusUnprocessableEntity
		data.Wrong = &mirror.Problem{Kind: mirror.ErrInvalid, What: "the number you typed is not the number of these mirrors", Do: "type " + strconv.Itoa(len(repos)) + " to remove them"}
	}
	if data.page, err = c.page(g, c.words(g).n("Remove {1} mirrors", len(repos)), "/mirrors"); err != nil {
		return err
	}
	data.Narrow = true
	for i, r := range repos {
		data.IDs = append(data.IDs, r.ID)
		data.Bytes += r.State.Bytes
		if i < bulkNamed {
			data.Paths = append(data.Paths, r.Path)
		}
	}
	return c.render(g, status, "bulk-remove", data)
}
