package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
	"github.com/gitmirror/gitmirror/web"
)

// finding is what one check of "doctor" found.
type finding struct {
	Check   string          `json:"check"`
	Status  string          `json:"status"` // ok, warning or failed
	Text    string          `json:"text,omitempty"`
	Problem *mirror.Problem `json:"problem,omitempty"`
}

// doctorDoc is the JSON of "doctor".
type doctorDoc struct {
	Findings []finding `json:"findings"`
	Exit     int       `json:"exit_code"`
	Reason   string    `json:"exit_reason"`
}

// doctor collects findings.
type doctor struct {
	*program
	findings []finding
	worst    error // of the first check that failed
}

func (d *doctor) ok(check, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Status: "ok", Text: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(check string, problem *mirror.Problem) {
	d.findings = append(d.findings, finding{Check: check, Status: "warning", Problem: problem})
}

func (d *doctor) fail(check string, err error) {
	d.findings = append(d.findings, finding{Check: check, Status: "failed", Problem: explain(err)})
	if d.worst == nil {
		d.worst = err
	}
}

func (p *program) doctorCommand() *cobra.Command {
	cmd := p.withJSON(&cobra.Command{
		Use: "doctor [DIR]", Short: "Look for what keeps builds from using the mirror", Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := &doctor{program: p}
			d.examine(cmd.Context(), args)
			if cmd.Context().Err() != nil {
				return errInterrupted
			}
			doc := doctorDoc{Findings: d.findings}
			doc.Exit, doc.Reason = exitCode(d.worst)
			if p.json {
				if err := p.emit(doc); err != nil {
					return err
				}
			} else {
				d.print()
			}
			if d.worst != nil {
				return silent{d.worst}
			}
			return nil
		},
	})
	p.withServer(cmd)
	return cmd
}

func (d *doctor) print() {
	for _, f := range d.findings {
		mark := map[string]string{"ok": "ok  ", "warning": "warn", "failed": "FAIL"}[f.Status]
		text := f.Text
		if f.Problem != nil {
			text = f.Problem.Error()
		}
		fmt.Fprintf(d.stdout, "%s  %-9s %s\n", mark, f.Check, printable(text))
		if f.Problem != nil && f.Problem.Do != "" {
			fmt.Fprintf(d.stdout, "                do: %s\n", printable(f.Problem.Do))
		}
	}
}

func (d *doctor) examine(ctx context.Context, args []string) {
	d.examineGit(ctx)
	d.examineGo()
	d.examineSettings()
	c, err := d.client()
	if err != nil {
		d.fail("server", err)
		return
	}
	var site web.Site
	if err := c.call(ctx, http.MethodGet, api+"/site", nil, &site); err != nil {
		d.fail("server", err)
		return
	}
	d.ok("server", "%s answers (gitmirror %s)", c.URL, site.Version)
	var me web.Identity
	if err := c.call(ctx, http.MethodGet, api+"/whoami", nil, &me); err != nil {
		d.fail("sign-in", err)
		return
	}
	d.ok("sign-in", "you are %s (%s)", me.Name, me.Role)
	if p := rewrite.CheckSite(mirror.Site{URL: site.URL, SSH: site.SSH}); p != nil {
		d.fail("address", p)
	}
	d.examineProject(ctx, args)
}

// examineGit asks git its version, the way the server does.
func (d *doctor) examineGit(ctx context.Context) {
	dir, err := os.MkdirTemp("", "gitmirror-doctor-")
	if err != nil {
		d.fail("git", err)
		return
	}
	defer os.RemoveAll(dir)
	disk, err := git.Open(ctx, git.Disk{Root: dir})
	if err != nil {
		d.fail("git", err)
		return
	}
	d.ok("git", "git %s", disk.GitVersion())
}

// forged says which Go versions accept forged answers of a checksum database.
var forged = map[string]string{"go1.25": "v1.25.13", "go1.26": "v1.26.6"}

// examineGo reads the version of the go command from its files: nothing of a
// stranger's project, such as a toolchain line, is run for it.
func (d *doctor) examineGo() {
	root := d.lookup("GOROOT")
	for _, dir := range filepath.SplitList(d.lookup("PATH")) {
		if root != "" {
			break
		}
		if target, err := filepath.EvalSymlinks(filepath.Join(dir, "go")); err == nil {
			root = filepath.Dir(filepath.Dir(target))
		}
	}
	if root == "" {
		d.fail("go", &mirror.Problem{What: "the go command was not found", Why: "no program called go is in PATH", Do: "install Go"})
		return
	}
	text, err := os.ReadFile(filepath.Join(root, "VERSION"))
	name, _, _ := strings.Cut(string(text), "\n")
	name = strings.TrimSpace(name)
	version := "v" + strings.TrimPrefix(name, "go")
	switch minimum := forged["go"+strings.TrimPrefix(semver.MajorMinor(version), "v")]; {
	case err != nil || !semver.IsValid(version):
		d.ok("go", "go in %s", root) // a development version, or a packager's layout
	case minimum != "" && semver.Compare(version, minimum) < 0, semver.Compare(version, "v1.25.0") < 0:
		d.warn("go", &mirror.Problem{Code: "E4108", What: name + " accepts forged answers of a checksum database", Why: "GO-2026-6179, GO-2026-6180",
			Do: "use Go 1.25.13, 1.26.6 or newer"})
	default:
		d.ok("go", "%s", name)
	}
}

