package gitserver_test

import (
	"errors"
	"path/filepath"
	"testing"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	gogitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
)

// goGitAuth is the SSH key, where one is needed.
func (v *visitor) goGitAuth() transport.AuthMethod {
	v.tb.Helper()
	if !v.ours || v.transport != "ssh" {
		return nil
	}
	key, err := gogitssh.NewPublicKeysFromFile("git", filepath.Join(v.rig.home, "key"), "")
	if err != nil {
		v.tb.Fatal(err)
	}
	if key.HostKeyCallback, err = gogitssh.NewKnownHostsCallback(filepath.Join(v.rig.home, "known_hosts")); err != nil {
		v.tb.Fatal(err)
	}
	return key
}

// goGitClone is a client of another make, which speaks version 0 without
// side-bands and asks in words of its own.
func goGitClone(v *visitor) {
	for name, o := range map[string]gogit.CloneOptions{
		"clone": {}, "shallow": {Depth: 1}, "side": {SingleBranch: true, ReferenceName: plumbing.NewBranchReferenceName("side"), Tags: gogit.NoTags},
	} {
		o.URL, o.Auth = v.url(many), v.goGitAuth()
		if _, err := gogit.PlainCloneContext(v.tb.(*testing.T).Context(), v.at(name), true, &o); err != nil {
			v.tb.Fatalf("%s: go-git clones %s: %v", v.who(), name, err)
		}
	}
	for _, name := range []string{"clone", "shallow", "side"} {
		v.state(name)
	}
	v.whole("clone")
}

func goGitFetch(v *visitor) {
	repo, err := gogit.PlainOpen(v.at("clone"))
	if err != nil {
		v.tb.Fatal(err)
	}
	err = repo.FetchContext(v.tb.(*testing.T).Context(), &gogit.FetchOptions{
		Auth: v.goGitAuth(), Prune: true, Force: true, Tags: gogit.AllTags, RefSpecs: []config.RefSpec{"+refs/heads/*:refs/remotes/origin/*"},
	})
	if err != nil && !errors.Is(err, gogit.NoErrAlreadyUpToDate) {
		v.tb.Fatalf("%s: go-git fetches: %v", v.who(), err)
	}
	v.state("clone")
	v.whole("clone")
}
