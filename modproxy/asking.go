package modproxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// asking is somebody's question about a module at one origin, under the rules.
//
// The rules are about code: list, latest, info and zip. A go.mod may always be
// had, since the go command reads those of versions that it will not use.
type asking struct {
	h      *Handler
	r      *http.Request
	origin origin
	path   string
	rules  *Rules
	// trace, if not nil, hears how it is decided, and nobody else does: nothing is
	// refused to anybody.
	trace func(mirror.VerdictStep)
}

// step tells the trace, if there is one; the words are only put together then.
func (a *asking) step(about, result string, rule *mirror.ModuleRule, text ...string) {
	if a.trace != nil {
		a.trace(mirror.VerdictStep{About: about, Result: result, Rule: rule, Text: strings.Join(text, "")})
	}
}

// refused notes a refusal.
func (a *asking) refused(ctx context.Context, kind mirror.ModuleEventKind, version string, p *mirror.Problem) {
	if a.trace == nil {
		a.h.refused(a.event(ctx, kind, version, p))
	}
}

// maxYoung bounds how many versions of a list are looked at for their age.
const maxYoung = 20

// may tells why a version may not be had. info, if not nil, is what is known of it.
func (a *asking) may(ctx context.Context, version string, info *Info) error {
	p, kind, err := a.refusal(ctx, version, info)
	if err != nil || p == nil {
		return err
	}
	a.refused(ctx, kind, version, p)
	return p
}

func (a *asking) event(ctx context.Context, kind mirror.ModuleEventKind, version string, p *mirror.Problem) mirror.ModuleEvent {
	e := mirror.ModuleEvent{At: time.Now().UTC(), Kind: kind, Module: a.path, Version: version, Text: p.Error()}
	e.User = auth.From(ctx).Name
	e.Address, _, _ = net.SplitHostPort(a.r.RemoteAddr)
	return e
}

// refusal is may without a word to anybody.
func (a *asking) refusal(ctx context.Context, version string, info *Info) (*mirror.Problem, mirror.ModuleEventKind, error) {
	what := show(a.path + "@" + version)
	v := a.rules.verdict(a.path, version)
	switch {
	case v != nil && v.allow:
		a.step("rule", "pass", v.rule, version, " is allowed, whatever its age and vulnerabilities")
		return nil, "", nil
	case v != nil:
		a.step("rule", "stop", v.rule, version, " is denied")
		return v.problem(what), mirror.ModuleDenied, nil
	}
	a.step("rule", "pass", nil, "no rule allows or denies ", version)
	if vulns := a.h.Rules.vulns(); vulns != nil {
		if hit := vulns.of(a.path, version); len(hit) > 0 {
			p := vulnerable(what, version, hit)
			a.step("vulnerabilities", "stop", nil, strings.ReplaceAll(p.Why, "\n", "; "))
			return p, mirror.ModuleVulnerable, nil
		}
		a.step("vulnerabilities", "pass", nil, "none that is known is of ", version)
	}
	age, rule := a.rules.minAge(a.path)
	if age <= 0 {
		return nil, "", nil
	}
	if info == nil {
		got, err := a.origin.info(ctx, version)
		if err != nil {
			return nil, "", err
		}
		info = &got.Info
	}
	old := time.Since(info.Time) >= age
	if old && a.trace == nil {
		return nil, "", nil
	}
	is := "it is of " + info.Time.UTC().Format("2006-01-02 15:04") + " UTC, and versions must be " + age.String() + " old here"
	if old {
		a.step("age", "pass", rule, is)
		return nil, "", nil
	}
	a.step("age", "stop", rule, is)
	return &mirror.Problem{Code: mirror.CodeModuleRule, Kind: mirror.ErrDenied, What: what + " is too young", Why: is,
		Do: "use an older version, or this one from " + info.Time.Add(age).UTC().Format("2006-01-02 15:04") + " UTC on"}, mirror.ModuleTooYoung, nil
}

func vulnerable(what, version string, hit []vuln) *mirror.Problem {
	why := make([]string, 0, len(hit))
	for _, one := range hit {
		why = append(why, strings.TrimSuffix(one.id+": "+one.summary, ": "))
	}
	p := &mirror.Problem{Code: mirror.CodeModuleRule, Kind: mirror.ErrDenied, What: what + " has known vulnerabilities",
		Why: strings.Join(why, "\n"), Do: "no version is known to mend them; ask an administrator"}
	if len(hit) == 1 {
		p.What = what + " has a known vulnerability"
	}
	if fixed := mendedIn(version, hit); fixed != "" {
		p.Do = "use " + fixed + " or a later version"
	}
	return p
}

