package cli

import (
	"context"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
	"github.com/gitmirror/gitmirror/web"
)

// addMissing mirrors what a project needs and is not mirrored, lets mirrors that
// lack a version look for it, and waits for all of them. What fails is told by
// its name and is in the items; the error is that the server could not be asked,
// or that the user may not add mirrors.
func (p *program) addMissing(ctx context.Context, c rewrite.Coverage) ([]*asked, error) {
	server, err := p.client()
	if err != nil {
		return nil, err
	}
	list := modules(c.Unmirrored)
	var items []*asked
	if len(list) > 0 {
		p.say("adding %s", count(len(list), "module that is not mirrored", "modules that are not mirrored"))
		if items, err = p.add(ctx, server, list, web.NewMirror{}, nil); err != nil {
			return nil, err
		}
		if err := server.askAgain(ctx, items); err != nil {
			return nil, err
		}
	}
	known := map[mirror.Path]bool{}
	for _, item := range items {
		if item.Mirror != nil {
			known[item.Mirror.Path] = true
		}
	}
	for _, path := range c.Behind {
		if known[path] {
			continue
		}
		item := &asked{What: string(path), Existed: true, Result: "queued"}
		items = append(items, item)
		m, err := server.mirror(ctx, string(path))
		if err == nil {
			item.Mirror = &m
			var s web.Synced
			if s, err = server.syncMirror(ctx, m.ID); err == nil {
				item.Mirror, item.after = &s.Mirror, s.LastRun
			}
		}
		if err != nil {
			if err := item.fail(err, len(items)+1); err != nil {
				return nil, err
			}
		}
	}
	if err := p.follow(ctx, server, items); err != nil {
		return nil, err
	}
	for _, item := range items {
		if item.Result = item.outcome(); item.err != nil && !p.json {
			p.say("%s: could not be mirrored", printable(item.name()))
			p.tell(explain(item.err))
		}
	}
	return items, nil
}
