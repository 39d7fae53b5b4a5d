package mirror

import (
	"net/url"
	"strings"
)

// Form is how a replacement module path names the mirror (LAWS 6, 16).
type Form string

const (
	// Discovery: HOST/github.com/o/r/v2, found by ?go-get=1 over https on port 443.
	Discovery Form = "discovery"
	// DotGit: HOST/github.com/o/r.git/v2, no discovery; a git url.….insteadOf
	// setting says where HOST really is, so any port and ssh work.
	DotGit Form = "dotgit"
)

// ModuleQuery asks the mirror about one module version.
type ModuleQuery struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Form of the replacement wanted; empty = what fits the mirror's address.
	Form Form `json:"form,omitempty"`
	// ModOnly leaves out the zip hashes: the module only takes part in the graph.
	ModOnly bool `json:"mod_only,omitempty"`
}

// ModuleVersion is a module path with a version.
type ModuleVersion struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

func (m ModuleVersion) String() string { return m.Path + "@" + m.Version }

// Sums are go.sum hashes, "h1:…". Zip is empty when it was not asked for.
type Sums struct {
	Zip string `json:"zip,omitempty"`
	Mod string `json:"mod,omitempty"`
}

// ModuleAnswer is what the mirror knows of one module version. Both pairs of
// sums are computed from the same git tree: Original must equal what go.sum
// promised, Replaced is what the go command will compute for the replacement.
type ModuleAnswer struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Problem says why there is no replacement (not mirrored, no such version,
	// not a valid module, …); the fields below are then empty, but Repo is set
	// when the repository is mirrored.
	Problem     *Problem      `json:"problem,omitempty"`
	Repo        Path          `json:"repo,omitempty"`
	Commit      string        `json:"commit,omitempty"`
	Replacement ModuleVersion `json:"replacement,omitzero"`
	Original    Sums          `json:"original,omitzero"`
	Replaced    Sums          `json:"replaced,omitzero"`
	// GoMod is the module's go.mod; the one the go command makes up when the
	// revision has none.
	GoMod string `json:"go_mod,omitempty"`
}

// Site is where clients find this mirror.
type Site struct {
	// URL of the console and the git server, without a trailing slash.
	URL string `json:"url"`
	// SSH is "ssh://git@host:port", empty when SSH is off.
	SSH string `json:"ssh,omitempty"`
}

// Host is the host name of URL, the first element of replacement paths. It has
// no port.
func (s Site) Host() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// Path is the path of URL, "/git" behind a proxy that gives us a part of a
// host, and otherwise empty.
func (s Site) Path() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	return strings.TrimRight(u.Path, "/")
}

// Root is what replacement paths begin with: Host, and Path where there is one.
func (s Site) Root() string { return s.Host() + s.Path() }

// Form is the replacement form that works with the site's address: discovery
// wants https on port 443 (LAWS 16). A path in the address does no harm: it
// is part of the module paths, and the go command asks below it.
func (s Site) Form() Form {
	u, err := url.Parse(s.URL)
	if err == nil && u.Scheme == "https" && (u.Port() == "" || u.Port() == "443") {
		return Discovery
	}
	return DotGit
}
