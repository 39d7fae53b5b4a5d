package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

func (p *program) upstreamCommand() *cobra.Command {
	g := p.group("upstream", "Hosts mirrors come from, and the roads to them",
		p.upstreamList(), p.upstreamShow(), p.upstreamAdd(), p.upstreamRemove(),
		p.upstreamSwitch("enable", "Let syncs take an endpoint again", false),
		p.upstreamSwitch("disable", "Keep syncs off an endpoint", true),
		p.upstreamProbe(), p.upstreamUse(), p.upstreamLog(), p.upstreamLimit())
	p.withServer(g)
	return g
}

func (p *program) upstreamList() *cobra.Command {
	return listing(p, "List upstream hosts and how they are", "/upstreams", "no upstream hosts yet; they come with their first mirror",
		row{"HOST", "MIRRORS", "IN USE", "STATE", "P50/P95 24 H", "FAILED"},
		func(u web.Upstream) row {
			r := row{u.Host, strconv.Itoa(u.Mirrors), u.InUse, "-", "-", "-"}
			if u.Pinned {
				r[2] += " (pinned)"
			}
			for _, e := range u.Endpoints {
				if e.InUse {
					r[3], r[4], r[5] = string(e.Condition), quantiles(e.Day), failures(e.Day)
				}
			}
			return r
		})
}

// quantiles are "150/210 ms"; "-" when nothing was measured.
func quantiles(f web.UpstreamFigures) string {
	if f.Samples == f.Failed {
		return "-"
	}
	return fmt.Sprintf("%s/%s ms", ms(f.P50Ms), ms(f.P95Ms))
}

// speed is that of fetches; "-" when none was large enough to tell.
func speed(f web.UpstreamFigures) string {
	if f.BytesS == 0 {
		return "-"
	}
	return size(f.BytesS) + "/s"
}

func failures(f web.UpstreamFigures) string {
	if f.Samples == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", f.Failed, f.Samples)
}

// ms is milliseconds for a table: whole ones, tenths below ten; "-" for none.
func ms(n float64) string {
	switch {
	case n == 0:
		return "-"
	case n < 10:
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

func (p *program) upstreamShow() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "show HOST", Short: "Show the endpoints of a host", Args: args(1, 1), ValidArgsFunction: p.completeUpstreams,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			u, err := c.upstream(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(u)
			}
			p.showUpstream(u)
			return nil
		},
	})
}

func (p *program) showUpstream(u web.Upstream) {
	pinned, bandwidth, budget := "", "", ""
	if u.Pinned {
		pinned = "until further notice"
		if !u.PinnedUntilAt.IsZero() {
			pinned = "until " + u.PinnedUntilAt.Local().Format("2006-01-02 15:04")
		}
	}
	if u.Bandwidth > 0 {
		bandwidth = size(u.Bandwidth) + "/s"
	}
	if u.Budget > 0 {
		budget = strconv.FormatFloat(u.Budget, 'g', -1, 64) + " requests/s"
	}
	p.facts([2]string{"host", u.Host}, [2]string{"mirrors", strconv.Itoa(u.Mirrors)},
		[2]string{"in use", u.InUse + ", since " + ago(u.SinceAt)}, [2]string{"pinned", pinned},
		[2]string{"bandwidth", bandwidth}, [2]string{"budget", budget})
	fmt.Fprintln(p.stdout)
	rows := make([]row, len(u.Endpoints))
	for i, e := range u.Endpoints {
		mark := " "
		if e.InUse {
			mark = "*"
		}
		address := or(e.URL, "https://"+u.Host)
		if e.Authoritative && e.Name != mirror.Direct {
			address += " (authoritative)"
		}
		rows[i] = row{mark + " " + e.Name, string(e.Condition), ms(e.Day.DNSMs), ms(e.Day.ConnectMs), ms(e.Day.TLSMs), ms(e.Day.FirstByteMs),
			quantiles(e.Day), ms(e.LimitMs), speed(e.Day), failures(e.Day), address}
	}
	p.table("no endpoints", row{"  NAME", "STATE", "DNS", "TCP", "TLS", "FIRST BYTE", "P50/P95 24 H", "SLOW ABOVE", "SPEED", "FAILED", "ADDRESS"}, rows)
}

