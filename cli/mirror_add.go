package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// asked is one line of what "mirror add" or "mirror sync" was asked for, and
// what became of it.
type asked struct {
	What    string          `json:"asked"`
	Also    []string        `json:"also_asked,omitempty"` // more that leads to the same mirror
	Mirror  *web.Mirror     `json:"mirror,omitempty"`
	Rule    *web.Rule       `json:"rule,omitempty"`
	Existed bool            `json:"existed"`
	Result  string          `json:"result"`        // in words
	Run     *web.Run        `json:"run,omitempty"` // with --wait
	Events  []web.Event     `json:"events,omitempty"`
	Held    []web.Approval  `json:"held,omitempty"` // what its sync left for a person to decide
	Error   *mirror.Problem `json:"error,omitempty"`

	after   int64 // runs with a higher id answer the request
	settled bool  // there is nothing to wait for
	err     error // Error with its kind
}

// askedDoc is the JSON of "mirror add" and "mirror sync".
type askedDoc struct {
	Items  []*asked `json:"items"`
	Exit   int      `json:"exit_code"`
	Reason string   `json:"exit_reason"`
}

func (p *program) mirrorAdd() *cobra.Command {
	var options web.NewMirror
	var from, interval string
	var wait, dry bool
	var discover discoverFlags
	var refs refFlags
	cmd := p.withJSON(&cobra.Command{
		Use: "add PATH|URL|PATTERN…", Short: "Mirror repositories",
		Long: "Mirror repositories. Each is a path (github.com/spf13/cobra), an import path\n" +
			"(golang.org/x/mod), a URL, user@host:path, or a pattern (github.com/acme/*) whose\n" +
			"repositories are mirrored when somebody first asks for them, or with --discover at\n" +
			"once.",
		Example: "  gitmirror mirror add https://github.com/spf13/cobra --wait\n" +
			"  gitmirror mirror add --from go.mod --dry-run\n" +
			"  gitmirror mirror add --from go.mod\n" +
			"  gitmirror mirror add 'github.com/acme/*' --credential ci-read --private\n" +
			"  gitmirror mirror add 'github.com/acme/*' --discover --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if options.IntervalS, err = intervalOf(interval); err != nil {
				return err
			}
			options.Refs = refs.policy(cmd.Flags(), nil)
			wanted, err := discover.wanted()
			if err != nil {
				return err
			}
			list := make([]named, len(args))
			for i, text := range args {
				list[i].text = text
			}
			if from != "" {
				more, err := p.readFrom(from)
				if err != nil {
					return err
				}
				list = append(list, more...)
			}
			switch {
			case len(list) == 0 && from != "":
				p.say("%s names no repository", from)
			case len(list) == 0:
				return wrongUsage("\"gitmirror mirror add\" needs PATH|URL|PATTERN", "name a repository, or read a list with --from")
			case options.Upstream != "" && (len(list) > 1 || strings.Contains(list[0].text, "*")):
				return wrongUsage("--upstream says where one repository comes from, and several were named", "add them one by one")
			case wanted != nil && !slices.ContainsFunc(list, named.pattern):
				return wrongUsage("--discover is for patterns, and none was named", "name an owner's repositories: 'github.com/acme/*'")
			case dry && wait:
				return wrongUsage("--dry-run adds nothing to wait for", "leave out --wait")
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			if dry {
				return p.previewAdd(cmd.Context(), c, list, options, wanted)
			}
			items, err := p.add(cmd.Context(), c, list, options, wanted)
			if err != nil {
				return err
			}
			if wait {
				if err := c.askAgain(cmd.Context(), items); err != nil {
					return err
				}
				if err := p.follow(cmd.Context(), c, items); err != nil {
					return err
				}
			}
			return p.report(items)
		},
	})
	f := cmd.Flags()
	f.StringVar(&options.Upstream, "upstream", "", "where it comes from, when that does not follow from the path")
	f.StringVar(&from, "from", "", "read more from a go.mod, go.sum, go.work, a list (one a line), or - for standard input")
	f.BoolVar(&dry, "dry-run", false, "tell what would be added, what is there and what cannot be; add nothing")
	discover.add(f)
	f.StringVar(&interval, "interval", "", "time between syncs (10m, 2h, 1d); default: adapts to the upstream")
	f.StringVar(&options.Credential, "credential", "", "name of the stored credential the upstream wants")
	f.BoolVar(&options.Private, "private", false, "never read without signing in")
	f.StringVar(&options.Tags, "tags", "", "what happens to a tag that upstream moves: freeze (default) or follow")
	refs.add(f)
	f.BoolVar(&wait, "wait", false, "return when the first clone has ended; fail if it failed")
	return cmd
}

// addAtOnce is how many mirrors one request asks for: each may need a look at
// a vanity host, and the answer comes when all are done.
const addAtOnce = 20

