package gitserver_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A mirror that is older than it should be says so: to programs in a header, to
// people who watch a clone over SSH in a line, and to nobody else.
func TestStaleMirrorsTellTheirAge(t *testing.T) {
	r := newRig(t, func(r *rig) { r.maxAge = time.Nanosecond })
	const told = "gitmirror: " + tool + " was last in step with its upstream "
	for _, version := range []string{"0", "2"} {
		clone := func(args ...string) result {
			args = append([]string{"-c", "protocol.version=" + version, "clone"}, args...)
			got := r.git(t, append(args, r.sshURL(tool), filepath.Join(t.TempDir(), "clone"))...)
			if got.code != 0 {
				t.Fatalf("git %v = exit %d %q", args, got.code, got.err)
			}
			return got
		}
		if got := clone("--progress"); strings.Count(got.err, told) != 1 {
			t.Errorf("v%s: clone --progress said %q, want once %q", version, got.err, told)
		}
		for _, quiet := range []string{"-q", "--no-tags"} { // the latter without a terminal
			if got := clone(quiet); strings.Contains(got.err, told) {
				t.Errorf("v%s: clone %s said %q, want no word of its age", version, quiet, got.err)
			}
		}
	}
	if got := r.git(t, "ls-remote", r.sshURL(tool)); got.err != "" {
		t.Errorf("ls-remote said %q, want nothing", got.err)
	}
	v2 := map[string]string{"Git-Protocol": "version=2", "Content-Type": "application/x-git-upload-pack-request"}
	_, head, _ := r.do(t, "GET", "/"+tool+"/info/refs?service=git-upload-pack", v2, nil)
	if age, err := strconv.Atoi(head.Get("Gitmirror-Age")); err != nil || age < 0 {
		t.Errorf("info/refs has Gitmirror-Age %q, want seconds", head.Get("Gitmirror-Age"))
	}
	_, head, _ = r.do(t, "POST", "/"+tool+"/git-upload-pack", v2, strings.NewReader(pkt("command=ls-refs")+"0000"))
	if age, err := strconv.Atoi(head.Get("Gitmirror-Age")); err != nil || age < 0 {
		t.Errorf("ls-refs has Gitmirror-Age %q, want seconds", head.Get("Gitmirror-Age"))
	}
	_, head, _ = r.do(t, "GET", "/"+secret+"/info/refs?service=git-upload-pack", v2, nil)
	if age := head.Get("Gitmirror-Age"); age != "" {
		t.Errorf("a private mirror tells strangers its age: %q", age)
	}
}

func TestFreshMirrorsAreSilent(t *testing.T) {
	r := newRig(t)
	if got := r.git(t, "clone", "--progress", r.sshURL(tool), filepath.Join(t.TempDir(), "clone")); got.code != 0 || strings.Contains(got.err, "gitmirror") {
		t.Errorf("clone --progress of a fresh mirror = exit %d %q, want nothing of ours", got.code, got.err)
	}
}

// What is served is counted as it is.
func TestTrafficIsCounted(t *testing.T) {
	r := newRig(t)
	r.mustGit(t, "clone", "-q", r.url+"/"+tool, filepath.Join(t.TempDir(), "http"))
	dir := filepath.Join(t.TempDir(), "ssh")
	r.mustGit(t, "clone", "-q", r.sshURL(tool), dir)
	r.mustGit(t, "-C", dir, "fetch", "-q", "origin", "side")
	r.mustGit(t, "ls-remote", r.sshURL(secret))
	eventually(t, "all requests have ended", func() bool { return r.traffic.Flows() == 0 })
	top := r.traffic.Top(5, time.Now())
	if len(top) != 2 || top[0].Path != tool || top[0].Clones != 2 || top[0].Bytes < 2_000_000 || top[1].Path != secret || top[1].Clones != 0 || top[1].Requests != 1 {
		t.Errorf("Top = %+v, want 2 clones of %s of 1 MB each, and a listing of %s", top, tool, secret)
	}
	eventually(t, "the clone over HTTP is heard of", func() bool { return len(r.requests.served("http fetch ok")) > 0 })
	served := r.requests.served("http fetch ok")
	if len(served) != 1 || !served[0].Clone || served[0].First <= 0 || served[0].First > served[0].Took || served[0].Bytes < 1_000_000 {
		t.Errorf("the clone over HTTP was heard of as %+v, want its bytes and the time to the first", served)
	}
	var http, ssh int64
	for _, s := range r.traffic.Over(24*time.Hour, time.Hour, time.Now()) {
		http, ssh = http+s.HTTP, ssh+s.SSH
	}
	if http < 1_000_000 || ssh < 1_000_000 {
		t.Errorf("Over(a day) = %d bytes by HTTP, %d by SSH, want 1 MB each", http, ssh)
	}
}
