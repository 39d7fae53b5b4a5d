package cli

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/web"
)

// listing is a "list" command over a list of the API that has no pages.
func listing[T any](p *program, short, path, empty string, head row, cells func(T) row) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: short, Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := listOf[T](cmd.Context(), c, path)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, one := range all {
				rows[i] = cells(one)
			}
			p.table(empty, head, rows)
			return nil
		},
	})
}

// adding sends in and tells that it was done.
func adding[In, Out any](p *program, cmd *cobra.Command, path string, in In, done string) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	var out Out
	if err := c.call(cmd.Context(), http.MethodPost, api+path, in, &out); err != nil {
		return err
	}
	if p.json {
		return p.emit(out)
	}
	p.say("%s", done)
	return nil
}

// removing is a "remove" command for a thing the API knows by its name.
func (p *program) removing(use, short, path string) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "remove " + use, Aliases: []string{"rm"}, Short: short, Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			if err := c.call(cmd.Context(), http.MethodDelete, api+path+"/"+segment(args[0]), nil, nil); err != nil {
				return err
			}
			if p.json {
				return p.emit(map[string]string{"removed": args[0]})
			}
			p.say("removed %s", args[0])
			return nil
		},
	})
}

func (p *program) aliasCommand() *cobra.Command {
	var dir string
	add := p.withJSON(&cobra.Command{
		Use: "add PREFIX REPOSITORY", Short: "Serve an import prefix from a mirror", Args: args(2, 2),
		Example: "  gitmirror alias add golang.org/x/mod github.com/golang/mod",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := web.Alias{Prefix: args[0], Repo: args[1], Dir: dir}
			return adding[web.Alias, web.Alias](p, cmd, "/aliases", in, args[0]+" is served from "+args[1])
		},
	})
	add.Flags().StringVar(&dir, "dir", "", "directory of the repository that the prefix stands for")
	g := p.group("alias", "Import prefixes that live in a mirror", add,
		listing(p, "List aliases", "/aliases", "no aliases", row{"PREFIX", "REPOSITORY", "FROM"},
			func(a web.Alias) row { return row{a.Prefix, a.Repo, a.Found} }),
		p.removing("PREFIX", "Forget an alias", "/aliases"))
	p.withServer(g)
	return g
}

func (p *program) ruleCommand() *cobra.Command {
	var credential string
	var private bool
	var discover discoverFlags
	add := p.withJSON(&cobra.Command{
		Use: "add PATTERN", Short: "Mirror the repositories of a pattern when somebody first asks for them", Args: args(1, 1),
		Example: "  gitmirror rule add 'github.com/acme/*' --credential ci-read --private\n" +
			"  gitmirror rule add 'github.com/acme/*' --discover --exclude 'legacy-*'",
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := discover.wanted()
			if err != nil {
				return err
			}
			in := web.Rule{Pattern: args[0], Credential: credential, Private: private, Discover: wanted}
			return adding[web.Rule, web.Rule](p, cmd, "/rules", in, "repositories of "+args[0]+" are "+ruleWords(in))
		},
	})
	discover.add(add.Flags())
	add.Flags().StringVar(&credential, "credential", "", "name of the stored credential the upstream wants")
	add.Flags().BoolVar(&private, "private", false, "never read without signing in")
	g := p.group("rule", "Patterns of repositories that are mirrored on first use", add, p.ruleEdit(),
		listing(p, "List rules", "/rules", "no rules", row{"PATTERN", "CREDENTIAL", "ACCESS", "ADDED BY ITSELF"},
			func(r web.Rule) row {
				access := "public"
				if r.Private {
					access = "private"
				}
				return row{r.Pattern, or(r.Credential, "-"), access, listingWords(r)}
			}),
		p.removing("PATTERN", "Forget a rule; what it has admitted stays", "/rules"))
	p.withServer(g)
	return g
}

func (p *program) credentialCommand() *cobra.Command {
	var in web.NewCredential
	var secretStdin bool
	add := p.withJSON(&cobra.Command{
		Use: "add NAME", Short: "Store an upstream credential", Args: args(1, 1),
		Example: "  gitmirror credential add ci-read --host github.com --username x-access-token --secret-stdin < token",
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Host == "" {
				return wrongUsage("--host is missing", "name the only host the credential may be sent to")
			}
			secret, err := p.secret(secretStdin, "--secret-stdin", "Password or token")
			if err != nil {
				return err
			}
			in.Name, in.Secret = args[0], secret
			return adding[web.NewCredential, web.Credential](p, cmd, "/credentials", in, "stored "+in.Name+" for "+in.Host)
		},
	})
	add.Flags().StringVar(&in.Host, "host", "", "the only host it is ever sent to")
	add.Flags().StringVar(&in.User, "username", "", "user name that goes with it")
	add.Flags().BoolVar(&secretStdin, "secret-stdin", false, "read the password or token from standard input")
	g := p.group("credential", "Credentials for private upstreams", add,
		listing(p, "List credentials, without their secrets", "/credentials", "no credentials", row{"NAME", "HOST", "USER", "ADDED"},
			func(c web.Credential) row { return row{c.Name, c.Host, or(c.User, "-"), ago(c.CreatedAt)} }),
		p.removing("NAME", "Forget a credential", "/credentials"))
	p.withServer(g)
	return g
}
