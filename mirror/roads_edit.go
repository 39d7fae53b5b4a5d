package mirror

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// HostEdit is what a person wants of a host: all of it, each time.
type HostEdit struct {
	Name string
	// Version guards against overwriting somebody else's edit: ErrExists when the
	// host was edited since; zero skips that.
	Version   int64
	Endpoints []Endpoint // the best first; Direct must be one of them
	Bandwidth int64      // bytes a second; zero = all
	Budget    float64    // requests a second of scheduled checks; zero = as many as are due
}

const (
	maxEndpoints    = 16
	maxEndpointName = 40
	minBandwidth    = 1 << 10
	maxPin          = 365 * 24 * time.Hour
)

// Edit replaces the settings of a host; one that is not known yet is added.
func (r *Roads) Edit(ctx context.Context, e HostEdit) (Host, error) {
	r.init()
	name, err := canonicalHost(e.Name)
	if err != nil {
		return Host{}, err
	}
	e.Name = name
	if err := r.checkEdit(ctx, e); err != nil {
		return Host{}, err
	}
	h, err := r.Store.Host(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Host{}, err
	}
	if e.Version != 0 && e.Version != h.Version {
		return Host{}, editedHost(name)
	}
	for i, end := range e.Endpoints {
		e.Endpoints[i].Authoritative = end.Authoritative || end.Name == Direct
	}
	if h.Version == 0 {
		h = Host{Name: name, Since: time.Now().UTC()}
	}
	h.Endpoints, h.Bandwidth, h.Budget = e.Endpoints, e.Bandwidth, e.Budget
	if h.Version == 0 {
		h.Active = h.InUse().Name
	}
	if err := r.Store.SaveHost(ctx, h); err != nil {
		if errors.Is(err, ErrExists) {
			return Host{}, editedHost(name)
		}
		return Host{}, err
	}
	return r.renew(ctx, name)
}

func editedHost(name string) *Problem {
	return &Problem{
		Kind: ErrExists, What: "the endpoints of " + name + " were changed by somebody else meanwhile",
		Do: "look at the new settings and apply your change again",
	}
}

// renew reads a host after a change.
func (r *Roads) renew(ctx context.Context, name string) (Host, error) {
	h, err := r.Store.Host(ctx, name)
	if err != nil {
		return Host{}, err
	}
	state := r.adopt(ctx, h)
	r.mu.Lock()
	state.due = time.Time{} // measure new endpoints at once
	clear(state.lacking)
	r.mu.Unlock()
	r.wakeUp()
	return h, nil
}

func (r *Roads) checkEdit(ctx context.Context, e HostEdit) error {
	bad := func(what, do string) error { return &Problem{Kind: ErrInvalid, What: what, Do: do} }
	switch {
	case len(e.Endpoints) > maxEndpoints:
		return bad(fmt.Sprintf("%d endpoints are too many", len(e.Endpoints)), fmt.Sprintf("use at most %d", maxEndpoints))
	case e.Bandwidth < 0 || e.Bandwidth > 0 && e.Bandwidth < minBandwidth:
		return bad("the bandwidth is too small to transfer anything", "use at least 1024 bytes a second, or 0 for no limit")
	case e.Budget < 0 || e.Budget > 1e6 || math.IsNaN(e.Budget) || e.Budget > 0 && e.Budget < 0.001:
		return bad("the budget is not a number of requests a second", "use 0.001 to 1000000, or 0 for no limit")
	case !slices.ContainsFunc(e.Endpoints, func(e Endpoint) bool { return e.Name == Direct }):
		return bad("the endpoint direct is missing", "list it, disabled if it must not be used")
	case !slices.ContainsFunc(e.Endpoints, func(e Endpoint) bool { return !e.Disabled }):
		return bad("no endpoint is enabled", "leave at least one enabled")
	}
	names, urls := map[string]bool{}, map[string]bool{}
	for _, end := range e.Endpoints {
		if err := CheckEndpointName(end.Name); err != nil {
			return err
		}
		if names[end.Name] || end.URL != "" && urls[end.URL] {
			return &Problem{Kind: ErrExists, What: "the endpoint " + end.Name + " is there twice", Do: "give each its own name and URL"}
		}
		names[end.Name], urls[end.URL] = true, true
		if err := r.checkEndpoint(ctx, e.Name, end); err != nil {
			return err
		}
	}
	return nil
}

