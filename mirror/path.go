package mirror

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Path names a repository on the mirror: a lower-case host with a dot, then one
// or more elements, "github.com/gin-gonic/gin", without ".git". Only ParsePath
// makes one from outside text.
type Path string

const (
	maxPathBytes    = 500
	maxPathElements = 20
)

// ParsePath checks and normalises text to a Path: the host becomes lower-case
// ASCII, one trailing "/" and one trailing ".git" go. Nothing is unescaped.
func ParsePath(text string) (Path, error) {
	bad := func(why string) (Path, error) {
		return "", &Problem{
			Code: CodeBadPath, Kind: ErrInvalid,
			What: quote(text) + " is not a repository path", Why: why,
			Do: "write it as host/owner/name, for example github.com/spf13/cobra",
		}
	}
	if len(text) > maxPathBytes {
		return bad("it is longer than " + strconv.Itoa(maxPathBytes) + " bytes")
	}
	s := strings.TrimSuffix(text, "/")
	s = strings.TrimSuffix(s, ".git")
	host, rest, ok := strings.Cut(s, "/")
	if !ok || rest == "" {
		return bad("it needs a host and a name with a slash between them")
	}
	host, err := canonicalHost(host)
	if err != nil {
		return bad(AsProblem(err).Why)
	}
	if !strings.Contains(host, ".") || strings.Contains(host, ":") {
		return bad("its first element must be a host name with a dot")
	}
	elements := strings.Split(rest, "/")
	if len(elements) > maxPathElements {
		return bad("it has more than " + strconv.Itoa(maxPathElements) + " elements")
	}
	for _, e := range elements {
		if why := badElement(e); why != "" {
			return bad(why)
		}
	}
	return Path(host + "/" + rest), nil
}

// badElement says what is wrong with one element behind the host; empty = nothing.
func badElement(e string) string {
	switch {
	case e == "":
		return "it has an empty element"
	case e[0] == '.' || e[0] == '-':
		return fmt.Sprintf("the element %s begins with %q", quote(e), e[0])
	case strings.HasSuffix(e, "."), strings.HasSuffix(e, ".lock"), strings.EqualFold(e, ".git"), strings.HasSuffix(e, ".git"):
		return fmt.Sprintf("the element %s ends in a way git forbids", quote(e))
	}
	for _, c := range []byte(e) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("._-+~", rune(c)) {
			return fmt.Sprintf("the element %s holds the character %q; letters, digits and . _ - + ~ are allowed", quote(e), c)
		}
	}
	short, _, _ := strings.Cut(strings.ToLower(e), ".")
	switch short {
	case "con", "prn", "aux", "nul":
		return fmt.Sprintf("%s is a reserved name on Windows, where the go command refuses it", quote(e))
	}
	return ""
}

// Key is equal for paths that differ only by case. Hosts treat such paths as
// one repository, so there is at most one mirror for each Key.
func (p Path) Key() string { return strings.ToLower(string(p)) }

// Host is the first element.
func (p Path) Host() string {
	host, _, _ := strings.Cut(string(p), "/")
	return host
}

// Base is the last element.
func (p Path) Base() string { return string(p)[strings.LastIndexByte(string(p), '/')+1:] }

// Parent is p without its last element; ok is false when only the host would be left.
func (p Path) Parent() (parent Path, ok bool) {
	i := strings.LastIndexByte(string(p), '/')
	if i < 0 || !strings.Contains(string(p)[:i], "/") {
		return "", false
	}
	return p[:i], true
}

// canonicalHost lower-cases, maps to ASCII by the rules of IDNA and checks a
// host name or IP address (an IPv6 address without brackets). Other spellings
// of IPv4 addresses (0x7f.1, 2130706433) are refused: resolvers disagree on them.
func canonicalHost(host string) (string, error) {
	bad := func(why string) (string, error) {
		return "", &Problem{Code: CodeBadURL, Kind: ErrInvalid, What: quote(host) + " is not a host name", Why: why}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return bad("addresses with a zone are not allowed")
		}
		return addr.Unmap().String(), nil
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil || ascii == "" || len(ascii) > 253 {
		return bad("its host is not a valid DNS name")
	}
	ascii = strings.ToLower(ascii)
	if again, err := idna.Lookup.ToASCII(ascii); err != nil || again != ascii {
		return bad("its host is not a valid DNS name") // punycode of what no name may hold
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return bad("its host is not a valid DNS name")
		}
		for _, c := range []byte(label) {
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return bad("its host is not a valid DNS name")
			}
		}
	}
	last := ascii[strings.LastIndexByte(ascii, '.')+1:]
	if last[0] >= '0' && last[0] <= '9' {
		return bad("its host is a number that is not an IP address in the usual form")
	}
	return ascii, nil
}

// quote shows text of a stranger in one line of a message: control characters
// escaped, long text cut.
func quote(s string) string {
	if len(s) > 120 {
		s = s[:120] + "…"
	}
	return strconv.Quote(s)
}
