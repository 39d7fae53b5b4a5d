package mirror

import (
	"fmt"
	"strings"
	"time"
)

// planning is what a plan is made of.
type planning struct {
	have, upstream Listing
	tags           TagPolicy
	refs           RefPolicy
	// live are the holds that are open, or decided and not carried out.
	live []Hold
	// authoritative tells whether upstream's listing is believed when it lacks or
	// rewinds a ref. Other listings only add refs and move branches forward.
	authoritative bool

	all bool // the policy is the one of all branches and tags
}

// leavesOut tells whether the policy does not want a branch, tag or pull request.
func (p *planning) leavesOut(name string) bool {
	if p.all {
		return strings.HasPrefix(name, "refs/pull/")
	}
	return !p.refs.Mirrors(name)
}

// changes is what a listing would do to a repository, before it is known which
// branches were rewound.
type changes struct {
	planning
	want   []Ref       // what must be fetched
	update []RefUpdate // creations, and marks that come and go
	moves  []move      // branches and tags that point elsewhere now
	drops  []drop      // refs we no longer serve
	fresh  []Ref       // tags and held tags that are new or elsewhere
	events eventList
	head   string
	holds  []Hold
	// left is set when something waits for an authoritative listing.
	left bool

	ours     map[string]string // marked as ours: name → hash of the mark
	affirmed map[string]bool   // held marks that stay
}

// move is a ref that points elsewhere; say is for the event when its old value
// is kept.
type move struct {
	RefUpdate
	say string
}

type drop struct {
	Ref
	why KeptWhy
	say string // for the event
}

// planChanges compares what we have with what upstream lists. Nothing upstream
// takes away is lost: dropped and rewound refs go to KeptPrefix; under
// FreezeTags a tag neither moves nor goes, because somebody's go.sum may name
// it; when much goes at once, a person decides.
func planChanges(p planning) changes {
	p.all = p.refs.Equal(RefPolicy{})
	c := changes{planning: p, ours: map[string]string{}, affirmed: map[string]bool{}}
	for _, mark := range p.have.under(OursPrefix) {
		c.ours["refs/"+strings.TrimPrefix(mark.Name, OursPrefix)] = mark.Hash
	}
	var gone, stay []Ref // what upstream lacks: it may go, or is served on
	served, theirs := p.have.served(), p.upstream.Refs
	total := 0 // refs of upstream that we serve and advertise
	for len(served) > 0 || len(theirs) > 0 {
		switch {
		case len(theirs) > 0 && p.leavesOut(theirs[0].Name):
			theirs = theirs[1:]
			continue
		case len(served) == 0 || len(theirs) > 0 && theirs[0].Name < served[0].Name:
			c.create(theirs[0])
			theirs = theirs[1:]
			continue
		}
		h := served[0]
		served = served[1:]
		mine := len(c.ours) > 0 && c.ours[h.Name] != ""
		if !mine && !IsPull(h.Name) {
			total++
		}
		switch {
		case len(theirs) > 0 && theirs[0].Name == h.Name:
			if theirs[0].Hash != h.Hash {
				c.moved(h, theirs[0])
			} else if mine {
				c.unmark(h.Name) // upstream has it again
			}
			theirs = theirs[1:]
		case mine:
			stay = append(stay, h)
		case p.leavesOut(h.Name):
			c.drops = append(c.drops, drop{h, KeptLeftOut, "the mirror's ref policy leaves it out; the last state is kept"})
		case !p.authoritative:
			c.left = true
			stay = append(stay, h)
		case h.IsTag() && p.tags == FreezeTags:
			c.missing(h)
			stay = append(stay, h)
		default:
			gone = append(gone, h)
		}
	}
	stay = append(stay, c.judgeGone(gone, total)...)
	c.makeRoom(stay)
	c.forgetMarks()
	for _, name := range p.upstream.Skipped {
		c.events.add(Event{Kind: RefRejected, Text: "upstream lists a ref with a name that is not allowed: " + quote(name)})
	}
	c.chooseHead()
	return c
}

// served are the refs that are not our own notes.
func (l Listing) served() []Ref {
	return l.Refs[len(l.under("refs/gitmirror/")):] // "refs/g" is before "refs/heads/"
}

func (c *changes) create(u Ref) {
	c.want = append(c.want, u)
	c.update = append(c.update, RefUpdate{Name: u.Name, New: u.Hash})
	if u.IsTag() {
		c.fresh = append(c.fresh, u)
	}
}

// moved is a ref that upstream has with another value than we.
func (c *changes) moved(h, u Ref) {
	say := "upstream rewrote the branch; the old tip is kept"
	if u.IsTag() {
		if !c.authoritative {
			c.left = true
			return
		}
		say = "upstream moved the tag; we follow, the old one is kept"
		if c.tags == FreezeTags {
			accepted, ok := c.decided(Hold{Kind: HoldTag, Ref: u.Name, Old: h.Hash, New: u.Hash}, Accept)
			if !ok {
				c.hold(h, u)
				return
			}
			say = "upstream moved the tag, which " + or(accepted.DecidedBy, "somebody") + " accepted; the old one is kept"
		}
		c.fresh = append(c.fresh, u)
	}
	c.want = append(c.want, u)
	c.moves = append(c.moves, move{RefUpdate{Name: u.Name, Old: h.Hash, New: u.Hash}, say})
	if c.authoritative {
		c.unmark(h.Name)
	}
}

