package mirror

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Upstream is where a repository comes from: a git URL without credentials.
// Only ParseUpstream makes one from outside text; the text of String parses
// back to the same value.
type Upstream struct {
	Scheme string // "https", "http" or "ssh"
	User   string // ssh only, usually "git"
	Host   string // lower-case ASCII name or IP address, IPv6 without brackets
	Port   string // empty = the scheme's
	Path   string // begins with "/", no ".." or empty elements
}

const maxURLBytes = 2048

// ParseUpstream parses https://, http:// and ssh:// URLs and the scp form
// user@host:path. A password in the URL is returned as a Credential for that
// host, to be kept apart; it is not part of the Upstream.
func ParseUpstream(text string) (Upstream, *Credential, error) {
	bad := func(why string) (Upstream, *Credential, error) {
		return Upstream{}, nil, &Problem{
			Code: CodeBadURL, Kind: ErrInvalid,
			What: quote(hidePassword(text)) + " is not a repository URL", Why: why,
			Do: "paste a URL such as https://github.com/spf13/cobra",
		}
	}
	switch {
	case len(text) > maxURLBytes:
		return bad("it is longer than " + strconv.Itoa(maxURLBytes) + " bytes")
	case strings.HasPrefix(text, "-"):
		return bad("it begins with \"-\"")
	case strings.ContainsFunc(text, func(r rune) bool { return r < 0x21 || r == 0x7f || r == '\\' }):
		return bad("it holds a space, a control character or a backslash")
	}
	if !strings.Contains(text, "://") {
		scp, ok := scpURL(text)
		if !ok {
			return bad("it has no scheme (https://, http://, ssh://) and is not user@host:path")
		}
		text = scp
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("it does not parse as a URL")
	}
	up := Upstream{Scheme: strings.ToLower(u.Scheme), Port: u.Port()}
	switch up.Scheme {
	case "https", "http", "ssh":
	default:
		return bad("its scheme " + quote(u.Scheme) + " is not one of https, http, ssh")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return bad("it has a query or a fragment")
	}
	if up.Host, err = canonicalHost(u.Hostname()); err != nil {
		return bad(AsProblem(err).Why)
	}
	if n, err := strconv.ParseUint(up.Port, 10, 16); up.Port != "" && (err != nil || n == 0) {
		return bad("its port is not between 1 and 65535")
	}
	if up.Port == map[string]string{"https": "443", "http": "80", "ssh": "22"}[up.Scheme] {
		up.Port = ""
	}
	if why := up.setPath(u); why != "" {
		return bad(why)
	}
	cred, why := up.setUser(u.User)
	if why != "" {
		return bad(why)
	}
	return up, cred, nil
}

func (up *Upstream) setPath(u *url.URL) (why string) {
	if strings.Contains(u.EscapedPath(), "%") {
		return "its path holds an escaped character"
	}
	path := strings.TrimSuffix(u.Path, "/")
	elements := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if path == "" || path == "/" {
		return "it has no path: which repository?"
	}
	if len(elements) > maxPathElements {
		return "its path has more than " + strconv.Itoa(maxPathElements) + " elements"
	}
	for i, e := range elements {
		if up.Scheme == "ssh" && i == 0 && strings.HasPrefix(e, "~") {
			e = "home" + e[1:] // a home directory, as plain sshd servers have it
		}
		if i == len(elements)-1 {
			e = strings.TrimSuffix(e, ".git")
		}
		if why := badElement(e); why != "" {
			return "in its path, " + why
		}
	}
	up.Path = "/" + strings.Join(elements, "/")
	return ""
}

func (up *Upstream) setUser(user *url.Userinfo) (cred *Credential, why string) {
	if user == nil {
		if up.Scheme == "ssh" {
			up.User = "git"
		}
		return nil, ""
	}
	name := user.Username()
	password, has := user.Password()
	if up.Scheme == "ssh" {
		if has {
			return nil, "a password in an ssh URL is not supported; use a key"
		}
		if name == "" || badElement(name) != "" {
			return nil, "its user name is not allowed"
		}
		up.User = name
		return nil, ""
	}
	if !has { // https://TOKEN@host/…, but not https://github.com@evil.example/…
		if name == "" || strings.ContainsFunc(name, notTokenRune) {
			return nil, "it has user information in front of its host"
		}
		name, password = "x-access-token", name
	}
	if password == "" {
		return nil, "it has a user name without a password"
	}
	return &Credential{Host: up.Host, User: name, Secret: Secret(password)}, ""
}

