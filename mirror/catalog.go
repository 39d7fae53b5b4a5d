package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Catalog is what is mirrored: it adds, finds, edits and removes mirrors, and
// knows which repository serves an import path. It decides nothing about who
// may ask; the edges do that before they call.
type Catalog struct {
	Store  Store
	Disk   CatalogDisk
	Syncer *Syncer
	// Vault seals upstream credentials; without it none can be stored.
	Vault Vault
	// Site is this server's own address; it is refused as an upstream.
	Site Site
	// Blocked tells at once why an upstream can never be read (nil = it may be);
	// nil = everything is tried.
	Blocked func(Upstream) error
	// Full tells why nothing new is mirrored for now (the disk is nearly full); nil
	// = it is. May be nil.
	Full func() *Problem
	// MayAdmit decides whether the caller in ctx may have a repository mirrored
	// on first use by rule; nil = nobody may.
	MayAdmit func(ctx context.Context, rule Rule, path Path) error
	// Discoverer asks the hosts of import paths; nil = they are not asked.
	Discoverer Discoverer
	// Owners lists what rules with Discovery are for; nil = nobody does.
	Owners *Owners

	discoveries discoveries
}

// CatalogDisk is what a catalog needs of the disk.
type CatalogDisk interface {
	Remover
	RefKeeper
	Refs(ctx context.Context, id ID) (Listing, error) // as Reader has it
}

// NewMirror is a mapping as a person asks for it. Text is a path, a URL or
// user@host:path (see ParseMapping); the rest may be zero.
type NewMirror struct {
	Text string
	// Module says that Text is the path of a module, as go.mod has it, so that it
	// leads to a repository by discovery or not at all.
	Module bool
	// Upstream overrides where it comes from; Text is then the path on the mirror.
	Upstream   string
	Interval   time.Duration
	Credential string
	Private    bool
	Tags       TagPolicy
	Refs       RefPolicy
	// May says whether who asks may have a mirror at that path, before anything
	// is looked up there: the answer must not tell whether there is one. nil = yes.
	May func(ctx context.Context, path Path) error
}

// minInterval is the shortest fixed interval of a mirror: shorter ones are a
// burden on the upstream for no gain over a webhook.
const minInterval = 10 * time.Second

// Add maps and queues the first clone. A path that is mirrored already is
// returned with existed = true, unless it comes from elsewhere: that is ErrExists.
// A password in the URL then replaces the one that was given the same way.
func (c *Catalog) Add(ctx context.Context, m NewMirror) (repo Repo, existed bool, err error) {
	plan, err := c.Preview(ctx, m)
	if err != nil {
		return Repo{}, false, err
	}
	repo = plan.Repo
	if c.Full != nil && !plan.Existed {
		if p := c.Full(); p != nil {
			return Repo{}, false, p
		}
	}
	if plan.secret != nil {
		if err := c.AddCredential(ctx, *plan.secret); err != nil {
			return Repo{}, false, err
		}
	}
	if plan.Existed {
		return repo, true, c.addFound(ctx, plan.Alias)
	}
	if err := c.Store.AddRepo(ctx, repo); err != nil {
		if !errors.Is(err, ErrExists) {
			return Repo{}, false, err
		}
		if repo, err = c.Store.Repo(ctx, repo.Path); err != nil {
			return Repo{}, false, err
		}
		return repo, true, c.addFound(ctx, plan.Alias)
	}
	if plan.Alias.Prefix != "" {
		if err := c.Store.AddAlias(ctx, plan.Alias); err != nil {
			return Repo{}, false, err
		}
	}
	c.Syncer.wakeUp()
	return repo, false, nil
}

// addFound keeps what discovery found about another way to a mirror. The
// well-known ways need no row, and an administrator's are not replaced.
func (c *Catalog) addFound(ctx context.Context, a Alias) error {
	if a.Found != "go-import" {
		return nil
	}
	return c.Store.AddAlias(ctx, a)
}

// Preview is what Add would do.
type Preview struct {
	Repo    Repo
	Existed bool
	Alias   Alias // the import prefix that leads to it; Prefix is empty when none is needed

	secret *Credential
}

