package mirror

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Router knows the roads to the upstream hosts. Its methods may be called by
// many goroutines.
type Router interface {
	// Route is the road to take to r's upstream now: the endpoint in use, its
	// address with r's place on it, and the credential it wants. Refs and
	// Bandwidth of the Remote are set, Known is not.
	Route(ctx context.Context, r Repo) (Route, error)
	// Report tells how an exchange on a road went. It never blocks.
	Report(s Sample)
}

// look asks upstream for news and syncs when there are any. quiet tells that
// there is nothing to record but the time: nothing is new, and nobody asked.
func (a *attempt) look(ctx context.Context) (quiet bool, err error) {
	remote, upstream, err := a.check(ctx)
	if err != nil {
		return false, err
	}
	same := remote.Known != "" && upstream.Fingerprint == remote.Known
	if same {
		if _, err := a.Disk.Refs(ctx, a.repo.ID); errors.Is(err, ErrNotFound) {
			same = false // the disk lost it
		} else if err != nil {
			return false, err
		}
	}
	if same {
		a.run.Outcome = Unchanged
		// That it is well again is worth telling.
		return a.run.ID == 0 && a.repo.State.Failures == 0 && a.repo.State.Problem == nil, nil
	}
	use := slotUse{clone: !a.repo.State.Served()}
	waited, err := a.turn(ctx, a.job, a.slots, use)
	if err != nil {
		return false, err
	}
	defer a.slots.release(use)
	again, err := a.begin(ctx)
	if err != nil {
		return false, err
	}
	if waited || again {
		upstream = Listing{} // it may be old, and could be long
		if remote, upstream, err = a.list(ctx); err != nil {
			return false, err
		}
	}
	if err := a.sync(ctx, remote, upstream); err != nil {
		return false, err
	}
	a.repo.State.Endpoint = a.endpoint
	if a.secondary && a.repo.State.Digest == "" {
		a.partly.remember(a.repo, a.endpoint, upstream.Fingerprint)
	}
	return false, nil
}

const (
	turnPatience = 10 * time.Second
	// crowdedWait is when a check that has not had its turn is due again, at the
	// earliest.
	crowdedWait = 30 * time.Second
)

// check lists upstream's refs when it is the check's turn. Who has a run is
// waited for, and does not queue with the schedule's.
func (a *attempt) check(ctx context.Context) (Remote, Listing, error) {
	if a.run.ID == 0 {
		use := slotUse{host: a.repo.Upstream.Host}
		patience := a.Patience
		if patience <= 0 {
			patience = turnPatience
		}
		patient, end := context.WithTimeoutCause(ctx, patience, &refusal{Wait: crowdedWait + rand.N(crowdedWait)})
		_, err := a.turn(patient, a.job, a.checks, use)
		end()
		if err != nil {
			return Remote{}, Listing{}, err
		}
		defer a.checks.release(use)
	}
	return a.list(ctx)
}

// begin opens a run if there is none. again tells that somebody asked meanwhile,
// who is to get what upstream has now.
func (a *attempt) begin(ctx context.Context) (again bool, err error) {
	if a.run.ID != 0 {
		return false, nil
	}
	var run Run
	err = a.persist(context.WithoutCancel(ctx), ctx.Done(), "open a run", func(ctx context.Context) (err error) {
		run, err = a.Store.BeginRun(ctx, a.job.Claim, a.now())
		return err
	})
	switch {
	case errors.Is(err, ErrExists):
		return false, errLeaseLost
	case errors.Is(err, ErrNotFound):
		return false, errRemoved
	case err != nil:
		return false, err
	}
	again = run.Trigger != a.run.Trigger
	a.run = run
	a.opened()
	return again, nil
}

// list asks upstream for its refs, unless it must not be asked now.
func (a *attempt) list(ctx context.Context) (Remote, Listing, error) {
	route, err := a.route(ctx)
	if err != nil {
		return Remote{}, Listing{}, err
	}
	remote := route.Remote
	a.target = targetOf(a.repo, remote)
	if a.limits.anonymousLimited(a.target) {
		a.borrow(ctx, &remote)
	}
	if refused := a.limits.admit(a.target, a.run.ID == 0); refused != nil {
		return Remote{}, Listing{}, refused
	}
	upstream, err := a.askOnce(ctx, route, remote)
	if AsProblem(err).Class() == ThrottledAnonymous && remote.Credential == nil {
		a.limits.failed(ctx, a.target, AsProblem(err))
		if a.borrow(ctx, &remote) {
			upstream, err = a.askOnce(ctx, route, remote)
		}
	}
	if err != nil {
		return Remote{}, Listing{}, err
	}
	a.limits.succeeded(a.target)
	return remote, upstream, nil
}

