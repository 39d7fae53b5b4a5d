package rewrite

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// Setting is one thing to set where the go command runs: a variable of the go
// command, or a git setting (which may ride in GIT_CONFIG_* variables).
type Setting struct {
	// Name is "GOPRIVATE", or for git a key such as "url.https://a/.insteadOf".
	Name  string `json:"name"`
	Value string `json:"value"`
	Git   bool   `json:"git,omitempty"`
	Why   string `json:"why,omitempty"`
}

// String is the setting as a command or an assignment.
func (s Setting) String() string {
	if !s.Git {
		return s.Name + "=" + s.Value
	}
	base := strings.TrimSuffix(strings.TrimPrefix(s.Name, "url."), ".insteadOf")
	return `git config --global url."` + base + `".insteadOf ` + s.Value
}

// Environment is what settings depend on.
type Environment struct {
	Site     mirror.Site
	Mode     Mode        // empty = Replace
	Form     mirror.Form // of the replacements; empty = what fits Site
	Coverage Coverage    // of a plan
	// Sealed: nothing but the mirror may be asked, so GOPROXY is turned off.
	Sealed bool
	// SSH fetches over ssh; replacements must be in the DotGit form.
	SSH bool
	// Current are variables already set, by the OS or in the go env file
	// (GOPRIVATE, GONOPROXY, GONOSUMDB, GOPROXY, GIT_CONFIG_COUNT, …). They are
	// added to, never lost.
	Current map[string]string
}

// Settings are the go and git settings that make a client use the mirror.
// Problems without a kind are advice; with one, the settings do not do what
// was asked.
func (e Environment) Settings() ([]Setting, []*mirror.Problem) {
	if e.Coverage.Modules == 0 && e.Mode != GOPROXY {
		return nil, nil
	}
	switch e.Mode {
	case InsteadOf:
		return e.insteadOf()
	case GOPROXY:
		return e.goproxy()
	}
	return e.replace()
}

func (e Environment) replace() (settings []Setting, problems []*mirror.Problem) {
	if p := CheckSite(e.Site); p != nil {
		return nil, []*mirror.Problem{p}
	}
	host := e.Site.Host()
	settings = e.private("GOPRIVATE", "the mirror is asked directly, and no checksum database is asked for it", host)
	settings, problems = e.seal(settings, problems)
	form := e.Form
	if form == "" {
		form = SiteForm(e.Site)
	}
	switch {
	case form == mirror.Discovery && e.SSH:
		problems = append(problems, &mirror.Problem{
			Code: CodeSettings, Kind: mirror.ErrInvalid, What: "replacements in the discovery form are found over https, not ssh",
			Do: "rewrite with --form dotgit",
		})
	case form == mirror.Discovery && SiteForm(e.Site) != mirror.Discovery:
		problems = append(problems, &mirror.Problem{
			Code: CodeAddress, Kind: mirror.ErrInvalid, What: "the go command looks for " + host + " over https on port 443, and the mirror is at " + e.Site.URL,
			Do: "rewrite with --form dotgit, or serve the mirror at https://" + host + "/",
		})
	case form == mirror.DotGit && e.SSH && e.Site.SSH == "":
		problems = append(problems, &mirror.Problem{
			Code: CodeSettings, Kind: mirror.ErrInvalid, What: "the mirror has no ssh address", Do: "leave --ssh out, or turn ssh.addr on at the server",
		})
	case form == mirror.DotGit:
		settings = append(settings, e.redirect("https://"+host+"/")...)
	}
	return settings, problems
}

// base is where git finds the mirror, with a trailing slash.
func (e Environment) base() string {
	if e.SSH && e.Site.SSH != "" {
		return strings.TrimSuffix(e.Site.SSH, "/") + "/"
	}
	return strings.TrimSuffix(e.Site.URL, "/") + "/"
}

// redirect tells git where https://HOST/ really is; nothing when it is there.
func (e Environment) redirect(from string) []Setting {
	base := e.base()
	if u, err := url.Parse(base); err == nil && u.Scheme == "https" && u.Port() == "443" {
		base = "https://" + hostOnly(u) + u.Path
	}
	if base == from {
		return nil
	}
	return []Setting{{Name: "url." + base + ".insteadOf", Value: from, Git: true, Why: "module paths hold no port and no scheme"}}
}

func hostOnly(u *url.URL) string {
	if h := u.Hostname(); net.ParseIP(h) != nil && strings.Contains(h, ":") {
		return "[" + h + "]"
	}
	return u.Hostname()
}

