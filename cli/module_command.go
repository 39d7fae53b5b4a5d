package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/web"
)

// moduleCommand is about Go modules: what was served of them, what may be had,
// and what is never dropped. Alone it lists what was served.
func (p *program) moduleCommand() *cobra.Command {
	list := p.moduleList()
	g := p.group("module", "Look at Go modules that were served, and decide which may be", list, p.moduleShow(), p.moduleTest(),
		p.modulePin(), p.moduleUnpin(), p.modulePins(), p.moduleAccept(), p.moduleRule())
	g.Aliases = []string{"modules"}
	unknown := g.RunE
	g.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return list.RunE(cmd, nil)
		}
		return unknown(cmd, args)
	}
	g.Use = "module [COMMAND]"
	p.withJSON(g)
	p.withServer(g)
	return g
}

func (p *program) moduleList() *cobra.Command {
	sort, search, limit := "path", "", 50
	cmd := p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List modules that were served", Args: args(0, 0),
		Example: "  gitmirror module list --sort downloads --limit 20\n  gitmirror module list --search github.com/acme/",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := c.servedModules(cmd.Context(), sort, search, limit)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			p.showModules(all)
			return nil
		},
	})
	cmd.Flags().StringVar(&sort, "sort", sort, "path, downloads, bytes or used")
	cmd.Flags().StringVar(&search, "search", "", "only those whose path holds this")
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many; 0 = all")
	completeWords(cmd, "sort", "path", "downloads", "bytes", "used")
	return cmd
}

func (p *program) showModules(all []web.ServedModule) {
	rows := make([]row, len(all))
	for i, m := range all {
		rows[i] = row{m.Path, sourceOf(m.Source), strconv.Itoa(m.Versions), number(m.Downloads), number(m.Requests), percent(m.Hits, m.Requests), size(m.Bytes), ago(m.LastUsed)}
	}
	p.table("no module was served yet", row{"MODULE", "FROM", "VERSIONS", "DOWNLOADS", "REQUESTS", "KEPT", "SENT", "LAST USED"}, rows)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func percent(part, of int64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%d %%", 100*part/of)
}

// sourceOf is where a module is from, for a person.
func sourceOf(source string) string { return or(source, "module proxy") }

// servedModules reads pages until there are limit modules; zero = all.
func (c *client) servedModules(ctx context.Context, sort, search string, limit int) ([]web.ServedModule, error) {
	return pagesOf[web.ServedModule](ctx, c, "/modules", url.Values{"sort": {sort}, "search": {search}}, upTo(limit))
}

// servedModule is a module with its versions, as --json has it.
type servedModule struct {
	web.ServedModule
	Items []web.ServedVersion `json:"items"`
}

func (p *program) moduleShow() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "show MODULE", Short: "Show what was served of a module, by version", Args: args(1, 1), ValidArgsFunction: p.completeModules,
		RunE: func(cmd *cobra.Command, args []string) error { return p.showServed(cmd.Context(), args[0]) },
	})
}

func (p *program) showServed(ctx context.Context, name string) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	at := "/modules/served/" + url.PathEscape(name)
	var m servedModule
	if err := c.call(ctx, http.MethodGet, api+at, nil, &m.ServedModule); err != nil {
		return err
	}
	if m.Items, err = listOf[web.ServedVersion](ctx, c, at+"/versions"); err != nil {
		return err
	}
	if p.json {
		return p.emit(m)
	}
	from := sourceOf(m.Source)
	if m.Mirror != "" {
		from = "mirror " + string(m.Mirror)
	}
	p.facts([2]string{"module", m.Path}, [2]string{"from", from}, [2]string{"downloads", number(m.Downloads)}, [2]string{"requests", number(m.Requests)},
		[2]string{"kept", percent(m.Hits, m.Requests)}, [2]string{"sent", size(m.Bytes)}, [2]string{"last used", ago(m.LastUsed)})
	fmt.Fprintln(p.stdout)
	rows := make([]row, len(m.Items))
	for i, v := range m.Items {
		var state []string
		if v.Kept {
			state = append(state, "kept")
		}
		if v.Pinned {
			state = append(state, "pinned")
		}
		bytes := "-"
		if v.Size > 0 {
			bytes = size(v.Size)
		}
		rows[i] = row{v.Version, sourceOf(v.Source), number(v.Downloads), bytes, ago(v.LastUsed), strings.Join(state, " "), or(v.Sum, "-")}
	}
	p.table("no version of it was served", row{"VERSION", "FROM", "DOWNLOADS", "SIZE", "LAST USED", "STATE", "SUM"}, rows)
	return nil
}

func (p *program) moduleTest() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "test MODULE[@VERSION]", Aliases: []string{"explain"}, Short: "Say what would happen to a module version, and why", Args: args(1, 1), ValidArgsFunction: p.completeModules,
		Long: "Say what would happen if you asked for a module version, and why: by which rule, of which\n" +
			"mirror, of which module proxies, and whether it is verified. It is decided by what decides\n" +
			"for the go command; nothing is mirrored for it, and no zip is fetched.",
		Example: "  gitmirror module test github.com/spf13/pflag@v1.0.5\n  gitmirror module test golang.org/x/text",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			name, version, _ := strings.Cut(args[0], "@")
			var v web.ModuleVerdict
			if err := c.call(cmd.Context(), http.MethodGet, api+"/modules/explain?"+url.Values{"module": {name}, "version": {version}}.Encode(), nil, &v); err != nil {
				return err
			}
			if p.json {
				return p.emit(v)
			}
			p.showVerdict(v)
			return nil
		},
	})
}

