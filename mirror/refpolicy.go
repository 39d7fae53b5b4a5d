package mirror

import (
	"slices"
	"strconv"
	"strings"
)

// RefPolicy says which of upstream's refs are mirrored. The zero value mirrors
// all branches and tags.
type RefPolicy struct {
	// Include are globs of full ref names ("refs/heads/release-*"); empty = all
	// branches and tags. "*" matches within a path element, "**" across them.
	Include []string `json:"include,omitempty" doc:"Globs of full ref names; empty = all branches and tags. * stays within an element of the name, ** does not" maxItems:"50" nullable:"false" example:"refs/heads/release-*"`
	// Exclude are globs of what is left out of that.
	Exclude []string `json:"exclude,omitempty" doc:"Globs of what is left out of that" maxItems:"50" nullable:"false" example:"refs/heads/dependabot/**"`
	// Pulls mirrors refs/pull/*/head too. They are fetched and kept, and never
	// advertised: they would be most of the refs, and most of the bytes.
	Pulls bool `json:"pulls,omitempty" doc:"Mirror refs/pull/*/head too, without advertising them"`
}

const (
	maxGlobs     = 50 // of each list
	maxGlobBytes = 250
)

// Mirrors tells whether a ref with the full name is mirrored under the policy.
// HEAD and refs that are neither branch, tag nor the head of a pull request
// never are.
func (p RefPolicy) Mirrors(name string) bool {
	if IsPull(name) {
		return p.Pulls
	}
	if ref := (Ref{Name: name}); !ref.IsHead() && !ref.IsTag() {
		return false
	}
	matches := func(glob string) bool { return globMatches(glob, name) }
	return (len(p.Include) == 0 || slices.ContainsFunc(p.Include, matches)) && !slices.ContainsFunc(p.Exclude, matches)
}

// Equal tells whether two policies say the same.
func (p RefPolicy) Equal(q RefPolicy) bool {
	return p.Pulls == q.Pulls && slices.Equal(p.Include, q.Include) && slices.Equal(p.Exclude, q.Exclude)
}

// ParseRefPolicy checks a policy that came from outside. Globs are trimmed,
// empty and repeated ones are dropped.
func ParseRefPolicy(p RefPolicy) (RefPolicy, error) {
	var err error
	if p.Include, err = parseGlobs(p.Include); err == nil {
		p.Exclude, err = parseGlobs(p.Exclude)
	}
	return p, err
}

func parseGlobs(globs []string) ([]string, error) {
	var out []string
	for _, g := range globs {
		if g = strings.TrimSpace(g); g == "" || slices.Contains(out, g) {
			continue
		}
		if why := badGlob(g); why != "" {
			return nil, &Problem{
				Kind: ErrInvalid, What: quote(g) + " does not select refs", Why: why,
				Do: `write full names, such as "refs/heads/release-*" or "refs/tags/**"`,
			}
		}
		out = append(out, g)
	}
	if len(out) > maxGlobs {
		return nil, &Problem{
			Kind: ErrInvalid, What: "the ref policy has " + strconv.Itoa(len(out)) + " patterns",
			Why: "at most " + strconv.Itoa(maxGlobs) + " are allowed", Do: `use fewer and wider ones; "**" matches everything below`,
		}
	}
	return out, nil
}

func badGlob(g string) string {
	switch {
	case len(g) > maxGlobBytes:
		return "it is longer than " + strconv.Itoa(maxGlobBytes) + " bytes"
	case !strings.HasPrefix(g, "refs/heads/") && !strings.HasPrefix(g, "refs/tags/"):
		return `it begins neither with "refs/heads/" nor with "refs/tags/"`
	case strings.HasSuffix(g, "/"), strings.Contains(g, "//"), strings.Contains(g, ".."), strings.Contains(g, "***"):
		return "no ref has such a name"
	case strings.ContainsFunc(g, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?[]\`, r) }):
		return `only "*" and "**" are patterns; no ref name holds a space or one of ~ ^ : ? [ ] \`
	}
	return ""
}

// globMatches goes back at most to the last "*" and, across a "/", to the last
// "**": what lies before those has its shortest match already.
func globMatches(glob, name string) bool {
	star, starAt := -1, 0 // where the glob goes on behind the last "*", and which byte it is tried at
	wide, wideAt := -1, 0 // the same for "**"
	g, n := 0, 0
	for n < len(name) {
		switch {
		case strings.HasPrefix(glob[g:], "**"):
			g += 2
			wide, wideAt, star = g, n, -1
		case g < len(glob) && glob[g] == '*':
			g++
			star, starAt = g, n
		case g < len(glob) && glob[g] == name[n]:
			g, n = g+1, n+1
		case star >= 0 && name[starAt] != '/':
			starAt++
			g, n = star, starAt
		case wide >= 0:
			wideAt++
			g, n, star = wide, wideAt, -1
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

// IsPull tells whether name is the head of a pull request: refs/pull/17/head.
func IsPull(name string) bool {
	rest, ok := strings.CutPrefix(name, "refs/pull/")
	if !ok {
		return false
	}
	number, ok := strings.CutSuffix(rest, "/head")
	if !ok || number == "" || len(number) > 18 {
		return false
	}
	return strings.Trim(number, "0123456789") == ""
}