// Preview checks a mapping and changes nothing.
func (c *Catalog) Preview(ctx context.Context, m NewMirror) (Preview, error) {
	a, err := c.atlas(ctx)
	if err != nil {
		return Preview{}, err
	}
	return a.preview(ctx, m)
}

func (c *atlas) preview(ctx context.Context, m NewMirror) (Preview, error) {
	loc, cred, err := c.locateMapping(ctx, m)
	if err != nil {
		return Preview{}, err
	}
	if err := c.checkUpstream(loc.Upstream); err != nil {
		return Preview{}, err
	}
	tags, err := ParseTagPolicy(string(m.Tags))
	if err != nil {
		return Preview{}, err
	}
	refs, err := ParseRefPolicy(m.Refs)
	if err != nil {
		return Preview{}, err
	}
	if err := checkInterval(m.Interval); err != nil {
		return Preview{}, err
	}
	if loc, err = c.current(ctx, loc); err != nil {
		return Preview{}, err
	}
	if m.May != nil {
		if err := m.May(ctx, loc.Path); err != nil {
			return Preview{}, loc.withheld(err)
		}
	}
	p := Preview{}
	if loc.Prefix != "" && loc.Prefix != string(loc.Path) && !isGopkg(loc.Prefix) {
		p.Alias = Alias{Prefix: loc.Prefix, Repo: loc.Path, Dir: loc.Dir, Found: loc.Found}
	}
	have, err := c.repo(ctx, loc.Path)
	switch {
	case err == nil && m.Upstream != "" && have.Upstream != loc.Upstream:
		return Preview{}, &Problem{
			Kind: ErrExists, What: fmt.Sprintf("%s is already mirrored from %s", have.Path, have.Upstream),
			Do: "edit that mirror, or choose another path",
		}
	case err == nil && cred != nil && (have.Credential != string(have.Path) || have.Upstream != loc.Upstream):
		return Preview{}, &Problem{
			Kind: ErrExists, What: fmt.Sprintf("%s is already mirrored from %s, without the password in the URL", have.Path, have.Upstream),
			Do: "store it (gitmirror credential add NAME --host " + cred.Host + ") and name it in that mirror (gitmirror mirror edit " + string(have.Path) + " --credential NAME)",
		}
	case err == nil:
		p.Repo, p.Existed = have, true
		if cred != nil { // a new password for the same mirror, added the same way
			cred.Name = have.Credential
			p.secret = cred
		}
		return p, nil
	case !errors.Is(err, ErrNotFound):
		return Preview{}, err
	}
	if m.Credential != "" {
		if cred != nil {
			return Preview{}, &Problem{Kind: ErrInvalid, What: "both a credential name and a password in the URL were given", Do: "use one of them"}
		}
		if err := c.checkCredential(ctx, m.Credential, loc.Upstream); err != nil {
			return Preview{}, err
		}
	}
	now := time.Now().UTC()
	p.Repo = Repo{
		ID: NewID(), Path: loc.Path, Upstream: loc.Upstream, Credential: m.Credential,
		Private: m.Private || m.Credential != "" || cred != nil, Interval: m.Interval, Tags: tags, Refs: refs,
		Created: now, Updated: now, Version: 1,
		State: State{Status: Queued, NextSync: now},
	}
	if cred != nil {
		cred.Name = string(loc.Path)
		if err := c.mayReplace(ctx, cred.Name, ""); err != nil {
			return Preview{}, err
		}
		p.Repo.Credential, p.secret = cred.Name, cred
	}
	return p, nil
}

func (c *atlas) locateMapping(ctx context.Context, m NewMirror) (Location, *Credential, error) {
	if m.Upstream == "" {
		text := strings.TrimSpace(m.Text)
		if m.Module || !strings.Contains(text, "://") && !strings.Contains(text, "@") {
			loc, err := c.locate(ctx, query{text: strings.TrimSuffix(text, "/"), module: m.Module, ask: true})
			return loc, nil, err
		}
		path, up, cred, err := ParseMapping(m.Text)
		if err != nil {
			return Location{}, nil, err
		}
		if cred == nil && up.Scheme == "https" && up.Port == "" && up.Host+up.Path == string(path) {
			loc, err := c.locate(ctx, query{text: string(path)}) // it may be an import path: golang.org/x/mod
			return loc, nil, err
		}
		return Location{Path: path, Upstream: up}, cred, nil
	}
	path, _, misplaced, err := ParseMapping(m.Text) // a URL names its place on the mirror, too
	if err != nil {
		return Location{}, nil, err
	}
	if misplaced != nil {
		return Location{}, nil, &Problem{
			Kind: ErrInvalid, What: "the password is in the mirror's path, where it would be of no use",
			Do: "put it into the upstream URL",
		}
	}
	up, cred, err := ParseUpstream(m.Upstream)
	return Location{Path: path, Upstream: up}, cred, err
}

