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

// alertCommand is about who is told when something is wrong. Alone it lists what
// is wrong.
func (p *program) alertCommand() *cobra.Command {
	list := p.alertList()
	rule := p.group("rule", "Say what is told to whom", p.alertRules(), p.alertRuleSet(), p.alertRemove("rule", p.completeAlerts("rules")))
	channel := p.group("channel", "Say where messages can go", p.alertChannels(), p.alertChannelSet(), p.alertTest(), p.alertRemove("channel", p.completeAlerts("channels")))
	g := p.group("alert", "Be told when something is wrong", list, rule, channel, p.alertLog())
	g.Aliases = []string{"alerts"}
	p.withServer(g)
	return g
}

func (p *program) alertList() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List what is wrong now, by the rules", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := listOf[web.Alert](cmd.Context(), c, "/alerts")
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, a := range all {
				rows[i] = row{a.Rule, ago(a.Since), a.Subject, a.Text}
			}
			p.table("nothing that a rule is about", row{"RULE", "SINCE", "WHAT", "WHY"}, rows)
			return nil
		},
	})
}

func (p *program) alertRules() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List alert rules", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := listOf[web.AlertRule](cmd.Context(), c, "/alerts/rules")
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, r := range all {
				terms := r.Pattern
				if r.AfterS > 0 {
					terms = words(terms, (time.Duration(r.AfterS) * time.Second).String())
				}
				if r.Times > 0 {
					terms = words(terms, fmt.Sprintf("%d times", r.Times))
				}
				state := "on"
				if r.Disabled {
					state = "off"
				}
				rows[i] = row{r.Name, string(r.Kind), terms, strings.Join(r.Channels, ","), state, ago(r.ToldAt)}
			}
			p.table("there are no alert rules: gitmirror alert rule set NAME --kind late --channel CHANNEL", row{"NAME", "KIND", "TERMS", "CHANNELS", "STATE", "LAST MESSAGE"}, rows)
			return nil
		},
	})
}

func (p *program) alertRuleSet() *cobra.Command {
	var in web.PutAlertRule
	var after time.Duration
	cmd := p.withJSON(&cobra.Command{
		Use: "set NAME", Short: "Add an alert rule, or replace it", Args: args(1, 1), ValidArgsFunction: p.completeAlerts("rules"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.AfterS = int64(after / time.Second)
			c, err := p.client()
			if err != nil {
				return err
			}
			var out web.AlertRule
			if err := c.call(cmd.Context(), http.MethodPut, api+"/alerts/rules/"+segment(args[0]), in, &out); err != nil {
				return err
			}
			if p.json {
				return p.emit(out)
			}
			p.say("the alert rule %s is set", out.Name)
			return nil
		},
	})
	f := cmd.Flags()
	f.StringVar(&in.Kind, "kind", "", "late, failing, tag-moved, change-held, token-expiring, credential-refused, disk, failover or checksum-refused")
	f.DurationVar(&after, "after", 0, "late: how long; token-expiring: how soon (default 24h, 336h)")
	f.IntVar(&in.Times, "times", 0, "failing: attempts in a row (default 3)")
	f.StringVar(&in.Pattern, "pattern", "", "only mirrors with this path, or with this beginning and * (default: all)")
	f.StringSliceVar(&in.Channels, "channel", nil, "where messages go; may be given several times")
	f.BoolVar(&in.Disabled, "disabled", false, "keep the rule and tell nobody")
	_ = cmd.MarkFlagRequired("kind") // it is there
	return cmd
}

func (p *program) alertChannels() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List channels", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := listOf[web.AlertChannel](cmd.Context(), c, "/alerts/channels")
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, ch := range all {
				rows[i] = row{ch.Name, string(ch.Kind), ch.Address, strings.Join(ch.To, ",")}
			}
			p.table("there are no channels: gitmirror alert channel set NAME --kind slack --url-stdin", row{"NAME", "KIND", "ADDRESS", "TO"}, rows)
			return nil
		},
	})
}

