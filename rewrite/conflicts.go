package rewrite

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// Conflicts names what is set on this machine and works against settings, with
// the cure. toFile: the settings go into files (env --write), over which the
// environment wins. They are advice: nothing of the user's is taken away.
func (e Environment) Conflicts(settings []Setting, toFile bool) []*mirror.Problem {
	var all []*mirror.Problem
	if toFile {
		all = append(all, e.overridden(settings)...)
	}
	all = append(all, e.flags()...)
	all = append(all, e.vcs(settings)...)
	all = append(all, e.redirected(settings)...)
	return append(all, e.stores()...)
}

func conflict(what, why, do string) *mirror.Problem {
	return &mirror.Problem{Code: CodeSettings, What: what, Why: why, Do: do}
}

// overridden are the variables of the environment that win over "go env -w"
// (LAWS 29). An empty one does not.
func (e Environment) overridden(settings []Setting) (all []*mirror.Problem) {
	for _, s := range settings {
		if now := e.Shell[s.Name]; !s.Git && now != "" && now != s.Value {
			all = append(all, conflict(s.Name+"="+now+" is set in the environment, which wins over the file",
				"the go command asks its file only for what the environment does not set",
				"take "+s.Name+" out of the shell's start-up files, or set it there to "+s.Value))
		}
	}
	return all
}

// flags are settings of the go command that do not what their owner may think.
func (e Environment) flags() (all []*mirror.Problem) {
	for flag := range strings.FieldsSeq(e.Current["GOFLAGS"]) {
		name, value, _ := strings.Cut(strings.TrimPrefix(flag, "-"), "=")
		switch {
		case name == "-mod" && value == "mod" || name == "mod" && value == "mod":
			all = append(all, conflict("GOFLAGS has -mod=mod", "builds then change go.mod and go.sum, and may leave the mirror for newer versions", "take it out of GOFLAGS"))
		case name == "insecure":
			all = append(all, conflict("GOFLAGS has -insecure", "the go command has no such flag any more: it has no effect", "take it out of GOFLAGS; GOINSECURE names hosts without TLS"))
		case name == "modfile" && e.Mode != InsteadOf && e.Mode != GOPROXY:
			all = append(all, conflict("GOFLAGS has "+flag, "another file than go.mod then decides what is replaced", "take it out of GOFLAGS"))
		}
	}
	if e.Current["GONOSUMCHECK"] != "" {
		all = append(all, conflict("GONOSUMCHECK is set", "the go command does not know it: it has no effect", "unset it; GONOSUMDB and GOPRIVATE are the names"))
	}
	if e.Current["GO111MODULE"] == "off" {
		all = append(all, conflict("GO111MODULE=off", "the go command then reads no go.mod at all", "run: go env -u GO111MODULE, and unset it in the environment"))
	}
	if count := e.Current["GIT_CONFIG_COUNT"]; count != "" {
		if n, err := strconv.Atoi(count); err != nil || n < 0 {
			all = append(all, conflict("GIT_CONFIG_COUNT="+count+" is not a number", "git stops at it", "unset GIT_CONFIG_COUNT"))
		}
	}
	return all
}

// vcs looks whether GOVCS lets the go command use git for what it fetches by
// git: replacements in the DotGit form, and the repositories of mode insteadof.
func (e Environment) vcs(settings []Setting) []*mirror.Problem {
	now := e.Current["GOVCS"]
	var paths []string
	switch {
	case now == "" || e.Mode == GOPROXY:
	case e.Mode == InsteadOf:
		paths = e.Coverage.Patterns
	case e.form() == mirror.DotGit:
		paths = []string{e.Site.Root()}
	}
	private := e.Current["GOPRIVATE"]
	for _, s := range settings {
		if s.Name == "GOPRIVATE" {
			private = s.Value
		}
	}
	for _, path := range paths {
		if !vcsAllows(now, path, module.MatchPrefixPatterns(private, path)) {
			return []*mirror.Problem{conflict("GOVCS="+now+" does not let the go command use git for "+path,
				"it says so: GOVCS disallows using git", "set GOVCS="+path+":git,"+now)}
		}
	}
	return nil
}

// vcsAllows tells whether a GOVCS list allows git for a path, as
// cmd/go/internal/vcs.govcsConfig.allow does: the first rule that matches
// decides, and behind the last come public:git|hg and private:all.
func vcsAllows(list, path string, private bool) bool {
	for rule := range strings.SplitSeq(list, ",") {
		pattern, allowed, ok := strings.Cut(strings.TrimSpace(rule), ":")
		if !ok {
			continue
		}
		switch pattern {
		case "private":
			ok = private
		case "public":
			ok = !private
		default:
			ok = pattern == "*" || module.MatchPrefixPatterns(pattern, path)
		}
		if ok {
			names := strings.Split(allowed, "|")
			return slices.Contains(names, "git") || slices.Contains(names, "all")
		}
	}
	return true
}

// redirected are insteadOf rules of the user that take away what ours are to
// redirect: git uses the longest match, and of equal ones the first it reads.
func (e Environment) redirected(settings []Setting) (all []*mirror.Problem) {
	ours := map[string]string{} // redirected URL → where to
	for _, s := range settings {
		if section, base, name := splitKey(s.Name); s.Git && section == "url" && strings.EqualFold(name, "insteadOf") {
			ours[s.Value] = base
		}
	}
	if len(settings) > 0 && (e.Mode == Replace || e.Mode == "") { // the address itself may be redirected, although nothing of ours is
		if from := "https://" + e.Site.Root() + "/"; e.form() == mirror.DotGit && ours[from] == "" {
			ours[from] = from
		}
	}
	for _, g := range e.Git {
		section, base, name := splitKey(g.Key)
		if section != "url" || name != "insteadof" {
			continue
		}
		for value, to := range ours {
			if base == to || !strings.HasPrefix(g.Value, value) || ours[g.Value] == base || strings.HasPrefix(base, to) {
				continue
			}
			all = append(all, conflict(g.from()+" redirects "+g.Value+" to "+base, "git then does not ask "+to+" for it, where the mirror is",
				`run: git config --global --unset-all `+word("url."+base+".insteadOf")+" "+word("^"+escapeRegexp(g.Value)+"$")))
		}
	}
	slices.SortFunc(all, func(a, b *mirror.Problem) int { return strings.Compare(a.What, b.What) })
	return all
}

// escapeRegexp makes a text match itself where git wants a regular expression.
func escapeRegexp(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// stores are trust and credentials that only one of go and git sees.
func (e Environment) stores() (all []*mirror.Problem) {
	git, file := e.Current["GIT_SSL_CAINFO"], e.Current["SSL_CERT_FILE"]
	if git != "" && file != "" && git != file && strings.HasPrefix(e.base(), "https://") {
		all = append(all, conflict("GIT_SSL_CAINFO and SSL_CERT_FILE name two files", "git believes the authorities of the one, the go command those of the other, and no git setting changes that",
			"let both name one file that holds the mirror's authority"))
	}
	if e.Current["NETRC"] != "" && (e.Mode == InsteadOf || e.Mode != GOPROXY && e.form() == mirror.DotGit) {
		all = append(all, conflict("NETRC is set", "the go command reads that file, git reads ~/.netrc only", "keep the mirror's entry in ~/.netrc, too"))
	}
	return all
}
