package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// needsGit tells whether a replacement of the project is in the form that is
// fetched by git.
func (d *doctor) needsGit() bool {
	return slices.ContainsFunc(d.facts.Replaced, func(m mirror.ModuleVersion) bool {
		_, _, ok := cutDotGit(m.Path)
		return ok
	})
}

// examineGit asks the user's git its version.
func (d *doctor) examineGit(ctx context.Context) {
	c, done, err := d.userGit()
	if err != nil {
		d.fail("git", err)
		return
	}
	defer done()
	version, err := c.Version(ctx)
	switch {
	case errors.Is(err, mirror.ErrNotFound) && d.needsGit():
		d.fail("git", &mirror.Problem{Code: codeGoClient, Kind: mirror.ErrNotFound, What: "there is no git, and the replacements are fetched by git", Why: "no program called git is in PATH",
			Do: "install git 2.39 or newer; or serve the mirror at https://HOST/ on port 443, where the go command needs none"})
	case errors.Is(err, mirror.ErrNotFound):
		d.warn("git", &mirror.Problem{Code: codeGoClient, What: "there is no git", Why: "the go command needs it for replacements with .git and for --mode insteadof", Do: "install git 2.39 or newer"})
	case err != nil:
		d.fail("git", &mirror.Problem{Code: codeGoClient, What: "git does not run", Why: err.Error(), Do: "mend its installation, or its settings: git config --list --show-origin"})
	case !git.Recent(version):
		d.warn("git", &mirror.Problem{Code: codeGoClient, What: "git " + version + " is older than what this was tested with", Why: "2.39 was the oldest", Do: "install a newer git"})
	default:
		d.ok("git", "git %s", version)
	}
}

// forged says which Go versions accept forged answers of a checksum database.
var forged = map[string]string{"go1.25": "v1.25.13", "go1.26": "v1.26.6"}

// goVersion is "go1.26.8" of the go command in PATH, read from its files:
// nothing of a stranger's project, such as a toolchain line, is run for it. "" =
// a development version, or a packager's layout.
func (d *doctor) goVersion() string {
	text, err := os.ReadFile(filepath.Join(d.goRoot(), "VERSION"))
	name, _, _ := strings.Cut(string(text), "\n")
	if name = strings.TrimSpace(name); err != nil || !semver.IsValid("v"+strings.TrimPrefix(name, "go")) {
		return ""
	}
	return name
}

// examineGo looks at the version of the go command, and whether it is enough for
// the project.
func (d *doctor) examineGo() {
	if d.goRoot() == "" {
		d.fail("go", &mirror.Problem{Code: codeGoClient, What: "the go command was not found", Why: "no program called go is in PATH", Do: "install Go"})
		return
	}
	name := d.goVersion()
	version := "v" + strings.TrimPrefix(name, "go")
	switch minimum := forged["go"+strings.TrimPrefix(semver.MajorMinor(version), "v")]; {
	case name == "":
		d.ok("go", "go in %s", d.goRoot())
		return
	case minimum != "" && semver.Compare(version, minimum) < 0, semver.Compare(version, "v1.25.0") < 0:
		d.warn("go", &mirror.Problem{Code: codeGoClient, What: name + " accepts forged answers of a checksum database", Why: "GO-2026-6179, GO-2026-6180",
			Do: "use Go 1.25.13, 1.26.6 or newer"})
	default:
		d.ok("go", "%s", name)
	}
	if want := "v" + d.facts.Go; semver.IsValid(want) && semver.Compare(want, version) > 0 {
		p := &mirror.Problem{Code: codeGoClient, What: "the project wants Go " + d.facts.Go + ", and this is " + name, Why: "the go command downloads another toolchain, which is not the mirror's",
			Do: "install Go " + d.facts.Go + " or newer"}
		if d.current["GOTOOLCHAIN"] == "local" || d.current["GOPROXY"] == "off" {
			p.Why = "GOTOOLCHAIN=local or GOPROXY=off lets the go command fetch no other"
			d.fail("go", p)
			return
		}
		d.warn("go", p)
	}
}

