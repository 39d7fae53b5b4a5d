package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// lookEvery is how often the end of a sync is looked for besides the events:
	// a stream that broke must not let a command wait for ever.
	lookEvery = 3 * time.Second
	// giveUpAfter is how long the server may be unreachable while we wait.
	giveUpAfter = time.Minute
)

// follow waits until every item has a run that ended, and draws the progress.
// Failures of syncs are kept in the items; the error is that waiting failed.
func (p *program) follow(ctx context.Context, c *client, items []*asked) error {
	waiting := map[mirror.ID]*asked{}
	for _, item := range items {
		if item.Mirror != nil && item.err == nil && !item.settled {
			waiting[item.Mirror.ID] = item
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	streaming, stop := context.WithCancel(ctx)
	events := make(chan mirror.Progress, 16)
	streamed := make(chan struct{})
	go func() {
		defer close(streamed)
		c.stream(streaming, events)
	}()
	defer func() { stop(); <-streamed }()

	show := p.newShow()
	defer show.close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for id, item := range waiting { // some may have ended before we listened
		if err := c.lookAt(ctx, item); err != nil {
			return err
		}
		if item.Run != nil {
			delete(waiting, id)
		}
	}
	reachable := time.Now()
	for len(waiting) > 0 {
		look := map[mirror.ID]*asked{}
		select {
		case <-ctx.Done():
			return errInterrupted
		case e := <-events:
			item, ours := waiting[e.Repo]
			if !ours {
				continue
			}
			show.progress(item.name(), e)
			if e.Phase != mirror.Done {
				continue
			}
			look[e.Repo] = item
		case <-tick.C:
			look = waiting
		}
		for id, item := range look {
			err := c.lookAt(ctx, item)
			switch {
			case err == nil:
				reachable = time.Now()
			case errors.Is(err, mirror.ErrUpstream) && time.Since(reachable) < giveUpAfter:
				continue // the server restarts, perhaps
			default:
				return err
			}
			if item.Run != nil {
				show.done(item.name())
				delete(waiting, id)
			}
		}
	}
	return nil
}

// lookAt asks whether the run that answers the item has ended.
func (c *client) lookAt(ctx context.Context, item *asked) error {
	run, ended, err := c.ended(ctx, item.Mirror.ID, item.after)
	if err != nil || !ended {
		return err
	}
	if run.Outcome == mirror.Interrupted { // another follows
		item.after = run.ID
		return nil
	}
	item.Run = &run
	item.err, item.Error = problemOf(run.Error), run.Error
	if run.Error == nil {
		happened, err := c.byRun(ctx, item.Mirror.ID)
		if err != nil {
			return err
		}
		item.Events = happened[run.ID]
	}
	if m, err := c.mirror(ctx, string(item.Mirror.Path)); err == nil {
		item.Mirror = &m
	}
	return nil
}

// stream passes on the progress of all mirrors until ctx ends. It comes back
// after a break; trouble is not reported, since the ticks of follow see it too.
func (c *client) stream(ctx context.Context, to chan<- mirror.Progress) {
	for ctx.Err() == nil {
		c.streamOnce(ctx, to)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (c *client) streamOnce(ctx context.Context, to chan<- mirror.Progress) {
	resp, err := c.send(ctx, http.MethodGet, api+"/events", nil, "text/event-stream")
	if err != nil {
		return
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 4096), 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		var e mirror.Progress
		if json.Unmarshal([]byte(data), &e) != nil || e.Repo == "" {
			continue // an event of another kind
		}
		select {
		case to <- e:
		case <-ctx.Done():
			return
		}
	}
}
