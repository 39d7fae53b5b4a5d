package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/web"
)

func (p *program) refCommand() *cobra.Command {
	return p.group("ref", "Branches, tags and other refs of mirrors", p.refList(), p.refDiff())
}

func (p *program) refList() *cobra.Command {
	kind, search, limit := "", "", 0
	cmd := p.withJSON(&cobra.Command{
		Use: "list PATH", Short: "List refs by name", Args: args(1, 1), ValidArgsFunction: p.completeMirrors,
		Example: "  gitmirror ref list github.com/acme/tool --kind tag --search v1.\n" +
			"  gitmirror ref list github.com/acme/tool --kind held",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			refs, err := c.refs(cmd.Context(), m, kind, search, limit)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(refs)
			}
			rows := make([]row, len(refs))
			for i, r := range refs {
				rows[i] = row{r.Kind, r.Commit, r.Name}
			}
			p.table("there are none", row{"KIND", "COMMIT", "REF"}, rows)
			return nil
		},
	})
	cmd.Flags().StringVar(&kind, "kind", "", "only these: branch, tag, pull, kept, held or other")
	cmd.Flags().StringVar(&search, "search", "", "only those whose name holds this text")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many; 0 = all")
	completeWords(cmd, "kind", "branch", "tag", "pull", "kept", "held", "other")
	p.withServer(cmd)
	return cmd
}

func (c *client) refs(ctx context.Context, m web.Mirror, kind, search string, limit int) ([]web.Ref, error) {
	q := url.Values{}
	for name, value := range map[string]string{"kind": kind, "search": search} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return pagesOf[web.Ref](ctx, c, "/mirrors/"+segment(string(m.ID))+"/refs", q, upTo(limit))
}

func (p *program) refDiff() *cobra.Command {
	cmd := p.withJSON(&cobra.Command{
		Use: "diff PATH OLD NEW", Short: "Tell how two refs or commits differ: commits and files", Args: args(3, 3), ValidArgsFunction: p.completeRefs,
		Example: "  gitmirror ref diff github.com/acme/tool v1.0.0 refs/gitmirror/held/tags/v1.0.0",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			q := url.Values{"old": {args[1]}, "new": {args[2]}}
			var d web.RefComparison
			if err := c.call(cmd.Context(), http.MethodGet, api+"/mirrors/"+segment(string(m.ID))+"/compare?"+q.Encode(), nil, &d); err != nil {
				return err
			}
			if p.json {
				return p.emit(d)
			}
			p.tellDiff(d)
			return nil
		},
	})
	p.withServer(cmd)
	return cmd
}

// tellDiff prints commits and files, each line with a sign that tells what it is.
func (p *program) tellDiff(d web.RefComparison) {
	p.say("%d commits added, %d dropped; %d files differ", d.Ahead, d.Behind, d.Total.Files)
	var rows []row
	for i, list := range [][]web.LoggedCommit{d.Added, d.Dropped} {
		for _, c := range list {
			rows = append(rows, row{[]string{"+", "-"}[i], c.Hash, c.At.Local().Format(time.DateTime), c.Author, c.Subject})
		}
	}
	if len(rows) > 0 {
		p.table("", row{"", "COMMIT", "WHEN", "AUTHOR", "SUBJECT"}, rows)
	}
	rows = nil
	for _, f := range d.Files {
		lines := fmt.Sprintf("+%d -%d", f.Added, f.Deleted)
		if f.Binary {
			lines = "binary"
		} else if !d.Total.Counted {
			lines = "?"
		}
		rows = append(rows, row{f.Status, lines, f.Name})
	}
	if len(rows) > 0 {
		p.table("", row{"FILE", "LINES", "NAME"}, rows)
	}
}

// completeRefs offers mirrors, then branches and tags of the one that was typed.
func (p *program) completeRefs(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(given) == 0 {
		return p.completeMirrors(cmd, given, typed)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	c, m, err := p.clientAndMirror(ctx, given[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	refs, err := c.refs(ctx, m, "", typed, 100)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, r := range refs {
		names = append(names, r.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
