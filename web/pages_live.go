package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// heartbeat keeps proxies from closing a quiet stream.
	heartbeat = 15 * time.Second
	// streamLife bounds a stream: the browser comes back, and is asked again who it is.
	streamLife = 10 * time.Minute
	// writeWithin is how long a reader may take; a stuck one must not hold a place.
	writeWithin = 10 * time.Second
	// fragmentEvery bounds how often a page is redrawn within a phase.
	fragmentEvery = 400 * time.Millisecond
)

// eventStream sends parts of a page as server-sent events (WHATWG HTML, 9.2).
type eventStream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (e eventStream) send(event, html string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "event: %s\n", event)
	for line := range strings.Lines(html) {
		fmt.Fprintf(&b, "data: %s\n", strings.TrimRight(line, "\r\n"))
	}
	if html == "" {
		b.WriteString("data:\n")
	}
	return e.write(b.String() + "\n")
}

func (e eventStream) write(text string) error {
	_ = e.rc.SetWriteDeadline(time.Now().Add(writeWithin)) // not every connection has one
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	return e.rc.Flush()
}

// stream runs follow with news of one mirror (empty = all) until the reader
// goes, the server stops or the stream has lived long enough.
func (c *console) stream(g *gin.Context, id mirror.ID, begin func(eventStream) error, follow func(eventStream, mirror.Progress) error) error {
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
	out := eventStream{w: w, rc: http.NewResponseController(w)}
	if err := out.write(": live\n\n"); err != nil {
		return nil // the reader is gone
	}
	if err := begin(out); err != nil {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.Done:
			return nil
		case <-beat.C:
			if out.write(": still here\n\n") != nil {
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
	var phase mirror.Phase
	var drawn time.Time
	begin := func(out eventStream) error {
		if now, err := c.Store.RepoByID(g.Request.Context(), repo.ID); err == nil && seen(now) != g.Query("seen") {
			if _, running := c.Syncer.Progress(repo.ID); !running {
				return out.send("done", "") // it ended between the page and this stream
			}
		}
		return nil
	}
	return c.stream(g, repo.ID, begin, func(out eventStream, p mirror.Progress) error {
		if p.Phase == mirror.Done {
			return out.send("done", "")
		}
		if p.Phase == phase && time.Since(drawn) < fragmentEvery {
			return nil
		}
		view := viewProgress(p)
		if p.Phase != phase {
			if err := out.send("phase", view.Word); err != nil {
				return err
			}
		}
		phase, drawn = p.Phase, time.Now()
		html, err := c.fragment("run-live", view)
		if err != nil {
			return err
		}
		return out.send("run", html)
	})
}

// mirrorsLive keeps the list true: each row is an event named by the mirror's id.
func (c *console) mirrorsLive(g *gin.Context) error {
	ctx := g.Request.Context()
	type drawing struct {
		repo  mirror.Repo
		phase mirror.Phase
		at    time.Time
	}
	drawn := map[mirror.ID]drawing{}
	nothing := func(eventStream) error { return nil }
	return c.stream(g, "", nothing, func(out eventStream, p mirror.Progress) error {
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
		row := c.row(d.repo, time.Now())
		if !ended {
			row.showProgress(p)
		}
		if err := c.sendFragment(out, string(p.Repo), "mirror-row", row); err != nil || !ended {
			return err
		}
		delete(drawn, p.Repo)
		counts, err := c.Store.CountRepos(ctx, mirror.RepoQuery{})
		if err != nil {
			return err
		}
		return c.sendFragment(out, "first-clones", "first-clones", viewFirstClones(counts))
	})
}

func (c *console) sendFragment(out eventStream, event, name string, data any) error {
	html, err := c.fragment(name, data)
	if err != nil {
		return err
	}
	return out.send(event, html)
}