// hold keeps serving the tag we have and puts upstream's aside, where it can be
// looked at.
func (c *changes) hold(h, u Ref) {
	c.affirmed[heldName(u.Name)] = true
	mark, _ := c.have.Ref(heldName(u.Name))
	if mark.Hash != u.Hash {
		c.want = append(c.want, u)
		c.update = append(c.update, RefUpdate{Name: heldName(u.Name), Old: mark.Hash, New: u.Hash})
		c.fresh = append(c.fresh, u)
	}
	c.found(Hold{
		Kind: HoldTag, Ref: u.Name, Old: h.Hash, New: u.Hash,
		Text: "upstream moved the tag; we go on serving the old one",
	}, TagMoved)
}

// missing keeps serving a tag that upstream dropped, reported once.
func (c *changes) missing(h Ref) {
	name := goneName(h.Name)
	c.affirmed[name] = true
	mark, _ := c.have.Ref(name)
	if mark.Hash == h.Hash {
		return
	}
	c.update = append(c.update, RefUpdate{Name: name, Old: mark.Hash, New: h.Hash})
	c.events.add(Event{Kind: RefDeleted, Ref: h.Name, Old: h.Hash, Text: "upstream deleted the tag; we go on serving it"})
}

// unmark makes a ref of ours upstream's again.
func (c *changes) unmark(name string) {
	if mark := c.ours[name]; mark != "" {
		c.update = append(c.update, RefUpdate{Name: oursName(name), Old: mark})
		delete(c.ours, name)
	}
}

// forgetMarks drops what was put aside for changes that upstream took back.
func (c *changes) forgetMarks() {
	if !c.authoritative {
		return
	}
	for _, mark := range c.have.under(HeldPrefix) {
		if !c.affirmed[mark.Name] {
			c.update = append(c.update, RefUpdate{Name: mark.Name, Old: mark.Hash})
		}
	}
}

// updates are the moves as they are without the words.
func (c *changes) updates() []RefUpdate {
	out := make([]RefUpdate, len(c.moves))
	for i, m := range c.moves {
		out[i] = m.RefUpdate
	}
	return out
}

// empty tells whether there is nothing to publish.
func (c *changes) empty() bool {
	return len(c.update)+len(c.moves)+len(c.drops) == 0 && c.head == ""
}

// transaction is what to publish, now that the rewound refs are known. A
// listing that is not authoritative rewinds nothing.
func (c *changes) transaction(rewound map[string]bool, now time.Time) Transaction {
	k := newKeeper(c.have, now)
	tx := Transaction{Updates: append([]RefUpdate(nil), c.update...), Head: c.head}
	for _, m := range c.moves {
		tag := Ref{Name: m.Name}.IsTag()
		if rewound[m.Name] && !c.authoritative {
			c.left = true
			continue
		}
		tx.Updates = append(tx.Updates, m.RefUpdate)
		if !tag && !rewound[m.Name] {
			continue
		}
		kind, why := RefRewound, KeptForced
		if tag {
			kind, why = TagMoved, KeptMoved
		}
		tx.Updates = append(tx.Updates, k.keep(m.Name, m.Old, why))
		if !IsPull(m.Name) { // they are rewritten all the time
			c.events.add(Event{Kind: kind, Ref: m.Name, Old: m.Old, New: m.New, Text: m.say})
		}
	}
	for _, d := range c.drops {
		tx.Updates = append(tx.Updates, RefUpdate{Name: d.Name, Old: d.Hash}, k.keep(d.Name, d.Hash, d.why))
		kind := RefDeleted
		if d.why == KeptLeftOut {
			kind = RefLeftOut
		}
		if !IsPull(d.Name) {
			c.events.add(Event{Kind: kind, Ref: d.Name, Old: d.Hash, Text: d.say})
		}
	}
	return tx
}

// serves tells whether a transaction changes what clients see.
func (tx Transaction) serves() bool {
	for _, u := range tx.Updates {
		if !strings.HasPrefix(u.Name, "refs/gitmirror/") {
			return true
		}
	}
	return tx.Head != ""
}

// maxEvents of one kind come out of one sync; the rest is a number.
const maxEvents = 50

// eventList are the events of a plan.
type eventList struct {
	list []Event
	n    map[EventKind]int
}

func (l *eventList) add(e Event) {
	if l.n == nil {
		l.n = map[EventKind]int{}
	}
	if l.n[e.Kind]++; l.n[e.Kind] <= maxEvents {
		l.list = append(l.list, e)
	}
}

func (l *eventList) all() []Event {
	out := append([]Event(nil), l.list...)
	for _, kind := range []EventKind{TagMoved, RefRewound, RefDeleted, RefLeftOut, RefRejected, TagOffBranch} {
		if more := l.n[kind] - maxEvents; more > 0 {
			out = append(out, Event{Kind: kind, Text: fmt.Sprintf("and %d more in the same sync", more)})
		}
	}
	return out
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
