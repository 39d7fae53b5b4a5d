package cli

import (
	"context"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/web"
)

func (p *program) groupCommand() *cobra.Command {
	g := p.group("group", "Manage groups, and who reads which private mirrors",
		p.groupList(), p.groupAdd(),
		p.groupChange("remove GROUP", "Remove a group with its grants", 1, "removed", func(ctx context.Context, c *client, a []string) error {
			return c.call(ctx, http.MethodDelete, api+"/groups/"+segment(a[0]), nil, nil)
		}),
		p.groupChange("join GROUP USER", "Put a user into a group", 2, "done", func(ctx context.Context, c *client, a []string) error {
			return c.call(ctx, http.MethodPut, api+"/groups/"+segment(a[0])+"/members/"+segment(a[1]), nil, nil)
		}),
		p.groupChange("leave GROUP USER", "Take a user out of a group", 2, "done", func(ctx context.Context, c *client, a []string) error {
			return c.call(ctx, http.MethodDelete, api+"/groups/"+segment(a[0])+"/members/"+segment(a[1]), nil, nil)
		}),
		p.groupChange("grant GROUP PATTERN", "Let a group read private mirrors: github.com/acme/*, a path, or *", 2, "granted", func(ctx context.Context, c *client, a []string) error {
			return c.call(ctx, http.MethodPost, api+"/groups/"+segment(a[0])+"/grants", web.NewGrant{Pattern: a[1]}, nil)
		}),
		p.groupChange("revoke GROUP PATTERN", "Take a grant back", 2, "revoked", func(ctx context.Context, c *client, a []string) error {
			return c.call(ctx, http.MethodDelete, api+"/groups/"+segment(a[0])+"/grants/"+segment(a[1]), nil, nil)
		}),
	)
	p.withServer(g)
	return g
}

func (p *program) groupList() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List groups with members and grants", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			groups, err := listOf[web.Group](cmd.Context(), c, "/groups")
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(groups)
			}
			rows := make([]row, len(groups))
			for i, g := range groups {
				names := make([]string, len(g.Members))
				for j, m := range g.Members {
					names[j] = m.Name
				}
				rows[i] = row{g.Name, strings.Join(names, ", "), strings.Join(g.Grants, ", ")}
			}
			p.table("no groups", row{"NAME", "MEMBERS", "MAY READ"}, rows)
			return nil
		},
	})
}

func (p *program) groupAdd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "add NAME", Short: "Add a group", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			var g web.Group
			if err := c.call(cmd.Context(), http.MethodPost, api+"/groups", web.NewGroup{Name: args[0]}, &g); err != nil {
				return err
			}
			if p.json {
				return p.emit(g)
			}
			p.say("added %s", g.Name)
			return nil
		},
	})
}

// groupChange is a command that does one thing with what its arguments name.
func (p *program) groupChange(use, short string, n int, done string, do func(context.Context, *client, []string) error) *cobra.Command {
	cmd := p.withJSON(&cobra.Command{
		Use: use, Short: short, Args: args(n, n),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			if err := do(cmd.Context(), c, args); err != nil {
				return err
			}
			if p.json {
				return p.emit(map[string]any{"done": true})
			}
			p.say("%s", done)
			return nil
		},
	})
	cmd.ValidArgsFunction = func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(given) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
		defer cancel()
		c, err := p.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		groups, _ := listOf[web.Group](ctx, c, "/groups") // a Tab never prints an error
		for _, g := range groups {
			names = append(names, g.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}
