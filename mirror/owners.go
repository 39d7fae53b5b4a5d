package mirror

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// OwnerListing is what a host's API says an organisation or user has.
type OwnerListing struct {
	Repos []HostRepo
	// ETag goes with the next question, so that the host may say "unchanged".
	ETag      string
	Unchanged bool // since the ETag sent; Repos is empty then
	// Cut says that the host has more than we take.
	Cut bool
}

// OwnerLister asks a host's API for the repositories of an organisation or a
// user. Of from.Upstream only the host counts.
type OwnerLister interface {
	OwnerRepos(ctx context.Context, from Remote, owner, etag string) (OwnerListing, error)
}

// Owners adds the repositories of rules with Discovery, and looks for new ones
// from time to time. Servers on one database share the work.
type Owners struct {
	Catalog *Catalog
	Lister  OwnerLister
	Every   time.Duration // between two listings of a rule; zero = an hour
	Log     *slog.Logger  // nil = discard

	once sync.Once
	wake chan struct{}
}

const (
	// ownersPoll finds rules that another process has added.
	ownersPoll = 30 * time.Second
	// ownersRetry is how soon a listing that failed is tried again.
	ownersRetry = 10 * time.Minute
)

func (o *Owners) init() {
	o.once.Do(func() {
		o.wake = make(chan struct{}, 1)
		if o.Every <= 0 {
			o.Every = time.Hour
		}
		if o.Log == nil {
			o.Log = slog.New(slog.DiscardHandler)
		}
	})
}

