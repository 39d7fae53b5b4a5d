package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

const maxReason = 1000 // bytes of what a person writes to a decision

// Holds lists what waits for a person, and what was decided.
func (c *Catalog) Holds(ctx context.Context, q HoldQuery) ([]Hold, error) {
	return c.Store.Holds(ctx, q)
}

// Decide records what a person said to a hold, and has the repository synced so
// that it takes effect. Saying the same twice is saying it once; ErrExists when
// something else was said before, or when upstream took its change back.
func (c *Catalog) Decide(ctx context.Context, id int64, d Decision, by, reason string) (Hold, error) {
	if _, err := ParseDecision(string(d)); err != nil {
		return Hold{}, err
	}
	reason = strings.TrimSpace(reason)
	if len(reason) > maxReason || strings.ContainsFunc(reason, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }) {
		return Hold{}, &Problem{Kind: ErrInvalid, What: "the reason cannot be kept", Why: fmt.Sprintf("it is longer than %d bytes or holds control characters", maxReason)}
	}
	h, err := c.Store.Hold(ctx, id)
	if err != nil {
		return Hold{}, err
	}
	switch {
	case h.Decision == d:
		return h, nil
	case !h.Open():
		return Hold{}, settledHold(h)
	}
	if h.Kind == HoldMove && d == Accept {
		if err := c.follow(ctx, h); err != nil {
			return Hold{}, err
		}
	}
	decided, err := c.Store.DecideHold(ctx, id, d, by, reason, time.Now().UTC())
	if errors.Is(err, ErrExists) {
		if h, err := c.Store.Hold(ctx, id); err == nil {
			return Hold{}, settledHold(h)
		}
	}
	if err != nil {
		return Hold{}, err
	}
	if _, err := c.Syncer.Ask(ctx, h.Repo, ByHand); err != nil && !errors.Is(err, ErrInvalid) {
		return Hold{}, err // a paused mirror does it when it is resumed
	}
	return decided, nil
}

func settledHold(h Hold) error {
	p := &Problem{Code: h.Kind.Code(), Kind: ErrExists, What: fmt.Sprintf("approval %d is %s already", h.ID, h.State()), Do: "look at it as it is now: gitmirror approvals show " + fmt.Sprint(h.ID)}
	switch {
	case h.DecidedBy != "":
		p.Why = h.DecidedBy + " decided it"
	case h.State() == "withdrawn":
		p.Why = "upstream took its change back"
	}
	return p
}
