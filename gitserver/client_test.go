package gitserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// Everything a git client does, over both transports and in all protocol
// versions, gives what the upstream itself would have given.
func TestGitClients(t *testing.T) {
	r := newRig(t)
	for name, url := range map[string]string{"http": r.url + "/" + tool, "ssh": r.sshURL(tool)} {
		for _, version := range []string{"0", "1", "2"} {
			t.Run(name+" v"+version, func(t *testing.T) {
				git := func(args ...string) string {
					return r.mustGit(t, append([]string{"-c", "protocol.version=" + version}, args...)...)
				}
				dir := filepath.Join(t.TempDir(), "clone")
				git("clone", "-q", "--mirror", url+".git", dir)
				gittest.Git(t, dir, "fsck", "--full", "--strict", "--no-dangling")
				if got, want := refs(t, dir), refs(t, r.up.Dir(tool)); got != want {
					t.Errorf("refs of the clone:\n%s\nwant upstream's:\n%s", got, want)
				}
				if got := git("ls-remote", "--symref", url, "HEAD"); !strings.HasPrefix(got, "ref: refs/heads/main\tHEAD") {
					t.Errorf("ls-remote --symref HEAD = %q, want refs/heads/main", got)
				}
				shallow := filepath.Join(t.TempDir(), "shallow")
				git("clone", "-q", "--depth=1", "--branch=side", url, shallow)
				if n := gittest.Git(t, shallow, "rev-list", "--count", "HEAD"); n != "1" {
					t.Errorf("clone --depth=1 has %s commits, want 1", n)
				}
				git("-C", shallow, "fetch", "-q", "--unshallow")
				git("-C", shallow, "fetch", "-q", "origin", "refs/tags/v0.2.0:refs/tags/v0.2.0")
				partial := filepath.Join(t.TempDir(), "partial")
				git("clone", "-q", "--filter=blob:none", "--no-checkout", url, partial)
				missing := gittest.Git(t, partial, "rev-list", "--objects", "--all", "--missing=print")
				if !strings.Contains(missing, "?") {
					t.Errorf("clone --filter=blob:none misses no object, want the blobs left out")
				}
				git("-C", partial, "checkout", "-q", "v0.1.0")
				if b, err := os.ReadFile(filepath.Join(partial, "n.txt")); err != nil || string(b) != "1" {
					t.Errorf("n.txt of v0.1.0 = %q, %v, want 1", b, err)
				}
			})
		}
	}
	for _, line := range []string{"http info-refs ok", "http ls-refs ok", "http fetch ok", "ssh upload-pack ok"} {
		if !strings.Contains(r.requests.String(), line) {
			t.Errorf("OnRequest heard no %q", line)
		}
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("errors in the log:\n%s", r.log)
	}
}

func refs(t *testing.T, dir string) string {
	t.Helper()
	return gittest.Git(t, dir, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
}

func TestFetchBringsWhatIsNew(t *testing.T) {
	r := newRig(t)
	for name, url := range map[string]string{"http": r.url + "/" + tool + ".git", "ssh": r.sshURL(tool) + ".git"} {
		dir := filepath.Join(t.TempDir(), name)
		r.mustGit(t, "clone", "-q", url, dir)
		commit := r.up.Commit(t, tool, map[string]string{"new.txt": name}, "v1.0.0-"+name)
		repo, err := r.catalog.Find(t.Context(), tool)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.catalog.Syncer.Sync(t.Context(), repo.ID, "manual"); err != nil {
			t.Fatal(err)
		}
		r.mustGit(t, "-C", dir, "pull", "-q", "--ff-only")
		if got := gittest.Git(t, dir, "rev-parse", "HEAD", "v1.0.0-"+name); got != commit+"\n"+commit {
			t.Errorf("%s: after pull HEAD and tag = %q, want %s", name, got, commit)
		}
	}
}

func TestPushIsRefused(t *testing.T) {
	r := newRig(t)
	dir := filepath.Join(t.TempDir(), "clone")
	r.mustGit(t, "clone", "-q", r.url+"/"+tool, dir)
	for name, url := range map[string]string{
		"http": r.url + "/" + tool, "http .git": r.url + "/" + tool + ".git", "ssh": r.sshURL(tool),
		"not mirrored": r.url + "/github.com/acme/nothing", "private": r.url + "/" + secret,
	} {
		got := r.git(t, "-C", dir, "push", url, "HEAD:refs/heads/mine")
		if got.code == 0 || !strings.Contains(got.err, "Mirrors are read-only.") || !strings.Contains(got.err, "git remote set-url --push") {
			t.Errorf("%s: git push = exit %d, %q, want a refusal that says mirrors are read-only", name, got.code, got.err)
		}
	}
}

func TestPrivateOverBothTransports(t *testing.T) {
	r := newRig(t)
	if err := r.accounts.SetPassword(t.Context(), r.dev.ID, password); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(r.url, "http://")
	for name, url := range map[string]string{
		"token as password": "http://anybody:" + r.token + "@" + host + "/" + secret,
		"token as user":     "http://" + r.token + "@" + host + "/" + secret,
		"user and password": "http://dev:correct%20horse%20battery@" + host + "/" + secret,
		"ssh":               r.sshURL(secret),
		"ssh, .git":         r.sshURL(secret) + ".git",
		"ssh, other case":   r.sshURL("GitHub.com/Acme/Secret"),
	} {
		if got := r.git(t, "ls-remote", url); got.code != 0 || !strings.Contains(got.out, "refs/heads/main") {
			t.Errorf("%s: git ls-remote = exit %d, %q %q, want refs", name, got.code, got.out, got.err)
		}
	}
	// Credentials in .netrc are sent only when a 401 asks for them.
	name, _, _ := strings.Cut(host, ":")
	netrc := "machine " + name + " login x password " + r.token + "\n"
	if err := os.WriteFile(filepath.Join(r.home, ".netrc"), []byte(netrc), 0o600); err != nil {
		t.Fatal(err)
	}
	r.mustGit(t, "ls-remote", r.url+"/"+secret)
	if strings.Contains(r.log.String(), r.token) {
		t.Error("the log holds a token")
	}
}

// What is mapped but not cloned yet says so, by either road.
func TestNotClonedYet(t *testing.T) {
	r := newRig(t)
	for name, url := range map[string]string{"http": r.url + "/" + queued, "ssh": r.sshURL(queued)} {
		if got := r.git(t, "ls-remote", url); got.code == 0 || !strings.Contains(got.err, queued) || !strings.Contains(got.err, "cloned") && !strings.Contains(got.err, "clone of") {
			t.Errorf("%s: git ls-remote = exit %d %q, want a sentence about %s", name, got.code, got.err, queued)
		}
	}
}