// add asks for everything in list. A failure of one is kept with it; the error
// is trouble with the server or, when only one was asked for, that one's.
func (p *program) add(ctx context.Context, c *client, list []named, options web.NewMirror, discover *web.RuleDiscovery) ([]*asked, error) {
	items := make([]*asked, len(list))
	var mirrors []*asked
	var wanted []web.NewMirror
	for i, n := range list {
		items[i] = &asked{What: hidden(n.text)}
		if !n.pattern() {
			one := options
			one.PathOrURL, one.Module = n.text, n.module
			mirrors, wanted = append(mirrors, items[i]), append(wanted, one)
			continue
		}
		rule := web.Rule{Pattern: n.text, Credential: options.Credential, Private: options.Private, Discover: discover}
		if err := c.call(ctx, http.MethodPost, api+"/rules", rule, &rule); err != nil {
			if err := items[i].fail(err, len(list)); err != nil {
				return nil, err
			}
			continue
		}
		items[i].Rule, items[i].Result = &rule, ruleWords(rule)
	}
	bar := p.counting("adding", len(mirrors))
	defer bar.close()
	for start := 0; start < len(mirrors); start += addAtOnce {
		end := min(start+addAtOnce, len(mirrors))
		in := web.AddMirrors{Mirrors: wanted[start:end]}
		if len(items) == 1 && !wanted[start].Module {
			one := wanted[start]
			in = web.AddMirrors{PathOrURL: one.PathOrURL, Upstream: one.Upstream, IntervalS: one.IntervalS,
				Credential: one.Credential, Private: one.Private, Tags: one.Tags, Refs: one.Refs}
		}
		added, err := c.addMirrors(ctx, in)
		if err != nil {
			return nil, err
		}
		for i := range min(len(added), end-start) {
			item := mirrors[start+i]
			item.Mirror, item.Existed, item.Error = added[i].Mirror, added[i].Existed, added[i].Error
			item.err, item.Result = problemOf(added[i].Error), "queued"
			if item.Existed {
				item.Result = "already mirrored"
			}
		}
		bar.set(end)
	}
	return merged(items), nil
}

// merged makes one of the items that lead to the same mirror.
func merged(items []*asked) []*asked {
	first := map[mirror.ID]*asked{}
	var out []*asked
	for _, item := range items {
		if item.Mirror != nil && item.Mirror.ID != "" {
			if one := first[item.Mirror.ID]; one != nil {
				one.Also = append(one.Also, item.What)
				continue
			}
			first[item.Mirror.ID] = item
		}
		out = append(out, item)
	}
	return out
}

// askAgain asks for a sync of those that were mapped before and never cloned
// with success; the others of them need no waiting.
func (c *client) askAgain(ctx context.Context, items []*asked) error {
	for _, item := range items {
		switch {
		case item.Mirror == nil || !item.Existed:
			continue
		case !item.Mirror.LastSuccessAt.IsZero():
			item.settled = true
			continue
		}
		s, err := c.syncMirror(ctx, item.Mirror.ID)
		if err != nil {
			if err := item.fail(err, len(items)); err != nil {
				return err
			}
			continue
		}
		item.after = s.LastRun
	}
	return nil
}

// fail keeps err with the item, unless it was the only one.
func (a *asked) fail(err error, of int) error {
	if of == 1 {
		return err
	}
	a.err, a.Error = err, explain(err)
	return nil
}

// hidden is a URL as it may be shown: without user information.
func hidden(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text
	}
	authority, path, slash := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 && scheme != "ssh" {
		authority = authority[i+1:]
	}
	if slash {
		path = "/" + path
	}
	return scheme + "://" + authority + path
}

// report prints what became of the items; the error is the first of theirs.
func (p *program) report(items []*asked) error {
	var first error
	rows := make([]row, len(items))
	for i, item := range items {
		if item.err != nil && first == nil {
			first = item.err
		}
		item.Result = item.outcome()
		rows[i] = row{item.name(), item.Result}
	}
	held := heldOf(items)
	if first == nil || held != nil && mirror.AsProblem(first).Class() == mirror.Moved {
		first = held
	}
	code, reason := exitCode(first)
	if p.json {
		if err := p.emit(askedDoc{Items: items, Exit: code, Reason: reason}); err != nil {
			return err
		}
	} else {
		p.table("nothing to do", row{"MIRROR", "RESULT"}, rows)
		for _, item := range items {
			for _, e := range item.Events {
				about := words(string(e.Code), e.Ref)
				if about != "" {
					about += ": "
				}
				p.say("%s: %s%s", item.name(), printable(about), printable(e.Text))
			}
			if item.err != nil {
				p.tell(explain(item.err))
			}
		}
		if held != nil {
			p.tell(explain(held))
		}
	}
	if first != nil {
		return silent{first}
	}
	return nil
}

func (a *asked) name() string {
	switch {
	case a.Mirror != nil:
		return string(a.Mirror.Path)
	case a.Rule != nil:
		return a.Rule.Pattern
	}
	return a.What
}

// outcome is Result, once it is known how the sync went.
func (a *asked) outcome() string {
	switch {
	case a.err != nil:
		return "failed"
	case a.Run != nil:
		text := fmt.Sprintf("%s, %s received in %s", a.Run.Outcome, size(a.Run.Bytes), took(*a.Run))
		if len(a.Held) > 0 {
			text += fmt.Sprintf(", %d held for a decision", len(a.Held))
		}
		return text
	}
	return a.Result
}
