package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/gitmirror/gitmirror/mirror"
)

// Trail writes the audit trail. A nil Trail writes nothing.
type Trail struct {
	Store AuditStore
	Log   *slog.Logger // nil = discard

	mu      sync.Mutex
	peers   *lru.Cache[string, *rate.Limiter]
	all     *rate.Limiter
	skipped int
}

// What strangers may put into the trail: it is never trimmed, so that they must
// not be able to fill the disk.
const (
	strangersEvery = 10 * time.Second // an entry for one address, after a burst of 10
	strangersAll   = 2 * time.Second  // for all of them, after a burst of 100
	trailWait      = 10 * time.Second
)

// Add writes an entry. What happened has happened: trouble is logged, and not
// the caller's. Of strangers' refused attempts only so many are written; the
// next entry says how many were not.
func (t *Trail) Add(ctx context.Context, d Deed) {
	if t == nil || t.Store == nil {
		return
	}
	if d.Outcome != Succeeded && d.Actor == "" && d.Via != ByServer && !t.room(d.Addr) {
		return
	}
	d.At = time.Now().UTC().Truncate(time.Microsecond)
	if n := t.left(); n > 0 {
		d.Changes = append(slices.Clip(d.Changes), Change{Field: "attempts of strangers before this that were not written", After: fmt.Sprint(n)})
	}
	d.bound()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), trailWait)
	defer cancel()
	if err := t.Store.AddDeed(ctx, d); err != nil {
		log := t.Log
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		log.Error("audit entry not written", "action", d.Action, "user", d.Actor, "objects", d.Objects, "outcome", string(d.Outcome), "request", d.Request, "err", err)
	}
}

func (t *Trail) room(addr string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.peers == nil {
		t.peers = kept[string, *rate.Limiter](10000)
		t.all = rate.NewLimiter(rate.Every(strangersAll), 100)
	}
	addr = peerKey(addr)
	own, ok := t.peers.Get(addr)
	if !ok {
		own = rate.NewLimiter(rate.Every(strangersEvery), 10)
		t.peers.Add(addr, own)
	}
	if own.Allow() && t.all.Allow() {
		return true
	}
	t.skipped++
	return false
}

func (t *Trail) left() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.skipped
	t.skipped = 0
	return n
}

// bound cuts what is too long and hides what looks like a secret.
func (d *Deed) bound() {
	if n := len(d.Objects); n > maxDeedObjects {
		d.Objects = append(slices.Clone(d.Objects[:maxDeedObjects]), fmt.Sprintf("and %d more", n-maxDeedObjects))
	}
	if n := len(d.Changes); n > maxDeedChanges {
		d.Changes = append(slices.Clone(d.Changes[:maxDeedChanges]), Change{Field: "and more", After: fmt.Sprint(n - maxDeedChanges)})
	}
	for i := range d.Objects {
		d.Objects[i] = bounded(d.Objects[i])
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		c.Object, c.Field, c.Before, c.After = bounded(c.Object), bounded(c.Field), bounded(c.Before), bounded(c.After)
	}
	d.Client, d.Addr = bounded(d.Client), bounded(d.Addr)
}

func bounded(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
	if len(s) > maxDeedText {
		s = strings.ToValidUTF8(s[:maxDeedText], "") + "…"
	}
	return Masked(s)
}

// secretShape is how tokens of this and other hosts, private keys and passwords
// in URLs look.
var secretShape = regexp.MustCompile(`gmr_[0-9A-Za-z]{8,}|gh[pousr]_[0-9A-Za-z]{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}|` +
	`-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*|://[^/\s:@]*:[^/\s@]+@`)

// Masked hides what looks like a secret that somebody put where none belongs.
func Masked(s string) string {
	return secretShape.ReplaceAllStringFunc(s, func(found string) string {
		if strings.HasPrefix(found, "://") {
			return "://********@"
		}
		return "********"
	})
}

// Notes collects what a request does, for its entry of the trail. It is filled
// while the request is worked on, by whatever changes something.
type Notes struct {
	mu      sync.Mutex
	who     Identity
	objects []string
	changes []Change
	problem error
}

type notesKey struct{}

// WithNotes returns a context whose holder's deeds are collected.
func WithNotes(ctx context.Context) (context.Context, *Notes) {
	n := &Notes{}
	return context.WithValue(ctx, notesKey{}, n), n
}

func notesOf(ctx context.Context) *Notes {
	n, _ := ctx.Value(notesKey{}).(*Notes)
	return n
}

// Note adds what was done to one object to the entry of the request that ctx
// belongs to; without one it does nothing.
func Note(ctx context.Context, object string, changes ...Change) {
	n := notesOf(ctx)
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if object != "" && !slices.Contains(n.objects, object) && len(n.objects) < 10*maxDeedObjects {
		n.objects = append(n.objects, object)
	}
	for _, c := range changes {
		if c.Before != c.After && len(n.changes) < 10*maxDeedChanges {
			c.Object = object
			n.changes = append(n.changes, c)
		}
	}
}

// NoteActor says who the request turned out to be from: somebody who signs in.
func NoteActor(ctx context.Context, id Identity) {
	if n := notesOf(ctx); n != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.who = id
	}
}

// NoteProblem says that the request did not do what it should, though its answer
// may not look like it.
func NoteProblem(ctx context.Context, err error) {
	if n := notesOf(ctx); n != nil && err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.problem = err
	}
}

// Fill puts what was collected into d.
func (n *Notes) Fill(d *Deed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.who.Anonymous() {
		d.By(n.who)
	}
	d.Objects = slices.Clone(n.objects)
	d.Changes = slices.Clone(n.changes)
	if len(d.Objects) == 1 {
		for i := range d.Changes {
			d.Changes[i].Object = ""
		}
	}
	if n.problem != nil {
		d.Ended(n.problem)
	}
}

// By says who did it.
func (d *Deed) By(id Identity) {
	d.Actor, d.ActorID, d.Via = id.Name, id.User, id.Via
	d.Credential = id.Token
	if id.Key != "" {
		d.Credential = id.Key
	}
}

// Ended sets the outcome by err; nil is success.
func (d *Deed) Ended(err error) {
	if err == nil {
		d.Outcome = Succeeded
		return
	}
	p := mirror.AsProblem(err)
	d.Outcome, d.Code = Refused, string(p.Code)
	if p.Kind == "" || errors.Is(err, mirror.ErrUpstream) {
		d.Outcome = Failed
	}
}

// signInFailed records an attempt; known tells whether there is such a user. What
// was typed in place of a name may be a password, and is not written.
func (t *Trail) signInFailed(ctx context.Context, name string, known bool, peer string, err error) {
	object := "user (unknown)"
	if known {
		object = "user " + name
	}
	if notesOf(ctx) != nil { // the request has an entry of its own
		Note(ctx, object)
		NoteProblem(ctx, err)
		return
	}
	d := Deed{Action: "sign-in", Objects: []string{object}, Addr: peer, Via: ByPassword}
	d.Ended(err)
	t.Add(ctx, d)
}
