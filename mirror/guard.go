package mirror

import (
	"fmt"
	"slices"
	"strings"
)

// More than so many refs, and more than one in so many, is more than somebody
// who tidies up deletes between two syncs.
const (
	guardRefs  = 20
	guardShare = 10
)

// judgeGone decides about refs that upstream had and lacks now: they are
// dropped, or served on until a person has decided. It returns those that stay.
func (c *changes) judgeGone(gone []Ref, total int) (stay []Ref) {
	if len(gone) == 0 {
		return nil
	}
	gone, stay = c.carryOut(gone, total)
	if len(gone) == 0 {
		return stay
	}
	many := holdDeletions(gone, total, "")
	empty := len(c.upstream.Refs) == 0
	if empty {
		many.Text = fmt.Sprintf("upstream answers as if it were empty; %d branches and tags would go, and we go on serving them", len(gone))
	}
	if empty || len(gone) > guardRefs && len(gone)*guardShare > total {
		c.found(many, RefsHeld)
		return append(stay, gone...)
	}
	for _, r := range gone {
		if r.Name == c.have.Head && c.upstream.Head == "" {
			c.found(Hold{
				Kind: HoldDefault, Ref: r.Name, Old: r.Hash,
				Text: "upstream's default branch is gone and no other took its place; we go on serving it",
			}, RefsHeld)
			stay = append(stay, r)
			continue
		}
		c.drop(r, "upstream deleted it; the last state is kept")
	}
	return stay
}

func (c *changes) drop(r Ref, say string) {
	c.drops = append(c.drops, drop{r, KeptDeleted, say})
}

// carryOut does what people have decided about deletions: accepted ones are
// dropped; what shall be kept becomes ours, so that nobody is asked again.
func (c *changes) carryOut(gone []Ref, total int) (left, stay []Ref) {
	carry := func(d Hold, covers func(Ref) bool) {
		gone = slices.DeleteFunc(slices.Clone(gone), func(r Ref) bool {
			if !covers(r) {
				return false
			}
			if d.Decision == Keep {
				c.update = append(c.update, RefUpdate{Name: oursName(r.Name), New: r.Hash})
				stay = append(stay, r)
				return true
			}
			c.drop(r, "upstream deleted it, which "+or(d.DecidedBy, "somebody")+" accepted; the last state is kept")
			return true
		})
	}
	for _, d := range c.live {
		switch {
		case d.Decision == "":
		case d.Kind == HoldDefault:
			carry(d, func(r Ref) bool { return r.Name == d.Ref && r.Hash == d.Old })
		case d.Kind == HoldDeletions && d.Count == len(d.Refs): // all names are known
			names := make(map[string]bool, len(d.Refs))
			for _, name := range d.Refs {
				names[name] = true
			}
			carry(d, func(r Ref) bool { return names[r.Name] })
		}
	}
	for _, d := range c.live {
		if d.Decision != "" && d.Kind == HoldDeletions && len(gone) > 0 && holdDeletions(gone, total, "").Same(d) {
			carry(d, func(Ref) bool { return true })
		}
	}
	return gone, stay
}

// found notes a change that is not made. It is an event when it is new.
func (c *changes) found(h Hold, kind EventKind) {
	for _, l := range c.live {
		if l.Same(h) {
			h.Decision = l.Decision
			c.holds = append(c.holds, h)
			return
		}
	}
	c.holds = append(c.holds, h)
	c.events.add(Event{Kind: kind, Ref: h.Ref, Old: h.Old, New: h.objectID(), Text: h.Text + ". Decide with: gitmirror approvals"})
}

// objectID is New when it is the id of an object.
func (h Hold) objectID() string {
	if h.Kind == HoldTag {
		return h.New
	}
	return ""
}

// decided finds the decision d on a hold.
func (c *changes) decided(h Hold, d Decision) (Hold, bool) {
	for _, l := range c.live {
		if l.Same(h) && l.Decision == d {
			return l, true
		}
	}
	return Hold{}, false
}

// makeRoom settles names that cannot both exist: "a", which upstream dropped
// and we serve on, and upstream's new "a/b". What a person restored here gives
// way and is kept; otherwise upstream's has to wait.
func (c *changes) makeRoom(stay []Ref) {
	if len(stay) == 0 || len(c.update) == 0 {
		return
	}
	refused := map[string]string{}
	for _, s := range stay {
		rivals := c.rivals(s.Name)
		if len(rivals) == 0 {
			continue
		}
		if c.ours[s.Name] != "" && c.authoritative {
			c.unmark(s.Name)
			c.drops = append(c.drops, drop{s, KeptReplaced, "it was served for us alone, and upstream now has " + rivals[0] + "; the last state is kept"})
			continue
		}
		for _, name := range rivals {
			refused[name] = s.Name
		}
	}
	if len(refused) == 0 {
		return
	}
	isRefused := func(name string) bool { return refused[name] != "" }
	c.want = slices.DeleteFunc(c.want, func(r Ref) bool { return isRefused(r.Name) })
	c.fresh = slices.DeleteFunc(c.fresh, func(r Ref) bool { return isRefused(r.Name) })
	c.update = slices.DeleteFunc(c.update, func(u RefUpdate) bool { return isRefused(u.Name) })
	for name, by := range refused {
		c.events.add(Event{Kind: RefRejected, Ref: name, Text: "it cannot exist beside " + by + ", which upstream no longer has and we still serve"})
	}
	c.left = c.left || !c.authoritative
}

// rivals are the refs of upstream's that have name for a directory, or are one
// of its directories.
func (c *changes) rivals(name string) []string {
	var names []string
	for _, r := range c.upstream.under(name + "/") {
		names = append(names, r.Name)
	}
	for i := len("refs/"); i < len(name); i++ {
		if name[i] != '/' {
			continue
		}
		if r, ok := c.upstream.Ref(name[:i]); ok {
			names = append(names, r.Name)
		}
	}
	return names
}

// chooseHead follows upstream's default branch. A target that is missing or
// cannot be is no news: the present one stays. When ours goes and nothing is
// said about another, the likeliest is taken, so that a clone has one.
func (c *changes) chooseHead() {
	there := func(name string) bool {
		dropped := slices.ContainsFunc(c.drops, func(d drop) bool { return d.Name == name })
		created := slices.ContainsFunc(c.update, func(u RefUpdate) bool { return u.Name == name && u.New != "" })
		_, had := c.have.Ref(name)
		return created || had && !dropped
	}
	to := ""
	switch {
	case c.upstream.Head != "" && c.upstream.Head == c.have.Head && there(c.have.Head):
	case c.upstream.Head != "" && (c.authoritative || c.have.Head == "") && there(c.upstream.Head):
		to = c.upstream.Head
	case c.have.Head == "" || !there(c.have.Head):
		to = c.likelyHead(there)
	case c.upstream.Head != "" && !c.authoritative:
		c.left = true
	}
	if to == "" || to == c.have.Head {
		return
	}
	c.head = to
	if c.have.Head != "" {
		c.events.add(Event{Kind: HeadMoved, Ref: to, Text: "the default branch was " + Ref{Name: c.have.Head}.Short()})
	}
}

func (c *changes) likelyHead(there func(string) bool) string {
	for _, name := range []string{"refs/heads/main", "refs/heads/master", "refs/heads/trunk", "refs/heads/develop"} {
		if there(name) {
			return name
		}
	}
	for _, r := range c.upstream.Refs {
		if strings.HasPrefix(r.Name, "refs/heads/") && there(r.Name) {
			return r.Name
		}
	}
	return ""
}
