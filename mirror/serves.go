package mirror

import "time"

// RepoModules are the Go modules that a mirror serves.
type RepoModules struct {
	Modules []RepoModule // by path
	// Partial: there may be more, but looking for them would have taken too long.
	Partial bool
}

// RepoModule is a Go module of a mirror.
type RepoModule struct {
	Path string
	Dir  string // in the repository; "" = its root
	// Version is the newest, a pseudo-version where nothing is tagged.
	Version  string
	At       time.Time // of its commit
	Versions int       // tagged ones
	// Declares is the module path in its go.mod where that is another one, which
	// does not lead here: a fork, of use with a replace directive only.
	Declares string
}

// Use is the command that puts the module into a project.
func (m RepoModule) Use() string {
	if m.Declares != "" {
		return "go mod edit -replace=" + m.Declares + "=" + m.Path + "@" + m.Version
	}
	return "go get " + m.Path + "@" + m.Version
}
