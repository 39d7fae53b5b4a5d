package gitserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

const slow = "github.com/acme/slow" // half a megabyte that comes when the test says so

// slowRoad is a way to the rig's upstream on which packs stop in the middle,
// until goOn is called; once cut is, they break off there.
type slowRoad struct {
	url       string
	goOn, cut func()
}

func (r *rig) slowRoad(t *testing.T) slowRoad {
	t.Helper()
	more, broken := make(chan struct{}), make(chan struct{})
	road := slowRoad{goOn: sync.OnceFunc(func() { close(more) }), cut: sync.OnceFunc(func() { close(broken) })}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		out, err := http.NewRequestWithContext(in.Context(), in.Method, r.up.Base()+in.URL.RequestURI(), in.Body)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = in.Header.Clone()
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		if n, _ := io.CopyN(w, resp.Body, 100_000); n == 100_000 {
			http.NewResponseController(w).Flush()
			select {
			case <-more:
			default:
				select {
				case <-more:
				case <-broken:
					panic(http.ErrAbortHandler)
				case <-in.Context().Done():
				}
			}
		}
		io.Copy(w, resp.Body)
	}))
	t.Cleanup(func() { road.goOn(); server.CloseClientConnections(); server.Close() })
	road.url = server.URL
	return road
}

// addSlow maps slow, whose clone stops in the middle.
func (r *rig) addSlow(t *testing.T) (mirror.Repo, slowRoad) {
	t.Helper()
	r.up.Commit(t, slow, map[string]string{"noise.bin": gittest.Noise(500_000, 1)}, "v1.0.0")
	road := r.slowRoad(t)
	repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: slow, Upstream: road.url + "/" + slow})
	if err != nil {
		t.Fatal(err)
	}
	return repo, road
}

// running is a git that was started.
type running struct {
	err   *lockedBuffer
	ended chan error
}

func (r *rig) startGit(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = r.home
	cmd.Env = gittest.Env(r.home, "GIT_SSH_COMMAND=ssh "+strings.Join(r.sshOptions("key"), " "))
	cmd.WaitDelay = 10 * time.Second
	g := &running{err: &lockedBuffer{}, ended: make(chan error, 1)}
	cmd.Stderr = g.err
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { g.ended <- cmd.Wait() }()
	return g
}

func (g *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-g.ended:
		return err
	case <-time.After(3 * time.Minute):
		t.Fatalf("git has not ended; it said:\n%s", g.err)
		return nil
	}
}

// sees waits until git has said something.
func (g *running) sees(t *testing.T, want string) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("git said:\n%s", g.err)
		}
	})
	eventually(t, "git says "+want, func() bool { return strings.Contains(g.err.String(), want) })
}

// Whoever clones what is only being mirrored sees how that goes, and then has
// the clone, from one first clone for all.
func TestWaitingClientsSeeTheFirstClone(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.Silence = time.Millisecond })
	repo, road := r.addSlow(t)
	clones := map[string]*running{
		"http":    r.startGit(t, "clone", "--progress", r.url+"/"+slow, "http"),
		"ssh":     r.startGit(t, "clone", "--progress", r.sshURL(slow), "ssh"),
		"ssh v0":  r.startGit(t, "-c", "protocol.version=0", "clone", r.sshURL(slow), "ssh v0"),
		"http v0": r.startGit(t, "-c", "protocol.version=0", "clone", r.url+"/"+slow, "http v0"),
		"shallow": r.startGit(t, "clone", "--depth=1", r.url+"/"+slow, "shallow"),
		"quiet":   r.startGit(t, "clone", "--quiet", r.url+"/"+slow, "quiet"),

		"ssh shallow":       r.startGit(t, "clone", "--progress", "--depth=1", r.sshURL(slow), "ssh shallow"),
		"ssh quiet":         r.startGit(t, "clone", "--quiet", r.sshURL(slow), "ssh quiet"),
		"ssh partial":       r.startGit(t, "clone", "--quiet", "--filter=blob:none", r.sshURL(slow), "ssh partial"),
		"ssh quiet shallow": r.startGit(t, "clone", "--quiet", "--depth=1", r.sshURL(slow), "ssh quiet shallow"),
	}
	const says = "gitmirror: first clone of github.com/acme/slow: receiving"
	for name, want := range map[string]string{"http": "remote: " + says, "ssh": "remote: " + says, "ssh shallow": says, "ssh v0": says} {
		clones[name].sees(t, want)
	}
	// Refs are listed while the objects still come.
	for _, url := range []string{r.url + "/" + slow, r.sshURL(slow)} {
		if got := r.mustGit(t, "ls-remote", url); !strings.Contains(got, "refs/tags/v1.0.0") || !strings.Contains(got, "\tHEAD") {
			t.Errorf("ls-remote %s during the first clone = %q, want HEAD and the tag", url, got)
		}
	}
	for name, g := range clones {
		select {
		case err := <-g.ended:
			t.Errorf("%s ended before the first clone (%v):\n%s", name, err, g.err)
		default:
		}
	}
	road.goOn()
	for name, g := range clones {
		if err := g.wait(t); err != nil {
			t.Errorf("%s: git clone = %v\n%s", name, err, g.err)
			continue
		}
		if data, err := os.ReadFile(filepath.Join(r.home, name, "noise.bin")); err != nil || string(data) != gittest.Noise(500_000, 1) {
			t.Errorf("%s: the clone holds %d bytes of noise.bin, %v", name, len(data), err)
		}
		r.mustGit(t, "-C", name, "fsck", "--strict")
	}
	for _, name := range []string{"http", "ssh", "ssh shallow", "ssh v0"} {
		if text := clones[name].err.String(); !strings.Contains(text, "first clone of github.com/acme/slow: done") {
			t.Errorf("%s saw:\n%s\nwant the end of the first clone", name, text)
		}
	}
	for _, name := range []string{"quiet", "ssh quiet", "ssh quiet shallow", "ssh partial"} {
		if text := clones[name].err.String(); text != "" {
			t.Errorf("%s: git clone --quiet said %q", name, text)
		}
	}
	if runs, err := r.db.Runs(t.Context(), repo.ID, 0, 10); err != nil || len(runs) != 1 {
		t.Errorf("%d runs (%v), want one for all", len(runs), err)
	}
}