func checkInterval(d time.Duration) error {
	if d != 0 && d < minInterval || d > 30*24*time.Hour {
		return &Problem{Kind: ErrInvalid, What: fmt.Sprintf("an interval of %s is not allowed", d), Do: "use 10s to 720h, or 0 to let it adapt"}
	}
	return nil
}

// checkUpstream refuses what is never reached, and this very server: a mirror of
// itself would sync for ever.
func (c *Catalog) checkUpstream(up Upstream) error {
	if c.Blocked != nil {
		if err := c.Blocked(up); err != nil {
			return err
		}
	}
	for _, own := range []string{c.Site.URL, c.Site.SSH} {
		u, err := url.Parse(own)
		if err != nil || own == "" {
			continue
		}
		self := Upstream{Scheme: u.Scheme, Port: u.Port()}
		if sameMachine(up.Host, strings.ToLower(u.Hostname())) && up.DialPort() == self.DialPort() {
			return &Problem{
				Code: CodeSelf, Kind: ErrInvalid, What: up.String() + " is this mirror itself",
				Do: "give the URL of the original repository",
			}
		}
	}
	return nil
}

// sameMachine tells whether two host names are the same, or two of the names
// every machine has for itself.
func sameMachine(a, b string) bool {
	own := func(host string) bool {
		addr, err := netip.ParseAddr(host)
		return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.IsLoopback()
	}
	return a == b || own(a) && own(b)
}

// Find returns the mirror at a path, or the one that it leads to (see Now); letter
// case does not matter.
func (c *Catalog) Find(ctx context.Context, path Path) (Repo, error) {
	repo, err := c.Store.Repo(ctx, path)
	if errors.Is(err, ErrNotFound) {
		if now, ok := c.arrived(ctx, path); ok {
			return now, nil
		}
		return Repo{}, NotMirrored(string(path))
	}
	return repo, err
}

// NotMirrored is the answer for what nobody mirrors; for strangers also for
// what they may not see.
func NotMirrored(path string) *Problem {
	return &Problem{
		Code: CodeNotMirrored, Kind: ErrNotFound, What: path + " is not mirrored here",
		Do: "ask an administrator, or run: gitmirror mirror add " + path,
	}
}

// Serve finds a mirror for a client. One that nobody has added but a Rule
// admits is added, and Serve waits for its first clone as long as ctx lives.
func (c *Catalog) Serve(ctx context.Context, path Path) (Repo, error) {
	repo, added, err := c.admit(ctx, path)
	if err != nil || !added {
		return repo, err
	}
	return c.FirstClone(ctx, repo, nil)
}

// Age is how long ago a mirror was last in step with its upstream; stale tells
// whether that is longer than it should be.
func (c *Catalog) Age(r Repo) (age time.Duration, stale bool) { return c.Syncer.Age(r) }

// Admit is Serve without the waiting.
func (c *Catalog) Admit(ctx context.Context, path Path) (Repo, error) {
	repo, _, err := c.admit(ctx, path)
	return repo, err
}

func (c *Catalog) admit(ctx context.Context, path Path) (repo Repo, added bool, err error) {
	repo, err = c.Store.Glance(ctx, path)
	if err == nil {
		return c.Syncer.Used(ctx, repo), false, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return Repo{}, false, err
	}
	err = NotMirrored(string(path))
	if moved, ok := c.arrived(ctx, path); ok {
		return c.Syncer.Used(ctx, moved), false, nil
	}
	rule, ok := c.admits(ctx, path)
	if !ok {
		return Repo{}, false, err
	}
	repo, _, err = c.Add(ctx, NewMirror{Text: string(path), Credential: rule.Credential, Private: rule.Private})
	return repo, err == nil, err
}

