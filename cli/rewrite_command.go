package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
	"github.com/spf13/cobra"
)

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
	completeWords(cmd, "mode", "replace", "insteadof", "goproxy")
	completeWords(cmd, "form", "auto", "discovery", "dotgit")
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

// rewriteFlags are those of "rewrite" itself.
type rewriteFlags struct {
	planFlags
	check, diff, revert, addMissing bool
}

func (p *program) rewriteCommand() *cobra.Command {
	f := rewriteFlags{}
	cmd := p.withJSON(&cobra.Command{
		Use: "rewrite [DIR|./...]", Short: "Make a Go project build from the mirror",
		Long: "Make a Go project build from the mirror: go.mod gets replace directives, go.sum the\n" +
			"hashes that belong to them. A hash is written only when the mirror's content was proven\n" +
			"equal to what go.sum promised before, or to what the checksum database recorded.\n" +
			"Nothing outside of the project is changed, and --revert gives back the original bytes.",
		Example: "  gitmirror rewrite --diff     # show what would change\n" +
			"  gitmirror rewrite            # change it\n" +
			"  gitmirror rewrite ./...      # every module below\n" +
			"  gitmirror rewrite --add-missing   # mirror what is not mirrored yet, then change it\n" +
			"  gitmirror rewrite --check    # in CI: exit code 3 when something is to be done\n" +
			"  eval \"$(gitmirror env)\"      # the settings that go with it",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.planFlags.check(); err != nil {
				return err
			}
			pr, err := p.openProject(args)
			if err != nil {
				return err
			}
			defer pr.Close()
			if f.revert {
				return p.revert(cmd.Context(), &f.planFlags, pr)
			}
			return p.rewrite(cmd, &f, pr, args)
		},
	})
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.scope, "scope", "all", "all modules of the graph (what a sealed build needs), or direct")
	flags.BoolVar(&f.trust, "trust-mirror", false, "accept the mirror's content for modules that neither go.sum nor the checksum database knows")
	flags.BoolVar(&f.check, "check", false, "change nothing; exit code 3 when something is to be done")
	flags.BoolVar(&f.diff, "diff", false, "change nothing; print the changes")
	flags.BoolVar(&f.revert, "revert", false, "give back what was there before")
	flags.BoolVar(&f.addMissing, "add-missing", false, "mirror what is not mirrored yet, and wait for it")
	cmd.MarkFlagsMutuallyExclusive("check", "diff", "revert", "add-missing")
	p.withServer(cmd)
	return cmd
}

// memoryAim is what the garbage collector holds a rewrite to while it can, so that
// one of a thousand modules stays below 200 MB: CI machines are small.
const memoryAim = 160 << 20

// rewrite plans, applies and reports.
func (p *program) rewrite(cmd *cobra.Command, f *rewriteFlags, pr *project, args []string) error {
	ctx := cmd.Context()
	if p.lookup("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryAim)
	}
	plan, site, err := f.plan(ctx, p, pr)
	doc := rewriteDoc{}
	if err == nil && f.addMissing && !plan.Coverage.Complete() {
		if doc.Added, err = p.addMissing(ctx, plan.Coverage); err != nil {
			return err
		}
		plan, site, err = f.plan(ctx, p, pr)
	}
	if err != nil {
		return err
	}
	doc.Plan, doc.Proofs = plan, plan.Proofs()
	doc.Settings, doc.Advice = f.environment(p, site, plan).Settings()
	result := leftBehind(plan, f)
	switch {
	case f.check || f.diff:
		doc.Diff = plan.Diff()
		if !plan.Empty() {
			doc.Fix = rerun(cmd, args)
		}
		if f.check && !plan.Empty() {
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
	p.tellPlan(doc, f, strings.Join(args, " "))
	return result
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