// Over SSH, git before protocol v2 does not say whether it wants progress: for a
// while it gets none.
func TestOldClientsAreToldLate(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.Silence = time.Hour })
	_, road := r.addSlow(t)
	old := r.startGit(t, "-c", "protocol.version=0", "clone", "--progress", r.sshURL(slow), "old")
	now := r.startGit(t, "clone", "--progress", r.sshURL(slow), "now")
	now.sees(t, "receiving")
	road.goOn()
	for name, g := range map[string]*running{"old": old, "now": now} {
		if err := g.wait(t); err != nil {
			t.Errorf("%s: git clone = %v\n%s", name, err, g.err)
		}
	}
	if text := old.err.String(); strings.Contains(text, "gitmirror") {
		t.Errorf("git clone over protocol v0 said:\n%s\nwant nothing of the first clone", text)
	}
}

// A first clone that breaks off under the eyes of clients: each is told the
// reason with its code, none gets half a repository, and all is well when the
// upstream is.
func TestFirstCloneFailsWhileClientsWait(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.Silence = time.Millisecond })
	repo, road := r.addSlow(t)
	clones := map[string]*running{
		"http":    r.startGit(t, "clone", "--progress", r.url+"/"+slow, "http"),
		"http v0": r.startGit(t, "-c", "protocol.version=0", "clone", r.url+"/"+slow, "http v0"),
		"ssh":     r.startGit(t, "clone", "--progress", r.sshURL(slow), "ssh"),
		"ssh v0":  r.startGit(t, "-c", "protocol.version=0", "clone", r.sshURL(slow), "ssh v0"),
		"quiet":   r.startGit(t, "clone", "--quiet", r.sshURL(slow), "quiet"),
		"shallow": r.startGit(t, "clone", "--progress", "--depth=1", r.sshURL(slow), "shallow"),
	}
	for _, name := range []string{"http", "ssh", "ssh v0", "shallow"} {
		clones[name].sees(t, "receiving")
	}
	road.cut()
	for name, g := range clones {
		err, said := g.wait(t), g.err.String()
		if err == nil || !strings.Contains(said, string(mirror.CodeCutOff)) || !strings.Contains(said, slow+" could not be cloned from its upstream yet") {
			t.Errorf("%s: git clone = %v\n%s\nwant a failure with %s in words", name, err, said, mirror.CodeCutOff)
		}
		if _, err := os.Stat(filepath.Join(r.home, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the directory of the clone = %v, want none", name, err)
		}
	}
	failed, err := r.catalog.Find(t.Context(), slow)
	if err != nil || failed.State.Served() || failed.State.Problem == nil || failed.State.Problem.Code != mirror.CodeCutOff {
		t.Errorf("Find(%s) = %+v, %v, want it not served, with %s", slow, failed.State, err, mirror.CodeCutOff)
	}
	road.goOn()
	eventually(t, "it is cloned", func() bool { // a scheduled attempt may just be failing
		run, err := r.catalog.Syncer.Sync(t.Context(), repo.ID, mirror.ByHand)
		return err == nil && run.Problem == nil
	})
	r.mustGit(t, "clone", "-q", r.sshURL(slow), "later")
	r.mustGit(t, "-C", "later", "fsck", "--strict")
}

