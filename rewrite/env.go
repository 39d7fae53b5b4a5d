package rewrite

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

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
	// Spellings redirects, in mode insteadof, http://, git://, ssh:// and
	// git@HOST: URLs of the repositories, too: what other tools than the go
	// command may use.
	Spellings bool
	// NoSumDB: the mirror's proxy was asked, and offers no checksum database.
	NoSumDB bool
	// Current are variables already set, by the OS or in the go env file
	// (GOPRIVATE, GONOPROXY, GONOSUMDB, GOPROXY, GIT_CONFIG_COUNT, …, and
	// SSL_CERT_FILE and GIT_SSL_CAINFO). They are added to, never lost.
	Current map[string]string
	// Shell are those of them that the OS has: they win over the go env file.
	Shell map[string]string
	// Git are the git settings in force; see Conflicts.
	Git []GitSetting
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
	root := e.Site.Root()
	settings = e.private("GOPRIVATE", "the mirror is asked directly, and no checksum database is asked for it", root)
	settings, problems = e.seal(settings, problems)
	form := e.form()
	switch {
	case form == mirror.Discovery && e.SSH:
		problems = append(problems, &mirror.Problem{
			Code: CodeSettings, Kind: mirror.ErrInvalid, What: "replacements in the discovery form are found over https, not ssh",
			Do: "rewrite with --form dotgit",
		})
	case form == mirror.Discovery && SiteForm(e.Site) != mirror.Discovery:
		problems = append(problems, &mirror.Problem{
			Code: CodeAddress, Kind: mirror.ErrInvalid, What: "the go command looks for " + e.Site.Host() + " over https on port 443, and the mirror is at " + e.Site.URL,
			Do: "rewrite with --form dotgit, or serve the mirror at https://" + e.Site.Host() + "/",
		})
	case form == mirror.DotGit && e.SSH && e.Site.SSH == "":
		problems = append(problems, e.noSSH())
	case form == mirror.DotGit && !e.SSH && e.Site.URL == "":
		problems = append(problems, &mirror.Problem{
			Code: CodeSettings, Kind: mirror.ErrInvalid, What: "the mirror has no http address", Do: "add --ssh",
		})
	case form == mirror.DotGit:
		settings = append(settings, e.redirect("https://"+root+"/")...)
		settings = append(settings, e.trust()...)
	}
	return settings, problems
}

func (e Environment) noSSH() *mirror.Problem {
	return &mirror.Problem{
		Code: CodeSettings, Kind: mirror.ErrInvalid, What: "the mirror has no ssh address", Do: "leave --ssh out, or turn ssh.addr on at the server",
	}
}

func (e Environment) form() mirror.Form {
	if e.Form != "" {
		return e.Form
	}
	return SiteForm(e.Site)
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

// trust lets git believe the authority that the go command is told to believe:
// git does not read SSL_CERT_FILE (LAWS 20).
func (e Environment) trust() []Setting {
	file := e.Current["SSL_CERT_FILE"]
	base := e.base()
	if file == "" || !strings.HasPrefix(base, "https://") || e.Current["GIT_SSL_CAINFO"] != "" {
		return nil
	}
	return []Setting{{Name: "http." + base + ".sslCAInfo", Value: file, Git: true, Why: "git does not read SSL_CERT_FILE"}}
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
// where the user has set them, override GOPRIVATE, so they grow as well (LAWS 24).
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
