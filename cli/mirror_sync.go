package cli

import (
	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/web"
)

func (p *program) mirrorSync() *cobra.Command {
	var all, wait bool
	cmd := p.withJSON(&cobra.Command{
		Use: "sync PATH…", Short: "Sync mirrors now", ValidArgsFunction: p.completeMirrors,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return wrongUsage("\"gitmirror mirror sync\" needs PATH… or --all, and not both", "usage: "+cmd.UseLine())
			}
			ctx := cmd.Context()
			c, err := p.client()
			if err != nil {
				return err
			}
			var mirrors []web.Mirror
			if all {
				if mirrors, err = c.mirrors(ctx, mirrorQuery{}, everything); err != nil {
					return err
				}
			}
			items := []*asked{}
			for _, m := range mirrors {
				if !m.Paused {
					items = append(items, &asked{What: string(m.Path), Mirror: &m})
				}
			}
			for _, text := range args {
				item := &asked{What: text}
				m, err := c.mirror(ctx, text)
				if err == nil {
					item.Mirror = &m
				} else if err := item.fail(err, len(args)); err != nil {
					return err
				}
				items = append(items, item)
			}
			for _, item := range items {
				if item.Mirror == nil {
					continue
				}
				item.Existed, item.Result = true, "queued"
				s, err := c.syncMirror(ctx, item.Mirror.ID)
				if err == nil {
					item.Mirror, item.after = &s.Mirror, s.LastRun
				} else if err := item.fail(err, len(items)); err != nil {
					return err
				}
			}
			if wait {
				if err := p.follow(ctx, c, items); err != nil {
					return err
				}
				if err := c.noteHeld(ctx, items); err != nil {
					return err
				}
			}
			return p.report(items)
		},
	})
	cmd.Flags().BoolVar(&all, "all", false, "all mirrors that are not paused")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the syncs have ended; fail if one failed, or left something held")
	return cmd
}
