package modproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

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

	list     []mirror.ModuleRule // all of them, in their order
	verdicts []verdict
	modes    []*mirror.ModuleRule
	ages     []*mirror.ModuleRule
	pins     []*mirror.ModuleRule
}

// verdict allows or denies.
type verdict struct {
	allow   bool
	pattern string
	bounds  []bound // all must hold; none = every version
	reason  string
	rule    *mirror.ModuleRule
}

// bound is a comparison with a version.
type bound struct{ op, version string }

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
		rule, why := parseRule(fields)
		if why == "" {
			rule.Line = n
			why = r.add(rule)
		}
		if why != "" {
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

// parseRule reads the fields of a line.
func parseRule(fields []string) (rule mirror.ModuleRule, why string) {
	if len(fields) < 2 {
		return rule, "a pattern is missing"
	}
	rule.Action, rule.Pattern = mirror.ModuleAction(fields[0]), fields[1]
	rest := fields[2:]
	switch rule.Action {
	case mirror.ActionDeny, mirror.ActionAllow:
		if len(rest) > 0 {
			if _, ok := parseBounds(rest[0]); ok || strings.ContainsAny(rest[0][:1], "<>=!") {
				rule.Versions, rest = rest[0], rest[1:]
			}
		}
		rule.Reason = strings.Trim(strings.Join(rest, " "), `"`)
		return rule, ""
	case mirror.ActionAge:
		if len(rest) != 1 {
			return rule, "write one length of time, such as 168h or 7d"
		}
		age, ok := ParseAge(rest[0])
		if !ok {
			return rule, strconv.Quote(show(rest[0])) + " is no length of time, such as 168h or 7d"
		}
		rule.Age = age
	case mirror.ActionMode:
		if len(rest) == 1 {
			rule.Mode = mirror.ModuleMode(rest[0])
		}
	}
	return rule, ""
}

// maxRuleText bounds the words of a rule, in bytes.
const maxRuleText = 500

// add puts a rule behind those that are there, or says why it is none.
func (r *Rules) add(rule mirror.ModuleRule) (why string) {
	if !validPattern(rule.Pattern) {
		return strconv.Quote(show(rule.Pattern)) + " is no pattern of module paths"
	}
	if len(rule.Reason) > maxRuleText || strings.ContainsFunc(rule.Reason, unicode.IsControl) {
		return fmt.Sprintf("the reason is longer than %d bytes, or of more than one line", maxRuleText)
	}
	kept := &rule
	switch rule.Action {
	case mirror.ActionDeny, mirror.ActionAllow:
		v := verdict{allow: rule.Action == mirror.ActionAllow, pattern: rule.Pattern, reason: rule.Reason, rule: kept}
		if rule.Versions != "" {
			var ok bool
			if v.bounds, ok = parseBounds(rule.Versions); !ok {
				return strconv.Quote(show(rule.Versions)) + " compares with no version"
			}
		}
		r.verdicts = append(r.verdicts, v)
	case mirror.ActionAge:
		if rule.Age < 0 {
			return "an age is a length of time, such as 168h or 7d"
		}
		r.ages = append(r.ages, kept)
	case mirror.ActionMode:
		if !slices.Contains(mirror.ModuleModes(), rule.Mode) {
			return fmt.Sprintf("a mode is one of %v", mirror.ModuleModes())
		}
		r.modes = append(r.modes, kept)
	case mirror.ActionPin:
		r.pins = append(r.pins, kept)
	default:
		return strconv.Quote(show(string(rule.Action))) + " is no rule"
	}
	r.list = append(r.list, rule)
	return ""
}

// CheckRule tells why a rule cannot be one; the error is a Problem of kind
// ErrInvalid.
func CheckRule(rule mirror.ModuleRule) error {
	if why := (&Rules{}).add(rule); why != "" {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: "this is no rule for modules", Why: why,
			Do: "give deny or allow with a pattern and, perhaps, versions; or age, mode or pin with a pattern"}
	}
	return nil
}

// All are the rules, in their order.
func (r *Rules) All() []mirror.ModuleRule { return r.list }

func validPattern(pattern string) bool {
	if pattern == "" || len(pattern) > maxRuleText || strings.ContainsFunc(pattern, func(c rune) bool { return c == ',' || unicode.IsSpace(c) || unicode.IsControl(c) }) {
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

// mode is where a module may come from, and the rule that says so; nil = none does.
func (r *Rules) mode(modPath string) (mirror.ModuleMode, *mirror.ModuleRule) {
	if rule := firstFit(r.modes, modPath); rule != nil {
		return rule.Mode, rule
	}
	if r.Mode != "" {
		return r.Mode, nil
	}
	return mirror.PreferMirror, nil
}

// minAge is how old a version of a module must be, and the rule that says so.
func (r *Rules) minAge(modPath string) (time.Duration, *mirror.ModuleRule) {
	if rule := firstFit(r.ages, modPath); rule != nil {
		return rule.Age, rule
	}
	return r.MinAge, nil
}

// pinned tells whether the files of a module are never dropped.
func (r *Rules) pinned(modPath string) bool { return firstFit(r.pins, modPath) != nil }

// firstFit is the first rule about a module, nil = none is.
func firstFit(rules []*mirror.ModuleRule, modPath string) *mirror.ModuleRule {
	for _, rule := range rules {
		if matches(rule.Pattern, modPath) {
			return rule
		}
	}
	return nil
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
