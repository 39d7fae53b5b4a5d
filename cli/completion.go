package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionWait is how long a shell's Tab waits for the server.
const completionWait = 200 * time.Millisecond

func (p *program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish|powershell", Short: "Print a completion script for a shell",
		Long: "Print a completion script for a shell. To try it in bash:\n\n" +
			"  source <(gitmirror completion bash)\n\n" +
			"Names of mirrors are asked from the server you are signed in to.",
		Args: args(1, 1), ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(p.stdout, true)
			case "zsh":
				return root.GenZshCompletion(p.stdout)
			case "fish":
				return root.GenFishCompletion(p.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(p.stdout)
			}
			return wrongUsage("there is no completion for the shell \""+args[0]+"\"", "use bash, zsh, fish or powershell")
		},
	}
}

// completeWords offers the words a flag understands.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag: a bug
	}
}

// completeMirrors offers the paths of mirrors, or nothing when the server does
// not answer in time: a Tab must never hang or print an error.
func (p *program) completeMirrors(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	client, err := p.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	mirrors, err := client.mirrors(ctx, mirrorQuery{Search: typed}, 50)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, m := range mirrors {
		if strings.HasPrefix(string(m.Path), typed) {
			names = append(names, string(m.Path))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
