package modproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
)

// Rules say which modules may be had, and from where. The zero value lets
// everything through, from mirrors first. docs/modules.md describes the file.
type Rules struct {
	// Mode and MinAge are for modules that no rule says anything else about;
	// empty = prefer-mirror, zero = any age.
	Mode   mirror.ModuleMode
	MinAge time.Duration

	verdicts []verdict
	modes    []modeRule
	ages     []ageRule
	pins     []string
}

// verdict allows or denies.
type verdict struct {
	line    int
	allow   bool
	pattern string
	bounds  []bound // all must hold; none = every version
	reason  string
}

// bound is a comparison with a version.
type bound struct{ op, version string }

type modeRule struct {
	pattern string
	mode    mirror.ModuleMode
}

type ageRule struct {
	pattern string
	age     time.Duration
}

// maxRules bounds the file.
const maxRules = 10_000

// ParseRules reads a file of rules, one on a line:
//
//	deny  PATTERN [VERSIONS] [reason]
//	allow PATTERN [VERSIONS] [reason]
//	age   PATTERN DURATION
//	mode  PATTERN MODE
//	pin   PATTERN
//
// Patterns are those of GOPRIVATE; VERSIONS are comparisons with commas between,
// as <v1.2.3 or >=v1.0.0,<v1.4.0, or one version. The first rule that fits
// decides. The error is a Problem of kind ErrInvalid that names the line.
func ParseRules(text []byte) (*Rules, error) {
	r := &Rules{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if why := r.parse(n, fields); why != "" {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: fmt.Sprintf("line %d of the rules for modules cannot be read", n), Why: why,
				Do: "write deny or allow PATTERN [VERSIONS] [reason], age PATTERN DURATION, mode PATTERN MODE, or pin PATTERN"}
		}
		if n > maxRules {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: fmt.Sprintf("there are more than %d rules for modules", maxRules)}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the rules for modules cannot be read", Why: err.Error(), Do: "keep lines short"}
	}
	return r, nil
}

func (r *Rules) parse(n int, fields []string) (why string) {
	if len(fields) < 2 {
		return "a pattern is missing"
	}
	verb, pattern, rest := fields[0], fields[1], fields[2:]
	if !validPattern(pattern) {
		return strconv.Quote(show(pattern)) + " is no pattern of module paths"
	}
	switch verb {
	case "deny", "allow":
		v := verdict{line: n, allow: verb == "allow", pattern: pattern}
		if len(rest) > 0 {
			if bounds, ok := parseBounds(rest[0]); ok {
				v.bounds, rest = bounds, rest[1:]
			} else if strings.ContainsAny(rest[0][:1], "<>=!") {
				return strconv.Quote(show(rest[0])) + " compares with no version"
			}
		}
		v.reason = strings.Trim(strings.Join(rest, " "), `"`)
		r.verdicts = append(r.verdicts, v)
	case "age":
		if len(rest) != 1 {
			return "write one length of time, such as 168h or 7d"
		}
		age, ok := ParseAge(rest[0])
		if !ok {
			return strconv.Quote(show(rest[0])) + " is no length of time, such as 168h or 7d"
		}
		r.ages = append(r.ages, ageRule{pattern, age})
	case "mode":
		if len(rest) != 1 || !slices.Contains(mirror.ModuleModes(), mirror.ModuleMode(rest[0])) {
			return fmt.Sprintf("a mode is one of %v", mirror.ModuleModes())
		}
		r.modes = append(r.modes, modeRule{pattern, mirror.ModuleMode(rest[0])})
	case "pin":
		r.pins = append(r.pins, pattern)
	default:
		return strconv.Quote(show(verb)) + " is no rule"
	}
	return ""
}

func validPattern(pattern string) bool {
	if strings.Contains(pattern, ",") {
		return false
	}
	// A glob that is malformed matches nothing, silently: try it.
	return module.MatchPrefixPatterns(pattern, strings.NewReplacer("*", "x", "?", "x").Replace(pattern)) || strings.ContainsAny(pattern, "[\\")
}

// ParseAge reads a duration that may be in days, as 7d.
func ParseAge(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err == nil && n >= 0 && n < 100_000
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

func parseBounds(text string) ([]bound, bool) {
	if text == "*" {
		return nil, true
	}
	var all []bound
	for part := range strings.SplitSeq(text, ",") {
		op := "="
		for _, one := range []string{"<=", ">=", "!=", "<", ">", "="} {
			if rest, ok := strings.CutPrefix(part, one); ok {
				op, part = one, rest
				break
			}
		}
		if !semver.IsValid(part) {
			return nil, false
		}
		all = append(all, bound{op, part})
	}
	return all, true
}

func (b bound) holds(version string) bool {
	c := semver.Compare(version, b.version)
	switch b.op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "!=":
		return c != 0
	}
	return c == 0
}

func matches(pattern, modPath string) bool {
	return pattern == "*" || module.MatchPrefixPatterns(pattern, modPath)
}

// mode is where a module may come from.
func (r *Rules) mode(modPath string) mirror.ModuleMode {
	for _, m := range r.modes {
		if matches(m.pattern, modPath) {
			return m.mode
		}
	}
	if r.Mode != "" {
		return r.Mode
	}
	return mirror.PreferMirror
}

// minAge is how old a version of a module must be.
func (r *Rules) minAge(modPath string) time.Duration {
	for _, a := range r.ages {
		if matches(a.pattern, modPath) {
			return a.age
		}
	}
	return r.MinAge
}

// pinned tells whether the files of a module are never dropped.
func (r *Rules) pinned(modPath string) bool {
	return slices.ContainsFunc(r.pins, func(p string) bool { return matches(p, modPath) })
}

// verdict is the first that fits a version, nil = none does. Without a version
// only those count that are about all of them.
func (r *Rules) verdict(modPath, version string) *verdict {
	for i, v := range r.verdicts {
		if !matches(v.pattern, modPath) {
			continue
		}
		fits := len(v.bounds) == 0
		if version != "" && !fits {
			fits = !slices.ContainsFunc(v.bounds, func(b bound) bool { return !b.holds(version) })
		}
		if fits {
			return &r.verdicts[i]
		}
		if version == "" && v.allow {
			return nil // some versions are allowed
		}
	}
	return nil
}

// problem is a refusal for who asked.
func (v *verdict) problem(what string) *mirror.Problem {
	p := &mirror.Problem{Code: mirror.CodeModuleRule, Kind: mirror.ErrDenied, What: what + " is not allowed here", Why: v.reason,
		Do: "choose another module or version, or ask an administrator"}
	if p.Why == "" {
		p.Why = "a rule for modules denies it"
	}
	return p
}