// examineSettings looks for settings that work against any mirror.
func (d *doctor) examineSettings() {
	now := d.goSettings()
	quiet := len(d.findings)
	for _, name := range []string{"GOPRIVATE", "GONOPROXY"} {
		for _, host := range []string{"github.com/gin-gonic/gin", "golang.org/x/mod"} {
			if module.MatchPrefixPatterns(now[name], host) {
				d.warn("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: name + "=" + now[name] + " covers public modules such as " + host,
					Why: "the go command then goes past module proxies, also the mirror's, and asks no checksum database", Do: "leave only private prefixes in " + name})
				break
			}
		}
	}
	if sum := now["GOSUMDB"]; sum == "off" {
		d.warn("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: "GOSUMDB=off: no checksum database is asked", Do: "unset it; the mirror needs no such thing"})
	}
	if flags := now["GOFLAGS"]; strings.Contains(flags, "-mod=mod") {
		d.warn("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: "GOFLAGS has -mod=mod: builds change go.mod and go.sum", Do: "take it out of GOFLAGS"})
	}
	if len(d.findings) == quiet {
		d.ok("settings", "nothing in them works against a mirror")
	}
}

// examineProject looks whether the project here uses the mirror.
func (d *doctor) examineProject(ctx context.Context, args []string) {
	pr, err := d.openProject(args)
	if errors.Is(err, mirror.ErrNotFound) && len(args) == 0 {
		d.ok("project", "none here")
		return
	}
	if err != nil {
		d.fail("project", err)
		return
	}
	defer pr.Close()
	f := planFlags{mode: "replace", form: "auto", scope: "all"}
	plan, site, err := f.plan(ctx, d.program, pr)
	if err != nil {
		d.fail("project", err)
		return
	}
	if !plan.Coverage.Complete() {
		d.warn("project", &mirror.Problem{Code: rewrite.CodeCoverage, What: strings.ReplaceAll(plan.Coverage.String(), "\n", "; ")})
	} else {
		d.ok("project", "the mirror has %s", plan.Coverage)
	}
	rewritten, err := rewrite.Rewritten(pr.FS(), pr.dirs...)
	switch {
	case err != nil:
		d.fail("rewrite", err)
		return
	case !rewritten:
		d.ok("rewrite", "the project is not rewritten; \"gitmirror rewrite --diff\" shows what that would change")
		return
	case !plan.Empty():
		d.warn("rewrite", &mirror.Problem{What: "go.mod or go.sum do not use the mirror as they should", Do: "run: gitmirror rewrite"})
	default:
		d.ok("rewrite", "go.mod and go.sum use the mirror")
	}
	d.examineEnvironment(f.environment(d.program, site, plan))
}

// examineEnvironment looks whether the settings of a rewritten project are set.
func (d *doctor) examineEnvironment(e rewrite.Environment) {
	set, advice := e.Settings()
	var missing []string
	for _, s := range set {
		if s.Git && !d.gitKnows(s, e.Current) || !s.Git && e.Current[s.Name] != s.Value {
			missing = append(missing, s.String())
		}
	}
	if len(missing) > 0 {
		d.warn("env", &mirror.Problem{Code: rewrite.CodeSettings, What: "these settings are missing: " + strings.Join(missing, ", "),
			Do: "run: eval \"$(gitmirror env)\", or for good: gitmirror env --write"})
	} else {
		d.ok("env", "the settings of the mirror are set")
	}
	for _, a := range advice {
		d.warn("env", a)
	}
}

// gitKnows tells whether a git setting is in the environment or in the user's file.
func (d *doctor) gitKnows(s rewrite.Setting, current map[string]string) bool {
	for key, value := range current {
		if n, ok := strings.CutPrefix(key, "GIT_CONFIG_KEY_"); ok && value == s.Name && current["GIT_CONFIG_VALUE_"+n] == s.Value {
			return true
		}
	}
	name, err := d.userFiles().GitConfig()
	if err != nil {
		return false
	}
	text, err := os.ReadFile(name)
	base := strings.TrimSuffix(strings.TrimPrefix(s.Name, "url."), ".insteadOf")
	return err == nil && strings.Contains(string(text), "[url \""+base+"\"]")
}
