package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type runPage struct {
	page
	ID       mirror.ID
	Path     mirror.Path
	Run      runView
	Number   int64
	Ended    time.Time
	Running  bool
	Refs     []runFact
	Events   []eventView
	Progress *progressView
	Previous int64 // an older run of the same mirror; zero = there is none
}

// runFact is a number of what a run did.
type runFact struct {
	Name string
	N    int
}

// run is one sync: what came of it, and its log while it goes on.
func (c *console) run(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	ctx, w := g.Request.Context(), c.words(g)
	run, err := c.runOf(g, repo)
	if err != nil {
		return err
	}
	p, err := c.page(g, w.t("Sync {1} of {2}", strconv.FormatInt(run.ID, 10), string(repo.Path)), "/mirrors")
	if err != nil {
		return err
	}
	data := runPage{page: p, ID: repo.ID, Path: repo.Path, Run: w.viewRun(run), Number: run.ID, Ended: run.Ended, Running: run.Ended.IsZero()}
	data.Refs = []runFact{{w.t("New refs"), run.Created}, {w.t("Moved refs"), run.Updated}, {w.t("Refs the original dropped"), run.Deleted}}
	if live, ok := c.Syncer.Progress(repo.ID); ok && live.Run == run.ID {
		data.Progress = w.viewProgress(live)
	}
	older, err := c.Store.Runs(ctx, repo.ID, run.ID, 1)
	if err != nil {
		return err
	}
	if len(older) > 0 {
		data.Previous = older[0].ID
	}
	events, err := c.Store.Events(ctx, repo.ID, 0, 1000)
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Run == run.ID {
			data.Events = append(data.Events, w.viewEvent(e, ""))
		}
	}
	return c.render(g, http.StatusOK, "run", data)
}

// runOf is the run the address names, which must be one of the mirror.
func (c *console) runOf(g *gin.Context, repo mirror.Repo) (mirror.Run, error) {
	none := &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no such sync", Why: "it is too old, or the address is mistyped", Do: "look for it on the page of the mirror"}
	id, err := strconv.ParseInt(g.Param("run"), 10, 64)
	if err != nil || id < 1 {
		return mirror.Run{}, none
	}
	run, err := c.Store.Run(g.Request.Context(), id)
	if err == nil && run.Repo != repo.ID {
		return mirror.Run{}, none
	}
	return run, err
}

// logEntry is a line of the log of a run.
type logEntry struct {
	At   time.Time
	Text string
}

// runLive sends the log of a run while it goes on: "line" for what begins, "run"
// for its progress, "done" when it has ended.
func (c *console) runLive(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	run, err := c.runOf(g, repo)
	if err != nil {
		return err
	}
	w := c.words(g)
	draw := c.drawRun(w, func(out fragments, word string) error {
		return c.sendFragment(w, out, "line", "log-line", logEntry{time.Now(), word})
	})
	show := func(out fragments, p mirror.Progress) error {
		if p.Run != run.ID {
			return nil
		}
		return draw(out, p)
	}
	begin := func(out fragments) error {
		if live, running := c.Syncer.Progress(repo.ID); running && live.Run == run.ID {
			return show(out, live)
		}
		if now, err := c.Store.Run(g.Request.Context(), run.ID); err == nil && !now.Ended.IsZero() && g.Query("open") == "yes" {
			return out.swap("done", "") // it ended between the page and this stream
		}
		return nil
	}
	return c.stream(g, repo.ID, begin, show)
}
