package git_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestPrivateAddressesAreRefused(t *testing.T) {
	disk := open(t, t.TempDir(), func(d *git.Disk) { d.AllowPrivate = false })
	ref := []mirror.Ref{{Name: "refs/heads/main", Hash: strings.Repeat("12", 20)}}
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.1.1",
		"169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[fc00::1]", "224.0.0.1", "[ff02::1]", "255.255.255.255",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[::7f00:1]", "0.1.2.3", "198.18.0.1",
	} {
		for _, scheme := range []string{"http", "https", "ssh"} {
			from := remote(t, scheme+"://"+host+"/team/project")
			_, err := disk.List(t.Context(), from)
			problem(t, "List "+scheme+" "+host, err, mirror.ErrDenied, mirror.CodeBlocked)
			_, err = disk.Fetch(t.Context(), mirror.NewID(), from, ref, nil)
			p := problem(t, "Fetch "+scheme+" "+host, err, mirror.ErrDenied, mirror.CodeBlocked)
			if strings.Contains(p.Why, "is "+strings.Trim(host, "[]")+", ") {
				t.Errorf("Why = %q, says that an address is itself", p.Why)
			}
		}
	}
	// The setting is named where it would help, and nowhere else.
	for host, help := range map[string]bool{"127.0.0.1": true, "10.1.2.3": true, "169.254.169.254": false, "0.0.0.0": false, "224.0.0.1": false} {
		_, err := disk.List(t.Context(), remote(t, "http://"+host+"/a/b"))
		p := problem(t, "List "+host, err, mirror.ErrDenied, mirror.CodeBlocked)
		if strings.Contains(p.Do, "security.allow_private_upstreams") != help {
			t.Errorf("Do for %s = %q, want the name of the setting: %v", host, p.Do, help)
		}
	}
	// What leads to credentials of the machine stays shut even when private is open.
	open := open(t, t.TempDir())
	for _, host := range []string{"169.254.169.254", "0.0.0.0", "224.0.0.1"} {
		_, err := open.List(t.Context(), remote(t, "http://"+host+"/a/b"))
		problem(t, "List "+host, err, mirror.ErrDenied, mirror.CodeBlocked)
	}
}

func TestHostIsPinned(t *testing.T) {
	// "localhost" has an address here; git gets it from us and asks no resolver.
	h := newHouse(t)
	h.up.Commit(t, project, files(2, 1))
	h.from = remote(t, strings.Replace(h.up.URL(project), "127.0.0.1", "localhost", 1))
	h.mustSync(t)
	h.same(t)
}

func TestUnknownHostAndPort(t *testing.T) {
	disk := open(t, t.TempDir())
	ref := []mirror.Ref{{Name: "refs/heads/main", Hash: strings.Repeat("12", 20)}}
	_, err := disk.List(t.Context(), remote(t, "https://no-such-host.invalid/team/project"))
	problem(t, "List", err, mirror.ErrUpstream, mirror.CodeDNS)
	_, err = disk.Fetch(t.Context(), mirror.NewID(), remote(t, "https://no-such-host.invalid/team/project"), ref, nil)
	problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeDNS)
	_, err = disk.List(t.Context(), remote(t, "https://127.0.0.1:1/team/project"))
	problem(t, "List", err, mirror.ErrUpstream, mirror.CodeConnect)
	_, err = disk.Fetch(t.Context(), mirror.NewID(), remote(t, "https://127.0.0.1:1/team/project"), ref, nil)
	problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeConnect)
	_, err = disk.List(t.Context(), remote(t, "ssh://git@127.0.0.1:1/team/project"))
	problem(t, "List", err, mirror.ErrUpstream, mirror.CodeConnect)
}

func TestTLS(t *testing.T) {
	up := gittest.NewUpstream(t, gittest.TLS())
	up.Commit(t, project, files(3, 1))
	h := &house{Disk: open(t, t.TempDir()), up: up, id: mirror.NewID(), from: remote(t, up.URL(project))}
	_, err := h.List(t.Context(), h.from)
	problem(t, "List", err, mirror.ErrUpstream, mirror.CodeTLS)
	ref := []mirror.Ref{{Name: "refs/heads/main", Hash: up.Rev(t, project, "main")}}
	_, err = h.Fetch(t.Context(), h.id, h.from, ref, nil)
	problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeTLS)

	h.Disk = open(t, t.TempDir(), func(d *git.Disk) { d.CAFile = up.CAFile(t) })
	h.mustSync(t)
	h.same(t)
}

func TestNothingElseIsSpawned(t *testing.T) {
	disk := open(t, t.TempDir())
	canary := filepath.Join(t.TempDir(), "canary")
	ref := []mirror.Ref{{Name: "refs/heads/main", Hash: strings.Repeat("12", 20)}}
	for _, up := range []mirror.Upstream{
		{Scheme: "ext::sh -c touch% " + canary, Host: "x.example"},
		{Scheme: "file", Path: "/etc"},
		{Scheme: "git", Host: "127.0.0.1", Path: "/x"},
		{Scheme: "https", Host: "--upload-pack=touch " + canary, Path: "/x"},
		{Scheme: "ssh", User: "git", Host: "-oProxyCommand=touch " + canary, Path: "/x"},
		{Scheme: "ssh", User: "-oProxyCommand=touch", Host: "127.0.0.1", Path: "/x"},
		{Scheme: "ssh", User: "git", Host: "127.0.0.1", Port: "1", Path: "/$(touch " + canary + ")"},
		{Path: "--upload-pack=touch " + canary},
		{},
	} {
		if _, err := disk.List(t.Context(), mirror.Remote{Upstream: up}); err == nil {
			t.Errorf("List(%+v) = nil, want an error", up)
		}
		if _, err := disk.Fetch(t.Context(), mirror.NewID(), mirror.Remote{Upstream: up}, ref, nil); err == nil {
			t.Errorf("Fetch(%+v) = nil, want an error", up)
		}
	}
	for _, r := range []mirror.Ref{{Name: "--upload-pack=x", Hash: ref[0].Hash}, {Name: "refs/heads/x", Hash: "--exec=x"}, {Name: "refs/heads/x\nrefs/heads/y", Hash: ref[0].Hash}} {
		if _, err := disk.Fetch(t.Context(), mirror.NewID(), remote(t, "http://127.0.0.1:1/a/b"), []mirror.Ref{r}, nil); err == nil {
			t.Errorf("Fetch of %+v = nil, want an error", r)
		}
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("a command of a stranger ran")
	}
}
