package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

func (p *program) mirrorCommand() *cobra.Command {
	g := p.group("mirror", "Add, look at and sync mirrors",
		p.mirrorAdd(), p.mirrorList(), p.mirrorShow(), p.mirrorSync(), p.mirrorLog(), p.mirrorEdit(), p.mirrorRename(),
		p.mirrorPause("pause", "Stop syncing a mirror; it is still served", web.EditMirror{Paused: new(true)}),
		p.mirrorPause("archive", "Keep what is here of a mirror whose original is gone; it is still served", web.EditMirror{Archived: new(true)}),
		p.mirrorPause("resume", "Sync a mirror again that is paused or an archive", web.EditMirror{Paused: new(false)}),
		p.mirrorKept(), p.mirrorRestore(), p.mirrorPurge(),
		p.mirrorCheck(), p.mirrorRepair(), p.mirrorRemove())
	p.withServer(g)
	return g
}

// withServer adds --server to a command and those below it.
func (p *program) withServer(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&p.server, "server", "", "URL or host of the server (default: GITMIRROR_SERVER, else the one signed in to last)")
}

func (p *program) mirrorList() *cobra.Command {
	var state string
	cmd := p.withJSON(&cobra.Command{
		Use: "list [SEARCH]", Aliases: []string{"ls"}, Short: "List mirrors", Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			q := mirrorQuery{State: state}
			if len(args) == 1 {
				q.Search = args[0]
			}
			all, err := c.mirrors(cmd.Context(), q, everything)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, m := range all {
				rows[i] = row{string(m.Path), stateOf(m), ago(m.LastSuccessAt), next(m), size(m.Bytes)}
			}
			p.table("no mirrors; add one with: gitmirror mirror add URL", row{"PATH", "STATE", "IN STEP", "NEXT SYNC", "SIZE"}, rows)
			return nil
		},
	})
	cmd.Flags().StringVar(&state, "state", "", "only those in this state: queued, cloning, ready, syncing, retrying, failed, paused")
	return cmd
}

// stateOf is a mirror's state in a word.
func stateOf(m web.Mirror) string {
	if m.State == mirror.Paused && !m.Archived.IsZero() {
		return "archived"
	}
	return string(m.State)
}

// since is a day; empty = there is none.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateOnly)
}

func next(m web.Mirror) string {
	switch {
	case m.Paused, m.NextAttemptAt.IsZero():
		return "-"
	case time.Until(m.NextAttemptAt) <= 0:
		return "now"
	}
	return "in " + time.Until(m.NextAttemptAt).Round(time.Second).String()
}

func (p *program) mirrorShow() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "show PATH", Short: "Show a mirror", Args: args(1, 1), ValidArgsFunction: p.completeMirrors,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(m)
			}
			p.showMirror(m)
			p.showUpkeep(m.Upkeep)
			if err := p.showHeld(cmd.Context(), c, m); err != nil {
				return err
			}
			events, err := c.mirrorEvents(cmd.Context(), m.ID, 5)
			if err != nil {
				return err
			}
			for _, e := range events {
				fmt.Fprintf(p.stdout, "event  %s  %s\n", e.At.Local().Format(time.DateTime), printable(words(string(e.Code), string(e.Kind), e.Ref, e.Text)))
			}
			return nil
		},
	})
}

func (p *program) showMirror(m web.Mirror) {
	interval := "adapts to the upstream"
	if m.IntervalS > 0 {
		interval = (time.Duration(m.IntervalS) * time.Second).String()
	}
	access := "public"
	if m.Private {
		access = "private"
	}
	p.facts(
		[2]string{"path", string(m.Path)},
		[2]string{"state", stateOf(m)},
		[2]string{"gone since", since(m.Archived)},
		[2]string{"upstream", m.Upstream},
		[2]string{"credential", m.Credential},
		[2]string{"access", access},
		[2]string{"interval", interval},
		[2]string{"moved tags", string(m.Tags)},
		[2]string{"include", strings.Join(m.Refs.Include, " ")},
		[2]string{"exclude", strings.Join(m.Refs.Exclude, " ")},
		[2]string{"pulls", map[bool]string{true: "mirrored, not advertised"}[m.Refs.Pulls]},
		[2]string{"in step", ago(m.LastSuccessAt)},
		[2]string{"changed", ago(m.LastChangeAt)},
		[2]string{"next sync", next(m)},
		[2]string{"why next", m.NextWhy},
		[2]string{"default", m.DefaultBranch},
		[2]string{"refs", count(m.Branches, "branch", "branches") + ", " + count(m.TagCount, "tag", "tags")},
		[2]string{"size", size(m.Bytes)},
		[2]string{"clone", "git clone " + m.CloneHTTP},
		[2]string{"", or(m.CloneSSH, "")},
		[2]string{"id", string(m.ID)},
	)
	if m.Error != nil {
		p.facts([2]string{"problem", m.Error.Error()}, [2]string{"  do", m.Error.Do},
			[2]string{"  failures", strconv.Itoa(m.Failures) + " in a row"})
	}
}

// clientAndMirror is how commands about one mirror begin.
func (p *program) clientAndMirror(ctx context.Context, text string) (*client, web.Mirror, error) {
	c, err := p.client()
	if err != nil {
		return nil, web.Mirror{}, err
	}
	m, err := c.mirror(ctx, text)
	if errors.Is(err, mirror.ErrNotFound) {
		if problem := explain(err); problem.Do == "" {
			problem.Do = "\"gitmirror mirror list\" lists the mirrors; add it with: gitmirror mirror add " + text
		}
	}
	return c, m, err
}

