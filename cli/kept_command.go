package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

func (p *program) mirrorKept() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "kept PATH", Short: "List what upstream deleted or rewrote, newest first", Args: args(1, 1), ValidArgsFunction: p.completeMirrors,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			kept, err := c.kept(cmd.Context(), m.ID)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(kept)
			}
			rows := make([]row, len(kept))
			for i, k := range kept {
				rows[i] = row{k.KeptAt.Local().Format(time.DateTime), or(string(k.Why), "-"), k.Commit, k.Name, k.Ref}
			}
			p.table("upstream has taken nothing away", row{"KEPT", "WHY", "COMMIT", "WAS", "REF"}, rows)
			return nil
		},
	})
}

func (c *client) kept(ctx context.Context, id mirror.ID) ([]web.KeptRef, error) {
	return pagesOf[web.KeptRef](ctx, c, "/mirrors/"+segment(string(id))+"/kept", url.Values{}, everything)
}

func (p *program) mirrorRestore() *cobra.Command {
	as := ""
	cmd := p.withJSON(&cobra.Command{
		Use: "restore PATH REF", Short: "Serve a kept ref again, as a branch", Args: args(2, 2), ValidArgsFunction: p.completeKept,
		Example: "  gitmirror mirror restore github.com/acme/tool topic\n" +
			"  gitmirror mirror restore github.com/acme/tool topic --as topic",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var ref web.Ref
			in := web.RestoreRef{Ref: args[1], As: as}
			if err := c.call(cmd.Context(), http.MethodPost, api+"/mirrors/"+segment(string(m.ID))+"/kept/restore", in, &ref); err != nil {
				return err
			}
			if p.json {
				return p.emit(ref)
			}
			p.say("%s is served at %s", ref.Name, ref.Commit)
			return nil
		},
	})
	cmd.Flags().StringVar(&as, "as", "", "name of the branch; default: restored/NAME")
	return cmd
}

func (p *program) mirrorPurge() *cobra.Command {
	var older string
	var yes bool
	cmd := p.withJSON(&cobra.Command{
		Use: "purge PATH [REF]", Short: "Forget what was kept, or a restored branch", Args: args(1, 2), ValidArgsFunction: p.completeKept,
		Long: "Forget a kept ref, a restored branch, or all that was kept before some time. Only the\n" +
			"names go: the objects stay on disk until the repository is pruned, and until then\n" +
			"whoever may read the mirror and knows an object's id can fetch it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 2) == (older != "") {
				return wrongUsage("it is not clear what to forget", "give either REF or --older-than 90d")
			}
			q, what := url.Values{}, ""
			if older != "" {
				age, err := duration(older)
				if err != nil || age < 0 {
					return wrongUsage(fmt.Sprintf("--older-than: %q is not a length of time", older), "write 90d or 12h")
				}
				q.Set("before", time.Now().Add(-age).UTC().Format(time.RFC3339))
				what = "everything kept more than " + older + " ago"
			} else {
				q.Set("ref", args[1])
				what = args[1]
			}
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := p.confirm(yes, fmt.Sprintf("Forget %s of %s?", what, m.Path)); err != nil {
				return err
			}
			var gone web.PurgedRefs
			if err := c.call(cmd.Context(), http.MethodDelete, api+"/mirrors/"+segment(string(m.ID))+"/kept?"+q.Encode(), nil, &gone); err != nil {
				return err
			}
			if p.json {
				return p.emit(gone)
			}
			p.say("forgot %s; the objects go when the repository is pruned", count(gone.Purged, "ref", "refs"))
			return nil
		},
	})
	cmd.Flags().StringVar(&older, "older-than", "", "all that was kept longer ago than this: 90d, 12h")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// completeKept offers mirrors, then what is kept of the mirror that was typed.
func (p *program) completeKept(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(given) == 0 {
		return p.completeMirrors(cmd, given, typed)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	c, m, err := p.clientAndMirror(ctx, given[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	kept, err := c.kept(ctx, m.ID)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, k := range kept {
		names = append(names, k.Ref)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// showHeld tells of a mirror what waits for a decision.
func (p *program) showHeld(ctx context.Context, c *client, m web.Mirror) error {
	open, err := c.approvals(ctx, "open", string(m.Path))
	if err != nil {
		return err
	}
	for _, a := range open {
		fmt.Fprintf(p.stdout, "held   %s  %s%s; gitmirror approvals show %s\n",
			a.OpenedAt.Local().Format(time.DateTime), printable(a.Text), printable(about(a)), strconv.FormatInt(a.ID, 10))
	}
	return nil
}

// refFlags are the flags that say which refs are mirrored.
type refFlags struct {
	include, exclude []string
	pulls            bool
}

func (r *refFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&r.include, "include", nil, "mirror only refs that match, as 'refs/heads/release-*' (repeatable; \"\" = all branches and tags)")
	f.StringArrayVar(&r.exclude, "exclude", nil, "leave out refs that match, as 'refs/heads/bot/**' (repeatable; \"\" = none)")
	f.BoolVar(&r.pulls, "pulls", false, "mirror refs/pull/*/head too, without advertising them")
}

func (r *refFlags) given(f *pflag.FlagSet) bool {
	return f.Changed("include") || f.Changed("exclude") || f.Changed("pulls")
}

// policy is what the flags make of the present policy; nil when none is given.
func (r *refFlags) policy(f *pflag.FlagSet, now *mirror.RefPolicy) *mirror.RefPolicy {
	if !r.given(f) {
		return nil
	}
	var p mirror.RefPolicy
	if now != nil {
		p = *now
	}
	if f.Changed("include") {
		p.Include = r.include
	}
	if f.Changed("exclude") {
		p.Exclude = r.exclude
	}
	if f.Changed("pulls") {
		p.Pulls = r.pulls
	}
	return &p
}
