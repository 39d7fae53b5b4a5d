package web

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gitmirror/gitmirror/auth"
)

const (
	seenShown = 8
	// seenWait is how long a page asks whether a new token or key was used.
	seenWait = 20 * time.Minute
)

// seenView tells which of somebody's tokens and keys were used, and when.
type seenView struct {
	Items []seenItem
	URL   string // of this part, to ask again; empty = nothing is waited for
	Page  string // of the whole, for browsers without scripts
}

// seenItem is a token or a key.
type seenItem struct {
	ID, Name string
	Key      bool
	Made     time.Time
	Used     time.Time // zero = never
	Addr     string    // of who used it then
	Watched  bool      // the page waits for it
}

// seen lists what the page waits for first, then the newest.
func (c *console) seen(ctx context.Context, at startChoice) (seenView, error) {
	who, now := auth.From(ctx), time.Now()
	tokens, err := c.Accounts.Tokens(ctx, who.User)
	if err != nil {
		return seenView{}, err
	}
	keys, err := c.Accounts.Keys(ctx, who.User)
	if err != nil {
		return seenView{}, err
	}
	view := seenView{Page: at.url() + "#seen"}
	for _, t := range tokens {
		if t.Trust == "" && (t.Expires.IsZero() || t.Expires.After(now)) {
			view.Items = append(view.Items, seenItem{t.ID, t.Name, false, t.Created, t.LastUsed, t.LastAddr, t.ID == at.Token})
		}
	}
	for _, k := range keys {
		view.Items = append(view.Items, seenItem{k.ID, k.Name, true, k.Created, k.LastUsed, k.LastAddr, k.ID == at.Key})
	}
	slices.SortStableFunc(view.Items, func(a, b seenItem) int {
		if a.Watched != b.Watched {
			return cmp.Compare(truth(b.Watched), truth(a.Watched))
		}
		return b.Made.Compare(a.Made)
	})
	view.Items = view.Items[:min(seenShown, len(view.Items))]
	for _, i := range view.Items {
		if i.Used.IsZero() && now.Sub(i.Made) < seenWait {
			at := at
			view.URL = "/start/seen?" + at.url()[len("/start?"):]
		}
	}
	return view, nil
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
