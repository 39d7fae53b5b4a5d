package gitserver_test

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// row is something that clients do.
type row struct {
	name string
	// v2 rows are done in version 2 alone, because the others know no such thing
	// or it makes no difference; v02 rows not in version 1, which is version 0
	// with one line more.
	v2, v02 bool
	before  func(*visitor)
	after   func(*visitor) // with what before has left, once upstream has changed; may be nil
}

func (r row) versions() []string {
	switch {
	case r.v2:
		return []string{"2"}
	case r.v02:
		return []string{"0", "2"}
	}
	return []string{"0", "1", "2"}
}

// matrixRows are the rows of the matrix.
func matrixRows() []row {
	return []row{
		{name: "full clone", before: fullClone, after: fetchAll},
		{name: "mirror", v02: true, before: mirrorClone, after: mirrorUpdate},
		{name: "ls-remote", before: listRemote, after: listAgain},
		{name: "bare", v2: true, before: bareClone, after: bareFetch},
		{name: "shallow", v02: true, before: shallowClone, after: shallowFetch},
		{name: "shallow by time", v02: true, before: shallowByTime},
		{name: "blobless", v02: true, before: blobless, after: bloblessFetch},
		{name: "treeless", v02: true, before: treeless},
		{name: "other filters", v2: true, before: otherFilters},
		{name: "one branch", v02: true, before: oneBranch, after: oneBranchFetch},
		{name: "by object id", v02: true, before: byObject},
		{name: "hidden refs", v02: true, before: hiddenRefs, after: keptRefs},
		{name: "many haves", v02: true, before: divergent, after: divergentFetch},
		{name: "negotiate only", v2: true, before: fullClone, after: negotiateOnly},
		{name: "refetch", v2: true, before: bareClone, after: refetch},
		{name: "submodules", v2: true, before: submodules},
		{name: "archive", v2: true, before: archiveRemote},
		{name: "push", v2: true, before: bareClone, after: pushRefused},
		{name: "interrupted", v2: true, before: interrupted},
		{name: "go-git", v2: true, before: goGitClone, after: goGitFetch},
	}
}

func fullClone(v *visitor) {
	v.git("clone", "-q", v.url(many), "clone")
	v.state("clone")
	v.whole("clone")
	v.ask("-C", "clone", "log", "--oneline", "--graph", "--all")
	v.ask("-C", "clone", "status", "--porcelain", "--branch")
}

// fetchAll sees branches go, come and be forced, and tags follow.
func fetchAll(v *visitor) {
	v.git("-C", "clone", "fetch", "-q", "--prune")
	v.state("clone")
	v.whole("clone")
	v.git("-C", "clone", "pull", "-q", "--ff-only")
	v.ask("-C", "clone", "rev-parse", "HEAD")
	v.git("-C", "clone", "fetch", "-q", "--prune") // nothing is new
	v.state("clone")
}

func mirrorClone(v *visitor) {
	v.git("clone", "-q", "--mirror", v.url(many)+".git", "clone")
	v.state("clone")
	v.whole("clone")
}

func mirrorUpdate(v *visitor) {
	v.git("-C", "clone", "remote", "update", "--prune")
	v.state("clone")
	v.whole("clone")
}

// listRemote lists by pattern. Version 2 has the server leave out what cannot
// match; the others get all and choose for themselves.
func listRemote(v *visitor) {
	v.ask("ls-remote", "--symref", v.url(many))
	v.refused("ls-remote", v.url("github.com/acme/nothing"))
	if v.version != "2" {
		return
	}
	for _, flags := range []string{"--heads", "--tags", "--heads --tags", "--refs", "--sort=-version:refname --tags"} {
		v.ask(append(append([]string{"ls-remote"}, strings.Fields(flags)...), v.url(many))...)
	}
	for _, patterns := range []string{
		"HEAD", "main", "v0.*", "refs/heads/*", "refs/tags/v0.1.0 refs/tags/v1*", "side", "*/side", "refs/pull/*", "refs/gitmirror/*", "ünï", "no-such-ref",
	} {
		v.ask(append([]string{"ls-remote", v.url(many)}, strings.Fields(patterns)...)...)
	}
	v.refused("ls-remote", "--exit-code", v.url(many), "no-such-ref")
}