func (e Environment) seal(settings []Setting, problems []*mirror.Problem) ([]Setting, []*mirror.Problem) {
	if !e.Sealed {
		return settings, problems
	}
	if e.Coverage.DirectOnly {
		return settings, append(problems, &mirror.Problem{
			Code: CodeCoverage, Kind: mirror.ErrInvalid, What: "GOPROXY cannot be turned off", Why: "only direct requirements are replaced",
			Do: "rewrite with --scope all, or leave --sealed out",
		})
	}
	if !e.Coverage.Complete() {
		return settings, append(problems, &mirror.Problem{
			Code: CodeCoverage, Kind: mirror.ErrInvalid, What: "GOPROXY cannot be turned off yet", Why: e.Coverage.String(),
			Do: "mirror the missing modules, or leave --sealed out",
		})
	}
	settings = append(settings, Setting{Name: "GOPROXY", Value: "off", Why: "nothing but the mirror is asked"})
	if e.Current["GOTOOLCHAIN"] != "local" {
		problems = append(problems, &mirror.Problem{
			Code: CodeSettings, What: "with GOPROXY=off the go command cannot download other toolchains",
			Do: "set GOTOOLCHAIN=local, so that a newer go line in go.mod fails with a plain message",
		})
	}
	return settings, problems
}

// private appends patterns to GOPRIVATE or GONOPROXY. GONOPROXY and GONOSUMDB,
// where the user has set them, override GOPRIVATE, so they grow as well.
func (e Environment) private(name, why string, patterns ...string) []Setting {
	settings := []Setting{{Name: name, Value: extend(e.Current[name], patterns), Why: why}}
	if name != "GOPRIVATE" {
		return settings
	}
	for _, other := range []string{"GONOPROXY", "GONOSUMDB"} {
		// An effective value equal to GOPRIVATE is its default, not the user's.
		if now := e.Current[other]; now != "" && now != e.Current["GOPRIVATE"] {
			settings = append(settings, Setting{Name: other, Value: extend(now, patterns), Why: "it is set, and would override GOPRIVATE"})
		}
	}
	return settings
}

// extend adds patterns to a comma-separated list unless it covers them.
func extend(list string, patterns []string) string {
	var all []string
	for p := range strings.SplitSeq(list, ",") {
		if p = strings.TrimSpace(p); p != "" && p != "none" {
			all = append(all, p)
		}
	}
	for _, p := range patterns {
		if !module.MatchPrefixPatterns(strings.Join(all, ","), p) && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return strings.Join(all, ",")
}

func (e Environment) insteadOf() (settings []Setting, problems []*mirror.Problem) {
	patterns := e.Coverage.Patterns
	if len(e.Coverage.Unreachable) > 0 {
		problems = append(problems, &mirror.Problem{
			Code: CodeSettings, Kind: mirror.ErrInvalid,
			What: "mode insteadof does not lead to the mirror for " + list(e.Coverage.Unreachable, 10),
			Why:  "the go command asks the hosts of these paths where their repositories are", Do: "use --mode replace or --mode goproxy",
		})
	}
	if len(patterns) == 0 {
		return nil, problems
	}
	sealed := e.Sealed && e.Coverage.Complete() && len(e.Coverage.Unreachable) == 0
	if sealed {
		settings = e.private("GOPRIVATE", "these are fetched by git", patterns...)
	} else {
		settings = e.private("GONOPROXY", "these are fetched by git; the checksum database stays on", patterns...)
	}
	if e.Sealed && len(e.Coverage.Unreachable) == 0 {
		settings, problems = e.seal(settings, problems)
	}
	for _, repo := range patterns {
		settings = append(settings, Setting{Name: "url." + e.base() + repo + ".insteadOf", Value: "https://" + repo, Git: true})
	}
	return settings, problems
}

func (e Environment) goproxy() (settings []Setting, problems []*mirror.Problem) {
	value := strings.TrimSuffix(e.Site.URL, "/") + "/proxy"
	if !e.Sealed {
		rest := "direct"
		if now := e.Current["GOPROXY"]; now != "" {
			rest = now
		}
		for other := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == ',' || r == '|' }) {
			if other != "off" && other != value {
				value += "," + other
			}
		}
	}
	settings = []Setting{{Name: "GOPROXY", Value: value, Why: "the mirror's module proxy is asked first"}}
	for _, name := range []string{"GOPRIVATE", "GONOPROXY"} {
		if e.Current[name] == "" || e.Current[name] == "none" || name == "GOPRIVATE" && e.Current["GONOPROXY"] != "" {
			continue
		}
		var past []string
		for _, p := range slices.Concat(e.Coverage.Patterns, e.Coverage.Unreachable) {
			if module.MatchPrefixPatterns(e.Current[name], p) {
				past = append(past, p)
			}
		}
		if len(past) > 0 {
			problems = append(problems, &mirror.Problem{
				Code: CodeSettings, Kind: mirror.ErrInvalid, What: name + "=" + e.Current[name] + " goes past the mirror's proxy for " + list(past, 5),
				Do: "take these patterns out of " + name + ", or use --mode replace",
			})
		}
	}
	return settings, problems
}
