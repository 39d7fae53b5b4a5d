package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// rewriteDoc is the JSON of "rewrite".
type rewriteDoc struct {
	*rewrite.Plan
	Diff     string            `json:"diff,omitempty"` // with --check and --diff
	Applied  bool              `json:"applied"`
	Settings []rewrite.Setting `json:"settings"` // what must be set where the go command runs
	Advice   []*mirror.Problem `json:"advice,omitempty"`
	Exit     int               `json:"exit_code"`
	Reason   string            `json:"exit_reason"`
}

// planFlags say how a project is to use the mirror.
type planFlags struct {
	mode, form, scope string
	trust, sealed     bool
	ssh               bool
}

func (f *planFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.mode, "mode", "replace", "replace (go.mod names the mirror), insteadof (git is redirected) or goproxy (the mirror's module proxy)")
	flags.StringVar(&f.form, "form", "auto", "of replacement paths: auto, discovery or dotgit")
	flags.BoolVar(&f.sealed, "sealed", false, "settings that let the go command ask nothing but the mirror")
	flags.BoolVar(&f.ssh, "ssh", false, "fetch over SSH instead of HTTP")
}

// check refuses words that mean nothing.
func (f *planFlags) check() error {
	for _, flag := range []struct{ name, value, allowed string }{
		{"--mode", f.mode, "replace, insteadof, goproxy"}, {"--form", f.form, "auto, discovery, dotgit"}, {"--scope", f.scope, "all, direct"},
	} {
		if flag.value != "" && oneOf(strings.Split(flag.allowed, ", ")...).check(flag.value) != "" {
			return wrongUsage(fmt.Sprintf("%s: %q is not one of %s", flag.name, flag.value, flag.allowed), "")
		}
	}
	return nil
}

// planner is the one of these flags.
func (f *planFlags) planner(p *program, c *client, site mirror.Site, pr *project) *rewrite.Planner {
	pl := &rewrite.Planner{
		Resolver: resolver{c}, Site: site, Mode: rewrite.Mode(f.mode), Scope: rewrite.Scope(f.scope), TrustMirror: f.trust,
		Outside: pr.outside,
	}
	switch {
	case f.form == "discovery" || f.form == "dotgit":
		pl.Form = mirror.Form(f.form)
	case f.ssh:
		pl.Form = mirror.DotGit
	}
	if p.progress() {
		pl.Progress = func(done, known int) { fmt.Fprintf(p.stderr, "\r\033[K%d of %d modules", done, known) }
	}
	return pl
}

// plan asks the server and works out the changes.
func (f *planFlags) plan(ctx context.Context, p *program, pr *project) (*rewrite.Plan, mirror.Site, error) {
	c, err := p.client()
	if err != nil {
		return nil, mirror.Site{}, err
	}
	site, err := c.site(ctx)
	if err != nil {
		return nil, site, err
	}
	pl := f.planner(p, c, site, pr)
	sums, err := p.checksums(c)
	if err != nil {
		return nil, site, err
	}
	pl.Database = sums
	plan, err := pl.Plan(ctx, pr.FS(), pr.dirs...)
	if pl.Progress != nil {
		fmt.Fprint(p.stderr, "\r\033[K")
	}
	return plan, site, err
}

// environment is what settings depend on.
func (f *planFlags) environment(p *program, site mirror.Site, plan *rewrite.Plan) rewrite.Environment {
	return rewrite.Environment{
		Site: site, Mode: rewrite.Mode(f.mode), Form: plan.Form, Coverage: plan.Coverage,
		Sealed: f.sealed, SSH: f.ssh, Current: p.goSettings(),
	}
}

func (p *program) rewriteCommand() *cobra.Command {
	var f planFlags
	var check, diff, revert bool
	cmd := p.withJSON(&cobra.Command{
		Use: "rewrite [DIR|./...]", Short: "Make a Go project build from the mirror",
		Long: "Make a Go project build from the mirror: go.mod gets replace directives, go.sum the\n" +
			"hashes that belong to them. A hash is written only when the mirror's content was proven\n" +
			"equal to what go.sum promised before. Nothing outside of the project is changed, and\n" +
			"--revert gives back the original bytes.",
		Example: "  gitmirror rewrite --diff     # show what would change\n" +
			"  gitmirror rewrite            # change it\n" +
			"  gitmirror rewrite --check    # in CI: exit code 3 when something is to be done\n" +
			"  eval \"$(gitmirror env)\"      # the settings that go with it",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			pr, err := p.openProject(args)
			if err != nil {
				return err
			}
			defer pr.Close()
			if revert {
				return p.revert(cmd.Context(), &f, pr)
			}
			plan, site, err := f.plan(cmd.Context(), p, pr)
			if err != nil {
				return err
			}
			doc := rewriteDoc{Plan: plan, Reason: "done"}
			doc.Settings, doc.Advice = f.environment(p, site, plan).Settings()
			result := leftBehind(plan)
			switch {
			case check || diff:
				doc.Diff = plan.Diff()
				if check && !plan.Empty() {
					result = silent{errChanges}
				}
			case !plan.Empty():
				if err := rewrite.Apply(pr.Root, plan); err != nil {
					return err
				}
				doc.Applied = true
			}
			doc.Exit, doc.Reason = exitCode(result)
			if p.json {
				return errors.Join(p.emit(doc), result)
			}
			p.tellPlan(doc, check || diff)
			if check && !plan.Empty() {
				p.say("the project does not use the mirror as it should; run: %s", rerun(cmd, args))
			}
			return result
		},
	})
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.scope, "scope", "all", "all modules of the graph (what a sealed build needs), or direct")
	flags.BoolVar(&f.trust, "trust-mirror", false, "accept the mirror's content for modules of which go.sum says nothing")
	flags.BoolVar(&check, "check", false, "change nothing; exit code 3 when something is to be done")
	flags.BoolVar(&diff, "diff", false, "change nothing; print the changes")
	flags.BoolVar(&revert, "revert", false, "give back what was there before")
	cmd.MarkFlagsMutuallyExclusive("check", "diff", "revert")
	p.withServer(cmd)
	return cmd
}