func listAgain(v *visitor) { v.ask("ls-remote", "--symref", v.url(many)) }

func bareClone(v *visitor) {
	v.git("clone", "-q", "--bare", v.url(many), "clone")
	v.state("clone")
}

func bareFetch(v *visitor) {
	v.git("-C", "clone", "fetch", "-q", "--prune", "origin", "+refs/heads/*:refs/heads/*")
	v.state("clone")
	v.whole("clone")
}

func shallowClone(v *visitor) {
	v.git("clone", "-q", "--depth=1", v.url(many), "one")
	v.state("one")
	v.git("-C", "one", "fetch", "-q", "--deepen=2")
	v.state("one")
	v.git("clone", "-q", "--depth=2", "--no-single-branch", v.url(many), "two")
	v.state("two")
	v.git("clone", "-q", "--depth=1", "--branch=v0.3.0", v.url(many), "tag")
	v.state("tag")
	v.git("-C", "tag", "fetch", "-q", "--unshallow")
	v.state("tag")
	v.whole("tag")
}

func shallowFetch(v *visitor) {
	v.git("-C", "one", "fetch", "-q", "--depth=1")
	v.state("one")
	v.git("-C", "one", "fetch", "-q", "--unshallow")
	v.state("one")
	v.whole("one")
	v.git("-C", "two", "fetch", "-q", "--prune")
	v.state("two")
}

func shallowByTime(v *visitor) {
	v.git("clone", "-q", "--shallow-since=2024-01-01T02:30:00Z", v.url(many), "since")
	v.state("since")
	v.git("clone", "-q", "--shallow-exclude=v0.3.0", v.url(many), "exclude")
	v.state("exclude")
	v.git("-C", "exclude", "fetch", "-q", "--shallow-since=2024-01-01T01:30:00Z")
	v.state("exclude")
	v.refused("clone", "-q", "--shallow-since=2031-01-01", v.url(many), "future")
	v.refused("clone", "-q", "--shallow-exclude=no-such-tag", v.url(many), "nothing")
}

// blobless leaves out all files and then gets those it needs.
func blobless(v *visitor) {
	v.git("clone", "-q", "--filter=blob:none", "--no-checkout", v.url(many), "clone")
	v.state("clone")
	v.git("-C", "clone", "checkout", "-q", "v0.1.0")
	v.state("clone")
	v.ask("-C", "clone", "status", "--porcelain")
	if text, err := os.ReadFile(v.at("clone/n.txt")); err != nil || string(text) != "1" {
		v.tb.Errorf("%s: n.txt of v0.1.0 = %q, %v, want 1", v.who(), text, err)
	}
}

func bloblessFetch(v *visitor) {
	v.git("-C", "clone", "fetch", "-q", "--prune")
	v.state("clone")
	v.git("-C", "clone", "checkout", "-q", "origin/main")
	v.state("clone")
}

func treeless(v *visitor) {
	v.git("clone", "-q", "--filter=tree:0", "--no-checkout", v.url(many), "clone")
	v.state("clone")
	v.ask("-C", "clone", "log", "--format=%H %s", "origin/main")
	v.git("-C", "clone", "checkout", "-q", "v0.2.0")
	v.state("clone")
}

func otherFilters(v *visitor) {
	for i, filter := range []string{"blob:limit=1k", "tree:1", "object:type=commit", "combine:blob:none+tree:2"} {
		name := fmt.Sprint("filter", i)
		v.git("clone", "-q", "--no-checkout", "--filter="+filter, v.url(many), name)
		v.state(name)
	}
	v.git("clone", "-q", "--no-checkout", "--depth=1", "--filter=blob:none", v.url(many), "both")
	v.state("both")
}

