package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// maxStreams bounds the event streams that are open at a time; each costs a
	// connection, a goroutine and a watcher.
	maxStreams = 1000
	// beatEvery keeps proxies from closing a quiet stream; see Server.Beat.
	beatEvery = 15 * time.Second
	// eventTimeout is how long a client may take to accept one event. Syncs
	// never wait for it: Watch keeps only the latest of each repository.
	eventTimeout = 10 * time.Second
)

func (a *api) eventOperations() {
	register(a, readers, huma.Operation{
		OperationID: "watch", Method: http.MethodGet, Path: "/events", Tags: []string{"history"}, Summary: "Watch syncs as they run",
		Description: "Server-sent events. `progress` carries a Progress: first the present state of syncs that run, then what " +
			"changes; steps may be missed, the end (phase done) is not while the stream is up. After a break look at the " +
			"mirror's runs; there is no replay. A comment comes every 15 s.",
		Errors: []int{http.StatusNotFound},
		Responses: map[string]*huma.Response{"200": {
			Description: "A stream of events",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}},
		}},
	}, a.watch)
}

type watchRequest struct {
	Mirror string `query:"mirror" maxLength:"600" doc:"Id or path; absent = all mirrors"`
}

func (a *api) watch(ctx context.Context, in *watchRequest) (*huma.StreamResponse, error) {
	var id mirror.ID
	if in.Mirror != "" {
		repo, err := a.repo(ctx, in.Mirror)
		if err != nil {
			return nil, err
		}
		id = repo.ID
	}
	select {
	case a.streams <- struct{}{}:
	default:
		return nil, &mirror.Problem{Kind: mirror.ErrBusy, What: "too many event streams are open", Do: "ask for the mirror every few seconds instead"}
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer func() { <-a.streams }()
		c := humagin.Unwrap(hc)
		h := c.Writer.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no") // nginx would hold events back
		ctx, cancel := context.WithCancel(hc.Context())
		defer cancel()
		a.stream(ctx, &eventWriter{w: c.Writer, control: http.NewResponseController(c.Writer)}, a.Syncer.Watch(ctx, id))
	}}, nil
}

// stream passes progress on until the client, its right to watch or the server
// goes.
func (a *api) stream(ctx context.Context, w *eventWriter, news <-chan mirror.Progress) {
	// The comment makes the header go out at once, so that a client knows it is watching.
	if w.send("retry: 2000\n: watching\n\n") != nil {
		return
	}
	beat := time.NewTicker(cmp.Or(a.Beat, beatEvery))
	defer beat.Stop()
	watcher := onlooker{s: a.Server}
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-a.Done:
			return
		case <-beat.C:
			if a.stillMay(ctx, readers) != nil {
				return
			}
			watcher.forget()
			err = w.send(": still here\n\n")
		case p, ok := <-news:
			if !ok {
				return
			}
			if !watcher.may(ctx, p.Repo) {
				continue
			}
			var data []byte
			if data, err = json.Marshal(p); err == nil { // one line: JSON escapes line breaks
				err = w.send(fmt.Sprintf("event: progress\ndata: %s\n\n", data))
			}
		}
		if err != nil {
			return // the client is gone, or too slow
		}
	}
}

// eventWriter writes events, each within its own time limit.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (w *eventWriter) send(text string) error {
	if err := w.control.SetWriteDeadline(time.Now().Add(eventTimeout)); err != nil {
		return err
	}
	if _, err := w.w.Write([]byte(text)); err != nil {
		return err
	}
	return w.control.Flush()
}
