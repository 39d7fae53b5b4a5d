package web

import (
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Upstream is a host that mirrors come from, and the roads to it.
type Upstream struct {
	Host          string             `json:"host" example:"github.com"`
	Mirrors       int                `json:"mirrors" doc:"That come from it"`
	InUse         string             `json:"in_use" doc:"Name of the endpoint that syncs take"`
	SinceAt       time.Time          `json:"since_at" doc:"Since when they do"`
	Pinned        bool               `json:"pinned" doc:"A person chose it; the rule does not apply"`
	PinnedUntilAt time.Time          `json:"pinned_until_at,omitzero" doc:"Absent while pinned until further notice"`
	Bandwidth     int64              `json:"bandwidth_bytes_s" doc:"Bytes a second; 0 = no limit"`
	Budget        float64            `json:"budget_requests_s" doc:"Requests a second of scheduled checks; 0 = no limit"`
	Version       int64              `json:"version" doc:"Grows with every edit; also the ETag"`
	Endpoints     []UpstreamEndpoint `json:"endpoints" doc:"The best first"`
}

// UpstreamRoad is what one sets of an endpoint.
type UpstreamRoad struct {
	Name          string `json:"name" minLength:"1" maxLength:"40" example:"hk-proxy" doc:"Lower-case letters, digits and -; \"direct\" is the host itself"`
	URL           string `json:"url,omitempty" maxLength:"2048" example:"https://git.corp.example/github.com" doc:"Stands in front of a repository's path; absent for direct"`
	Credential    string `json:"credential,omitempty" maxLength:"500" doc:"Name of a stored credential for the URL's host"`
	Authoritative bool   `json:"authoritative,omitempty" doc:"Believed when refs go away or are forced; direct always is"`
	Disabled      bool   `json:"disabled,omitempty" doc:"Never used"`
}

// UpstreamEndpoint is an endpoint and how it is.
type UpstreamEndpoint struct {
	UpstreamRoad
	InUse     bool                 `json:"in_use"`
	Condition mirror.RoadCondition `json:"condition" enum:"unknown,healthy,unsteady,slow,failing,off"`
	UsualMs   float64              `json:"usual_ms" doc:"Median latency of the last hours; 0 while unknown"`
	LimitMs   float64              `json:"limit_ms" doc:"What is slower counts as slow; 0 while unknown"`
	GoodInRow int                  `json:"good_in_row" doc:"Good samples since the last bad one"`
	Last      *UpstreamSample      `json:"last,omitempty" doc:"The newest sample"`
	Day       UpstreamFigures      `json:"day" doc:"Of the last 24 hours"`
}

// UpstreamEdit replaces what is set of a host.
type UpstreamEdit struct {
	Endpoints []UpstreamRoad `json:"endpoints" maxItems:"16" doc:"The best first; direct must be one of them"`
	Bandwidth int64          `json:"bandwidth_bytes_s,omitempty" minimum:"0" doc:"Bytes a second; 0 = no limit"`
	Budget    float64        `json:"budget_requests_s,omitempty" minimum:"0" maximum:"1000000" doc:"Requests a second of scheduled checks; 0 = no limit"`
}

// UseUpstream pins an endpoint.
type UseUpstream struct {
	Endpoint string `json:"endpoint" maxLength:"40" doc:"Empty = leave it to the rule"`
	ForS     int64  `json:"for_s,omitempty" minimum:"0" maximum:"31536000" doc:"Seconds; 0 = until further notice"`
}

// UpstreamSample is one measurement. Phases of a connection that was there
// already are 0.
type UpstreamSample struct {
	Endpoint    string      `json:"endpoint"`
	At          time.Time   `json:"at"`
	Address     string      `json:"address,omitempty" doc:"IP address and port"`
	DNSMs       float64     `json:"dns_ms"`
	ConnectMs   float64     `json:"connect_ms"`
	TLSMs       float64     `json:"tls_ms"`
	FirstByteMs float64     `json:"first_byte_ms" doc:"From the request to the first byte of its answer"`
	TotalMs     float64     `json:"total_ms"`
	Problem     mirror.Code `json:"problem,omitempty" doc:"Why it failed"`
	Probe       bool        `json:"probe" doc:"Made to measure, not by a sync"`
}

// UpstreamFigures sum up samples. The phases are means.
type UpstreamFigures struct {
	Samples     int64   `json:"samples"`
	Failed      int64   `json:"failed"`
	P50Ms       float64 `json:"p50_ms" doc:"Median of the latency, the longest phase of an exchange"`
	P95Ms       float64 `json:"p95_ms"`
	DNSMs       float64 `json:"dns_ms"`
	ConnectMs   float64 `json:"connect_ms"`
	TLSMs       float64 `json:"tls_ms"`
	FirstByteMs float64 `json:"first_byte_ms"`
	BytesS      int64   `json:"bytes_s" doc:"Bytes a second of large answers; 0 while there were none"`
}

// UpstreamStretch is what was measured of an endpoint within a stretch of time.
type UpstreamStretch struct {
	Endpoint string    `json:"endpoint"`
	At       time.Time `json:"at" doc:"When it begins"`
	UpstreamFigures
}

// UpstreamEvent is a change of the endpoint in use, or of its pin.
type UpstreamEvent struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	By     string    `json:"by,omitempty" doc:"User; absent = the rule"`
	Reason string    `json:"reason"`
}

// UpstreamEvents is a page of them, newest first.
type UpstreamEvents struct {
	Items      []UpstreamEvent `json:"items"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

// millis is a duration as the API has it, to a hundredth.
func millis(d time.Duration) float64 { return float64(d/(10*time.Microsecond)) / 100 }

func upstreamJSON(h mirror.HostStatus) Upstream {
	return Upstream{
		Host: h.Name, Mirrors: h.Mirrors, InUse: h.InUse().Name, SinceAt: h.Since.UTC(),
		Pinned: h.Pinned, PinnedUntilAt: h.PinnedUntil.UTC(), Bandwidth: h.Bandwidth, Budget: h.Budget, Version: h.Version,
		Endpoints: each(h.Roads, endpointJSON),
	}
}

func endpointJSON(e mirror.EndpointStatus) UpstreamEndpoint {
	out := UpstreamEndpoint{
		UpstreamRoad: UpstreamRoad(e.Endpoint), InUse: e.InUse, Condition: e.Condition,
		UsualMs: millis(e.Usual), LimitMs: millis(e.Limit), GoodInRow: e.Good, Day: figuresJSON(e.Day),
	}
	if !e.Last.At.IsZero() {
		last := sampleJSON(e.Last)
		out.Last = &last
	}
	return out
}

func sampleJSON(s mirror.Sample) UpstreamSample {
	return UpstreamSample{
		Endpoint: s.Endpoint, At: s.At.UTC(), Address: s.Address, DNSMs: millis(s.DNS), ConnectMs: millis(s.Connect), TLSMs: millis(s.TLS),
		FirstByteMs: millis(s.FirstByte), TotalMs: millis(s.Total), Problem: s.Problem, Probe: s.Probe,
	}
}

func figuresJSON(m mirror.Measured) UpstreamFigures {
	means := m.Means()
	return UpstreamFigures{
		Samples: m.N, Failed: m.Failed, P50Ms: millis(m.Spread.Quantile(0.5)), P95Ms: millis(m.Spread.Quantile(0.95)),
		DNSMs: millis(means.DNS), ConnectMs: millis(means.Connect), TLSMs: millis(means.TLS), FirstByteMs: millis(means.FirstByte),
		BytesS: m.Rate(),
	}
}
