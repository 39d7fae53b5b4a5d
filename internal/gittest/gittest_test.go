package gittest_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// What git has at a tag must hash to what the checksum database says.
func TestAddModules(t *testing.T) {
	up := gittest.NewUpstream(t)
	for _, fix := range up.AddModules(t, slices.Concat(gittest.Shapes(), gittest.Graph())...) {
		repo := t.TempDir()
		if err := os.Symlink(up.Dir(fix.Repo), filepath.Join(repo, ".git")); err != nil { // as CreateFromVCS wants it
			t.Fatal(err)
		}
		rev := fix.Commit
		if fix.Tag != "" {
			rev = "refs/tags/" + fix.Tag
		}
		if got := up.Rev(t, fix.Repo, rev+"^{commit}"); got != fix.Commit {
			t.Errorf("Rev(%s, %s) = %s, want %s", fix.Repo, rev, got, fix.Commit)
		}
		name := filepath.Join(t.TempDir(), "m.zip")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := modzip.CreateFromVCS(f, module.Version{Path: fix.Path, Version: fix.Version}, repo, rev, fix.Dir); err != nil {
			t.Fatalf("%s: %v", fix.Module, err)
		}
		f.Close()
		if got, err := dirhash.HashZip(name, dirhash.Hash1); got != fix.Sums.Zip || err != nil {
			t.Errorf("hash of %s = %s, %v, want %s", fix.Module, got, err, fix.Sums.Zip)
		}
	}
}

// A repository that grows while a test runs is the same as one made at once.
func TestAddModulesLater(t *testing.T) {
	pflag := func(v string) gittest.Module { return gittest.Module{Path: "github.com/spf13/pflag", Version: v} }
	once, twice := gittest.NewUpstream(t), gittest.NewUpstream(t)
	want := once.AddModules(t, pflag("v1.0.5"), pflag("v1.0.4"))
	old := twice.AddModules(t, pflag("v1.0.4"))[0]
	new := twice.AddModules(t, pflag("v1.0.5"))[0]
	if got := []gittest.Fixture{new, old}; !slices.Equal(got, want) {
		t.Errorf("added one by one = %v, want %v", got, want)
	}
	if got, want := new.Sums, gittest.RealSums(t, new.Module); got != want {
		t.Errorf("Sums = %v, want %v", got, want)
	}
}

func TestServe(t *testing.T) {
	up := gittest.NewUpstream(t, gittest.TLS())
	hash := up.Commit(t, "git.example/a/b", map[string]string{"go.mod": "module git.example/a/b\n", "big": gittest.Noise(3<<20, 1)}, "v0.1.0")
	up.AnnotateTag(t, "git.example/a/b", "v0.2.0", hash)
	up.Private("git.example/a/b", "robot", "hunter2")

	dir := filepath.Join(t.TempDir(), "clone")
	ca := "http.sslCAInfo=" + up.CAFile(t)
	url := strings.Replace(up.URL("git.example/a/b"), "https://", "https://robot:hunter2@", 1)
	gittest.Git(t, "", "-c", ca, "clone", "--quiet", "--filter=blob:none", url+".git", dir)
	if got := gittest.Git(t, dir, "rev-parse", "HEAD"); got != hash {
		t.Errorf("HEAD of the clone = %s, want %s", got, hash)
	}
	if got := gittest.Git(t, dir, "describe"); got != "v0.2.0" {
		t.Errorf("describe = %s, want v0.2.0", got)
	}
	log := up.Requests()
	if log[0].Auth || !log[len(log)-1].Auth || log[0].Protocol != "version=2" {
		t.Errorf("Requests = %+v, want the first without credentials, the last with, protocol 2", log)
	}
}

func TestFaults(t *testing.T) {
	up := gittest.NewUpstream(t)
	up.Commit(t, "git.example/a/b", map[string]string{"f": "x"}, "v0.1.0")
	url := up.URL("git.example/a/b") + "/info/refs?service=git-upload-pack"
	client := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func() (status int, body string, err error) {
		resp, err := client.Get(url)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
	_, whole, err := ask()
	if err != nil || !strings.Contains(whole, "refs/tags/v0.1.0") {
		t.Fatalf("ask() = %q, %v", whole, err)
	}
	for _, tt := range []struct {
		name   string
		fault  gittest.Fault
		status int
		body   string
		err    string
	}{
		{"truncate", gittest.Fault{Truncate: true, After: 20}, 200, whole[:20], ""},
		{"stall", gittest.Fault{Stall: true, After: 20}, 200, whole[:20], "Timeout"},
		{"reset", gittest.Fault{Reset: true, After: 20}, 200, whole[:20], "reset"},
		{"status", gittest.Fault{Status: 429, Body: "slow down"}, 429, "slow down", ""},
		{"portal", gittest.Fault{Status: 200, Body: "<html>"}, 200, "<html>", ""},
		{"redirect", gittest.Fault{Redirect: "http://127.0.0.1:1"}, 302, "", ""},
		{"elsewhere", gittest.Fault{Status: 500, Repo: "git.example/other"}, 200, whole, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mend := up.Break(tt.fault)
			if tt.fault.Stall {
				client.Timeout = 3 * time.Second
			}
			status, body, err := ask()
			client.Timeout = time.Minute
			if status != tt.status || tt.status != 302 && body != tt.body || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("ask() = %d, %q, %v, want %d, %q, %q", status, body, err, tt.status, tt.body, tt.err)
			}
			mend()
			if _, body, err := ask(); body != whole || err != nil {
				t.Errorf("after mend: ask() = %q, %v", body, err)
			}
		})
	}
}