// changeUpstream reads what is set of a host, has it changed and writes it back.
// With add, a host that is not known yet begins with its direct endpoint.
func (p *program) changeUpstream(ctx context.Context, host string, add bool, change func(*web.UpstreamEdit) error) (web.Upstream, error) {
	c, err := p.client()
	if err != nil {
		return web.Upstream{}, err
	}
	u, err := c.upstream(ctx, host)
	if add && errors.Is(err, mirror.ErrNotFound) {
		u = web.Upstream{Endpoints: []web.UpstreamEndpoint{{UpstreamRoad: web.UpstreamRoad{Name: mirror.Direct}}}}
		err = nil
	}
	if err != nil {
		return web.Upstream{}, err
	}
	e := edit(u)
	if err := change(&e); err != nil {
		return web.Upstream{}, err
	}
	u, err = c.putUpstream(ctx, host, u.Version, e)
	if err == nil && p.json {
		err = p.emit(u)
	}
	return u, err
}

func (p *program) upstreamAdd() *cobra.Command {
	var road web.UpstreamRoad
	var first bool
	cmd := p.withJSON(&cobra.Command{
		Use: "add HOST NAME URL", Short: "Add an endpoint: another road to a host", Args: args(3, 3), ValidArgsFunction: p.completeUpstreams,
		Long: "Add an endpoint: another road to a host. URL stands in front of a repository's path\n" +
			"on the host. Unless --authoritative, an endpoint may only add objects and move\n" +
			"branches forward; what goes away or is forced waits for one that is.",
		Example: "  gitmirror upstream add github.com corp https://git.corp.example/github.com --credential corp-read\n" +
			"  gitmirror upstream add github.com ssh443 ssh://git@ssh.github.com:443 --authoritative",
		RunE: func(cmd *cobra.Command, args []string) error {
			road.Name, road.URL = args[1], strings.TrimRight(args[2], "/")
			_, err := p.changeUpstream(cmd.Context(), args[0], true, func(e *web.UpstreamEdit) error {
				at := len(e.Endpoints)
				if first {
					at = 0
				}
				e.Endpoints = slices.Insert(e.Endpoints, at, road)
				return nil
			})
			if err == nil {
				p.say("added %s to %s", road.Name, args[0])
			}
			return err
		},
	})
	cmd.Flags().StringVar(&road.Credential, "credential", "", "name of a stored credential for the URL's host")
	cmd.Flags().BoolVar(&road.Authoritative, "authoritative", false, "believe it when refs go away or are forced")
	cmd.Flags().BoolVar(&first, "first", false, "place it before the others: it is used whenever it is healthy")
	return cmd
}

func noEndpoint(host, name string) error {
	return &mirror.Problem{Kind: mirror.ErrNotFound, What: fmt.Sprintf("%s has no endpoint %q", host, name), Do: "see gitmirror upstream show " + host}
}

func (p *program) upstreamRemove() *cobra.Command {
	var yes bool
	cmd := p.withJSON(&cobra.Command{
		Use: "remove HOST [NAME]", Aliases: []string{"rm"}, Short: "Remove an endpoint, or all that is known about a host", Args: args(1, 2),
		ValidArgsFunction: p.completeUpstreams,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return p.forgetUpstream(cmd.Context(), args[0], yes)
			}
			_, err := p.changeUpstream(cmd.Context(), args[0], false, func(e *web.UpstreamEdit) error {
				before := len(e.Endpoints)
				e.Endpoints = slices.DeleteFunc(e.Endpoints, func(r web.UpstreamRoad) bool { return r.Name == args[1] })
				if len(e.Endpoints) == before {
					return noEndpoint(args[0], args[1])
				}
				return nil
			})
			if err == nil {
				p.say("removed %s from %s", args[1], args[0])
			}
			return err
		},
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (p *program) forgetUpstream(ctx context.Context, host string, yes bool) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	u, err := c.upstream(ctx, host)
	if err != nil {
		return err
	}
	question := fmt.Sprintf("Forget the endpoints, figures and history of %s? Its %s stay.", u.Host, count(u.Mirrors, "mirror", "mirrors"))
	if err := p.confirm(yes, question); err != nil {
		return err
	}
	if err := c.forgetUpstream(ctx, host); err != nil {
		return err
	}
	if p.json {
		return p.emit(u)
	}
	p.say("forgot %s", host)
	return nil
}

func (p *program) upstreamSwitch(verb, short string, disabled bool) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: verb + " HOST NAME", Short: short, Args: args(2, 2), ValidArgsFunction: p.completeUpstreams,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := p.changeUpstream(cmd.Context(), args[0], false, func(e *web.UpstreamEdit) error {
				i := slices.IndexFunc(e.Endpoints, func(r web.UpstreamRoad) bool { return r.Name == args[1] })
				if i < 0 {
					return noEndpoint(args[0], args[1])
				}
				e.Endpoints[i].Disabled = disabled
				return nil
			})
			if err == nil {
				p.say("%sd %s of %s", verb, args[1], args[0])
			}
			return err
		},
	})
}