// examineSettings looks for settings that work against a mirror.
func (d *doctor) examineSettings(site mirror.Site) {
	now, quiet := d.current, len(d.findings)
	for _, name := range []string{"GOPRIVATE", "GONOPROXY"} {
		for _, host := range []string{"github.com/gin-gonic/gin", "golang.org/x/mod"} {
			if module.MatchPrefixPatterns(now[name], host) {
				d.warn("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: name + "=" + now[name] + " covers public modules such as " + host,
					Why: "the go command then goes past module proxies, also the mirror's, and asks no checksum database", Do: "leave only private prefixes in " + name})
				break
			}
		}
	}
	if now["GOSUMDB"] == "off" {
		d.warn("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: "GOSUMDB=off: no checksum database is asked", Do: "unset it; the mirror needs no such thing"})
	}
	if list := now["GOINSECURE"]; site.URL != "" && module.MatchPrefixPatterns(list, site.Root()) && strings.HasPrefix(site.URL, "https://") {
		d.warn("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: "GOINSECURE=" + list + " lets the go command talk to the mirror without TLS", Why: "the mirror has TLS", Do: "take the mirror's host out of GOINSECURE"})
	}
	if list := now["GOINSECURE"]; list != "" && d.needsGit() && module.MatchPrefixPatterns(list, site.Root()) {
		d.warn("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: "GOINSECURE=" + list + " does nothing for git", Why: "replacements with .git are fetched by git, which still verifies TLS",
			Do: "let git trust the certificate: git config --global http.https://HOST/.sslCAInfo FILE"})
	}
	if auth := now["GOAUTH"]; auth != "" && !strings.Contains(auth, "netrc") {
		d.warn("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: "GOAUTH=" + strings.Fields(auth + " x")[0] + " takes the place of ~/.netrc",
			Why: "the go command asks for its credentials there; what follows here is asked with those of ~/.netrc", Do: "leave GOAUTH unset unless it knows the mirror"})
	}
	if list := d.lookup("GIT_ALLOW_PROTOCOL"); list != "" && d.needsGit() && !slices.Contains(strings.Split(list, ":"), "https") {
		d.fail("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: "GIT_ALLOW_PROTOCOL=" + list + " does not let the go command fetch paths with .git",
			Why: "it looks for https in it, before git redirects the address", Do: "set GIT_ALLOW_PROTOCOL=https:" + list})
	}
	e := d.environment(site)
	var set []rewrite.Setting
	if len(d.facts.Replaced) > 0 {
		set, _ = e.Settings()
	}
	for _, p := range e.Conflicts(set, false) {
		d.warn("settings", p)
	}
	d.examineOverrides()
	if !d.found(quiet) {
		d.ok("settings", "nothing in them works against a mirror")
	}
}

// examineOverrides names variables that "go env -w" set in vain.
func (d *doctor) examineOverrides() {
	name, err := d.userFiles().GoEnv()
	if err != nil {
		d.warn("settings", explain(err))
		return
	}
	file, shell := readSettings(name), d.shellSettings()
	for _, key := range []string{"GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOPROXY", "GOSUMDB", "GOVCS", "GOINSECURE", "GOFLAGS"} {
		if file[key] != "" && shell[key] != "" && file[key] != shell[key] {
			d.warn("settings", &mirror.Problem{Code: rewrite.CodeSettings, What: key + "=" + shell[key] + " of the environment wins over " + key + "=" + file[key] + " of " + name,
				Why: "the go command asks its file only for what the environment does not set", Do: "take " + key + " out of the shell's start-up files, or run: go env -u " + key})
		}
	}
}

// examineFilters looks for what makes this machine's git give other files than
// everybody else's, and so other hashes (LAWS 35).
func (d *doctor) examineFilters() {
	if !d.byGit {
		return
	}
	quiet := len(d.findings)
	attributes := ""
	for _, g := range d.git {
		switch {
		case strings.HasPrefix(g.Key, "filter.") && (strings.HasSuffix(g.Key, ".smudge") || strings.HasSuffix(g.Key, ".process")) && g.Value != "":
			filter := strings.TrimPrefix(g.Key[:strings.LastIndexByte(g.Key, '.')], "filter.")
			d.warn("filters", &mirror.Problem{Code: codeGoClient, What: "git's filter " + filter + " changes the files of repositories that ask for it",
				Why: "the go command then computes another hash than everybody else, and calls it a SECURITY ERROR",
				Do:  "if that happens: git config --global --remove-section filter." + filter + ", build, and set it again"})
		case g.Key == "core.attributesfile":
			attributes = g.Value
		}
	}
	if attributes == "" {
		attributes = filepath.Join(or(d.lookup("XDG_CONFIG_HOME"), filepath.Join(d.lookup("HOME"), ".config")), "git", "attributes")
	}
	if rest, ok := strings.CutPrefix(attributes, "~/"); ok {
		attributes = filepath.Join(d.lookup("HOME"), rest)
	}
	if text, err := readRegular(attributes); err == nil && strings.TrimSpace(string(text)) != "" {
		d.warn("filters", &mirror.Problem{Code: codeGoClient, What: attributes + " gives files of all repositories attributes",
			Why: "one that changes their content (text, eol, filter, export-subst) changes hashes, on this machine only", Do: "if the go command reports a SECURITY ERROR: move the file away and build again"})
	}
	if !d.found(quiet) {
		d.ok("filters", "git changes no files here")
	}
}
