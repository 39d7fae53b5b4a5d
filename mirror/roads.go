package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Prober makes one exchange with an upstream, on a connection of its own, for
// the sake of measuring. The error says why it failed; the trip how far it came.
type Prober interface {
	Probe(ctx context.Context, to Remote) (Trip, error)
}

// Roads keeps the ways to upstream hosts: it knows their endpoints, measures
// them, and turns to another one by the rule of [Judge]. A host is known from the
// first sync of a mirror of it on, with the one endpoint Direct.
type Roads struct {
	Store  Store
	Prober Prober
	// Credential opens a stored credential by name.
	Credential func(ctx context.Context, name string) (*Credential, error)
	// Check refuses what an endpoint may not be: this server itself, an address
	// that is never reached, a credential of another host. nil = everything goes.
	Check func(ctx context.Context, up Upstream, credential string) error
	// Every is how often each endpoint of a host with several is probed; zero = 20 s.
	Every time.Duration
	Log   *slog.Logger
	// OnSample and OnSwitch are told of every sample and every other endpoint; may be nil.
	OnSample func(Sample)
	OnSwitch func(HostEvent)

	once sync.Once
	wake chan struct{}

	mu     sync.Mutex
	hosts  map[string]*hostState
	loaded time.Time // when hosts was last read
	sums   map[sumKey]*Measured
	owed   []Switch // made, and not yet recorded
}

var _ Router = (*Roads)(nil)

// hostState is what this process knows of a host.
type hostState struct {
	name string
	Host
	health map[string]*Health
	// repo is what is asked for to measure: a mirror of this host that is fine.
	repo    Repo
	chosen  time.Time
	lacking map[lack]time.Time // until when an endpoint is known not to have a mirror
	due     time.Time          // of the next probes
	asked   time.Time          // when a sync last gave a sample
	probing bool
}

type lack struct {
	endpoint string
	repo     ID
}

type sumKey struct {
	host, endpoint string
	at             int64
}

const (
	probeEvery = 20 * time.Second
	// probeSoon follows a bad sample: the rule wants three of them.
	probeSoon = 5 * time.Second
	// probeAlone is for a host with one endpoint that no sync has measured.
	probeAlone = 5 * time.Minute
	// reloadEvery finds what another server on the same database has changed.
	reloadEvery = 15 * time.Second
	flushEvery  = 10 * time.Second
	thinEvery   = 5 * time.Minute
	// lackFor is how long a mirror avoids an endpoint that does not have it.
	lackFor = time.Hour
	// maxSums bounds what waits for a database that is away.
	maxSums = 20_000
)

func (r *Roads) init() {
	r.once.Do(func() {
		r.wake = make(chan struct{}, 1)
		r.hosts = map[string]*hostState{}
		r.sums = map[sumKey]*Measured{}
		if r.Log == nil {
			r.Log = slog.New(slog.DiscardHandler)
		}
	})
}

func (r *Roads) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Route implements Router.
func (r *Roads) Route(ctx context.Context, repo Repo) (Route, error) {
	r.init()
	state, err := r.host(ctx, repo.Upstream.Host)
	if err != nil {
		return Route{}, err
	}
	now := time.Now()
	r.mu.Lock()
	host := state.Host
	state.remember(repo, now)
	lacking := func(endpoint string) bool { return now.Before(state.lacking[lack{endpoint, repo.ID}]) }
	e := choose(host, repo, lacking)
	r.mu.Unlock()
	return r.along(ctx, host, e, repo)
}

// Budget is how many scheduled requests a second a host may get, as far as this
// process knows the host; zero = as many as are due.
func (r *Roads) Budget(host string) float64 {
	r.init()
	r.mu.Lock()
	defer r.mu.Unlock()
	if state, ok := r.hosts[host]; ok {
		return state.Budget
	}
	return 0
}

// choose is the endpoint in use, unless it can be of no use to this mirror; then
// it is the host itself.
func choose(h Host, repo Repo, lacking func(endpoint string) bool) Endpoint {
	e := h.InUse()
	if e.Name == Direct {
		return e
	}
	needs := repo.Credential != "" && e.Credential == "" && !sameHost(e, repo)
	if !needs && !lacking(e.Name) {
		return e
	}
	for _, other := range h.Endpoints {
		if other.Name != e.Name && !other.Disabled && !lacking(other.Name) &&
			(other.Name == Direct || repo.Credential == "" || other.Credential != "") {
			return other
		}
	}
	return e
}

func sameHost(e Endpoint, repo Repo) bool {
	up, err := e.upstream(repo.Upstream)
	return err == nil && up.Host == repo.Upstream.Host
}

// upstream is where an endpoint has what up is on the host itself.
func (e Endpoint) upstream(up Upstream) (Upstream, error) {
	if e.URL == "" {
		return up, nil
	}
	to, cred, err := ParseUpstream(e.URL + up.Path)
	if err == nil && cred != nil {
		err = errCredentialInURL
	}
	return to, err
}

var errCredentialInURL = &Problem{
	Code: CodeBadURL, Kind: ErrInvalid, What: "the URL of an endpoint holds a password",
	Do: "store it (gitmirror credential add NAME --host HOST) and name it: --credential NAME",
}