func (p *program) alertChannelSet() *cobra.Command {
	var in web.PutAlertChannel
	urlStdin, secretStdin := false, false
	cmd := p.withJSON(&cobra.Command{
		Use: "set NAME", Short: "Add a channel, or replace it", Args: args(1, 1), ValidArgsFunction: p.completeAlerts("channels"),
		Long: "Add a channel, or replace it. The URL of a webhook and secrets are read from stdin, a line\n" +
			"each and the URL first, so that they are in no history of a shell.",
		RunE: func(cmd *cobra.Command, args []string) error {
			read := func(on bool, to *string) (err error) {
				if on {
					*to, err = line(p.stdin)
				}
				return err
			}
			if err := read(urlStdin, &in.URL); err != nil {
				return err
			}
			if err := read(secretStdin, &in.Secret); err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			var out web.AlertChannel
			if err := c.call(cmd.Context(), http.MethodPut, api+"/alerts/channels/"+segment(args[0]), in, &out); err != nil {
				return err
			}
			if p.json {
				return p.emit(out)
			}
			p.say("the channel %s is set; try it: gitmirror alert channel test %s", out.Name, out.Name)
			return nil
		},
	})
	f := cmd.Flags()
	f.StringVar(&in.Kind, "kind", "", "webhook, email, slack, feishu or dingtalk")
	f.BoolVar(&urlStdin, "url-stdin", false, "read the URL of the webhook from stdin")
	f.BoolVar(&secretStdin, "secret-stdin", false, "read the secret of the webhook, or the password of the mail server, from stdin")
	f.StringVar(&in.Server, "server", "", "email: mail server, HOST:PORT")
	f.StringVar(&in.TLS, "tls", "", "email: starttls, tls or none (default starttls)")
	f.StringVar(&in.User, "user", "", "email: user at the mail server")
	f.StringVar(&in.From, "from", "", "email: sender")
	f.StringSliceVar(&in.To, "to", nil, "email: receivers; may be given several times")
	_ = cmd.MarkFlagRequired("kind") // it is there
	return cmd
}

func (p *program) alertTest() *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Send a trial message", Args: args(1, 1), ValidArgsFunction: p.completeAlerts("channels"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			if err := c.call(cmd.Context(), http.MethodPost, api+"/alerts/channels/"+segment(args[0])+"/test", nil, nil); err != nil {
				return err
			}
			p.say("%s took the message", args[0])
			return nil
		},
	}
}

func (p *program) alertRemove(what string, names func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Remove a " + what, Args: args(1, 1), ValidArgsFunction: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			if err := c.call(cmd.Context(), http.MethodDelete, api+"/alerts/"+what+"s/"+segment(args[0]), nil, nil); err != nil {
				return err
			}
			p.say("%s was removed", args[0])
			return nil
		},
	}
}

func (p *program) alertLog() *cobra.Command {
	limit := 50
	cmd := p.withJSON(&cobra.Command{
		Use: "log", Short: "List messages, newest first, and whether they arrived", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := pagesOf[web.AlertMessage](cmd.Context(), c, "/alerts/messages", url.Values{}, limit)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, m := range all {
				rows[i] = row{strconv.FormatInt(m.ID, 10), ago(m.At), m.Channel, m.State, m.Title, m.Problem}
			}
			p.table("nothing was sent", row{"ID", "WHEN", "CHANNEL", "STATE", "TITLE", "PROBLEM"}, rows)
			return nil
		},
	})
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many")
	return cmd
}

// completeAlerts offers the names of rules or channels.
func (p *program) completeAlerts(what string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
		defer cancel()
		c, err := p.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, err := listOf[struct {
			Name string `json:"name"`
		}](ctx, c, "/alerts/"+what)
		var names []string
		for _, one := range all {
			names = append(names, one.Name)
		}
		_ = err // nothing to offer
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
