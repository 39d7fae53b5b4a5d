package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// moduleRule is about the rules for modules that are kept in the database.
func (p *program) moduleRule() *cobra.Command {
	list := p.moduleRuleList()
	test := p.moduleTest()
	g := p.group("rule", "Say which modules and versions may be had", list, p.moduleRuleAdd(), p.moduleRuleRemove(), test)
	g.Aliases = []string{"rules"}
	unknown := g.RunE
	g.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return list.RunE(cmd, nil)
		}
		return unknown(cmd, args)
	}
	g.Use = "rule [COMMAND]"
	p.withJSON(g)
	return g
}

// ruleName is what a rule is called: its id, or its line in the file.
func ruleName(r web.ModuleRule) string {
	if r.ID == 0 {
		return "line " + strconv.Itoa(r.Line)
	}
	return strconv.FormatInt(r.ID, 10)
}

// ruleText is a rule as the file has it.
func ruleText(r web.ModuleRule) string {
	age := ""
	if r.Action == mirror.ActionAge {
		age = (time.Duration(r.AgeS) * time.Second).String()
		if days := r.AgeS / (24 * 60 * 60); days > 0 && r.AgeS%(24*60*60) == 0 {
			age = strconv.FormatInt(days, 10) + "d"
		}
	}
	return words(string(r.Action), r.Pattern, r.Versions, age, string(r.Mode), r.Reason)
}

func (p *program) moduleRuleList() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the rules in force, in their order", Args: args(0, 0),
		Long: "List the rules in force, in their order. Those with a line are of the file of modules.rules,\n" +
			"which is changed there; the others are added and removed here.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := listOf[web.ModuleRule](cmd.Context(), c, "/modules/rules")
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, r := range all {
				text := ruleText(web.ModuleRule{Action: r.Action, Pattern: r.Pattern, Versions: r.Versions, AgeS: r.AgeS, Mode: r.Mode})
				rows[i] = row{ruleName(r), text, r.Reason, or(r.By, "-")}
			}
			p.table("there are no rules about modules", row{"ID", "RULE", "REASON", "BY"}, rows)
			return nil
		},
	})
}

func (p *program) moduleRuleAdd() *cobra.Command {
	reason, before, first := "", int64(0), false
	cmd := p.withJSON(&cobra.Command{
		Use: "add deny|allow|age|mode|pin PATTERN [VERSIONS|AGE|MODE]", Short: "Add a rule", Args: args(2, 3),
		Long: "Add a rule. Of deny and allow, of age and of mode the first that fits decides, after those of\n" +
			"the file of modules.rules. It is in force at once.",
		Example: "  gitmirror module rule add deny github.com/evil/* --reason \"looks like github.com/good\"\n" +
			"  gitmirror module rule add allow github.com/lib/pq v1.10.2 --first\n" +
			"  gitmirror module rule add age '*' 7d\n  gitmirror module rule add mode corp.example mirror-only",
		ValidArgsFunction: func(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
			var offer []string
			switch {
			case len(given) == 0:
				for _, a := range mirror.ModuleActions() {
					offer = append(offer, string(a))
				}
			case len(given) == 2 && given[0] == string(mirror.ActionMode):
				offer = modeNames()
			}
			return offer, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := newModuleRule(args)
			if err != nil {
				return err
			}
			in.Reason, in.Before = reason, before
			if first {
				in.Before = -1
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			var added web.ModuleRule
			if err := c.call(cmd.Context(), http.MethodPost, api+"/modules/rules", in, &added); err != nil {
				return err
			}
			if p.json {
				return p.emit(added)
			}
			p.say("rule %d is in force: %s", added.ID, ruleText(added))
			return nil
		},
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why; developers are shown it")
	cmd.Flags().Int64Var(&before, "before", 0, "id of the rule it comes before (default: behind all)")
	cmd.Flags().BoolVar(&first, "first", false, "before all that are not of the file")
	cmd.MarkFlagsMutuallyExclusive("before", "first")
	return cmd
}

// newModuleRule reads ACTION PATTERN [VALUE].
func newModuleRule(args []string) (web.NewModuleRule, error) {
	in := web.NewModuleRule{Action: mirror.ModuleAction(args[0]), Pattern: args[1]}
	value := ""
	if len(args) == 3 {
		value = args[2]
	}
	switch in.Action {
	case mirror.ActionDeny, mirror.ActionAllow:
		in.Versions = value
	case mirror.ActionAge:
		age, err := duration(value)
		if err != nil {
			return in, wrongUsage(fmt.Sprintf("%q is not a length of time", value), "write 7d or 12h")
		}
		in.AgeS = int64(age.Seconds())
	case mirror.ActionMode:
		in.Mode = mirror.ModuleMode(value)
	case mirror.ActionPin:
		if value != "" {
			return in, wrongUsage("a rule that pins takes a pattern and nothing else", "pin one version with: gitmirror module pin "+in.Pattern+"@"+value)
		}
	default:
		return in, wrongUsage(fmt.Sprintf("%q is no rule", args[0]), "begin with deny, allow, age, mode or pin")
	}
	return in, nil
}

func (p *program) moduleRuleRemove() *cobra.Command {
	yes := false
	cmd := p.withJSON(&cobra.Command{
		Use: "remove ID…", Aliases: []string{"rm"}, Short: "Remove rules", Args: args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids := make([]int64, len(args))
			for i, text := range args {
				var err error
				if ids[i], err = strconv.ParseInt(text, 10, 64); err != nil || ids[i] < 1 {
					return wrongUsage(fmt.Sprintf("%q is not the id of a rule", text), "\"gitmirror module rule list\" lists them; those with a line are removed from the file")
				}
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			if err := p.confirm(yes, "Remove "+count(len(ids), "rule", "rules")+" ("+strings.Join(args, ", ")+")?"); err != nil {
				return err
			}
			for _, id := range ids {
				if err := c.call(cmd.Context(), http.MethodDelete, api+"/modules/rules/"+strconv.FormatInt(id, 10), nil, nil); err != nil {
					return err
				}
				p.say("rule %d is removed", id)
			}
			if p.json {
				return p.emit(ids)
			}
			return nil
		},
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