// Over SSH, what a client says while the first clone runs is checked before
// anything is done about it.
func TestBadRequestsWhileClientsWait(t *testing.T) {
	r := newRig(t)
	r.addSlow(t)
	c := r.mustDial(t)
	for name, row := range map[string]struct{ request, want string }{
		"garbage":      {"zzzz this is not a pkt-line", "E3202"},
		"a bad length": {"0003", "E3202"},
		"cut short":    {pkt("command=ls-refs") + "0001" + "00", "E3202"},
		"endless":      {strings.Repeat(pkt(strings.Repeat("x", 60_000)), 20), "E3202"},
		"nothing":      {"", ""},
		"goodbye":      {"0000", ""},
	} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Setenv("GIT_PROTOCOL", "version=2"); err != nil {
			t.Fatal(err)
		}
		var out, said bytes.Buffer
		s.Stdin, s.Stdout, s.Stderr = strings.NewReader(row.request), &out, &said
		err = s.Run("git-upload-pack '/" + slow + "'")
		if (err == nil) != (row.want == "") || !strings.Contains(said.String(), row.want) {
			t.Errorf("%s = %v, %q, want %q", name, err, said.String(), row.want)
		}
		if !strings.HasPrefix(out.String(), pkt("version 2\n")) {
			t.Errorf("%s: the server began with %.40q, want its capabilities", name, out.String())
		}
	}
}

// What a rule admits is mirrored while the client waits; what its upstream does
// not have is told with the upstream's reason.
func TestRuleAdmitsWhileClientWaits(t *testing.T) {
	r := newRig(t)
	host, _, _ := strings.Cut(r.up.Addr(), ":")
	r.catalog.MayAdmit = func(ctx context.Context, rule mirror.Rule, _ mirror.Path) error {
		if auth.From(ctx).Anonymous() {
			return mirror.ErrSignIn
		}
		return nil
	}
	if err := r.catalog.AddRule(t.Context(), mirror.Rule{Pattern: host + "/acme/*"}); err != nil {
		t.Fatal(err)
	}
	// https at this address answers nobody: the upstream of the rule has trouble.
	for name, url := range map[string]string{
		"http": strings.Replace(r.url, "://", "://dev:"+r.token+"@", 1) + "/" + host + "/acme/new",
		"ssh":  r.sshURL(host + "/acme/other"),
	} {
		got := r.git(t, "clone", url, name)
		if got.code == 0 || !strings.Contains(got.err, "could not be cloned from its upstream yet") || !strings.Contains(got.err, "E11") {
			t.Errorf("%s: git clone = exit %d\n%s\nwant the upstream's trouble in words", name, got.code, got.err)
		}
		if _, err := r.catalog.Find(t.Context(), mirror.Path(strings.TrimPrefix(url[strings.Index(url, host+"/acme"):], "/"))); err != nil {
			t.Errorf("%s: the rule has admitted nothing: %v", name, err)
		}
	}
	if got := r.git(t, "clone", r.url+"/"+host+"/acme/anonymous"); got.code == 0 {
		t.Error("a stranger had a repository mirrored")
	}
	if _, err := r.catalog.Find(t.Context(), mirror.Path(host+"/acme/anonymous")); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Find = %v, want ErrNotFound", err)
	}
}

// A client that cannot be told anything is not held for ever.
func TestHeldClientIsLetGo(t *testing.T) {
	r := newRig(t, func(r *rig) { r.http.Wait = 200 * time.Millisecond })
	_, road := r.addSlow(t)
	got := r.git(t, "-c", "protocol.version=0", "clone", r.url+"/"+slow, "v0")
	if got.code == 0 || !strings.Contains(got.err, "the first clone of github.com/acme/slow is still running") {
		t.Errorf("git clone = exit %d\n%s\nwant to be told that it still runs", got.code, got.err)
	}
	status, head, text := r.do(t, "GET", "/"+slow+infoRefs, nil, nil)
	if status != 503 || head.Get("Retry-After") == "" || !strings.Contains(text, "still running") {
		t.Errorf("info/refs = %d, Retry-After %q, %q, want 503 with a time and a sentence", status, head.Get("Retry-After"), text)
	}
	road.goOn()
	eventually(t, "it is cloned", func() bool {
		repo, err := r.catalog.Find(t.Context(), slow)
		return err == nil && repo.State.Served()
	})
	r.mustGit(t, "-c", "protocol.version=0", "clone", "-q", r.url+"/"+slow, "later")
}
