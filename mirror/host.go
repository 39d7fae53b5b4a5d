package mirror

import "time"

// Host is an upstream host and the roads to it, the best first.
type Host struct {
	Name      string // "github.com"
	Endpoints []Endpoint
	// Active is the name of the endpoint in use.
	Active string
	// Pinned keeps Active whatever the samples say, until PinnedUntil (zero = until
	// somebody ends it): a person chose it.
	Pinned      bool
	PinnedUntil time.Time
	// Bandwidth is how many bytes a second all traffic with it may take; zero = all.
	Bandwidth int64
	// Budget is how many requests a second scheduled checks may make; zero = as
	// many as are due.
	Budget  float64
	Since   time.Time // of Active
	Version int64     // grows with every edit
}

// Endpoint is the one with that name.
func (h Host) Endpoint(name string) (Endpoint, bool) {
	for _, e := range h.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	return Endpoint{}, false
}

// InUse is the endpoint that syncs take: Active, or the first that is enabled
// when Active has gone. A host without any is reached directly.
func (h Host) InUse() Endpoint {
	if e, ok := h.Endpoint(h.Active); ok && !e.Disabled {
		return e
	}
	for _, e := range h.Endpoints {
		if !e.Disabled {
			return e
		}
	}
	return Endpoint{Name: Direct, Authoritative: true}
}

// Direct is the name of the endpoint every host has: its own address.
const Direct = "direct"

// Endpoint is one road to a host: the host itself, a corporate mirror, another
// gitmirror, ssh on another port.
type Endpoint struct {
	Name string // lower-case letters, digits, "-"; unique for the host
	// URL is put in front of a repository's path on the host:
	// "https://git.corp.example/github.com" + "/spf13/cobra". Empty = Direct.
	URL string
	// Credential is the name of the stored credential it wants; empty = the
	// mirror's own when the host is the same, else none.
	Credential string
	// Authoritative endpoints are believed when refs go away or are forced. The
	// others may only add objects and move branches forward. Direct always is.
	Authoritative bool
	Disabled      bool
}

// Trip is how one exchange with an upstream went. Phases of a connection that
// was there already are zero.
type Trip struct {
	Address   string // IP and port
	Reused    bool
	DNS       time.Duration
	Connect   time.Duration
	TLS       time.Duration
	FirstByte time.Duration // from the request to the first byte of its answer
	Total     time.Duration
	Bytes     int64 // received
}

// Sample is one measurement of an endpoint.
type Sample struct {
	Host     string
	Endpoint string
	// Repo is what was asked for; empty when it does not matter.
	Repo ID
	At   time.Time
	Trip
	Problem Code // why it failed; empty = it did not
	Probe   bool // asked for the sake of measuring, on a connection of its own
	// Transfer is a fetch: its Bytes and Total tell how fast the road is, and not
	// how long.
	Transfer bool
}

// Latency is the longest phase of a trip. Each phase is about one round trip, so
// it can be compared between connections that are new and those that were there.
// Where no phases are known it is the whole trip.
func (t Trip) Latency() time.Duration {
	if longest := max(t.DNS, t.Connect, t.TLS, t.FirstByte); longest > 0 {
		return longest
	}
	return t.Total
}

// Route is the road a sync takes.
type Route struct {
	Remote   Remote
	Endpoint Endpoint
}

// HostEvent is a change of the road to a host, with its reason.
type HostEvent struct {
	ID       int64
	Host     string
	At       time.Time
	From, To string // names of endpoints
	By       string // a user's name; empty = the rule
	Reason   string
}

// HostRepo is a repository as its host's API knows it.
type HostRepo struct {
	ID       int64    // the host's own; a rename does not change it
	FullName string   // "owner/name", as the host spells it today
	Upstream Upstream // where it is cloned from today, without ".git"
	// DefaultBranch has no refs/heads/; empty in an empty repository.
	DefaultBranch string
	Private       bool
	Archived      bool
	Fork          bool
	Pushed        time.Time // of the last push, UTC; zero = unknown
}

// Switch is a change of the endpoint in use, or of its pin: From and To are then
// the same.
type Switch struct {
	HostEvent
	Pinned      bool
	PinnedUntil time.Time
}
