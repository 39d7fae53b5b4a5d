package rewrite

import (
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// insteadOf are the settings of the mode that redirects git.
func (e Environment) insteadOf() (settings []Setting, problems []*mirror.Problem) {
	patterns := e.Coverage.Patterns
	if e.SSH && e.Site.SSH == "" {
		return nil, []*mirror.Problem{e.noSSH()}
	}
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
		for i, from := range e.spellings(repo) {
			settings = append(settings, Setting{Name: "url." + e.base() + repo + ".insteadOf", Value: from, Git: true, Add: i > 0})
		}
	}
	settings = append(settings, e.neighbours()...)
	return append(settings, e.trust()...), problems
}

// spellings are the ways to write a repository's URL that are to lead to the
// mirror; the first is the one the go command uses. insteadOf knows nothing but
// the first characters of a URL, so that each needs an entry (LAWS §8).
func (e Environment) spellings(repo string) []string {
	all := []string{"https://" + repo}
	if !e.Spellings {
		return all
	}
	host, path, _ := strings.Cut(repo, "/")
	return append(all, "http://"+repo, "git://"+repo, "ssh://git@"+repo, "git@"+host+":"+path)
}

// neighbours leaves alone what the mirror does not have and whose URL begins
// as one of its own does: https://github.com/o/ab begins with .../o/a. The
// longest match counts, so that a rule which changes nothing keeps it.
func (e Environment) neighbours() (settings []Setting) {
	known := map[string]bool{}
	for _, missing := range e.Coverage.Unmirrored {
		for _, repo := range e.Coverage.Patterns {
			rest, ok := strings.CutPrefix(missing, repo)
			if !ok || rest == "" || rest[0] == '/' {
				continue
			}
			name, _, _ := strings.Cut(rest, "/")
			if known[repo+name] {
				break
			}
			known[repo+name] = true
			for _, from := range e.spellings(repo + name) {
				settings = append(settings, Setting{
					Name: "url." + from + ".insteadOf", Value: from, Git: true, Why: "it is not mirrored, and begins like " + repo,
				})
			}
			break
		}
	}
	return settings
}

// goproxy are the settings of the mode that asks the mirror's module proxy.
func (e Environment) goproxy() (settings []Setting, problems []*mirror.Problem) {
	value := strings.TrimSuffix(e.Site.URL, "/") + "/proxy"
	if e.Site.URL == "" {
		return nil, []*mirror.Problem{{
			Code: CodeSettings, Kind: mirror.ErrInvalid, What: "the mirror has no http address, and a module proxy needs one",
			Do: "turn http.addr on at the server, or use --mode replace --ssh",
		}}
	}
	if !e.Sealed {
		rest := "direct"
		if now := e.Current["GOPROXY"]; now != "" {
			rest = now
		}
		value = e.before(value, rest)
	}
	settings = []Setting{{Name: "GOPROXY", Value: value, Why: "the mirror's module proxy is asked first"}}
	return settings, append(problems, e.past()...)
}

// before puts the mirror in front of a list of proxies. What was behind a "|"
// stays behind one: it is asked after any error, not only after "not found".
func (e Environment) before(value, rest string) string {
	first, separator := value, ","
	for rest != "" {
		other := rest
		i := strings.IndexAny(rest, ",|")
		next := ""
		if i >= 0 {
			other, next = rest[:i], rest[i:i+1]
			rest = rest[i+1:]
		} else {
			rest = ""
		}
		if other = strings.TrimSpace(other); other != "" && other != "off" && other != first {
			value += separator + other
		}
		if next != "" {
			separator = next
		}
	}
	return value
}

// past names what keeps modules from the mirror's proxy, or from being checked.
func (e Environment) past() (problems []*mirror.Problem) {
	covered := func(name string) (past []string) {
		for _, p := range slices.Concat(e.Coverage.Patterns, e.Coverage.Unreachable) {
			if module.MatchPrefixPatterns(e.Current[name], p) {
				past = append(past, p)
			}
		}
		return past
	}
	for _, name := range []string{"GOPRIVATE", "GONOPROXY"} {
		if e.Current[name] == "" || e.Current[name] == "none" || name == "GOPRIVATE" && e.Current["GONOPROXY"] != "" {
			continue
		}
		if past := covered(name); len(past) > 0 {
			problems = append(problems, &mirror.Problem{
				Code: CodeSettings, Kind: mirror.ErrInvalid, What: name + "=" + e.Current[name] + " goes past the mirror's proxy for " + list(past, 5),
				Do: "take these patterns out of " + name + ", or use --mode replace",
			})
		}
	}
	switch {
	case e.Current["GOSUMDB"] == "off":
		problems = append(problems, &mirror.Problem{
			Code: CodeSettings, What: "GOSUMDB=off: what go.sum does not list is not checked", Do: "unset it; the mirror needs no such thing",
		})
	case e.NoSumDB && e.Sealed:
		problems = append(problems, &mirror.Problem{
			Code: CodeSettings, What: "the mirror passes on no checksum database", Why: "what go.sum does not list cannot be checked where only the mirror is reached",
			Do: "bring go.sum up to date where the checksum database can be reached (go mod tidy, go mod download all)",
		})
	}
	return problems
}
