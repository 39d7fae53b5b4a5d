package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// streamLife bounds a stream: the browser comes back, and its session is
	// looked up anew.
	streamLife = 10 * time.Minute
	// fragmentEvery bounds how often a page is redrawn within a phase.
	fragmentEvery = 400 * time.Millisecond
)

// fragments sends parts of a page as server-sent events (WHATWG HTML, 9.2).
type fragments struct{ *eventWriter }

func (f fragments) swap(event, html string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "event: %s\n", event)
	for line := range strings.Lines(html) {
		fmt.Fprintf(&b, "data: %s\n", strings.TrimRight(line, "\r\n"))
	}
	if html == "" {
		b.WriteString("data:\n")
	}
	return f.send(b.String() + "\n")
}

// stream runs follow with news of one mirror (empty = all) until the reader
// goes, the server stops or the stream has lived long enough.
func (c *console) stream(g *gin.Context, id mirror.ID, begin func(fragments) error, follow func(fragments, mirror.Progress) error) error {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		return &mirror.Problem{Kind: mirror.ErrBusy, What: "too many pages are watching", Do: "reload the page by hand"}
	}
	ctx, cancel := context.WithTimeout(g.Request.Context(), streamLife)
	defer cancel()
	news := c.Syncer.Watch(ctx, id)
	g.Header("Content-Type", "text/event-stream")
	g.Header("X-Accel-Buffering", "no") // nginx would hold events back
	g.Status(http.StatusOK)
	g.Writer.WriteHeaderNow()
	// Below gin's and the session's writers is one that can flush.
	var w http.ResponseWriter = g.Writer
	if inner, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		w = inner.Unwrap()
	}
	out := fragments{&eventWriter{w: w, control: http.NewResponseController(w)}}
	if err := out.send("retry: 2000\n: watching\n\n"); err != nil {
		return nil // the reader is gone
	}
	if err := begin(out); err != nil {
		return nil
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.Done:
			return nil
		case <-beat.C:
			who, err := c.sessionIdentity(ctx)
			if err != nil || c.Policy.May(who, auth.Read, true) != nil || out.send(": still here\n\n") != nil {
				return nil
			}
		case p, ok := <-news:
			if !ok || follow(out, p) != nil {
				return nil
			}
		}
	}
}

// mirrorLive keeps the page of one mirror true: "run" redraws the running sync,
// "phase" is read out by screen readers, "done" has the page fetched anew.
func (c *console) mirrorLive(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	w := c.words(g)
	begin := func(out fragments) error {
		if now, err := c.Store.RepoByID(g.Request.Context(), repo.ID); err == nil && seen(now) != g.Query("seen") {
			if _, running := c.Syncer.Progress(repo.ID); !running {
				return out.swap("done", "") // it ended between the page and this stream
			}
		}
		return nil
	}
	return c.stream(g, repo.ID, begin, c.drawRun(w, func(out fragments, word string) error { return out.swap("phase", word) }))
}

// drawRun draws one running sync: "run" is its present state, "done" its end. What
// begins is announced besides.
func (c *console) drawRun(w *words, announce func(out fragments, word string) error) func(fragments, mirror.Progress) error {
	var phase mirror.Phase
	var drawn time.Time
	return func(out fragments, p mirror.Progress) error {
		if p.Phase == mirror.Done {
			return out.swap("done", "")
		}
		if p.Phase == phase && time.Since(drawn) < fragmentEvery {
			return nil
		}
		view := w.viewProgress(p)
		if p.Phase != phase {
			if err := announce(out, view.Word); err != nil {
				return err
			}
		}
		phase, drawn = p.Phase, time.Now()
		return c.sendFragment(w, out, "run", "run-live", view)
	}
}

// mirrorsLive keeps the list true: each row is an event named by the mirror's id.
// "again" has the rows fetched anew: something ended between the page, or a
// stream that broke, and this stream.
func (c *console) mirrorsLive(g *gin.Context) error {
	ctx, w := g.Request.Context(), c.words(g)
	type drawing struct {
		repo  mirror.Repo
		phase mirror.Phase
		at    time.Time
	}
	drawn, maySync := map[mirror.ID]drawing{}, c.may(g, auth.Sync, true) == nil
	begin := func(out fragments) error {
		if g.Query("ended") != strconv.FormatUint(c.Syncer.Ended(), 10) {
			return out.swap("again", "")
		}
		return nil
	}
	return c.stream(g, "", begin, func(out fragments, p mirror.Progress) error {
		d, known := drawn[p.Repo]
		ended := p.Phase == mirror.Done
		if known && !ended && d.phase == p.Phase && time.Since(d.at) < fragmentEvery {
			return nil
		}
		if !known || ended {
			repo, err := c.Store.RepoByID(ctx, p.Repo)
			if err != nil {
				return nil // removed meanwhile; its row goes with the next reload
			}
			d.repo = repo
		}
		d.phase, d.at = p.Phase, time.Now()
		drawn[p.Repo] = d
		row := c.row(w, d.repo, time.Now())
		row.MaySync = maySync
		if !ended {
			row.showProgress(w, p)
		}
		if err := c.sendFragment(w, out, string(p.Repo), "mirror-row", row); err != nil || !ended {
			return err
		}
		delete(drawn, p.Repo)
		counts, err := c.Store.CountRepos(ctx, mirror.RepoQuery{})
		if err != nil {
			return err
		}
		news := listNews{viewFirstClones(counts), w.viewHealth(counts)}
		news.Health.Swap = true
		return c.sendFragment(w, out, "first-clones", "list-news", news)
	})
}

// listNews is what the list shows besides its rows.
type listNews struct {
	FirstClones firstClones
	Health      health
}

func (c *console) sendFragment(w *words, out fragments, event, name string, data any) error {
	html, err := c.fragment(w, name, data)
	if err != nil {
		return err
	}
	return out.swap(event, html)
}
