package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
)

// root is the command tree, in the order of the help text.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gitmirror",
		Short: "Mirror Git repositories, and build Go code against the mirror",
		Long: "gitmirror keeps mirrors of Git repositories, serves them over HTTP and SSH,\n" +
			"and rewrites Go projects so that they build with nothing but the mirror.",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			err := cmd.ValidateFlagGroups() // cobra asks after this hook: wrong usage, too
			p.running = err == nil
			return err
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.PersistentFlags().BoolVarP(&p.quiet, "quiet", "q", false, "no words on stderr but errors")
	root.PersistentFlags().BoolVar(&p.noProgress, "no-progress", false, "no moving progress bar")

	const server, mirrors, code, access = "server", "mirrors", "code", "access"
	root.AddGroup(
		&cobra.Group{ID: server, Title: "The server:"},
		&cobra.Group{ID: mirrors, Title: "Mirrors:"},
		&cobra.Group{ID: code, Title: "In a Go project:"},
		&cobra.Group{ID: access, Title: "Access:"},
	)
	in := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	in(server, p.serveCommand(), p.configCommand(), p.migrateCommand(), p.auditCommand(), p.alertCommand())
	in(mirrors, p.mirrorCommand(), p.refCommand(), p.upstreamCommand(), p.approvalsCommand(), p.aliasCommand(), p.ruleCommand(), p.credentialCommand(), p.moduleCommand(), p.cacheCommand())
	in(code, p.rewriteCommand(), p.envCommand(), p.doctorCommand())
	in(access, p.loginCommand(), p.logoutCommand(), p.whoamiCommand(), p.userCommand(), p.groupCommand(), p.keyCommand(), p.tokenCommand(), p.trustCommand(), p.sessionCommand())
	root.AddCommand(p.versionCommand(), p.completionCommand(), p.healthcheckCommand())
	return root
}

// group is a command that only holds others.
func (p *program) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use + " COMMAND", Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			do := fmt.Sprintf("see \"gitmirror %s --help\"", use)
			cmd.SuggestionsMinimumDistance = 2
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				do = "did you mean " + strings.Join(near, " or ") + "? " + do
			}
			return wrongUsage(fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath()), do)
		},
	}
	g.AddCommand(commands...)
	return g
}

func wrongUsage(what, do string) error {
	return &mirror.Problem{Code: codeUsage, Kind: mirror.ErrInvalid, What: what, Do: do}
}

// args wants between low and high arguments (high < 0 = any number) and names
// what is missing.
func args(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		switch {
		case len(got) < low:
			return wrongUsage(fmt.Sprintf("%q needs %s", cmd.CommandPath(), missing(cmd.Use, len(got))), "usage: "+cmd.UseLine())
		case high >= 0 && len(got) > high:
			return wrongUsage(fmt.Sprintf("%q is one argument too many for %q", got[high], cmd.CommandPath()), "usage: "+cmd.UseLine())
		}
		return nil
	}
}

// missing is the n-th word in capitals of a usage line.
func missing(use string, n int) string {
	words := strings.Fields(use)[1:]
	if n < len(words) {
		return strings.TrimSuffix(words[n], "…")
	}
	return "more arguments"
}

// withJSON adds --json.
func (p *program) withJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&p.json, "json", false, "one JSON document on stdout")
	return cmd
}
