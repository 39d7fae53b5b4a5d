package rewrite

import (
	"context"
	"net/netip"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// Mode is how a project is made to use the mirror.
type Mode string

const (
	// Replace writes replace directives and go.sum lines: everybody who clones
	// the project uses the mirror.
	Replace Mode = "replace"
	// InsteadOf changes no file: git is told to fetch from the mirror.
	InsteadOf Mode = "insteadof"
	// GOPROXY changes no file: the go command is told to ask the mirror's proxy.
	GOPROXY Mode = "goproxy"
)

// Scope is how much of the module graph is rewritten.
type Scope string

const (
	// All is every module the go command may ever read: what a sealed build needs.
	All Scope = "all"
	// Direct is what go.mod requires without "// indirect".
	Direct Scope = "direct"
)

// Resolver answers what the mirror knows of module versions: one answer per
// query, in the same order; trouble with one module is in its answer's Problem.
// Answers about further modules, without zip hashes, may follow.
type Resolver interface {
	Resolve(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error)
}

// Planner makes plans. The zero value of each field but Resolver and Site is usable.
type Planner struct {
	Resolver Resolver
	Site     mirror.Site
	Mode     Mode        // empty = Replace
	Form     mirror.Form // empty = what fits Site
	Scope    Scope       // empty = All
	// Database is asked about modules go.sum says nothing about; nil = nobody is.
	Database Database
	// TrustMirror accepts the mirror's content for modules that neither go.sum nor
	// Database knows. Never for modules one of them contradicts.
	TrustMirror bool
	// Batch is the number of modules per question; 0 = 1000.
	Batch int
	// Progress hears how many of the questions known so far are answered.
	Progress func(done, known int)
	// Outside reads DIR/go.mod of a replacement directory outside of the project
	// ("../lib/go.mod" as written); nil = such modules are leaves of the graph.
	Outside func(name string) ([]byte, error)
}

func (p *Planner) mode() Mode {
	if p.Mode == "" {
		return Replace
	}
	return p.Mode
}

// form is the replacement form to ask for: an IP address never has discovery.
func (p *Planner) form() mirror.Form {
	if p.Form != "" {
		return p.Form
	}
	return SiteForm(p.Site)
}

// SiteForm is the form of replacement paths that works at the site's address.
func SiteForm(site mirror.Site) mirror.Form {
	if _, err := netip.ParseAddr(site.Host()); err == nil {
		return mirror.DotGit
	}
	return site.Form()
}

// CheckSite tells why the site's host cannot be the first element of a
// replacement path; nil when it can.
func CheckSite(site mirror.Site) *mirror.Problem {
	host := site.Host()
	bad := func(why string) *mirror.Problem {
		return &mirror.Problem{
			Code: CodeAddress, Kind: mirror.ErrInvalid,
			What: "the mirror's address " + printable(site.URL) + " cannot be written into go.mod", Why: why,
			Do: "set public_url to a host name with a dot (or 127.0.0.1), or use --mode goproxy",
		}
	}
	switch {
	case host == "":
		return bad("it has no host name")
	case strings.Contains(host, ":"):
		return bad("a module path cannot hold an IPv6 address")
	case !strings.Contains(host, "."):
		return bad("the first element of a module path needs a dot, and " + host + " has none")
	}
	if err := module.CheckPath(host + "/github.com/o/r.git"); err != nil {
		return bad("the go command does not accept " + host + " as the first element of a module path")
	}
	return nil
}
