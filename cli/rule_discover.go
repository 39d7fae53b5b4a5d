package cli

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gitmirror/gitmirror/web"
)

// discoverFlags say what a rule adds without being asked for it.
type discoverFlags struct {
	on      bool
	choices web.RuleDiscovery
}

func (d *discoverFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&d.on, "discover", false, "add what the owner has, as the host's API lists it, now and every hour")
	f.BoolVar(&d.choices.Archived, "archived", false, "with --discover, archived repositories as well")
	f.BoolVar(&d.choices.Forks, "forks", false, "with --discover, forks as well")
	f.StringSliceVar(&d.choices.Exclude, "exclude-repo", nil, "with --discover, names that are not wanted, such as 'legacy-*'")
}

// wanted is nil without --discover.
func (d *discoverFlags) wanted() (*web.RuleDiscovery, error) {
	c := d.choices
	if !d.on {
		if c.Archived || c.Forks || len(c.Exclude) > 0 {
			return nil, wrongUsage("--archived, --forks and --exclude-repo choose among what --discover finds", "add --discover")
		}
		return nil, nil
	}
	return &c, nil
}

// ruleEdit changes what a rule adds by itself.
func (p *program) ruleEdit() *cobra.Command {
	var discover discoverFlags
	cmd := p.withJSON(&cobra.Command{
		Use: "edit PATTERN", Short: "Change what a rule adds by itself", Args: args(1, 1),
		Long: "Change what a rule adds by itself. What is not given is off: without --discover\n" +
			"repositories are mirrored when somebody first asks for them. Mirrors that are\n" +
			"there stay.",
		Example: "  gitmirror rule edit 'github.com/acme/*' --discover --forks",
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := discover.wanted()
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			var out web.Rule
			if err := c.call(cmd.Context(), http.MethodPatch, api+"/rules/"+segment(args[0]), web.EditRule{Discover: wanted}, &out); err != nil {
				return err
			}
			if p.json {
				return p.emit(out)
			}
			p.say("repositories of %s are %s", out.Pattern, ruleWords(out))
			return nil
		},
	})
	discover.add(cmd.Flags())
	return cmd
}

func ruleWords(r web.Rule) string {
	if r.Discover == nil {
		return "mirrored on first use"
	}
	return "added as the host lists them"
}

// listingWords sum up what a rule adds by itself.
func listingWords(r web.Rule) string {
	l := r.Listing
	switch {
	case r.Discover == nil:
		return "no"
	case l == nil:
		return "not listed yet"
	case l.Error != nil:
		return ago(l.At) + ": " + strings.TrimSpace(string(l.Error.Code)+" "+l.Error.What)
	}
	text := fmt.Sprintf("%s: %d found, %d left out", ago(l.At), l.Found, l.Skipped)
	if l.Failed > 0 {
		text += fmt.Sprintf(", %d could not be added", l.Failed)
	}
	if l.Cut {
		text += ", and more than are listed"
	}
	return text
}