// admits finds the rule, if any, under which the caller may have path mirrored.
func (c *Catalog) admits(ctx context.Context, path Path) (Rule, bool) {
	if c.MayAdmit == nil {
		return Rule{}, false
	}
	rules, err := c.Store.Rules(ctx)
	if err != nil {
		return Rule{}, false
	}
	for _, r := range rules {
		if r.Matches(path) && c.MayAdmit(ctx, r, path) == nil {
			return r, true
		}
	}
	return Rule{}, false
}

// Edit changes what is not nil. Version guards against overwriting somebody
// else's change: ErrExists when the mirror was edited since; zero skips that.
type Edit struct {
	Version    int64
	Upstream   *string
	Interval   *time.Duration
	Credential *string
	Private    *bool
	Tags       *TagPolicy
	Refs       *RefPolicy
	Paused     *bool // false also ends an archive
	Archived   *bool // true also pauses, false also resumes an archive
}

// Edit applies e under the same checks as Add, and has the mirror synced so
// that the change takes effect.
func (c *Catalog) Edit(ctx context.Context, id ID, e Edit) (Repo, error) {
	repo, err := c.Store.RepoByID(ctx, id)
	if err != nil {
		return Repo{}, err
	}
	if e.Version != 0 && e.Version != repo.Version {
		return Repo{}, errFaster(repo.Path)
	}
	var secret *Credential
	if e.Upstream != nil {
		if repo.Upstream, secret, err = ParseUpstream(*e.Upstream); err != nil {
			return Repo{}, err
		}
		if err := c.checkUpstream(repo.Upstream); err != nil {
			return Repo{}, err
		}
	}
	if e.Credential != nil {
		repo.Credential = *e.Credential
	}
	if secret != nil {
		secret.Name = string(repo.Path)
		if err := c.mayReplace(ctx, secret.Name, repo.ID); err != nil {
			return Repo{}, err
		}
		if err := c.AddCredential(ctx, *secret); err != nil {
			return Repo{}, err
		}
		repo.Credential, repo.Private = secret.Name, true
	} else if repo.Credential != "" {
		if err := c.checkCredential(ctx, repo.Credential, repo.Upstream); err != nil {
			return Repo{}, err
		}
	}
	if e.Interval != nil {
		repo.Interval = *e.Interval
		if err := checkInterval(repo.Interval); err != nil {
			return Repo{}, err
		}
	}
	if e.Private != nil {
		repo.Private = *e.Private
	}
	if e.Tags != nil {
		if repo.Tags, err = ParseTagPolicy(string(*e.Tags)); err != nil {
			return Repo{}, err
		}
	}
	if e.Refs != nil {
		if repo.Refs, err = ParseRefPolicy(*e.Refs); err != nil {
			return Repo{}, err
		}
	}
	if e.Paused != nil {
		if repo.Paused = *e.Paused; !repo.Paused {
			repo.Archived = time.Time{}
		}
	}
	now := time.Now().UTC()
	if e.Archived != nil {
		if err := repo.archive(*e.Archived, now); err != nil {
			return Repo{}, err
		}
	}
	repo.Updated, repo.State.NextSync, repo.State.Status = now, now, repo.State.Resting()
	if repo.Paused {
		repo.State.NextSync, repo.State.Status = time.Time{}, Paused
	}
	if err := c.Store.EditRepo(ctx, repo); err != nil {
		return Repo{}, err
	}
	c.Syncer.wakeUp()
	return c.Store.RepoByID(ctx, id)
}

// Remove forgets the mirror and frees its disk space. A sync that runs is stopped.
func (c *Catalog) Remove(ctx context.Context, id ID) error {
	repo, err := c.Store.RepoByID(ctx, id)
	if err != nil {
		return err
	}
	if err := c.excludeFromRules(ctx, repo.Path); err != nil {
		return err
	}
	if err := c.Store.RemoveRepo(ctx, id); err != nil {
		return err
	}
	c.Syncer.stop(id, errRemoved)
	return c.Disk.Remove(context.WithoutCancel(ctx), id)
}
