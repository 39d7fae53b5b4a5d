package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

func (p *program) envCommand() *cobra.Command {
	f := planFlags{scope: "all"}
	var format string
	var write, unset bool
	cmd := &cobra.Command{
		Use: "env [DIR]", Short: "Print the Go and git settings that go with the mirror", Args: args(0, 1),
		Long: "Print the Go and git settings with which the go command uses the mirror, for a shell or\n" +
			"a CI system. Settings you have are added to, not lost. --write puts them into the files\n" +
			"that \"go env -w\" and \"git config --global\" write, --unset takes them out again.",
		Example: "  eval \"$(gitmirror env)\"\n" +
			"  gitmirror env --format github >> \"$GITHUB_ENV\"\n" +
			"  gitmirror env --write",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if p.json {
				format = "json"
			}
			if !slices.Contains(rewrite.Formats(), format) {
				return wrongUsage(fmt.Sprintf("--format: %q is not one of %s", format, strings.Join(rewrite.Formats(), ", ")), "")
			}
			if unset {
				return p.unsetEnv()
			}
			e, err := p.settingsFor(cmd.Context(), &f, args)
			if err != nil {
				return err
			}
			set, advice := e.Settings()
			for _, a := range advice {
				if a.Kind != "" {
					return a
				}
			}
			p.advise(advice)
			if write {
				return p.writeEnv(set, e.Current)
			}
			text, err := rewrite.Format(set, format, e.Current)
			if err == nil {
				_, err = fmt.Fprint(p.stdout, text)
			}
			return err
		},
	}
	p.withJSON(cmd)
	f.add(cmd)
	cmd.Flags().StringVar(&format, "format", "sh", strings.Join(rewrite.Formats(), ", "))
	cmd.Flags().BoolVar(&write, "write", false, "write the settings into your go and git settings files")
	cmd.Flags().BoolVar(&unset, "unset", false, "take out of them what --write wrote")
	cmd.MarkFlagsMutuallyExclusive("write", "unset")
	p.withServer(cmd)
	return cmd
}

// settingsFor is what the settings of a project depend on. Outside of a project
// they are those of one that the mirror serves in full.
func (p *program) settingsFor(ctx context.Context, f *planFlags, args []string) (rewrite.Environment, error) {
	pr, err := p.openProject(args)
	if errors.Is(err, mirror.ErrNotFound) && len(args) == 0 && f.mode != "insteadof" {
		c, err := p.client()
		if err != nil {
			return rewrite.Environment{}, err
		}
		site, err := c.site(ctx)
		plan := &rewrite.Plan{Coverage: rewrite.Coverage{Modules: 1, Mirrored: 1}}
		if f.form != "auto" {
			plan.Form = mirror.Form(f.form)
		}
		return f.environment(p, site, plan), err
	}
	if err != nil {
		return rewrite.Environment{}, err
	}
	defer pr.Close()
	plan, site, err := f.plan(ctx, p, pr)
	if err != nil {
		return rewrite.Environment{}, err
	}
	return f.environment(p, site, plan), nil
}

// writeEnv puts settings into the user's files.
func (p *program) writeEnv(set []rewrite.Setting, current map[string]string) error {
	goFile, err := p.goEnvFile()
	if err != nil {
		return err
	}
	gitFile, err := rewrite.GitConfigFile()
	if err != nil {
		return err
	}
	if err := rewrite.EditFile(goFile, func(b []byte) []byte { return rewrite.SetGoEnv(b, set) }); err != nil {
		return err
	}
	if err := rewrite.EditFile(gitFile, func(b []byte) []byte { return rewrite.SetGitConfig(b, set) }); err != nil {
		return err
	}
	for _, s := range set {
		if now := p.lookup(s.Name); !s.Git && now != "" && now != s.Value {
			p.say("warning: %s is set in the environment, which wins over the file", s.Name)
		}
	}
	if p.json {
		return p.emit(map[string]any{"settings": set, "go": goFile, "git": gitFile})
	}
	for _, s := range set {
		p.say("set %s", printable(s.String()))
	}
	p.say("written into %s and %s; taken out by: gitmirror env --unset", goFile, gitFile)
	return nil
}

// unsetEnv takes out what writeEnv wrote.
func (p *program) unsetEnv() error {
	goFile, err := p.goEnvFile()
	if err != nil {
		return err
	}
	gitFile, err := rewrite.GitConfigFile()
	if err != nil {
		return err
	}
	changed := []string{}
	err = rewrite.EditFile(goFile, func(b []byte) []byte {
		restored, names := rewrite.UnsetGoEnv(b)
		changed = append(changed, names...)
		return restored
	})
	if err == nil {
		err = rewrite.EditFile(gitFile, rewrite.UnsetGitConfig)
	}
	if err != nil {
		return err
	}
	if p.json {
		return p.emit(map[string]any{"go": goFile, "git": gitFile, "left": changed})
	}
	for _, name := range changed {
		p.say("%s was changed since and is left as it is", name)
	}
	p.say("our settings are out of %s and %s", goFile, gitFile)
	return nil
}
