package cli

import (
	"context"

	"github.com/gitmirror/gitmirror/auth"
)

// startAction is the audit entry of a server that begins to serve.
const startAction = "start-server"

// recordStart writes into the audit trail with which settings this server
// starts, and what is different from the start before. Secrets are masked.
func recordStart(ctx context.Context, trail *auth.Trail, c Config, node, version string) {
	object := "server " + node
	before := map[string]string{}
	last, err := trail.Store.Deeds(ctx, auth.AuditQuery{Action: startAction, Object: object, Limit: 1})
	if err == nil && len(last) == 1 {
		for _, f := range last[0].Deed.Changes {
			before[f.Field] = f.After
		}
	}
	d := auth.Deed{Action: startAction, Objects: []string{object}, Via: auth.ByServer, Outcome: auth.Succeeded}
	note := func(key, value string) {
		if was := before[key]; value != "" || was != "" {
			d.Changes = append(d.Changes, auth.Change{Field: key, Before: was, After: value})
		}
	}
	note("version", version)
	for _, s := range c.docs() {
		value := ""
		if s.Origin != "default" {
			value = s.Value
		}
		note(s.Key, value)
	}
	trail.Add(ctx, d)
}
