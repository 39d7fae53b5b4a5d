package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// envFlags are the flags of "env" that "rewrite" has not.
type envFlags struct {
	planFlags
	format       string
	write, unset bool
	spellings    bool
}

func (p *program) envCommand() *cobra.Command {
	f := envFlags{planFlags: planFlags{scope: "all"}}
	cmd := &cobra.Command{
		Use: "env [DIR]", Short: "Print the Go and git settings that go with the mirror", Args: args(0, 1),
		Long: "Print the Go and git settings with which the go command uses the mirror, for a shell or\n" +
			"a CI system. Settings you have are added to, not lost, and what works against the mirror\n" +
			"is named. --write puts them into the files that \"go env -w\" and \"git config --global\"\n" +
			"write, --unset takes them out again. The formats github-job, gitlab-job, pre-commit,\n" +
			"renovate, dependabot and dockerfile are whole files for a project. The page \"Set up my\n" +
			"machine\" of the console shows the same, with a token in it.",
		Example: "  eval \"$(gitmirror env)\"\n" +
			"  gitmirror env --format fish | source\n" +
			"  gitmirror env --format github >> \"$GITHUB_ENV\"\n" +
			"  gitmirror env --format github-job > .github/workflows/mirror.yml\n" +
			"  gitmirror env --write",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if p.json {
				f.format = "json"
			}
			if all := slices.Concat(rewrite.Formats(), rewrite.Templates()); !slices.Contains(all, f.format) {
				return wrongUsage(fmt.Sprintf("--format: %q is not one of %s", f.format, strings.Join(all, ", ")), "")
			}
			if f.unset {
				return p.unsetEnv()
			}
			return p.env(cmd.Context(), &f, args)
		},
	}
	p.withJSON(cmd)
	f.add(cmd)
	flags, formats := cmd.Flags(), slices.Concat(rewrite.Formats(), rewrite.Templates())
	flags.StringVar(&f.format, "format", "sh", strings.Join(formats, ", "))
	completeWords(cmd, "format", formats...)
	flags.BoolVar(&f.spellings, "spellings", false, "with --mode insteadof, redirect http://, git://, ssh:// and git@HOST: URLs, too")
	flags.BoolVar(&f.write, "write", false, "write the settings into your go and git settings files")
	flags.BoolVar(&f.unset, "unset", false, "take out of them what --write wrote")
	cmd.MarkFlagsMutuallyExclusive("write", "unset")
	cmd.MarkFlagsMutuallyExclusive("write", "format")
	p.withServer(cmd)
	return cmd
}

// env prints the settings, or writes them.
func (p *program) env(ctx context.Context, f *envFlags, args []string) error {
	e, err := p.settingsFor(ctx, &f.planFlags, args)
	if err != nil {
		return err
	}
	// What an earlier --write set is no setting of the user's to be kept.
	e.Current, e.Shell, e.Git = p.ownSettings(), p.shellSettings(), p.ownGitSettings(ctx)
	e.Spellings = f.spellings
	if e.Mode == rewrite.GOPROXY && e.Sealed {
		e.NoSumDB = !p.offersSums(ctx, e.Site, e.Current)
	}
	set, advice := e.Settings()
	for _, a := range advice {
		if a.Kind != "" {
			return a
		}
	}
	advice = append(advice, e.Conflicts(set, f.write)...)
	if a := p.signedOut(ctx, e); a != nil {
		advice = append(advice, a)
	}
	p.advise(advice)
	if f.write {
		return p.writeEnv(set)
	}
	text, err := settingsText(e, set, f.format)
	if err == nil {
		_, err = fmt.Fprint(p.stdout, text)
	}
	return err
}

// settingsText is what "env" prints of the settings of e.
func settingsText(e rewrite.Environment, set []rewrite.Setting, format string) (string, error) {
	if slices.Contains(rewrite.Templates(), format) {
		return rewrite.Template(format, e)
	}
	return rewrite.Format(set, format, e.Current)
}

// servedInFull stands for a project whose modules the mirror serves, all of them.
func servedInFull() rewrite.Coverage { return rewrite.Coverage{Modules: 1, Mirrored: 1} }

