package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

func (p *program) mirrorRename() *cobra.Command {
	var in web.RenameMirror
	cmd := p.withJSON(&cobra.Command{
		Use: "rename PATH NEWPATH", Short: "Give a mirror another path", Args: args(2, 2), ValidArgsFunction: p.completeMirrors,
		Long: "Give a mirror another path. Its data stay where they are on the server's disk, and syncs and\n" +
			"clones that run go on. The old path leads to the mirror as before, for git, go-get and the\n" +
			"module gateway; --no-alias gives it up. Where it is fetched from stays: see mirror edit --upstream.\n\n" +
			"Grants of exactly the old path go with the mirror, those of folders do not. Where these let more\n" +
			"people read a private mirror, nothing is done (exit 7) until an administrator says --widen.",
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := pathOf(args[1])
			if err != nil {
				return err
			}
			in.Path = string(to)
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			done, err := c.renameMirror(cmd.Context(), m.ID, in)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(done)
			}
			p.say("renamed %s to %s", done.From, done.Mirror.Path)
			if done.Alias {
				p.say("%s leads to it; to give that up: gitmirror alias remove %s", done.From, done.From)
			}
			if done.Gained != nil {
				p.say("may read it now: %s", done.Gained)
			}
			if done.Lost != nil {
				p.say("may not read it any more: %s", done.Lost)
			}
			return nil
		},
	})
	cmd.Flags().BoolVar(&in.NoAlias, "no-alias", false, "give the old path up")
	cmd.Flags().BoolVar(&in.Widen, "widen", false, "rename it although more people may read it then")
	return cmd
}

func (c *client) renameMirror(ctx context.Context, id mirror.ID, in web.RenameMirror) (web.RenamedMirror, error) {
	var done web.RenamedMirror
	err := c.call(ctx, http.MethodPost, api+"/mirrors/"+segment(string(id))+"/rename", in, &done)
	return done, err
}