func oneBranch(v *visitor) {
	v.git("clone", "-q", "--single-branch", "--branch=side", v.url(many), "side")
	v.state("side")
	v.git("clone", "-q", "--no-tags", v.url(many), "untagged")
	v.state("untagged")
	v.git("clone", "-q", "--single-branch", "--no-tags", "--branch=feature/a", v.url(many), "both")
	v.state("both")
	v.refused("clone", "-q", "--branch=no-such-branch", v.url(many), "none")
}

func oneBranchFetch(v *visitor) {
	v.git("-C", "side", "fetch", "-q")
	v.state("side")
	v.git("-C", "untagged", "fetch", "-q", "origin", "main")
	v.state("untagged")
	v.git("-C", "both", "fetch", "-q", "--tags")
	v.state("both")
	v.git("-C", "both", "fetch", "-q", "origin", "refs/heads/n*:refs/heads/theirs/*")
	v.state("both")
}

// byObject asks for objects by their names, as the go command and CI do.
func byObject(v *visitor) {
	up := func(rev string) string { return v.rig.up.Rev(v.tb, many, rev) }
	v.git("init", "-q", "clone")
	v.git("-C", "clone", "fetch", "-q", "--depth=1", v.url(many), up("refs/tags/v0.2.0"))
	v.state("clone")
	v.git("-C", "clone", "fetch", "-q", v.url(many), up("refs/tags/v0.3.0"))
	v.state("clone")
	v.git("-C", "clone", "fetch", "-q", v.url(many), up("refs/tags/of-tree"), up("refs/tags/of-blob"))
	v.state("clone")
	v.refused("-C", "clone", "fetch", "-q", v.url(many), strings.Repeat("12", 20))
	v.refused("-C", "clone", "fetch", "-q", v.url(many), up("refs/tags/v0.4.0")[:12])
	v.state("clone")
}

// hiddenRefs are pull requests here: mirrored, not shown, and to be had by the
// name of the commit alone, as git has it.
func hiddenRefs(v *visitor) {
	v.git("init", "-q", "clone")
	v.refused("-C", "clone", "fetch", "-q", v.url(many), "refs/pull/1/head")
	v.refused("-C", "clone", "fetch", "-q", v.url(many), "refs/pull/*:refs/pull/*", "refs/pull/2/head:pull")
	v.git("-C", "clone", "fetch", "-q", v.url(many), v.rig.up.Rev(v.tb, many, "refs/pull/1/head"))
	v.state("clone")
}

// keptRefs are what upstream has overwritten: they are kept, and not shown.
func keptRefs(v *visitor) {
	v.ask("ls-remote", v.url(many), "refs/gitmirror/*", "*kept*")
	v.git("-C", "clone", "fetch", "-q", v.url(many), "+refs/*:refs/all/*")
	v.state("clone")
	v.whole("clone")
}

// divergent has so many commits of its own that the negotiation takes rounds
// and its requests are compressed.
func divergent(v *visitor) {
	v.git("clone", "-q", v.url(many), "clone")
	var stream strings.Builder
	for i := range 400 {
		fmt.Fprintf(&stream, "commit refs/heads/mine\nmark :%d\ncommitter C <c@example.com> %d +0000\ndata 1\nx\n", i+1, 1_800_000_000+i)
		if i == 0 {
			stream.WriteString("from refs/heads/main^0\n")
		}
		fmt.Fprintf(&stream, "M 644 inline mine.txt\ndata 4\n%04d\n\n", i)
	}
	cmd, _, said := v.command(nil, "-C", "clone", "fast-import", "--quiet")
	cmd.Stdin = strings.NewReader(stream.String())
	if err := cmd.Run(); err != nil {
		v.tb.Fatalf("git fast-import: %v\n%s", err, said)
	}
}