// along is the route over one endpoint.
func (r *Roads) along(ctx context.Context, h Host, e Endpoint, repo Repo) (Route, error) {
	up, err := e.upstream(repo.Upstream)
	if err != nil {
		return Route{}, err
	}
	e.Authoritative = e.Authoritative || e.Name == Direct
	route := Route{Endpoint: e, Remote: Remote{Upstream: up, Refs: repo.Refs, Bandwidth: h.Bandwidth}}
	name := e.Credential
	if up.Host == repo.Upstream.Host && repo.Credential != "" {
		name = repo.Credential
	}
	if name == "" {
		return route, nil
	}
	cred, err := r.Credential(ctx, name)
	if err != nil {
		return Route{}, &Problem{
			Code: CodeAuth, Kind: ErrSignIn, What: "the credential " + quote(name) + " cannot be used",
			Why: AsProblem(err).What, Do: "store it again: gitmirror credential add",
		}
	}
	if cred.Host != up.Host {
		return Route{}, &Problem{
			Code: CodeAuth, Kind: ErrDenied, What: "the credential " + quote(name) + " is not for " + up.Host,
			Why: "it may only be sent to " + cred.Host, Do: "choose a credential of that host",
		}
	}
	route.Remote.Credential = cred
	return route, nil
}

// remember keeps a mirror to measure with: one that is public and fine.
func (s *hostState) remember(repo Repo, now time.Time) {
	rank := func(r Repo) int {
		switch {
		case r.ID == "":
			return 0
		case !r.State.Served() || r.State.Problem != nil:
			return 1
		case r.Private || r.Credential != "":
			return 2
		}
		return 3
	}
	if have, new := rank(s.repo), rank(repo); new > have || new == have && now.Sub(s.chosen) > probeAlone || s.repo.ID == repo.ID {
		s.repo, s.chosen = repo, now
	}
}

// host is the state of a host; a new one is stored.
func (r *Roads) host(ctx context.Context, name string) (*hostState, error) {
	r.mu.Lock()
	state, ok := r.hosts[name]
	r.mu.Unlock()
	if ok {
		return state, nil
	}
	h, err := r.Store.Host(ctx, name)
	if errors.Is(err, ErrNotFound) {
		h = Host{
			Name: name, Active: Direct, Since: time.Now().UTC(),
			Endpoints: []Endpoint{{Name: Direct, Authoritative: true}},
		}
		if err = r.Store.SaveHost(ctx, h); errors.Is(err, ErrExists) {
			err = nil // another sync, or another server, was faster
		}
		if err == nil {
			h, err = r.Store.Host(ctx, name)
		}
	}
	if err != nil {
		return nil, err
	}
	return r.adopt(ctx, h), nil
}

// adopt takes over what is stored of a host, and what was measured of it when it
// is new here.
func (r *Roads) adopt(ctx context.Context, h Host) *hostState {
	r.mu.Lock()
	defer r.mu.Unlock()
	state, ok := r.hosts[h.Name]
	if ok {
		if !h.Since.Before(state.Since) { // else it was read before the last switch
			state.Host = h
		}
		return state
	}
	state = &hostState{name: h.Name, Host: h, health: map[string]*Health{}, lacking: map[lack]time.Time{}}
	r.mu.Unlock()
	past, err := r.Store.Measured(ctx, MeasuredQuery{Host: h.Name, Since: time.Now().Add(-usualOver), Step: usualEvery})
	r.mu.Lock()
	if err != nil {
		r.Log.Warn("read what was measured of an upstream", "host", h.Name, "err", err)
	}
	if meanwhile, ok := r.hosts[h.Name]; ok {
		return meanwhile
	}
	for _, m := range past {
		state.of(m.Endpoint).Recall(m)
	}
	r.hosts[h.Name] = state
	return state
}

// of is the health of an endpoint.
func (s *hostState) of(endpoint string) *Health {
	h, ok := s.health[endpoint]
	if !ok {
		h = &Health{}
		s.health[endpoint] = h
	}
	return h
}

// Report implements Router.
func (r *Roads) Report(s Sample) {
	r.init()
	if !s.tells() || s.Transfer && s.Problem != "" && !s.broken() {
		return
	}
	if r.OnSample != nil && !s.Transfer {
		r.OnSample(s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	state, ok := r.hosts[s.Host]
	if !ok {
		return // it was removed meanwhile
	}
	if _, ok := state.Endpoint(s.Endpoint); !ok {
		return
	}
	if s.Transfer && !s.broken() {
		r.sum(s, state)
		return
	}
	if !s.Probe {
		state.asked = s.At
	}
	p := Problem{Code: s.Problem}
	if s.Repo != "" && s.Endpoint != Direct && p.Class() == Ambiguous {
		// It lacks this one, which says nothing about the others.
		state.lacking[lack{s.Endpoint, s.Repo}] = s.At.Add(lackFor)
		if !s.Probe {
			return
		}
	}
	health := state.of(s.Endpoint)
	bad, good := health.bad, health.good
	health.Add(s)
	r.sum(s, state)
	first, enough := health.bad == 1, health.bad == BadInRow || health.good == GoodInRow
	if len(state.Endpoints) > 1 && (bad != health.bad || good != health.good) && (first || enough) {
		r.wakeUp() // to look closer, or to judge
	}
}

// sum adds a sample to those that are written together.
func (r *Roads) sum(s Sample, state *hostState) {
	span := SpanMiddle
	if len(state.Endpoints) > 1 {
		span = SpanFine
	}
	at := s.At.UTC().Truncate(span)
	key := sumKey{s.Host, s.Endpoint, at.UnixMicro()}
	m, ok := r.sums[key]
	if !ok {
		if len(r.sums) >= maxSums {
			return
		}
		m = &Measured{Host: s.Host, Endpoint: s.Endpoint, At: at, Span: span}
		r.sums[key] = m
	}
	m.Add(s)
}