// setUp makes the settings of the console's page "Set up my machine": what "env"
// prints outside of a project, for somebody who has set nothing yet.
func setUp(site mirror.Site) func(mode, format string) (string, error) {
	return func(mode, format string) (string, error) {
		e := rewrite.Environment{Site: site, Mode: rewrite.Mode(mode), Coverage: servedInFull()}
		set, problems := e.Settings()
		for _, p := range problems {
			if p.Kind != "" {
				return "", p
			}
		}
		return settingsText(e, set, format)
	}
}

// signedOut is the advice for who has no credentials in ~/.netrc for mirrors that
// are not for everybody; nil otherwise. Over ssh a key counts instead.
func (p *program) signedOut(ctx context.Context, e rewrite.Environment) *mirror.Problem {
	u, err := url.Parse(e.Site.URL)
	if err != nil || u.Host == "" || e.SSH {
		return nil
	}
	g := p.goClient()
	defer g.http.CloseIdleConnections()
	if slices.ContainsFunc(g.netrc, func(n netrcEntry) bool { return n.machine == u.Host || n.machine == u.Hostname() }) {
		return nil
	}
	for _, repo := range e.Coverage.Patterns[:min(5, len(e.Coverage.Patterns))] {
		status, _, err := g.get(ctx, e.Site.URL+"/"+repo+"/info/refs?service=git-upload-pack")
		if err != nil {
			return nil
		}
		if status == http.StatusUnauthorized {
			return &mirror.Problem{
				Code: rewrite.CodeSettings, What: "the mirror wants a sign-in for " + repo + ", and " + or(p.goNetrc(), ".netrc") + " has none for " + u.Hostname(),
				Why: "go and git do not know the login of this program", Do: "run: gitmirror login " + e.Site.URL + " --netrc",
			}
		}
	}
	return nil
}

// offersSums asks the mirror's proxy whether it passes on the checksum database,
// with the question the go command asks.
func (p *program) offersSums(ctx context.Context, site mirror.Site, current map[string]string) bool {
	name, _, _ := strings.Cut(or(current["GOSUMDB"], p.goDefaults()["GOSUMDB"]), "+")
	if name == "" || name == "off" {
		return false
	}
	c, err := p.client()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	resp, err := c.send(ctx, http.MethodGet, "/proxy/sumdb/"+name+"/supported", nil, "*/*")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
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
		plan := &rewrite.Plan{Coverage: servedInFull()}
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

// envDoc is the JSON of "env --write" and "env --unset".
type envDoc struct {
	Settings []rewrite.Setting `json:"settings,omitempty"` // written
	Go       string            `json:"go"`                 // the files
	Git      string            `json:"git"`
	// Left are variables that were changed since, and stay as they are.
	Left []string `json:"left,omitempty"`
}

// settingsFiles are the two files of the user.
func (p *program) settingsFiles() (doc envDoc, err error) {
	if doc.Go, err = p.userFiles().GoEnv(); err == nil {
		doc.Git, err = p.userFiles().GitConfig()
	}
	return doc, err
}

// writeEnv puts settings into the user's files.
func (p *program) writeEnv(set []rewrite.Setting) error {
	doc, err := p.settingsFiles()
	if err != nil {
		return err
	}
	if err := rewrite.EditFile(doc.Go, func(b []byte) []byte { return rewrite.SetGoEnv(b, set) }); err != nil {
		return err
	}
	if err := rewrite.EditFile(doc.Git, func(b []byte) []byte { return rewrite.SetGitConfig(b, set) }); err != nil {
		return err
	}
	if doc.Settings = set; p.json {
		return p.emit(doc)
	}
	for _, s := range set {
		p.say("set %s", printable(s.String()))
	}
	p.say("written into %s and %s; taken out by: gitmirror env --unset", doc.Go, doc.Git)
	return nil
}

// unsetEnv takes out what writeEnv wrote.
func (p *program) unsetEnv() error {
	doc, err := p.settingsFiles()
	if err != nil {
		return err
	}
	err = rewrite.EditFile(doc.Go, func(b []byte) []byte {
		restored, names := rewrite.UnsetGoEnv(b)
		doc.Left = names
		return restored
	})
	if err == nil {
		err = rewrite.EditFile(doc.Git, rewrite.UnsetGitConfig)
	}
	if err != nil {
		return err
	}
	if p.json {
		return p.emit(doc)
	}
	for _, name := range doc.Left {
		p.say("%s was changed since and is left as it is", name)
	}
	p.say("our settings are out of %s and %s", doc.Go, doc.Git)
	return nil
}