// CheckEndpointName refuses what is no name of an endpoint.
func CheckEndpointName(name string) error {
	ok := name != "" && len(name) <= maxEndpointName && name[0] != '-' && name != "auto"
	for _, c := range []byte(name) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-')
	}
	if !ok {
		return &Problem{
			Kind: ErrInvalid, What: quote(name) + " is not a name for an endpoint",
			Do: fmt.Sprintf("use up to %d lower-case letters, digits and \"-\", such as hk-proxy", maxEndpointName),
		}
	}
	return nil
}

// aRepository stands for the path of any repository.
const aRepository = "/owner/name"

func (r *Roads) checkEndpoint(ctx context.Context, host string, e Endpoint) error {
	up := Upstream{Scheme: "https", Host: host, Path: aRepository}
	switch {
	case e.Name == Direct && e.URL != "":
		return &Problem{Kind: ErrInvalid, What: "the endpoint direct has a URL", Why: "it is " + host + " itself", Do: "give another road another name"}
	case e.Name != Direct && e.URL == "":
		return &Problem{Kind: ErrInvalid, What: "the endpoint " + e.Name + " has no URL", Do: "give what goes in front of a repository's path: https://git.corp.example/" + host}
	case e.URL != "":
		if e.URL[len(e.URL)-1] == '/' {
			return &Problem{Code: CodeBadURL, Kind: ErrInvalid, What: quote(hidePassword(e.URL)) + " ends in \"/\"", Do: "leave that out"}
		}
		var err error
		if up, err = e.upstream(Upstream{Path: aRepository}); err != nil {
			return err
		}
	}
	if r.Check == nil {
		return nil
	}
	return r.Check(ctx, up, e.Credential)
}

// Use pins an endpoint for that long (zero = until further notice); an empty
// name leaves it to the rule again. by is the user's name.
func (r *Roads) Use(ctx context.Context, name, endpoint string, pin time.Duration, by string) (Host, error) {
	r.init()
	if pin < 0 || pin > maxPin {
		return Host{}, &Problem{Kind: ErrInvalid, What: fmt.Sprintf("an endpoint cannot be pinned for %s", pin), Do: "use up to 8760h, or leave it out"}
	}
	h, err := r.known(ctx, name)
	if err != nil {
		return Host{}, err
	}
	now := time.Now().UTC()
	s := Switch{HostEvent: HostEvent{Host: h.Name, At: now, From: h.Active, To: h.Active, By: by, Reason: "left to the rule again"}}
	if endpoint != "" {
		e, ok := h.Endpoint(endpoint)
		if !ok {
			return Host{}, &Problem{Kind: ErrNotFound, What: name + " has no endpoint " + quote(endpoint), Do: "see gitmirror upstream show " + name}
		}
		if e.Disabled {
			return Host{}, &Problem{Kind: ErrInvalid, What: "the endpoint " + endpoint + " is disabled", Do: "enable it first"}
		}
		s.To, s.Pinned, s.Reason = endpoint, true, "pinned until further notice"
		if pin > 0 {
			s.PinnedUntil = now.Add(pin)
			s.Reason = "pinned until " + s.PinnedUntil.Format("2006-01-02 15:04 UTC")
		}
	} else if !h.Pinned {
		return h, nil
	}
	if err := r.Store.SwitchHost(ctx, s); err != nil {
		if errors.Is(err, ErrExists) {
			return Host{}, &Problem{Kind: ErrExists, What: "the endpoint of " + name + " was changed at the same moment", Do: "look at it and try again"}
		}
		return Host{}, err
	}
	r.tell(s)
	return r.renew(ctx, name)
}

func unknownHost(name string, err error) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	return &Problem{Kind: ErrNotFound, What: "no upstream host is called " + quote(name), Do: "see gitmirror upstream list"}
}

// Forget drops a host: its endpoints, what was measured, its history. While
// mirrors come from it, it comes back with its direct endpoint.
func (r *Roads) Forget(ctx context.Context, name string) error {
	r.init()
	if err := r.Store.RemoveHost(ctx, name); err != nil {
		return unknownHost(name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hosts, name)
	for key := range r.sums {
		if key.host == name {
			delete(r.sums, key)
		}
	}
	return nil
}

// Probe measures all endpoints of a host now, disabled ones too.
func (r *Roads) Probe(ctx context.Context, name string) ([]Sample, error) {
	r.init()
	h, err := r.known(ctx, name)
	if err != nil {
		return nil, err
	}
	return r.measure(ctx, r.adopt(ctx, h), true)
}

// CheckEndpoint refuses what an endpoint may not be; it is for Roads.Check.
func (c *Catalog) CheckEndpoint(ctx context.Context, up Upstream, credential string) error {
	if err := c.checkUpstream(up); err != nil {
		return err
	}
	if credential == "" {
		return nil
	}
	return c.checkCredential(ctx, credential, up)
}