func (p *program) showVerdict(v web.ModuleVerdict) {
	what := v.Module + "@" + or(v.Resolved, v.Version)
	pairs := [][2]string{{"module", what}, {"outcome", string(v.Outcome)}}
	if v.Problem != nil {
		pairs = append(pairs, [2]string{"told", v.Problem.Error()}, [2]string{"do", v.Problem.Do})
	}
	p.facts(pairs...)
	fmt.Fprintln(p.stdout)
	rows := make([]row, len(v.Steps))
	for i, s := range v.Steps {
		rule := ""
		if s.Rule != nil {
			rule = ruleName(*s.Rule) + ": " + ruleText(*s.Rule)
		}
		rows[i] = row{s.About, s.Result, s.Text, rule}
	}
	p.table("", row{"STEP", "RESULT", "WHY", "RULE"}, rows)
}

// moduleAndVersion reads MODULE or MODULE@VERSION.
func moduleAndVersion(text string) (name, version string, err error) {
	name, version, found := strings.Cut(text, "@")
	if name == "" || found && version == "" {
		return "", "", wrongUsage(fmt.Sprintf("%q is no module", text), "write github.com/spf13/pflag or github.com/spf13/pflag@v1.0.5")
	}
	return name, version, nil
}

func (p *program) modulePin() *cobra.Command {
	reason, long := "", ""
	cmd := p.withJSON(&cobra.Command{
		Use: "pin MODULE[@VERSION]…", Short: "Never drop a module, or a version of it, to make room", Args: args(1, -1), ValidArgsFunction: p.completeModules,
		RunE: func(cmd *cobra.Command, args []string) error {
			in := make([]web.PinModule, len(args))
			for i, text := range args {
				var err error
				if in[i].Module, in[i].Version, err = moduleAndVersion(text); err != nil {
					return err
				}
				in[i].Reason = reason
				if long != "" {
					age, err := duration(long)
					if err != nil || age < time.Second {
						return wrongUsage(fmt.Sprintf("--for: %q is not a length of time", long), "write 90d or 12h")
					}
					in[i].ForS = int64(age.Seconds())
				}
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			for i := range in {
				if err := c.call(cmd.Context(), http.MethodPost, api+"/modules/pins", in[i], nil); err != nil {
					return err
				}
				p.say("%s is pinned", args[i])
			}
			if p.json {
				return p.emit(in)
			}
			return nil
		},
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who ask later")
	cmd.Flags().StringVar(&long, "for", "", "how long: 90d, 12h (default: for good)")
	return cmd
}

func (p *program) moduleUnpin() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "unpin MODULE[@VERSION]…", Short: "Take pins away", Args: args(1, -1), ValidArgsFunction: p.completeModules,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			for _, text := range args {
				name, version, err := moduleAndVersion(text)
				if err != nil {
					return err
				}
				at := api + "/modules/pins/" + url.PathEscape(name)
				if version != "" {
					at += "?" + url.Values{"version": {version}}.Encode()
				}
				if err := c.call(cmd.Context(), http.MethodDelete, at, nil, nil); err != nil {
					return err
				}
				p.say("%s is not pinned any more", text)
			}
			if p.json {
				return p.emit(args)
			}
			return nil
		},
	})
}

// moduleAccept is for versions that their authors published anew under the same name.
func (p *program) moduleAccept() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "accept MODULE@VERSION", Short: "Say that a version that is not what it was when it was first seen is right", Args: args(1, 1), ValidArgsFunction: p.completeModules,
		Long: "Of what the checksum database does not vouch for, the hashes that were first seen count, and\n" +
			"another file is refused (E2106). This forgets them, and what is kept of the version: the next\n" +
			"one that a module proxy sends is taken for the right one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, err := moduleAndVersion(args[0])
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			in := web.AcceptModule{Module: name, Version: version}
			if err := c.call(cmd.Context(), http.MethodPost, api+"/modules/accept", in, nil); err != nil {
				return err
			}
			if p.json {
				return p.emit(in)
			}
			p.say("what is sent of %s next is taken for the right one", args[0])
			return nil
		},
	})
}

func (p *program) modulePins() *cobra.Command {
	of := ""
	cmd := p.withJSON(&cobra.Command{
		Use: "pins", Short: "List what is never dropped to make room, besides what rules pin", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := pagesOf[web.ModulePin](cmd.Context(), c, "/modules/pins", url.Values{"module": {of}}, everything)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, pin := range all {
				until := "for good"
				if !pin.Until.IsZero() {
					until = pin.Until.Local().Format(time.DateOnly)
				}
				rows[i] = row{pin.Module, or(pin.Version, "all"), until, or(pin.By, "a project"), pin.Reason}
			}
			p.table("nothing is pinned", row{"MODULE", "VERSION", "UNTIL", "BY", "WHY"}, rows)
			return nil
		},
	})
	cmd.Flags().StringVar(&of, "module", "", "only those of this module")
	return cmd
}

// completeModules offers modules that were served.
func (p *program) completeModules(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	client, err := p.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := client.servedModules(ctx, "downloads", typed, 50)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]string, len(all))
	for i, m := range all {
		names[i] = m.Path
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
