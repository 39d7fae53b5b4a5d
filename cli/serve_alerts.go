package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
	"github.com/gitmirror/gitmirror/notify"
	"github.com/gitmirror/gitmirror/store"
)

// newAlerts tells people what is wrong.
func newAlerts(c Config, db *store.DB, disk *git.Disk, vault *auth.Vault, accounts *auth.Accounts, room *mirror.Headroom, site mirror.Site, node, version string, log *slog.Logger) *mirror.Alerts {
	client, dial := disk.Outgoing(c.bool("alerts.allow_private"))
	return &mirror.Alerts{
		Store: db, Repos: db, Vault: vault, Sender: &notify.Sender{Client: client, Dial: dial, Agent: "gitmirror/" + version},
		Owner: node, Site: site, Log: log, Disk: room.Now, Expiring: expiringTokens(accounts), Forged: forgedModules(db),
	}
}

// expiringTokens lists API tokens that end before a time, and those that ended
// within the last month and are still there.
func expiringTokens(accounts *auth.Accounts) func(context.Context, time.Time) ([]mirror.Alert, error) {
	return func(ctx context.Context, before time.Time) ([]mirror.Alert, error) {
		tokens, err := accounts.Tokens(ctx, "")
		if err != nil {
			return nil, err
		}
		users, err := accounts.Users(ctx)
		if err != nil {
			return nil, err
		}
		names := map[string]string{}
		for _, u := range users {
			names[u.ID] = u.Name
		}
		var out []mirror.Alert
		for _, t := range tokens {
			if t.Expires.IsZero() || t.Expires.After(before) || time.Since(t.Expires) > 30*24*time.Hour {
				continue
			}
			out = append(out, mirror.Alert{
				Subject: fmt.Sprintf("token %s of %s (%s)", t.Name, names[t.User], t.ID), Text: "ends on " + t.Expires.UTC().Format(time.DateOnly), Link: "/users",
			})
		}
		return out, nil
	}
}

// crowdedModules tells that pinned files of modules were dropped within a day.
func crowdedModules(kept *modproxy.Store) func() []mirror.Alert {
	return func() []mirror.Alert {
		if kept == nil {
			return nil
		}
		files, at := kept.Unpinned()
		if files == 0 || time.Since(at) > 24*time.Hour {
			return nil
		}
		return []mirror.Alert{{
			Subject: "pinned files of modules", Since: at.UTC(), Link: "/modules",
			Text: fmt.Sprintf("%d files that are pinned were dropped since the server started: more is pinned than is kept (%s). Unpin some, or raise modules.cache_bytes", files, size(kept.MaxBytes)),
		}}
	}
}

// forgedModules lists what was not what the checksum database says.
func forgedModules(modules mirror.ModuleStore) func(context.Context, time.Time) ([]mirror.Alert, error) {
	return func(ctx context.Context, since time.Time) ([]mirror.Alert, error) {
		refusals, err := modules.ModuleRefusals(ctx, mirror.RefusalQuery{Kind: mirror.ModuleForged, Limit: 1000})
		if err != nil {
			return nil, err
		}
		var out []mirror.Alert
		seen := map[string]bool{}
		for _, e := range refusals {
			subject := "module " + e.Module + "@" + e.Version
			if e.At.Before(since) || seen[subject] {
				continue
			}
			seen[subject] = true
			out = append(out, mirror.Alert{Subject: subject, Text: e.Text, Since: e.At.UTC()})
		}
		return out, nil
	}
}