func (p *program) upstreamUse() *cobra.Command {
	var pin string
	cmd := p.withJSON(&cobra.Command{
		Use: "use HOST NAME|auto", Short: "Pin an endpoint, or leave the choice to the rule again", Args: args(2, 2), ValidArgsFunction: p.completeUpstreams,
		Example: "  gitmirror upstream use github.com corp --for 2h\n  gitmirror upstream use github.com auto",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := web.UseUpstream{Endpoint: args[1]}
			if in.Endpoint == "auto" {
				in.Endpoint = ""
			}
			if pin != "" {
				d, err := duration(pin)
				if err != nil || d < time.Second {
					return wrongUsage(fmt.Sprintf("--for: %q is not a length of time", pin), "write 30m, 2h or 1d")
				}
				in.ForS = int64(d / time.Second)
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			u, err := c.useUpstream(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(u)
			}
			if u.Pinned {
				p.say("%s is reached by %s now", u.Host, u.InUse)
			} else {
				p.say("the rule decides how %s is reached; now by %s", u.Host, u.InUse)
			}
			return nil
		},
	})
	cmd.Flags().StringVar(&pin, "for", "", "how long it stays pinned (default: until further notice)")
	return cmd
}

func (p *program) upstreamLog() *cobra.Command {
	var limit int
	cmd := p.withJSON(&cobra.Command{
		Use: "log HOST", Short: "List changes of the endpoint in use and their reasons", Args: args(1, 1), ValidArgsFunction: p.completeUpstreams,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			events, err := c.upstreamEvents(cmd.Context(), args[0], limit)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(events)
			}
			rows := make([]row, len(events))
			for i, e := range events {
				way := e.From + " → " + e.To
				if e.From == e.To {
					way = e.To
				}
				rows[i] = row{e.At.Local().Format("2006-01-02 15:04:05"), way, or(e.By, "rule"), e.Reason}
			}
			p.table(args[0]+" has always been reached the same way", row{"AT", "ENDPOINT", "BY", "REASON"}, rows)
			return nil
		},
	})
	cmd.Flags().IntVar(&limit, "limit", 20, "how many, 1 to 1000")
	return cmd
}

func (p *program) upstreamLimit() *cobra.Command {
	var bandwidth, budget string
	cmd := p.withJSON(&cobra.Command{
		Use: "limit HOST", Short: "Limit the bandwidth and the checks of a host", Args: args(1, 1), ValidArgsFunction: p.completeUpstreams,
		Example: "  gitmirror upstream limit github.com --bandwidth 5MB --budget 10",
		RunE: func(cmd *cobra.Command, args []string) error {
			if bandwidth == "" && budget == "" {
				return wrongUsage("no limit is given", "give --bandwidth, --budget or both")
			}
			var bytes uint64
			var requests float64
			var err error
			if bandwidth != "" && bandwidth != "none" {
				if bytes, err = humanize.ParseBytes(strings.TrimSuffix(bandwidth, "/s")); err != nil || bytes > 1<<50 {
					return wrongUsage(fmt.Sprintf("--bandwidth: %q is not a size", bandwidth), "write bytes a second as 500KB, 5MB or none")
				}
			}
			if budget != "" && budget != "none" {
				if requests, err = strconv.ParseFloat(budget, 64); err != nil {
					return wrongUsage(fmt.Sprintf("--budget: %q is not a number", budget), "write requests a second as 0.5, 10 or none")
				}
			}
			_, err = p.changeUpstream(cmd.Context(), args[0], false, func(e *web.UpstreamEdit) error {
				if bandwidth != "" {
					e.Bandwidth = int64(bytes)
				}
				if budget != "" {
					e.Budget = requests
				}
				return nil
			})
			if err == nil {
				p.say("changed the limits of %s", args[0])
			}
			return err
		},
	})
	cmd.Flags().StringVar(&bandwidth, "bandwidth", "", "bytes a second of all traffic with it: 500KB, 5MB, none")
	cmd.Flags().StringVar(&budget, "budget", "", "requests a second of scheduled checks: 0.5, 10, none")
	return cmd
}

// completeUpstreams offers hosts and, behind one, its endpoints.
func (p *program) completeUpstreams(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	c, err := p.client()
	if err != nil || len(given) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	if len(given) == 0 {
		all, _ := c.upstreams(ctx)
		for _, u := range all {
			names = append(names, u.Host)
		}
	} else if cmd.Name() != "add" {
		u, _ := c.upstream(ctx, given[0])
		for _, e := range u.Endpoints {
			names = append(names, e.Name)
		}
		if cmd.Name() == "use" {
			names = append(names, "auto")
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, typed) })
	return names, cobra.ShellCompDirectiveNoFileComp
}