func (p *program) mirrorLog() *cobra.Command {
	limit := 20
	cmd := p.withJSON(&cobra.Command{
		Use: "log PATH", Short: "List the syncs of a mirror, newest first", Args: args(1, 1), ValidArgsFunction: p.completeMirrors,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 1000 {
				return wrongUsage("--limit is not from 1 to 1000", "")
			}
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			runs, err := c.runs(cmd.Context(), m.ID, limit)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(runs)
			}
			happened, err := c.byRun(cmd.Context(), m.ID)
			if err != nil {
				return err
			}
			rows := make([]row, len(runs))
			for i, r := range runs {
				text := fmt.Sprintf("+%d ~%d -%d refs", r.Created, r.Updated, r.Deleted)
				if r.Error != nil {
					text = r.Error.Error()
				}
				for _, e := range happened[r.ID] {
					text += "; " + words(string(e.Code), string(e.Kind), e.Ref)
				}
				rows[i] = row{r.StartedAt.Local().Format(time.DateTime), string(r.Trigger), or(string(r.Outcome), "running"),
					took(r), size(r.Bytes), text}
			}
			p.table("it was never synced", row{"STARTED", "WHY", "OUTCOME", "TOOK", "RECEIVED", "RESULT"}, rows)
			return nil
		},
	})
	cmd.Flags().IntVar(&limit, "limit", limit, "how many")
	return cmd
}

func took(r web.Run) string {
	return time.Duration(r.DurationS * float64(time.Second)).Round(10 * time.Millisecond).String()
}

func (p *program) mirrorEdit() *cobra.Command {
	var upstream, credential, tags, interval string
	var private bool
	var refs refFlags
	cmd := p.withJSON(&cobra.Command{
		Use: "edit PATH", Short: "Change a mirror", Args: args(1, 1), ValidArgsFunction: p.completeMirrors,
		RunE: func(cmd *cobra.Command, args []string) error {
			var edit web.EditMirror
			changed := cmd.Flags().Changed
			if changed("upstream") {
				edit.Upstream = &upstream
			}
			if changed("credential") {
				edit.Credential = &credential
			}
			if changed("private") {
				edit.Private = &private
			}
			if changed("tags") {
				edit.Tags = &tags
			}
			if changed("interval") {
				seconds, err := intervalOf(interval)
				if err != nil {
					return err
				}
				edit.IntervalS = &seconds
			}
			if edit == (web.EditMirror{}) && !refs.given(cmd.Flags()) {
				return wrongUsage("nothing is to be changed", "give --upstream, --interval, --credential, --private, --tags, --include, --exclude or --pulls")
			}
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			edit.Refs = refs.policy(cmd.Flags(), &m.Refs)
			if m, err = c.editMirror(cmd.Context(), m.ID, edit); err != nil {
				return err
			}
			if p.json {
				return p.emit(m)
			}
			p.say("changed %s", m.Path)
			return nil
		},
	})
	cmd.Flags().StringVar(&upstream, "upstream", "", "where it comes from")
	cmd.Flags().StringVar(&interval, "interval", "", "time between syncs, or \"auto\"")
	cmd.Flags().StringVar(&credential, "credential", "", "name of a stored credential; empty = none")
	cmd.Flags().BoolVar(&private, "private", false, "never read without signing in")
	cmd.Flags().StringVar(&tags, "tags", "", "what happens to a tag that upstream moves: freeze or follow")
	refs.add(cmd.Flags())
	return cmd
}

// intervalOf reads --interval as seconds; 0 = adaptive.
func intervalOf(text string) (int64, error) {
	if text == "" || text == "auto" || text == "0" {
		return 0, nil
	}
	d, err := duration(text)
	if err != nil || d < time.Second {
		return 0, wrongUsage(fmt.Sprintf("--interval: %q is not a length of time", text), "write 10m, 2h, 1d or auto")
	}
	return int64(d / time.Second), nil
}

func (p *program) mirrorPause(verb, short string, edit web.EditMirror) *cobra.Command {
	var now bool
	cmd := p.withJSON(&cobra.Command{
		Use: verb + " PATH", Short: short, Args: args(1, 1), ValidArgsFunction: p.completeMirrors,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if now {
				m, err = c.cancelSync(cmd.Context(), m.ID)
			} else {
				m, err = c.editMirror(cmd.Context(), m.ID, edit)
			}
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(m)
			}
			state := stateOf(m)
			if m.Paused && m.State != mirror.Paused && !now {
				state = string(mirror.Paused) + "; the sync that goes on is its last"
			}
			p.say("%s is %s", m.Path, state)
			return nil
		},
	})
	if verb == "pause" {
		cmd.Flags().BoolVar(&now, "now", false, "stop the sync that goes on, too")
	}
	return cmd
}

func (p *program) mirrorRemove() *cobra.Command {
	var yes bool
	cmd := p.withJSON(&cobra.Command{
		Use: "remove PATH", Aliases: []string{"rm"}, Short: "Remove a mirror and what it has on disk", Args: args(1, 1), ValidArgsFunction: p.completeMirrors,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := p.clientAndMirror(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			question := fmt.Sprintf("Remove %s (%s)? Builds that need it will fail.", m.Path, size(m.Bytes))
			if err := p.confirm(yes, question); err != nil {
				return err
			}
			if err := c.removeMirror(cmd.Context(), m.ID); err != nil {
				return err
			}
			if p.json {
				return p.emit(m)
			}
			p.say("removed %s", m.Path)
			return nil
		},
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
