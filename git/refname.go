package git

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	maxRefName    = 1000
	maxRefElement = 240
	maxSkipped    = 1000
)

// wellFormed tells whether a full ref name keeps the rules of git
// check-ref-format, is UTF-8, and fits into file names and terminals. Names
// that look like options are refused too.
func wellFormed(name string) bool {
	if plain(name) {
		return true
	}
	if len(name) > maxRefName || !utf8.ValidString(name) || strings.Contains(name, "..") ||
		strings.Contains(name, "@{") || strings.HasSuffix(name, ".") {
		return false
	}
	for _, r := range name {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune(" ~^:?*[\\", r) {
			return false
		}
	}
	elements := strings.Split(name, "/")
	if len(elements) < 3 || elements[0] != "refs" {
		return false
	}
	for i, e := range elements {
		if e == "" || e[0] == '.' || i == 2 && e[0] == '-' || strings.HasSuffix(e, ".lock") || len(e) > maxRefElement {
			return false
		}
	}
	return true
}

// plain tells whether a name is one of the many that need no closer look: short
// elements of letters, digits, "-", "_" and single dots inside.
func plain(name string) bool {
	rest, ok := strings.CutPrefix(name, "refs/heads/")
	if !ok {
		if rest, ok = strings.CutPrefix(name, "refs/tags/"); !ok {
			return false
		}
	}
	if rest == "" || len(rest) > maxRefElement || strings.Contains(rest, ".lock") {
		return false
	}
	before := byte('/')
	for i := range len(rest) {
		c := rest[i]
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_':
		case c == '-' || c == '.':
			if before == '/' || before == '.' {
				return false
			}
		case c == '/':
			if before == '/' || before == '.' {
				return false
			}
		default:
			return false
		}
		before = c
	}
	return before != '/' && before != '.'
}

// ours tells whether a ref may be written: one that is mirrored or one of our own.
func ours(name string) bool {
	return wellFormed(name) && (mirrored(name) || strings.HasPrefix(name, "refs/gitmirror/"))
}

// mirrored tells whether a ref is one that upstreams may give us.
func mirrored(name string) bool { return upstreams(name) || mirror.IsPull(name) }

// upstreams tells whether a ref is one that clients are told of.
func upstreams(name string) bool {
	return strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/")
}

func isHash(s string) bool {
	if len(s) != 40 {
		return false
	}
	return isHex(s)
}

func isHex(s string) bool {
	bad := byte(0)
	for i := range len(s) {
		bad |= notHex[s[i]]
	}
	return bad == 0
}

// notHex is zero for the digits of an object id. A listing has a hundred
// thousand of them, in no order that a processor could foresee.
var notHex = func() (table [256]byte) {
	for i := range table {
		if !strings.ContainsRune("0123456789abcdef", rune(i)) {
			table[i] = 1
		}
	}
	return table
}()

// advertised collects what an upstream says it has, in any order.
type advertised struct {
	head string
	refs []mirror.Ref
	bad  []string
}

func newAdvertised(n int) *advertised { return &advertised{refs: make([]mirror.Ref, 0, n)} }

// add takes one ref of an advertisement; peeled is empty unless it is an
// annotated tag. A ref with a broken id is skipped like one with a broken name.
func (a *advertised) add(name, hash, peeled string) {
	if !mirrored(name) {
		return
	}
	if !isHash(hash) || !wellFormed(name) {
		a.skip(name)
		return
	}
	if !isHash(peeled) {
		peeled = ""
	}
	a.refs = append(a.refs, mirror.Ref{Name: name, Hash: hash, Peeled: peeled})
}

func (a *advertised) skip(name string) {
	if len(a.bad) >= maxSkipped {
		return
	}
	if len(name) > 200 {
		name = name[:200] + "…"
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
		name = strconv.QuoteToASCII(name)
	}
	a.bad = append(a.bad, name)
}

// listing is what remains: sorted, every name once and compatible with every
// other. Of a branch "a" and a branch "a/b", which no repository can hold both,
// "a" stays.
func (a *advertised) listing() mirror.Listing {
	byName := func(x, y mirror.Ref) int { return strings.Compare(x.Name, y.Name) }
	if !slices.IsSortedFunc(a.refs, byName) { // git sorts
		slices.SortStableFunc(a.refs, byName)
	}
	l := mirror.Listing{Refs: make([]mirror.Ref, 0, len(a.refs))}
	for i, ref := range a.refs {
		if i+1 < len(a.refs) && a.refs[i+1].Name == ref.Name {
			continue // said twice: the last counts
		}
		// A branch is a commit; git refuses anything else there.
		if below(l, ref.Name) || ref.IsHead() && ref.Peeled != "" {
			a.skip(ref.Name)
			continue
		}
		l.Refs = append(l.Refs, ref)
	}
	if _, ok := l.Ref(a.head); ok && strings.HasPrefix(a.head, "refs/heads/") {
		l.Head = a.head
	}
	l.Skipped = a.bad
	return l
}

// below tells whether a directory of name is itself a name in the listing.
func below(l mirror.Listing, name string) bool {
	for i := len("refs/tags/"); i < len(name); i++ {
		if name[i] == '/' {
			if _, taken := l.Ref(name[:i]); taken {
				return true
			}
		}
	}
	return false
}

// under tells whether a directory of name is itself a name that is taken.
func under(name string, taken packed) bool {
	for i := len("refs/x"); i < len(name); i++ {
		if name[i] == '/' {
			if _, is := taken[name[:i]]; is {
				return true
			}
		}
	}
	return false
}