func divergentFetch(v *visitor) {
	v.git("-C", "clone", "fetch", "-q")
	v.state("clone")
	v.git("-C", "clone", "-c", "fetch.negotiationAlgorithm=skipping", "fetch", "-q", v.url(many), "refs/heads/new")
	buffer := "http.postBuffer=1m"
	if v.ours { // a longer request comes in chunks, which CGI does not know
		buffer = "http.postBuffer=64k"
	}
	v.git("-C", "clone", "-c", buffer, "-c", "fetch.negotiationAlgorithm=noop", "fetch", "-q", v.url(many), "refs/heads/side")
	v.state("clone")
	v.whole("clone")
}

// negotiateOnly asks what there is in common and fetches nothing.
func negotiateOnly(v *visitor) {
	v.git("-C", "clone", "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "--allow-empty", "-m", "mine")
	v.ask("-C", "clone", "fetch", "--negotiate-only", "--negotiation-tip=HEAD", "origin")
	v.state("clone")
}

func refetch(v *visitor) {
	v.git("-C", "clone", "fetch", "-q", "--refetch", "origin", "+refs/heads/*:refs/heads/*")
	v.state("clone")
	v.whole("clone")
}

func submodules(v *visitor) {
	v.git("clone", "-q", "--recurse-submodules", v.url(super), "clone")
	v.state("clone")
	v.state("clone/lib/many")
	v.ask("-C", "clone", "submodule", "status", "--recursive")
	v.git("clone", "-q", "--depth=1", "--recurse-submodules", "--shallow-submodules", v.url(super)+".git", "shallow")
	v.state("shallow/lib/many")
}

// archiveRemote is not served by git http-backend either; over SSH there is a
// sentence.
func archiveRemote(v *visitor) {
	got := v.refused("archive", "--remote="+v.url(many), "HEAD")
	if v.ours && v.transport == "ssh" && !strings.Contains(got.err, "not available here") {
		v.tb.Errorf("git archive --remote over ssh says %q, want a sentence", got.err)
	}
}

func pushRefused(v *visitor) {
	v.refused("-C", "clone", "push", "-q", v.url(many), "refs/heads/main:refs/heads/mine")
	v.refused("-C", "clone", "push", "-q", "--mirror", v.url(many))
	v.ask("ls-remote", v.url(many))
}

// interrupted kills a clone in the middle of its pack. The next one gets all.
func interrupted(v *visitor) {
	if v.ours {
		v.killed()
	}
	v.git("clone", "-q", "--bare", v.url(large), "clone") // index-pack reads every byte
	v.state("clone")
	_ = os.RemoveAll(v.at("clone"))
}

// killed begins to clone over a road that holds the pack back, and is killed.
func (v *visitor) killed() {
	at := strings.Index(v.base, "://") + len("://")
	server := strings.TrimPrefix(v.base[at:], "git@")
	cut := newCutter(v.tb, server, 1<<20)
	options := v.rig.sshOptions("key")
	for i, o := range options { // another address has no known key
		if strings.HasPrefix(o, "UserKnownHostsFile=") {
			options[i] = "UserKnownHostsFile=/dev/null"
		}
		if o == "StrictHostKeyChecking=yes" {
			options[i] = "StrictHostKeyChecking=no"
		}
	}
	cmd, _, said := v.command(options, "clone", "-q", strings.Replace(v.url(large), server, cut.addr, 1), "cut")
	if err := cmd.Start(); err != nil {
		v.tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-cut.begun:
		cmd.Process.Kill()
		close(cut.end)
		<-ended
	case err := <-ended:
		v.tb.Fatalf("git clone ended before it was cut: %v\n%s", err, said)
	case <-time.After(clientLimit):
		cmd.Process.Kill()
		v.tb.Fatalf("git clone brought no megabyte within %v", clientLimit)
	}
}