// leftBehind is the error of a plan that leaves out a module which the project
// itself requires. One that only the requirements of others name is no failure:
// without a sealed client it is found where it always was.
func leftBehind(plan *rewrite.Plan) error {
	built := map[string]string{} // versions of required modules: of several the newest counts
	for _, m := range plan.Modules {
		if m.Direct && semver.Compare(m.Version, built[m.Path]) > 0 {
			built[m.Path] = m.Version
		}
	}
	for _, m := range plan.Coverage.Missing {
		if built[m.Path] == m.Version {
			return silent{mirror.ErrNotFound}
		}
	}
	return nil
}

// rerun is the command that does what --check found to do.
func rerun(cmd *cobra.Command, args []string) string {
	words := []string{"gitmirror", "rewrite"}
	for _, name := range []string{"mode", "form", "scope"} {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			words = append(words, "--"+name, flag.Value.String())
		}
	}
	if cmd.Flags().Changed("trust-mirror") {
		words = append(words, "--trust-mirror")
	}
	return strings.Join(append(words, args...), " ")
}

// tellPlan prints a plan for people: with a diff that and nothing else on stdout.
func (p *program) tellPlan(doc rewriteDoc, onlyDiff bool) {
	if onlyDiff {
		fmt.Fprint(p.stdout, doc.Diff)
	} else {
		rows := make([]row, 0, len(doc.Modules))
		for _, m := range doc.Modules {
			to, proof := "-", "not mirrored"
			switch {
			case m.Replacement.Path != "":
				to, proof = m.Replacement.String(), string(m.Proof)
			case m.Problem == nil:
				proof = "as before"
			case m.Repo != "" && errors.Is(m.Problem, mirror.ErrNotFound):
				proof = "version not mirrored"
			case !errors.Is(m.Problem, mirror.ErrNotFound):
				proof = m.Problem.Error()
			}
			rows = append(rows, row{m.Path + "@" + m.Version, to, proof})
		}
		p.table("the project uses no modules", row{"MODULE", "REPLACED BY", "PROVEN BY"}, rows)
	}
	for _, w := range doc.Warnings {
		p.say("warning: %s", printable(w))
	}
	if doc.Coverage.Modules > 0 {
		p.say("%s", printable(doc.Coverage.String()))
	}
	none := len(doc.Modules) > 0 && !slices.ContainsFunc(doc.Modules, func(m rewrite.Module) bool { return m.Replacement.Path != "" })
	switch {
	case none && doc.Empty() && doc.Mode == rewrite.Replace:
		p.say("nothing was changed: the mirror has none of the modules")
		return
	case onlyDiff && doc.Empty() && doc.Mode == rewrite.Replace:
		p.say("nothing to do")
	case doc.Applied:
		for _, e := range doc.Edits {
			p.say("wrote %s", e.Name)
		}
	case doc.Empty() && doc.Mode == rewrite.Replace:
		p.say("nothing to do; the project uses the mirror already")
	}
	if len(doc.Settings) > 0 && !onlyDiff {
		p.say("\nwhere the go command runs, set (or run: eval \"$(gitmirror env)\"):")
		for _, s := range doc.Settings {
			p.say("  %s", printable(s.String()))
		}
	}
	p.advise(doc.Advice)
}

func (p *program) advise(advice []*mirror.Problem) {
	for _, a := range advice {
		if !p.quiet && !p.json {
			p.tell(a)
		}
	}
}

// revert takes rewrites back. Where there is no record of them (another clone)
// the server is asked, if it answers, since it knows the original checksums.
func (p *program) revert(ctx context.Context, f *planFlags, pr *project) error {
	r := rewrite.Reverter{}
	if _, err := pr.Stat(".gitmirror/rewrite.json"); err != nil {
		if plan, site, err := f.plan(ctx, p, pr); err == nil {
			r.Known, r.Host = plan, site.Root()
		} else if ctx.Err() != nil {
			return errInterrupted
		}
	}
	done, err := r.Revert(pr.Root, pr.dirs...)
	if err != nil {
		return err
	}
	if p.json {
		return p.emit(done)
	}
	for _, note := range done.Notes {
		p.say("note: %s", printable(note))
	}
	for _, e := range done.Edits {
		p.say("restored %s", e.Name)
	}
	if len(done.Edits) == 0 {
		p.say("nothing to revert")
	}
	return nil
}
