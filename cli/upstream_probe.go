package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// probed is what a probe of a host found.
type probed struct {
	Host    string               `json:"host"`
	Samples []web.UpstreamSample `json:"samples"`
	Error   *mirror.Problem      `json:"error,omitempty"` // why it was not measured
}

func (p *program) upstreamProbe() *cobra.Command {
	var watch bool
	var every string
	cmd := p.withJSON(&cobra.Command{
		Use: "probe [HOST]", Short: "Measure the roads to a host, or to all", Args: args(0, 1), ValidArgsFunction: p.completeUpstreams,
		Long: "Measure the roads to a host, or to all, by asking for a repository that is mirrored\n" +
			"from it, on new connections. Exit code 6 says that a host is reached by no endpoint.",
		RunE: func(cmd *cobra.Command, args []string) error {
			wait, err := duration(every)
			if err != nil || wait < time.Second {
				return wrongUsage(fmt.Sprintf("--every: %q is not a length of time of a second or more", every), "write 5s or 1m")
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			hosts := args
			if len(hosts) == 0 {
				all, err := c.upstreams(cmd.Context())
				if err != nil {
					return err
				}
				for _, u := range all {
					if u.Mirrors > 0 { // the others have nothing to ask for
						hosts = append(hosts, u.Host)
					}
				}
			}
			if watch {
				return p.watchUpstreams(cmd.Context(), c, hosts, wait)
			}
			return p.probeUpstreams(cmd.Context(), c, hosts)
		},
	})
	cmd.Flags().BoolVar(&watch, "watch", false, "measure again and again, until interrupted")
	cmd.Flags().StringVar(&every, "every", "5s", "time between measurements, with --watch")
	return cmd
}

func probeHead() row {
	return row{"HOST", "ENDPOINT", "DNS", "TCP", "TLS", "FIRST BYTE", "TOTAL", "ADDRESS", "PROBLEM"}
}

func probeRow(host string, s web.UpstreamSample) row {
	return row{host, s.Endpoint, ms(s.DNSMs), ms(s.ConnectMs), ms(s.TLSMs), ms(s.FirstByteMs), ms(s.TotalMs), or(s.Address, "-"), string(s.Problem)}
}

// probeUpstreams measures each host once.
func (p *program) probeUpstreams(ctx context.Context, c *client, hosts []string) error {
	found := []probed{}
	var rows []row
	var failed error
	for _, host := range hosts {
		samples, err := c.probeUpstream(ctx, host)
		if err != nil && len(hosts) == 1 {
			return err
		}
		one := probed{Host: host, Samples: samples}
		if err != nil {
			one.Error, failed = explain(err), err
			rows = append(rows, row{host, "-", "-", "-", "-", "-", "-", "-", one.Error.What})
		}
		for _, s := range samples {
			rows = append(rows, probeRow(host, s))
		}
		answered := slices.ContainsFunc(samples, func(s web.UpstreamSample) bool { return s.Problem == "" })
		if err == nil && !answered {
			failed = &mirror.Problem{Kind: mirror.ErrUpstream, What: host + " is reached by no endpoint"}
		}
		found = append(found, one)
	}
	if p.json {
		if err := p.emit(found); err != nil || failed == nil {
			return err
		}
		return silent{failed}
	}
	p.table("no upstream hosts yet; they come with their first mirror", probeHead(), rows)
	return failed
}

// watchUpstreams prints a line for each measurement until ctx ends. With --json
// each line is a document.
func (p *program) watchUpstreams(ctx context.Context, c *client, hosts []string, wait time.Duration) error {
	out := json.NewEncoder(p.stdout)
	tick := time.NewTicker(wait)
	defer tick.Stop()
	for {
		for _, host := range hosts {
			samples, err := c.probeUpstream(ctx, host)
			if ctx.Err() != nil {
				return errInterrupted
			}
			if err != nil {
				return err
			}
			for _, s := range samples {
				if p.json {
					if err := out.Encode(probed{Host: host, Samples: []web.UpstreamSample{s}}); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(p.stdout, "%s  %s  %-12s dns %5s  tcp %5s  tls %5s  first byte %5s  total %5s ms  %s\n",
					s.At.Local().Format(time.TimeOnly), printable(host), printable(s.Endpoint), ms(s.DNSMs), ms(s.ConnectMs), ms(s.TLSMs),
					ms(s.FirstByteMs), ms(s.TotalMs), printable(string(s.Problem)))
			}
		}
		select {
		case <-ctx.Done():
			return errInterrupted
		case <-tick.C:
		}
	}
}
