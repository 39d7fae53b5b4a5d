package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// HostParam names the upstream host an operation is about.
type HostParam struct {
	Host string `path:"host" minLength:"1" maxLength:"253" example:"github.com"`
}

type upstreamAnswer struct {
	ETag string `header:"ETag"`
	Body Upstream
}

func (a *api) upstreamOperations() {
	tags, gone := []string{"upstreams"}, []int{http.StatusNotFound}
	register(a, readers, huma.Operation{
		OperationID: "list-upstreams", Method: http.MethodGet, Path: "/upstreams", Tags: tags, Summary: "List upstream hosts and how the roads to them are",
	}, a.listUpstreams)
	register(a, readers, huma.Operation{
		OperationID: "show-upstream", Method: http.MethodGet, Path: "/upstreams/{host}", Tags: tags, Summary: "Show an upstream host", Errors: gone,
	}, a.showUpstream)
	register(a, managers, huma.Operation{
		OperationID: "put-upstream", Method: http.MethodPut, Path: "/upstreams/{host}", Tags: tags, Summary: "Set the endpoints and limits of a host",
		Description: "Replaces all of them. The first endpoint is the best; the others are turned to when it is slow or fails. " +
			"A host that is not known yet is added. 412 when If-Match is not its version any more.",
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, a.putUpstream)
	register(a, managers, huma.Operation{
		OperationID: "forget-upstream", Method: http.MethodDelete, Path: "/upstreams/{host}", Tags: tags,
		Summary:     "Forget the endpoints, figures and history of a host",
		Description: "Its mirrors stay. While there are any, the host comes back with the endpoint direct.", Errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
	}, a.forgetUpstream)
	register(a, managers, huma.Operation{
		OperationID: "use-upstream", Method: http.MethodPost, Path: "/upstreams/{host}/use", Tags: tags,
		Summary: "Pin an endpoint, or leave it to the rule again", Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, a.useUpstream)
	register(a, managers, huma.Operation{
		OperationID: "probe-upstream", Method: http.MethodPost, Path: "/upstreams/{host}/probe", Tags: tags, Summary: "Measure all endpoints of a host now",
		Errors: gone,
	}, a.probeUpstream)
	register(a, readers, huma.Operation{
		OperationID: "list-upstream-samples", Method: http.MethodGet, Path: "/upstreams/{host}/samples", Tags: tags,
		Summary:     "List what was measured of a host, by endpoint and time",
		Description: "Stretches of step_s seconds; what is older than a day is known by 5 minutes, than a week by the hour, than 90 days not at all.", Errors: gone,
	}, a.upstreamSamples)
	register(a, readers, huma.Operation{
		OperationID: "list-upstream-events", Method: http.MethodGet, Path: "/upstreams/{host}/events", Tags: tags,
		Summary: "List changes of the endpoint in use and their reasons, newest first", Errors: gone,
	}, a.upstreamEvents)
}

func (a *api) listUpstreams(ctx context.Context, in *PageParams) (*listAnswer[Upstream], error) {
	all, err := a.Roads.Status(ctx, "")
	if err != nil {
		return nil, err
	}
	return paged(*in, "/upstreams", nil, all, false, func(h mirror.HostStatus) string { return h.Name }, upstreamJSON)
}

// upstream is the state of one host.
func (s *Server) upstream(ctx context.Context, host string) (mirror.HostStatus, error) {
	one, err := s.Roads.Status(ctx, host)
	if err != nil {
		return mirror.HostStatus{}, err
	}
	return one[0], nil
}

func (a *api) upstreamAnswer(ctx context.Context, host string) (*upstreamAnswer, error) {
	h, err := a.upstream(ctx, host)
	if err != nil {
		return nil, err
	}
	return &upstreamAnswer{ETag: `"` + strconv.FormatInt(h.Version, 10) + `"`, Body: upstreamJSON(h)}, nil
}

func (a *api) showUpstream(ctx context.Context, in *HostParam) (*upstreamAnswer, error) {
	return a.upstreamAnswer(ctx, in.Host)
}

type putUpstreamRequest struct {
	HostParam
	MatchParam
	Body UpstreamEdit
}

func (a *api) putUpstream(ctx context.Context, in *putUpstreamRequest) (*upstreamAnswer, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	edit := mirror.HostEdit{Name: in.Host, Version: version, Bandwidth: in.Body.Bandwidth, Budget: in.Body.Budget}
	for _, e := range in.Body.Endpoints {
		edit.Endpoints = append(edit.Endpoints, mirror.Endpoint(e))
	}
	h, err := a.Roads.Edit(ctx, edit)
	if errors.Is(err, mirror.ErrExists) && version != 0 {
		if now, seeErr := a.Store.Host(ctx, in.Host); seeErr == nil {
			yours := mirror.Host{Endpoints: edit.Endpoints, Bandwidth: edit.Bandwidth, Budget: edit.Budget}
			if err := in.met(ctx, "the upstream "+in.Host, now.Version, diffOf(hostFields(now), hostFields(yours))); err != nil {
				return nil, err
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return a.upstreamAnswer(ctx, h.Name)
}

// hostFields are what is set of a host.
func hostFields(h mirror.Host) [][2]string {
	roads := each(h.Endpoints, func(e mirror.Endpoint) string {
		text := e.Name
		for _, more := range []struct {
			is   bool
			text string
		}{{e.URL != "", e.URL}, {e.Credential != "", "credential " + e.Credential}, {e.Authoritative, "authoritative"}, {e.Disabled, "disabled"}} {
			if more.is {
				text += " " + more.text
			}
		}
		return text
	})
	return [][2]string{
		{"endpoints", strings.Join(roads, ", ")}, {"bandwidth_bytes_s", strconv.FormatInt(h.Bandwidth, 10)},
		{"budget_requests_s", strconv.FormatFloat(h.Budget, 'g', -1, 64)},
	}
}

type forgetUpstreamRequest struct {
	HostParam
	MatchParam
}

func (a *api) forgetUpstream(ctx context.Context, in *forgetUpstreamRequest) (*struct{}, error) {
	look := func() (thing, error) {
		h, err := a.Store.Host(ctx, in.Host)
		return thing{Name: "the upstream " + in.Host, Version: strconv.FormatInt(h.Version, 10)}, err
	}
	return nil, a.edits(ctx, in.MatchParam, look, nil, func() error { return a.Roads.Forget(ctx, in.Host) })
}

type useUpstreamRequest struct {
	HostParam
	Body UseUpstream
}

func (a *api) useUpstream(ctx context.Context, in *useUpstreamRequest) (*upstreamAnswer, error) {
	b := in.Body
	h, err := a.Roads.Use(ctx, in.Host, b.Endpoint, time.Duration(b.ForS)*time.Second, auth.From(ctx).Name)
	if err != nil {
		return nil, err
	}
	return a.upstreamAnswer(ctx, h.Name)
}

func (a *api) probeUpstream(ctx context.Context, in *HostParam) (*answer[list[UpstreamSample]], error) {
	samples, err := a.Roads.Probe(ctx, in.Host)
	if err != nil {
		return nil, err
	}
	return &answer[list[UpstreamSample]]{list[UpstreamSample]{Items: each(samples, sampleJSON)}}, nil
}

type upstreamSamplesRequest struct {
	HostParam
	PageParams
	Endpoint string `query:"endpoint" maxLength:"40" doc:"Only of this one"`
	SpanS    int64  `query:"span_s" minimum:"60" maximum:"7776000" default:"86400" doc:"How far back, in seconds"`
	StepS    int64  `query:"step_s" minimum:"10" maximum:"86400" default:"900" doc:"How long a stretch each item sums up, in seconds"`
}

// maxStretches bounds the answer for one endpoint.
const maxStretches = 2000

func (a *api) upstreamSamples(ctx context.Context, in *upstreamSamplesRequest) (*listAnswer[UpstreamStretch], error) {
	if in.SpanS/in.StepS > maxStretches {
		return nil, &mirror.Problem{
			Kind: mirror.ErrInvalid, What: "that is more than " + strconv.Itoa(maxStretches) + " stretches of each endpoint", Do: "use a longer step_s or a shorter span_s",
		}
	}
	if _, err := a.upstream(ctx, in.Host); err != nil {
		return nil, err
	}
	step := time.Duration(in.StepS) * time.Second
	sums, err := a.Roads.Measured(ctx, mirror.MeasuredQuery{
		Host: in.Host, Endpoint: in.Endpoint, Since: time.Now().Add(-time.Duration(in.SpanS) * time.Second).Truncate(step), Step: step,
	})
	if err != nil {
		return nil, err
	}
	more := url.Values{"endpoint": {in.Endpoint}, "span_s": {strconv.FormatInt(in.SpanS, 10)}, "step_s": {strconv.FormatInt(in.StepS, 10)}}
	key := func(m mirror.Measured) string { return fmt.Sprintf("%s %020d", m.Endpoint, m.At.UnixMicro()) }
	return paged(in.PageParams, "/upstreams/"+in.Host+"/samples", more, sums, false, key, func(m mirror.Measured) UpstreamStretch {
		return UpstreamStretch{Endpoint: m.Endpoint, At: m.At.UTC(), UpstreamFigures: figuresJSON(m)}
	})
}

type upstreamEventsRequest struct {
	HostParam
	PageParams
}

type upstreamEventsAnswer struct {
	Link string `header:"Link"`
	Body UpstreamEvents
}

func (a *api) upstreamEvents(ctx context.Context, in *upstreamEventsRequest) (*upstreamEventsAnswer, error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	if _, err := a.upstream(ctx, in.Host); err != nil {
		return nil, err
	}
	events, err := a.Store.HostEvents(ctx, in.Host, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &upstreamEventsAnswer{Body: UpstreamEvents{Items: each(events, func(e mirror.HostEvent) UpstreamEvent {
		return UpstreamEvent{ID: e.ID, At: e.At.UTC(), From: e.From, To: e.To, By: e.By, Reason: e.Reason}
	})}}
	if len(events) == in.Limit {
		out.Body.NextCursor = strconv.FormatInt(events[len(events)-1].ID, 10)
	}
	out.Link = in.next("/upstreams/"+in.Host+"/events", out.Body.NextCursor, nil)
	return out, nil
}
