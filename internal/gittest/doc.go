// Package gittest gives tests real upstreams: bare Git repositories made of real
// Go modules, served by git's own http-backend on loopback, with helpers to
// change them as upstreams do (commit, move a tag, force a branch) and to break
// them (stall, truncate, reset, status codes, redirects, passwords).
//
// A typical test:
//
//	up := gittest.NewUpstream(t)
//	fix := up.AddModules(t, gittest.Module{Path: "gopkg.in/yaml.v3", Version: "v3.0.1"})[0]
//	url := up.URL(fix.Repo)            // http://127.0.0.1:PORT/github.com/go-yaml/yaml
//	… mirror url, make the module from the mirror, compare with fix.Sums
//
// A module's zip, as the Go module proxy has it, becomes the tree of a commit
// and the version its tag. What the go command leaves out of a zip (vendored
// packages, symbolic links, nested modules nobody asked for) is not in the
// repository, but the hash of what comes out again must be the module's true
// "h1:", the one in the checksum database.
//
// Commits are deterministic: names are fixed, dates are the module's own, so a
// repository has the same hashes everywhere. They are not the hashes upstream
// has, so real pseudo-versions cannot be rebuilt: asking AddModules for one
// gives a commit with its files and date, and a local pseudo-version (in
// Fixture.Version) with sums computed by golang.org/x/mod, not by us.
//
// Repositories of modules are built once per machine, in
// os.UserCacheDir()/gitmirror-gittest, and hard-linked from there.
//
// The package imports nothing of ours and may run processes.
package gittest
