package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// approvalsCommand is about changes of upstream that wait for a person. Alone
// it lists them.
func (p *program) approvalsCommand() *cobra.Command {
	list := p.approvalsList()
	g := p.group("approvals", "Decide about changes of upstream that are held", list, p.approvalsShow(),
		p.approvalsDecide("accept", "Do as upstream did", mirror.Accept),
		p.approvalsDecide("keep", "Go on serving what is here", mirror.Keep))
	g.Aliases = []string{"approval"}
	unknown := g.RunE
	g.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return list.RunE(cmd, nil)
		}
		return unknown(cmd, args)
	}
	g.Use = "approvals [COMMAND]"
	p.withJSON(g)
	p.withServer(g)
	return g
}

func (p *program) approvalsList() *cobra.Command {
	state, path := "open", ""
	cmd := p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List what is held", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := c.approvals(cmd.Context(), state, path)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, a := range all {
				rows[i] = row{strconv.FormatInt(a.ID, 10), string(a.Path), a.State, ago(a.OpenedAt), a.Text + about(a)}
			}
			p.table("nothing waits for a decision", row{"ID", "MIRROR", "STATE", "SINCE", "WHAT HAPPENED"}, rows)
			return nil
		},
	})
	cmd.Flags().StringVar(&state, "state", state, "open, decided or all")
	cmd.Flags().StringVar(&path, "mirror", "", "only those of this mirror")
	return cmd
}

// about is the ref of an approval in brackets.
func about(a web.Approval) string {
	if a.Ref == "" {
		return ""
	}
	return " (" + mirror.Ref{Name: a.Ref}.Short() + ")"
}

func (p *program) approvalsShow() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "show ID", Short: "Show what is held, and what follows from each decision", Args: args(1, 1), ValidArgsFunction: p.completeApprovals,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := approvalID(args[0])
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			var a web.Approval
			if err := c.call(cmd.Context(), http.MethodGet, approvalPath(id), nil, &a); err != nil {
				return err
			}
			if p.json {
				return p.emit(a)
			}
			p.showApproval(a)
			return nil
		},
	})
}

func (p *program) showApproval(a web.Approval) {
	commit := func(c *web.ApprovalCommit, value string) string {
		if c == nil {
			return value
		}
		return fmt.Sprintf("%s  %s  %s", c.Hash, c.At.Format(time.DateOnly), c.Subject)
	}
	p.facts(
		[2]string{"id", strconv.FormatInt(a.ID, 10)},
		[2]string{"mirror", string(a.Path)},
		[2]string{"code", string(a.Code)},
		[2]string{"what", a.Text},
		[2]string{"ref", a.Ref},
		[2]string{"ours", commit(a.OldCommit, a.Old)},
		[2]string{"upstream's", commit(a.NewCommit, a.New)},
		[2]string{"since", ago(a.OpenedAt)},
		[2]string{"state", a.State},
		[2]string{"by", a.DecidedBy},
		[2]string{"reason", a.Reason},
	)
	const shown = 20
	for i, name := range a.Refs {
		if i == shown {
			fmt.Fprintf(p.stdout, "  … and %d more\n", a.Count-shown)
			break
		}
		fmt.Fprintf(p.stdout, "  %s\n", printable(name))
	}
	if a.State == "open" {
		p.facts([2]string{"keep", a.IfKept}, [2]string{"accept", a.IfAccepted})
		p.say("decide with: gitmirror approvals keep %d, or: gitmirror approvals accept %d", a.ID, a.ID)
	}
}

func (p *program) approvalsDecide(verb, short string, d mirror.Decision) *cobra.Command {
	reason := ""
	cmd := p.withJSON(&cobra.Command{
		Use: verb + " ID…", Short: short, Args: args(1, -1), ValidArgsFunction: p.completeApprovals,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids := make([]int64, len(args))
			var err error
			for i, text := range args {
				if ids[i], err = approvalID(text); err != nil {
					return err
				}
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			decided := make([]web.Approval, len(ids))
			for i, id := range ids {
				in := web.Decide{Decision: string(d), Reason: reason}
				if err := c.call(cmd.Context(), http.MethodPost, approvalPath(id), in, &decided[i]); err != nil {
					return err
				}
				p.say("%d is %s: %s%s", id, decided[i].State, decided[i].Path, about(decided[i]))
			}
			if p.json {
				return p.emit(decided)
			}
			return nil
		},
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who ask later")
	return cmd
}

func approvalPath(id int64) string { return api + "/approvals/" + strconv.FormatInt(id, 10) }

func approvalID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, wrongUsage(fmt.Sprintf("%q is not the id of an approval", text), "\"gitmirror approvals\" lists them")
	}
	return id, nil
}

// approvals returns all of a state, of one mirror when path names it.
func (c *client) approvals(ctx context.Context, state, path string) ([]web.Approval, error) {
	q := url.Values{"state": {state}}
	if path != "" {
		p, err := pathOf(path)
		if err != nil {
			return nil, err
		}
		q.Set("mirror", string(p))
	}
	return pagesOf[web.Approval](ctx, c, "/approvals", q, everything)
}

// completeApprovals offers what is open.
func (p *program) completeApprovals(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	client, err := p.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := client.approvals(ctx, "open", "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, a := range all {
		ids = append(ids, fmt.Sprintf("%d\t%s%s", a.ID, a.Path, about(a)))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// noteHeld looks what the syncs of the items left for a person to decide.
func (c *client) noteHeld(ctx context.Context, items []*asked) error {
	only := ""
	synced := map[mirror.ID]*asked{}
	for _, item := range items {
		if item.Run != nil && item.err == nil || item.Error != nil && item.Error.Class() == mirror.Moved {
			synced[item.Mirror.ID] = item
			only = string(item.Mirror.Path)
		}
	}
	if len(synced) == 0 {
		return nil
	}
	if len(synced) > 1 {
		only = ""
	}
	open, err := c.approvals(ctx, "open", only)
	if err != nil {
		return err
	}
	for _, a := range open {
		if item := synced[a.Mirror]; item != nil {
			item.Held = append(item.Held, a)
		}
	}
	return nil
}

// heldOf is the problem of syncs that left something held; nil when none did.
func heldOf(items []*asked) error {
	var held []web.Approval
	for _, item := range items {
		held = append(held, item.Held...)
	}
	if len(held) == 0 {
		return nil
	}
	do := "look at them: gitmirror approvals"
	if len(held) == 1 {
		do = "look at it: gitmirror approvals show " + strconv.FormatInt(held[0].ID, 10)
	}
	return &mirror.Problem{
		Code: held[0].Code, Kind: mirror.ErrHeld, Do: do,
		What: count(len(held), "change of upstream waits", "changes of upstream wait") + " for a decision",
	}
}