func notTokenRune(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-')
}

// String is the URL. It never holds a password.
func (up Upstream) String() string {
	if up.Host == "" {
		return ""
	}
	u := url.URL{Scheme: up.Scheme, Host: up.Address(), Path: up.Path}
	if up.User != "" {
		u.User = url.User(up.User)
	}
	return u.String()
}

// Address is host or host:port, IPv6 in brackets, as a URL has it.
func (up Upstream) Address() string {
	switch {
	case up.Port != "":
		return net.JoinHostPort(up.Host, up.Port)
	case strings.Contains(up.Host, ":"):
		return "[" + up.Host + "]"
	}
	return up.Host
}

// DialPort is Port, or the one the scheme implies.
func (up Upstream) DialPort() string {
	if up.Port != "" {
		return up.Port
	}
	return map[string]string{"https": "443", "http": "80", "ssh": "22"}[up.Scheme]
}

// ParseMapping reads what a person pastes to have a repository mirrored: a URL,
// user@host:path, or a bare path such as github.com/spf13/cobra. It returns
// where the mirror goes and where it comes from. Pages of a web view
// (…/tree/main) lead to their repository; the scp form leads to https, which
// needs no key here.
func ParseMapping(text string) (Path, Upstream, *Credential, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") && !strings.Contains(text, "@") {
		path, err := ParsePath(text)
		if err != nil {
			return "", Upstream{}, nil, err
		}
		path = RepositoryRoot(path)
		return path, Upstream{Scheme: "https", Host: path.Host(), Path: strings.TrimPrefix(string(path), path.Host())}, nil, nil
	}
	up, cred, err := ParseUpstream(text)
	if err != nil {
		return "", Upstream{}, nil, err
	}
	path, err := ParsePath(up.Host + up.Path)
	if err != nil {
		return "", Upstream{}, nil, &Problem{
			Code: CodeBadPath, Kind: ErrInvalid, What: "where the mirror of " + up.String() + " goes does not follow from its URL",
			Why: "a mirror's path begins with a host name that has a dot, as github.com/spf13/cobra does",
			Do:  "give the path and the upstream apart: gitmirror mirror add HOST/OWNER/NAME --upstream " + up.String(),
		}
	}
	path = RepositoryRoot(path)
	if up.Scheme == "ssh" && up.Port == "" && ownerName(path.Host()) {
		up = Upstream{Scheme: "https", Host: up.Host, Path: up.Path}
	}
	if ownerName(path.Host()) {
		up.Path = strings.TrimPrefix(string(path), path.Host())
	}
	return path, up, cred, nil
}

// RepositoryRoot cuts a path that points into a repository back to the
// repository, on hosts where that can be told from the path alone.
func RepositoryRoot(p Path) Path {
	if !ownerName(p.Host()) {
		return p
	}
	e := strings.SplitN(string(p), "/", 4)
	if len(e) < 4 {
		return p
	}
	return Path(strings.Join(e[:3], "/"))
}

// ownerName tells whether repositories of a host are always host/owner/name.
func ownerName(host string) bool {
	switch host {
	case "github.com", "bitbucket.org", "codeberg.org", "gitea.com":
		return true
	}
	return false
}

// scpURL turns user@host:path into an ssh URL.
func scpURL(text string) (string, bool) {
	user, rest, ok := strings.Cut(text, "@")
	if !ok || user == "" || strings.ContainsAny(user, ":/") {
		return "", false
	}
	host, path, ok := strings.Cut(rest, ":")
	if !ok || host == "" || path == "" || strings.HasPrefix(host, "-") || strings.Contains(host, "/") {
		return "", false
	}
	return "ssh://" + user + "@" + host + "/" + strings.TrimPrefix(path, "/"), true
}

// hidePassword blanks user information, so that a refused URL can be shown.
func hidePassword(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text
	}
	authority, path, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = "…@" + authority[i+1:]
	}
	if path != "" {
		path = "/" + path
	}
	return scheme + "://" + authority + path
}
