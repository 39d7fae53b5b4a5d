package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/web"
)

// cacheCommand is about what the server keeps of modules. Alone it shows that.
func (p *program) cacheCommand() *cobra.Command {
	show := p.cacheShow()
	g := p.group("cache", "What the server keeps of Go modules", show, p.cacheStats(), p.cacheTrim(), p.cacheWarm(), p.cacheRefused())
	unknown := g.RunE
	g.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return show.RunE(cmd, nil)
		}
		return unknown(cmd, args)
	}
	g.Use = "cache [COMMAND]"
	p.withJSON(g)
	p.withServer(g)
	return g
}

func (p *program) cacheShow() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "show [MODULE]", Short: "Show what is kept, and how module proxies do; or what was served of a module", Args: args(0, 1), ValidArgsFunction: p.completeModules,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return p.showServed(cmd.Context(), args[0])
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			var info web.ModuleCacheInfo
			if err := c.call(cmd.Context(), http.MethodGet, api+"/modules/cache", nil, &info); err != nil {
				return err
			}
			if p.json {
				return p.emit(info)
			}
			p.showCache(info)
			return nil
		},
	})
}

func (p *program) showCache(info web.ModuleCacheInfo) {
	kept := fmt.Sprintf("%s in %s", size(info.Bytes), count(info.Files, "file", "files"))
	switch {
	case info.MaxBytes == 0:
		kept = "nothing (modules.cache_bytes is 0)"
	default:
		kept += fmt.Sprintf(", %d %% of %s", 100*info.Bytes/info.MaxBytes, size(info.MaxBytes))
	}
	numbers := func(n int64) string { return strconv.FormatInt(n, 10) }
	pinned := fmt.Sprintf("%s in %s", size(info.PinnedB), count(info.Pinned, "file", "files"))
	if info.Unpinned > 0 {
		pinned += fmt.Sprintf("; %s dropped, since more is pinned than is kept: unpin some, or raise modules.cache_bytes", number(info.Unpinned))
	}
	p.facts([2]string{"kept", kept}, [2]string{"of mirrors", size(info.Made) + ", which can be made again"},
		[2]string{"pinned", pinned}, [2]string{"hits", numbers(info.Hits)},
		[2]string{"misses", numbers(info.Misses)}, [2]string{"stale", numbers(info.Stale)}, [2]string{"trimmed", numbers(info.Trimmed)},
		[2]string{"refused", numbers(info.Refused)}, [2]string{"forged", numbers(info.Forged)})
	fmt.Fprintln(p.stdout)
	rows := make([]row, len(info.Proxies))
	for i, proxy := range info.Proxies {
		rows[i] = row{proxy.Name, or(string(proxy.Condition), "-"), ms(proxy.UsualMs), numbers(proxy.Asked), numbers(proxy.Failed), size(proxy.Bytes), ""}
		if proxy.Error != nil {
			rows[i][6] = proxy.Error.Error()
		}
	}
	p.table("no module proxies are asked (modules.proxies)", row{"PROXY", "STATE", "MS", "ASKED", "FAILED", "RECEIVED", "TROUBLE"}, rows)
}

func (p *program) cacheTrim() *cobra.Command {
	var to, unused string
	var yes, dry bool
	cmd := p.withJSON(&cobra.Command{
		Use: "trim", Short: "Drop what was not used for the longest time", Args: args(0, 0),
		Long: "Drop what was not used for the longest time; what was made of mirrors goes first, and\n" +
			"what a rule pins stays. What is dropped is fetched or made again when somebody asks.",
		Example: "  gitmirror cache trim --to 5GiB\n  gitmirror cache trim --unused 90d --dry-run",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var in web.TrimModules
			if to != "" {
				n, err := humanize.ParseBytes(to)
				if err != nil || n > 1<<60 {
					return wrongUsage(fmt.Sprintf("--to: %q is not a size", to), "write 500MB or 4GiB")
				}
				bytes := int64(n)
				in.Bytes = &bytes
			}
			if unused != "" {
				age, err := duration(unused)
				if err != nil || age < time.Second {
					return wrongUsage(fmt.Sprintf("--unused: %q is not a length of time", unused), "write 90d or 12h")
				}
				in.UnusedFS = int64(age.Seconds())
			}
			if to == "" && unused == "" {
				return wrongUsage("it is not clear what to drop", "give --to 5GiB or --unused 90d")
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			at, done := api+"/modules/cache/trim", "dropped"
			if dry {
				at, done = at+"/preview", "would drop"
			} else if err := p.confirm(yes, "Drop files of modules?"); err != nil {
				return err
			}
			var gone web.TrimmedModules
			if err := c.call(cmd.Context(), http.MethodPost, at, in, &gone); err != nil {
				return err
			}
			if p.json {
				return p.emit(gone)
			}
			p.say("%s %s, %s", done, count(gone.Files, "file", "files"), size(gone.Bytes))
			return nil
		},
	})
	cmd.Flags().StringVar(&to, "to", "", "until no more than this is left: 5GiB")
	cmd.Flags().StringVar(&unused, "unused", "", "what nobody has asked for in this time: 90d, 12h")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "tell how much would be dropped; drop nothing")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// cacheStats sums up what was served, and names the modules most was served of.
func (p *program) cacheStats() *cobra.Command {
	limit := 20
	cmd := p.withJSON(&cobra.Command{
		Use: "stats", Short: "Show what was served of modules, the most downloaded first", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			var out struct {
				web.ServedTotal
				Items []web.ServedModule `json:"items"`
			}
			if err := c.call(cmd.Context(), http.MethodGet, api+"/modules/totals", nil, &out.ServedTotal); err != nil {
				return err
			}
			if out.Items, err = c.servedModules(cmd.Context(), "downloads", "", limit); err != nil {
				return err
			}
			if p.json {
				return p.emit(out)
			}
			p.facts([2]string{"modules", strconv.Itoa(out.Modules)}, [2]string{"versions", strconv.Itoa(out.Versions)}, [2]string{"downloads", number(out.Downloads)},
				[2]string{"requests", number(out.Requests)}, [2]string{"kept", percent(out.Hits, out.Requests)}, [2]string{"sent", size(out.Bytes)})
			fmt.Fprintln(p.stdout)
			p.showModules(out.Items)
			return nil
		},
	})
	cmd.Flags().IntVar(&limit, "limit", limit, "name so many modules; 0 = all")
	return cmd
}

func (p *program) cacheRefused() *cobra.Command {
	limit := 100
	cmd := p.withJSON(&cobra.Command{
		Use: "refused", Short: "List modules that were refused, the last ones first", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			var all web.ModuleRefusals
			if err := c.call(cmd.Context(), http.MethodGet, api+"/modules/refusals?limit="+strconv.Itoa(limit), nil, &all); err != nil {
				return err
			}
			if p.json {
				return p.emit(all.Items)
			}
			rows := make([]row, len(all.Items))
			for i, e := range all.Items {
				what := e.Module
				if e.Version != "" {
					what += "@" + e.Version
				}
				rows[i] = row{e.At.Local().Format(time.DateTime), string(e.Kind), or(e.User, or(e.Address, "-")), strconv.Itoa(e.Times), what, e.Text}
			}
			p.table("nothing was refused", row{"AT", "WHY", "WHO", "TIMES", "MODULE", "REASON"}, rows)
			return nil
		},
	})
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many, up to 1000")
	return cmd
}
