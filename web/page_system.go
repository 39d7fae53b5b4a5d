package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type systemPage struct {
	page
	Site     mirror.Site
	Statuses []link
	LastTick time.Time
	Alive    bool // the queue was looked at a moment ago
	Busy     int  // syncs running in this process
	NextDue  time.Time
	Settings []Setting
	Events   []eventView
	Disk     *diskView // nil = not known
}

// tickLate is how long the queue may go unseen before the page says so; the
// syncer looks every few seconds, unless all its workers are busy.
const tickLate = time.Minute

// origin is where a setting is from, in a word.
func (w *words) origin(o string) string {
	switch o {
	case "default":
		return w.t("default")
	case "file":
		return w.t("file")
	case "environment":
		return w.t("environment")
	case "flag":
		return w.t("flag")
	}
	return o
}

func (c *console) system(g *gin.Context) error {
	p, err := c.page(g, "System", "/system")
	if err != nil {
		return err
	}
	ctx := g.Request.Context()
	data := systemPage{page: p, Site: c.Site, Busy: c.Syncer.Busy(), Settings: c.Server.Settings}
	if data.Statuses, err = c.filters(g, c.words(g), listing{}, time.Now()); err != nil {
		return err
	}
	if tick := c.Syncer.LastTick(); tick.Unix() > 0 {
		data.LastTick = tick
	}
	data.Alive = time.Since(data.LastTick) < tickLate || data.Busy > 0
	if data.NextDue, err = c.Store.NextDue(ctx); err != nil {
		return err
	}
	if data.Disk, err = c.viewDisk(ctx, c.words(g)); err != nil {
		return err
	}
	events, err := c.Store.Events(ctx, "", 0, 50)
	if err != nil {
		return err
	}
	paths := map[mirror.ID]mirror.Path{}
	for _, e := range events {
		path, known := paths[e.Repo]
		if !known {
			repo, err := c.Store.RepoByID(ctx, e.Repo)
			if err != nil && !errors.Is(err, mirror.ErrNotFound) {
				return err
			}
			path, paths[e.Repo] = repo.Path, repo.Path
		}
		data.Events = append(data.Events, c.words(g).viewEvent(e, path))
	}
	return c.render(g, http.StatusOK, "system", data)
}
