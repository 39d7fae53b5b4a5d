// Package modproxy makes Go modules of mirrored repositories, exactly as the go
// command would make them from the upstream: the same versions, the same go.mod,
// the same h1 hashes. [Repos] answers questions about modules, [Repos.Resolve]
// says by which path and with which hashes a module is had from the mirror, and
// [Handler] is the GOPROXY.
//
// The rules are those of cmd/go/internal/modfetch (coderepo.go, codehost/git.go)
// and golang.org/x/mod/zip; comments name the function a rule comes from where
// it is not obvious. It knows no git process and no database: repositories are
// read through [mirror.Reader].
package modproxy