// wakeUp has rules looked at now; nil does nothing.
func (o *Owners) wakeUp() {
	if o == nil {
		return
	}
	o.init()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Run lists what is due until ctx ends.
func (o *Owners) Run(ctx context.Context) error {
	o.init()
	tick := time.NewTicker(min(ownersPoll, o.Every))
	defer tick.Stop()
	for {
		o.listDue(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
		case <-tick.C:
		}
	}
}

func (o *Owners) listDue(ctx context.Context) {
	for ctx.Err() == nil {
		now := time.Now().UTC()
		// Whoever dies while listing leaves the rule for the next time.
		rule, ok, err := o.Catalog.Store.ClaimRule(ctx, now, now.Add(o.Every))
		if err != nil && ctx.Err() == nil {
			o.Log.Error("claim a rule to list", "err", err)
		}
		if err != nil || !ok {
			return
		}
		listing, due := o.list(ctx, rule)
		if ctx.Err() != nil {
			due = now // it is begun again by whoever is next
		}
		if err := o.Catalog.Store.RuleListed(context.WithoutCancel(ctx), rule, listing, due); err != nil {
			o.Log.Error("record the listing of a rule", "rule", rule.Pattern, "err", err)
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// list asks and adds; it returns what to record and when to ask again.
func (o *Owners) list(ctx context.Context, rule Rule) (RuleListing, time.Time) {
	now := time.Now().UTC()
	before := rule.Listing
	found, list, err := o.ask(ctx, rule, before.ETag)
	if err != nil {
		p := AsProblem(err)
		if p.Kind == "" {
			o.Log.Error("list the repositories of a rule", "rule", rule.Pattern, "err", err)
		}
		before.At, before.Problem = now, p
		due := now.Add(ownersRetry)
		if p.RetryAfter.After(due) {
			due = p.RetryAfter
		}
		return before, due
	}
	due := now.Add(o.Every)
	if found.Unchanged {
		before.At, before.Problem = now, nil
		return before, due
	}
	done := RuleListing{At: now, ETag: found.ETag, Found: len(found.Repos), Cut: found.Cut, Skipped: len(found.Repos) - len(list)}
	plan, err := o.Catalog.PlanAll(ctx, list, nil)
	if err != nil {
		done.ETag, done.Problem = "", AsProblem(err)
		return done, now.Add(ownersRetry)
	}
	o.add(ctx, rule, list, plan, &done)
	if done.Failed > 0 {
		done.ETag = "" // the next listing tries again
	}
	if done.Added > 0 {
		o.Log.Info("added mirrors of a rule", "rule", rule.Pattern, "added", done.Added, "found", done.Found)
	}
	return done, due
}

// ask lists the owner's repositories and picks those that the rule is for.
func (o *Owners) ask(ctx context.Context, rule Rule, etag string) (OwnerListing, []NewMirror, error) {
	host, owner, ok := rule.owner()
	if !ok || rule.Discovery == nil {
		return OwnerListing{}, nil, errNotListed(rule.Pattern)
	}
	from := Remote{Upstream: Upstream{Scheme: "https", Host: host, Path: "/" + owner}}
	if rule.Credential != "" {
		cred, err := o.Catalog.OpenCredential(ctx, rule.Credential)
		if err != nil {
			return OwnerListing{}, nil, err
		}
		from.Credential = cred
	}
	found, err := o.Lister.OwnerRepos(ctx, from, owner, etag)
	if err != nil {
		return OwnerListing{}, nil, err
	}
	var list []NewMirror
	for _, r := range found.Repos {
		p, err := ParsePath(host + "/" + r.FullName)
		if err != nil || !rule.Matches(p) || !rule.Discovery.takes(r) {
			continue
		}
		m := NewMirror{Text: string(p), Credential: rule.Credential, Private: rule.Private || r.Private}
		// The host may say on which port, or by which scheme, it is cloned; a URL on
		// another host is not believed.
		if up := r.Upstream; up.Host == host && up.String() != "https://"+string(p) {
			m.Upstream = up.String()
		}
		list = append(list, m)
	}
	return found, list, nil
}

// takes tells whether a repository that was listed is wanted.
func (d *RuleDiscovery) takes(r HostRepo) bool {
	switch {
	case r.Archived && !d.Archived, r.Fork && !d.Forks:
		return false
	}
	_, name, _ := strings.Cut(strings.ToLower(r.FullName), "/")
	return !slices.ContainsFunc(d.Exclude, func(glob string) bool {
		ok, _ := path.Match(strings.ToLower(glob), name) // checked when it was stored
		return ok
	})
}

// owner is the host and the owner of a pattern host/owner/*.
func (r Rule) owner() (host, owner string, ok bool) {
	e := strings.Split(r.Pattern, "/")
	if len(e) != 3 || e[2] != "*" || e[1] == "*" {
		return "", "", false
	}
	return strings.ToLower(e[0]), e[1], true
}

func errNotListed(pattern string) error {
	return &Problem{
		Code: CodeBadPath, Kind: ErrInvalid, What: "the repositories of " + quote(pattern) + " cannot be listed",
		Why: "a host is asked for what one organisation or user has", Do: "write host/owner/*, for example github.com/acme/*",
	}
}

const (
	maxExcludes = 1_000
	maxGlob     = 200
)

// check refuses what could never be a listing.
func (d *RuleDiscovery) check(r Rule) error {
	if d == nil {
		return nil
	}
	if _, _, ok := r.owner(); !ok {
		return errNotListed(r.Pattern)
	}
	if len(d.Exclude) > maxExcludes {
		return &Problem{Kind: ErrInvalid, What: fmt.Sprintf("%d patterns exclude repositories; at most %d may", len(d.Exclude), maxExcludes)}
	}
	for _, glob := range d.Exclude {
		if _, err := path.Match(glob, "x"); err != nil || glob == "" || len(glob) > maxGlob || strings.ContainsAny(glob, "/ \t\r\n\x00") {
			return &Problem{
				Kind: ErrInvalid, What: quote(glob) + " excludes nothing: it is no pattern of repository names",
				Do: "write names as they are below the owner, with * and ? where anything goes: legacy-*",
			}
		}
	}
	return nil
}

// excludeFromRules keeps a mirror that a person removed from being added again
// by the next listing.
func (c *Catalog) excludeFromRules(ctx context.Context, p Path) error {
	rules, err := c.Store.Rules(ctx)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.Discovery == nil || !r.Matches(p) || len(r.Discovery.Exclude) >= maxExcludes {
			continue
		}
		d := *r.Discovery
		if !slices.Contains(d.Exclude, p.Base()) {
			d.Exclude = append(slices.Clone(d.Exclude), p.Base())
			r.Discovery = &d
			if err := c.Store.EditRule(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}