// askOnce asks once and tells the roads how it went.
func (a *attempt) askOnce(ctx context.Context, route Route, remote Remote) (Listing, error) {
	a.asked = true
	upstream, err := a.Disk.List(ctx, remote)
	if a.Roads == nil || ctx.Err() != nil {
		return upstream, err
	}
	sample := Sample{Host: a.repo.Upstream.Host, Endpoint: route.Endpoint.Name, At: a.now(), Trip: upstream.Trip, Repo: a.repo.ID}
	if err != nil {
		sample.Problem = AsProblem(err).Code
	}
	a.Roads.Report(sample)
	return upstream, err
}

// transferred tells the roads how a fetch went.
func (a *attempt) transferred(ctx context.Context, took time.Duration, in Incoming, err error) {
	if a.Roads == nil || ctx.Err() != nil {
		return
	}
	sample := Sample{Host: a.repo.Upstream.Host, Endpoint: a.endpoint, Repo: a.repo.ID, At: a.now(), Transfer: true, Trip: Trip{Total: took}}
	if err != nil {
		sample.Problem = AsProblem(err).Code
	} else {
		sample.Bytes = in.Bytes()
	}
	a.Roads.Report(sample)
}

// route is the road to take, with what we know of the end of it.
func (a *attempt) route(ctx context.Context) (Route, error) {
	var route Route
	if a.Roads != nil {
		var err error
		if route, err = a.Roads.Route(ctx, a.repo); err != nil {
			return Route{}, err
		}
	} else {
		route = Route{Remote: Remote{Upstream: a.repo.Upstream, Refs: a.repo.Refs}, Endpoint: Endpoint{Name: Direct, Authoritative: true}}
		if a.repo.Credential != "" {
			cred, err := a.Credential(ctx, a.repo.Credential)
			if err != nil {
				return Route{}, &Problem{
					Code: CodeAuth, Kind: ErrSignIn, What: "the credential " + quote(a.repo.Credential) + " cannot be used",
					Why: AsProblem(err).What, Do: "store it again: gitmirror credential add",
				}
			}
			route.Remote.Credential = cred
		}
	}
	a.endpoint, a.secondary = route.Endpoint.Name, !route.Endpoint.Authoritative
	// What another endpoint said last says nothing about this one.
	if was := a.repo.State.Endpoint; was == a.endpoint || was == "" && a.endpoint == Direct {
		route.Remote.Known = a.repo.State.Digest
	}
	if route.Remote.Known == "" && a.secondary {
		route.Remote.Known = a.partly.known(a.repo, a.endpoint)
	}
	if a.repo.State.Problem.Class() == Moved {
		route.Remote.Known = "" // if it is back, what waits for a decision is to be withdrawn
	}
	return route, nil
}

// partly remembers what endpoints listed that are not authoritative and did not
// tell all: it is not what we have, and yet no news when it comes again. It may
// be forgotten.
type partly struct {
	mu    sync.Mutex
	lists map[ID]partList
}

type partList struct {
	endpoint, fingerprint string
	version, generation   int64 // of the mirror
}

func (p *partly) remember(r Repo, endpoint, fingerprint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lists == nil || len(p.lists) > demandMost {
		p.lists = make(map[ID]partList)
	}
	p.lists[r.ID] = partList{endpoint, fingerprint, r.Version, r.State.Generation}
}

func (p *partly) known(r Repo, endpoint string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lists[r.ID]; l.endpoint == endpoint && l.version == r.Version && l.generation == r.State.Generation {
		return l.fingerprint
	}
	return ""
}

// borrow has a host that limits those who do not sign in asked with some
// credential stored for it. Only for what upstream gave anonymously within a day:
// else a private repository might be mirrored for everybody.
func (a *attempt) borrow(ctx context.Context, remote *Remote) bool {
	if a.HostCredential == nil || remote.Credential != nil || a.now().Sub(a.repo.State.LastSuccess) > doubtTime {
		return false
	}
	cred, err := a.HostCredential(ctx, remote.Upstream.Host)
	if err != nil {
		a.Log.Warn("open a credential of a host", "host", remote.Upstream.Host, "err", err)
	}
	if err != nil || cred == nil {
		return false
	}
	remote.Credential = cred
	a.target = targetOf(a.repo, *remote)
	return true
}
