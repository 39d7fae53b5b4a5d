package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// private tells whether GOPRIVATE or GONOPROXY sends the go command past proxies
// for a path.
func (d *doctor) private(path string) bool {
	return module.MatchPrefixPatterns(or(d.current["GONOPROXY"], d.current["GOPRIVATE"]), path)
}

// examineFiles looks for what the go command stops at before it asks anybody.
func (d *doctor) examineFiles() {
	for _, name := range d.facts.VendorStale {
		d.fail("vendor", &mirror.Problem{Code: codeGoBuild, What: name + " does not list the replacements of go.mod", Why: "the go command stops at that: inconsistent vendoring",
			Do: "run: gitmirror rewrite (it edits modules.txt), or go mod vendor"})
	}
	if len(d.facts.NoSum) > 0 && !d.facts.Vendored {
		d.fail("sums", &mirror.Problem{Code: codeGoBuild, What: "go.sum has no line for " + names(d.facts.NoSum), Why: "the go command stops at that: missing go.sum entry",
			Do: "run: gitmirror rewrite; it writes the lines, proven by what go.sum had before"})
	}
	if d.current["GOPROXY"] != "off" || d.facts.Vendored {
		return
	}
	var left []mirror.ModuleVersion
	for _, m := range d.facts.Plain {
		if !d.private(m.Path) && !d.downloaded(m) {
			left = append(left, m)
		}
	}
	if len(left) > 0 {
		d.fail("sealed", &mirror.Problem{Code: codeGoBuild, What: "GOPROXY=off, and " + names(left) + " " + isAre(len(left)) + " not replaced", Why: "the go command stops at that: module lookup disabled by GOPROXY=off",
			Do: "run: gitmirror rewrite; or unset GOPROXY until the mirror has all of them"})
	}
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// names are the first few modules of a list.
func names(all []mirror.ModuleVersion) string {
	var words []string
	for i, m := range all {
		if i == 5 {
			words = append(words, count(len(all)-i, "other", "others"))
			break
		}
		words = append(words, m.String())
	}
	return strings.Join(words, ", ")
}

// downloaded tells whether a module is in the module cache already.
func (d *doctor) downloaded(m mirror.ModuleVersion) bool {
	dir := d.current["GOMODCACHE"]
	if dir == "" {
		path, _, _ := strings.Cut(or(d.current["GOPATH"], filepath.Join(d.lookup("HOME"), "go")), string(filepath.ListSeparator))
		dir = filepath.Join(path, "pkg", "mod")
	}
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return false
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, "cache", "download", filepath.FromSlash(path), "@v", version+".mod"))
	return err == nil
}

// examinePlan asks the server what it has of the project.
func (d *doctor) examinePlan(ctx context.Context) {
	f := planFlags{mode: "replace", form: "auto", scope: "all"}
	if d.needsGit() {
		f.form = "dotgit"
	}
	plan, _, err := f.plan(ctx, d.program, d.project)
	if err != nil {
		d.fail("project", err)
		return
	}
	if !plan.Coverage.Complete() {
		d.warn("project", &mirror.Problem{Code: rewrite.CodeCoverage, What: strings.ReplaceAll(plan.Coverage.String(), "\n", "; ")})
	} else {
		d.ok("project", "the mirror has %s", plan.Coverage)
	}
	rewritten, err := rewrite.Rewritten(d.project.FS(), d.project.dirs...)
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
}

// environment is what the settings of the project depend on: how its go.mod is
// written, whatever of it is mirrored.
func (d *doctor) environment(site mirror.Site) rewrite.Environment {
	e := rewrite.Environment{
		Site: site, Coverage: rewrite.Coverage{Modules: 1, Mirrored: 1}, SSH: d.overSSH(site), Current: d.current, Shell: d.shellSettings(), Git: d.git,
	}
	if d.needsGit() {
		e.Form = mirror.DotGit
	}
	return e
}

// overSSH tells whether git is told to find the mirror by ssh.
func (d *doctor) overSSH(site mirror.Site) bool {
	for _, g := range d.git {
		if site.SSH != "" && g.Key == "url."+site.SSH+"/.insteadof" {
			return true
		}
	}
	return false
}

// examineEnvironment looks whether the settings of a rewritten project are set.
func (d *doctor) examineEnvironment(e rewrite.Environment) {
	set, advice := e.Settings()
	var missing []string
	for _, s := range set {
		if s.Git && !d.gitKnows(s) || !s.Git && e.Current[s.Name] != s.Value {
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

// gitKnows tells whether a git setting is in force.
func (d *doctor) gitKnows(s rewrite.Setting) bool {
	for _, g := range d.git {
		if strings.EqualFold(g.Key, s.Name) && g.Value == s.Value {
			return true
		}
	}
	return false
}
