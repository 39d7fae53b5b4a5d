package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/web"
)

func (p *program) sessionCommand() *cobra.Command {
	var user string
	sessions := owned[web.Session]{
		what: "session", title: "browsers that are signed in", none: "no browser is signed in", gone: "signed out",
		names: func(s web.Session) (string, string) { return s.Agent, s.ID },
		head:  row{"ID", "BROWSER", "ADDRESS", "VIA", "SIGNED IN", "LAST USED"},
		cells: func(s web.Session) row {
			return row{s.ID, s.Agent, s.Addr, string(s.Via), ago(s.CreatedAt), ago(s.SeenAt)}
		},
	}
	g := p.group("session", "List and end sign-ins to the console", sessions.list(p, &user), sessions.remove(p, &user))
	g.PersistentFlags().StringVar(&user, "user", "", "whose (administrators only; default: your own)")
	p.withServer(g)
	return g
}

// userReset takes the second factor of somebody who has lost it.
func (p *program) userReset() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "reset-second-factor NAME", Short: "Remove the second factor of somebody who has lost it", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUser(cmd.Context(), args[0], "reset the second factor of", func(c *client, u web.User) (web.User, error) {
				return u, removeFactor(cmd.Context(), c, u.ID)
			})
		},
	})
}

func removeFactor(ctx context.Context, c *client, id string) error {
	return c.call(ctx, http.MethodPost, api+"/users/"+segment(id)+"/second-factor/remove", map[string]string{}, nil)
}
