package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/web"
)

func (p *program) trustCommand() *cobra.Command {
	g := p.group("trust", "Manage whose CI jobs get tokens without a stored secret", p.trustAdd(), p.trustList(), p.trustRemove())
	p.withServer(g)
	return g
}

func (p *program) trustAdd() *cobra.Command {
	var in web.NewTrust
	var claims []string
	var ttl time.Duration
	cmd := p.withJSON(&cobra.Command{
		Use: "add NAME", Short: "Trust the CI jobs of a repository", Args: args(1, 1),
		Example: "  gitmirror trust add app --issuer https://token.actions.githubusercontent.com --claim repository=acme/app --user ci\n" +
			"  gitmirror trust add app --issuer https://gitlab.example --claim project_path=acme/app --claim ref_protected=true --user ci",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.TTLS, in.Claims = args[0], int64(ttl/time.Second), map[string]string{}
			for _, claim := range claims {
				name, pattern, ok := strings.Cut(claim, "=")
				if !ok {
					return wrongUsage(fmt.Sprintf("--claim: %q is no claim with a pattern", claim), "write --claim repository=acme/app")
				}
				in.Claims[name] = pattern
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			var t web.Trust
			if err := c.call(cmd.Context(), http.MethodPost, api+"/trusts", in, &t); err != nil {
				return err
			}
			if p.json {
				return p.emit(t)
			}
			p.say("added %s: jobs sign in with \"gitmirror login --ci %s\"", t.Name, c.URL)
			return nil
		},
	})
	f := cmd.Flags()
	f.StringVar(&in.Issuer, "issuer", "", "URL of the CI system's token issuer")
	f.StringVar(&in.Audience, "audience", "", "audience of its tokens (default: the address of the server)")
	f.StringArrayVar(&claims, "claim", nil, "claim=pattern that must match, * for anything; several times")
	f.StringVar(&in.User, "user", "", "robot whose token the job gets")
	f.StringVar(&in.Scope, "scope", "read", "read or write")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long the token is good for")
	completeWords(cmd, "scope", "read", "write")
	return cmd
}

func (p *program) trustList() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List trusts", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			trusts, err := listOf[web.Trust](cmd.Context(), c, "/trusts")
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(trusts)
			}
			rows := make([]row, len(trusts))
			for i, t := range trusts {
				var claims []string
				for name, pattern := range t.Claims {
					claims = append(claims, name+"="+pattern)
				}
				slices.Sort(claims)
				rows[i] = row{t.Name, t.Issuer, strings.Join(claims, " "), string(t.Scope), ago(t.LastUsedAt)}
			}
			p.table("no trusts", row{"NAME", "ISSUER", "CLAIMS", "SCOPE", "LAST USED"}, rows)
			return nil
		},
	})
}

func (p *program) trustRemove() *cobra.Command {
	return p.groupChange("remove NAME", "End a trust", 1, "removed", func(ctx context.Context, c *client, a []string) error {
		return c.call(ctx, http.MethodDelete, api+"/trusts/"+segment(a[0]), nil, nil)
	})
}
