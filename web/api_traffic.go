package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

// Traffic is what git clients take from this server, counted since it started.
type Traffic struct {
	Since    time.Time       `json:"since,omitzero" doc:"When counting began: the start of the server, or its first client"`
	BytesS   int64           `json:"bytes_s" doc:"Bytes sent in a second, over the last 10 to 20 s"`
	Requests int             `json:"requests" doc:"Requests that go on"`
	Packs    int             `json:"packs" doc:"Packs that are being made"`
	Queued   int             `json:"queued" doc:"Clients that wait for their turn to get a pack"`
	Clones   int             `json:"clones" doc:"Clones that ended well in the time asked for"`
	Ended    int             `json:"ended" doc:"Requests that ended in the time asked for"`
	Slots    []TrafficSlot   `json:"slots,omitempty" doc:"The oldest first: minutes of the last hour, or 10 minutes each of the last day"`
	Mirrors  []MirrorTraffic `json:"mirrors,omitempty" doc:"The 20 most used ones of the last day"`
}

// TrafficSlot is what was served in a stretch of time.
type TrafficSlot struct {
	At        time.Time `json:"at" doc:"Its beginning"`
	HTTPBytes int64     `json:"http_bytes"`
	SSHBytes  int64     `json:"ssh_bytes"`
	Requests  int       `json:"requests" doc:"That ended"`
	Clones    int       `json:"clones"`
	Hits      int       `json:"hits" doc:"Answers that were kept"`
	Joins     int       `json:"joins" doc:"Answers that were being made for somebody else"`
	Misses    int       `json:"misses" doc:"Answers that had to be made"`
}

// MirrorTraffic is what was taken of one mirror within a day.
type MirrorTraffic struct {
	ID       mirror.ID   `json:"id"`
	Path     mirror.Path `json:"path"`
	Bytes    int64       `json:"bytes"`
	Requests int         `json:"requests"`
	Clones   int         `json:"clones"`
}

func (a *api) trafficOperations() {
	register(a, readers, huma.Operation{
		OperationID: "show-traffic", Method: http.MethodGet, Path: "/traffic", Tags: []string{"history"}, Summary: "Show what git clients take",
		Description: "What goes on now, the last hour or day by time, and the most used mirrors of the last day. It is kept in " +
			"memory and begins anew with the server; /metrics has the same for longer.",
	}, a.showTraffic)
}

type trafficRequest struct {
	Span string `query:"span" enum:"hour,day" default:"hour" doc:"How far to look back"`
}

type trafficAnswer struct{ Body Traffic }

func (a *api) showTraffic(ctx context.Context, in *trafficRequest) (*trafficAnswer, error) {
	span, now := trafficSpanOf(in.Span), time.Now()
	out := a.trafficNow(now)
	for _, s := range a.Traffic.Over(span.Span, span.Step, now) {
		out.Slots = append(out.Slots, slotJSON(s))
		out.Clones += s.Clones
		out.Ended += s.Requests
	}
	top, err := a.topTraffic(ctx, a.Traffic.Top(topMirrors, now))
	if err != nil {
		return nil, err
	}
	for _, m := range top {
		out.Mirrors = append(out.Mirrors, MirrorTraffic{ID: m.Repo, Path: m.Path, Bytes: m.Bytes, Requests: m.Requests, Clones: m.Clones})
	}
	return &trafficAnswer{out}, nil
}

// trafficNow is what goes on.
func (s *Server) trafficNow(now time.Time) Traffic {
	t := Traffic{Since: s.Traffic.Since(), BytesS: int64(s.Traffic.Rate(now)), Requests: s.Traffic.Flows()}
	if s.Packs != nil {
		t.Packs, t.Queued = s.Packs()
	}
	return t
}

func slotJSON(s mirror.TrafficSlot) TrafficSlot {
	return TrafficSlot{
		At: s.At, HTTPBytes: s.HTTP, SSHBytes: s.SSH, Requests: s.Requests, Clones: s.Clones,
		Hits: s.Cache.Hits, Joins: s.Cache.Joins, Misses: s.Cache.Misses,
	}
}