// whole tells why no version at all may be had.
func (a *asking) whole(ctx context.Context) error {
	v := a.rules.verdict(a.path, "")
	if v == nil || v.allow {
		return nil
	}
	p := v.problem(show(a.path))
	a.step("rule", "stop", v.rule, "every version of it is denied")
	a.refused(ctx, mirror.ModuleDenied, "", p)
	return p
}

// list is the body of @v/list: lines of versions that may be had.
func (a *asking) list(ctx context.Context) ([]byte, how, error) {
	if err := a.whole(ctx); err != nil {
		return nil, "", err
	}
	lines, by, err := a.origin.versions(ctx)
	if err != nil {
		return nil, "", err
	}
	if lines, err = a.allowed(ctx, lines); err != nil {
		return nil, "", err
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	return []byte(b.String()), by, nil
}

// allowed leaves out what may not be had. Ages are asked for from the highest
// version down, until one is old enough: those below it are older still, mostly,
// and refused when somebody asks for them if they are not.
func (a *asking) allowed(ctx context.Context, lines []string) ([]string, error) {
	vulns := a.h.Rules.vulns()
	age, _ := a.rules.minAge(a.path)
	if len(a.rules.verdicts) == 0 && vulns.Len() == 0 && age <= 0 {
		return lines, nil
	}
	order := make([]int, len(lines))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return semver.Compare(versionOfLine(lines[y]), versionOfLine(lines[x])) })
	gone := make([]bool, len(lines))
	looked, old := 0, false
	for _, i := range order {
		version := versionOfLine(lines[i])
		v := a.rules.verdict(a.path, version)
		switch {
		case v != nil:
			gone[i] = !v.allow
			continue
		case len(vulns.of(a.path, version)) > 0:
			gone[i] = true
			continue
		}
		if age <= 0 || old || looked >= maxYoung {
			continue
		}
		looked++
		p, _, err := a.refusal(ctx, version, nil)
		switch {
		case err != nil && !passesOn(err):
			return nil, err
		case err != nil: // it is listed and cannot be looked at: whoever asks for it will hear why
		case p != nil:
			gone[i] = true
		default:
			old = semver.Prerelease(version) == ""
		}
	}
	kept := make([]string, 0, len(lines))
	for i, line := range lines {
		if !gone[i] {
			kept = append(kept, line)
		}
	}
	return kept, nil
}

// versionOfLine is the version of a line of @v/list, which may have a time behind it.
func versionOfLine(line string) string {
	version, _, _ := strings.Cut(line, " ")
	return version
}

// infoOf is the version behind a query. The latest is the latest that may be had.
func (a *asking) infoOf(ctx context.Context, query string) (infoReply, error) {
	if semver.IsValid(query) && module.CanonicalVersion(query) == query {
		if v := a.rules.verdict(a.path, query); v != nil && !v.allow {
			return infoReply{}, a.may(ctx, query, nil) // without asking anybody
		}
	} else if err := a.whole(ctx); err != nil {
		return infoReply{}, err
	}
	info, err := a.origin.info(ctx, query)
	if err != nil {
		return infoReply{}, err
	}
	if query != "latest" {
		return info, a.may(ctx, info.Version, &info.Info)
	}
	p, kind, err := a.refusal(ctx, info.Version, &info.Info)
	if err != nil || p == nil {
		return info, err
	}
	lines, _, err := a.origin.versions(ctx)
	if err == nil {
		lines, err = a.allowed(ctx, lines)
	}
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return infoReply{}, err
	}
	versions := make([]string, len(lines))
	for i, line := range lines {
		versions[i] = versionOfLine(line)
	}
	semver.Sort(versions)
	best := highestOf(versions, func(version string) (bool, error) {
		no, _, err := a.refusal(ctx, version, nil)
		return no == nil, err
	})
	if best == "" {
		a.refused(ctx, kind, info.Version, p)
		return infoReply{}, p
	}
	return a.origin.info(ctx, best)
}
