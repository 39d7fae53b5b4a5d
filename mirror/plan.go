package mirror

import (
	"fmt"
	"strings"
	"time"
)

// changes is what a listing would do to a repository, before it is known which
// branches were rewound.
type changes struct {
	want   []Ref       // what must be fetched
	update []RefUpdate // creations, and refs of ours that go or move with them
	moves  []RefUpdate // branches and followed tags that point elsewhere now
	drops  []RefUpdate // served refs upstream no longer has
	events []Event
	head   string
}

// planChanges compares what we have with what upstream lists. Nothing upstream
// takes away is lost: dropped and rewound refs go to KeptPrefix; under
// FreezeTags a tag neither moves nor goes, because somebody's go.sum may name it.
func planChanges(have, upstream Listing, tags TagPolicy) changes {
	var c changes
	for _, u := range upstream.Refs {
		h, ok := have.Ref(u.Name)
		switch {
		case !ok:
			c.want = append(c.want, u)
			c.update = append(c.update, RefUpdate{Name: u.Name, New: u.Hash})
		case h.Hash == u.Hash:
			c.settle(have, u)
		case u.IsTag() && tags == FreezeTags:
			c.hold(have, h, u)
		default:
			c.want = append(c.want, u)
			c.moves = append(c.moves, RefUpdate{Name: u.Name, Old: h.Hash, New: u.Hash})
		}
	}
	for _, h := range have.Refs {
		if !h.IsHead() && !h.IsTag() {
			continue
		}
		if _, ok := upstream.Ref(h.Name); ok {
			continue
		}
		if h.IsTag() && tags == FreezeTags {
			c.missing(have, h)
			continue
		}
		c.drops = append(c.drops, RefUpdate{Name: h.Name, Old: h.Hash})
		c.events = append(c.events, Event{Kind: RefDeleted, Ref: h.Name, Old: h.Hash, Text: "upstream deleted it; the last state is kept"})
	}
	for _, name := range upstream.Skipped {
		c.events = append(c.events, Event{Kind: RefRejected, Text: "upstream lists a ref with a name that is not allowed: " + quote(name)})
	}
	if upstream.Head != "" && upstream.Head != have.Head {
		c.head = upstream.Head
		if have.Head != "" {
			c.events = append(c.events, Event{Kind: HeadMoved, Ref: upstream.Head, Text: fmt.Sprintf("the default branch was %s", Ref{Name: have.Head}.Short())})
		}
	}
	return c
}

func heldName(ref string) string { return HeldPrefix + strings.TrimPrefix(ref, "refs/") }
func goneName(ref string) string { return HeldPrefix + "gone/" + strings.TrimPrefix(ref, "refs/") }

// settle forgets that a tag was moved or missing once upstream agrees with us again.
func (c *changes) settle(have Listing, u Ref) {
	for _, name := range []string{heldName(u.Name), goneName(u.Name)} {
		if mark, ok := have.Ref(name); ok {
			c.update = append(c.update, RefUpdate{Name: name, Old: mark.Hash})
		}
	}
}

// hold keeps serving the tag we have and puts upstream's aside, reported once.
func (c *changes) hold(have Listing, h, u Ref) {
	mark, ok := have.Ref(heldName(u.Name))
	if ok && mark.Hash == u.Hash {
		return
	}
	c.want = append(c.want, u)
	c.update = append(c.update, RefUpdate{Name: heldName(u.Name), Old: mark.Hash, New: u.Hash})
	c.events = append(c.events, Event{
		Kind: TagMoved, Ref: u.Name, Old: h.Hash, New: u.Hash,
		Text: "upstream moved the tag; we go on serving the old one. To take the new one, set the mirror's tag policy to follow (gitmirror mirror edit PATH --tags follow)",
	})
}

// missing keeps serving a tag that upstream dropped, reported once.
func (c *changes) missing(have Listing, h Ref) {
	mark, ok := have.Ref(goneName(h.Name))
	if ok && mark.Hash == h.Hash {
		return
	}
	c.update = append(c.update, RefUpdate{Name: goneName(h.Name), Old: mark.Hash, New: h.Hash})
	c.events = append(c.events, Event{Kind: RefDeleted, Ref: h.Name, Old: h.Hash, Text: "upstream deleted the tag; we go on serving it"})
}

// empty tells whether there is nothing to publish.
func (c *changes) empty() bool {
	return len(c.update)+len(c.moves)+len(c.drops) == 0 && c.head == ""
}

// served tells whether what clients see changes.
func (c *changes) served() bool {
	for _, u := range c.update {
		if !strings.HasPrefix(u.Name, "refs/gitmirror/") {
			return true
		}
	}
	return len(c.moves)+len(c.drops) > 0 || c.head != ""
}

// transaction is what to publish, now that the rewound refs are known.
func (c *changes) transaction(rewound map[string]bool, now time.Time) Transaction {
	keep := func(u RefUpdate) RefUpdate {
		name := KeptPrefix + now.UTC().Format("20060102T150405Z") + "/" + strings.TrimPrefix(u.Name, "refs/")
		return RefUpdate{Name: name, New: u.Old}
	}
	tx := Transaction{Updates: append([]RefUpdate(nil), c.update...), Head: c.head}
	for _, m := range c.moves {
		tx.Updates = append(tx.Updates, m)
		if tag := strings.HasPrefix(m.Name, "refs/tags/"); tag || rewound[m.Name] {
			tx.Updates = append(tx.Updates, keep(m))
			kind, text := RefRewound, "upstream rewrote the branch; the old tip is kept"
			if tag {
				kind, text = TagMoved, "upstream moved the tag; we follow, the old one is kept"
			}
			c.events = append(c.events, Event{Kind: kind, Ref: m.Name, Old: m.Old, New: m.New, Text: text})
		}
	}
	for _, d := range c.drops {
		tx.Updates = append(tx.Updates, d, keep(d))
	}
	return tx
}
