package gitserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
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
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/gitserver"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

const (
	tool     = "github.com/acme/tool"   // anybody may read it
	secret   = "github.com/acme/secret" // private
	queued   = "github.com/acme/queued" // mapped, its upstream does not exist
	password = "correct horse battery"
)

// rig is a mirror with its edges for git, and people who use it.
type rig struct {
	up       *gittest.Upstream
	db       *store.DB
	disk     *git.Disk
	catalog  *mirror.Catalog
	accounts *auth.Accounts
	front    *gitserver.Front
	http     *gitserver.HTTP
	url      string
	ssh      *gitserver.SSH
	sshAddr  string
	stopSSH  func() error
	dir      string
	home     string
	log      *lockedBuffer
	requests *requestLog
	traffic  *mirror.Traffic
	maxAge   time.Duration // Syncer.MaxStaleness

	dev   auth.User
	token string // of dev, scope read
}

// packs is how the program joins git.Disk to this package.
type packs struct{ *git.Disk }

func (p packs) UploadPack(ctx context.Context, id mirror.ID, protocol string, stateless, advertise bool, in io.Reader, out, errOut io.Writer) error {
	return p.Disk.UploadPack(ctx, git.UploadPack{
		Repo: id, Protocol: protocol, Stateless: stateless, Advertise: advertise, In: in, Out: out, Err: errOut,
	})
}

// newRig starts everything; adjust may change the servers before they start.
// Tests with a rig run beside each other: they wait more than they work.
func newRig(t *testing.T, adjust ...func(*rig)) *rig {
	t.Helper()
	t.Parallel()
	r := &rig{dir: t.TempDir(), home: t.TempDir(), log: &lockedBuffer{}, requests: &requestLog{}, traffic: &mirror.Traffic{}}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.db, err = store.Open(t.Context(), filepath.Join(r.dir, "mirror.db"), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	disk, err := git.Open(t.Context(), git.Disk{Root: r.dir, AllowPrivate: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.disk = disk
	r.accounts = &auth.Accounts{Store: r.db, Log: log}
	site := mirror.Site{}
	gate := &gitserver.Gate{}
	cache, err := gitserver.OpenCache(&gitserver.Cache{Dir: filepath.Join(r.dir, "cache"), MaxBytes: 256 << 20, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.front = &gitserver.Front{Packs: packs{disk}, Gate: gate, Cache: cache, Log: log}
	t.Cleanup(func() { r.front.Cache.Close() })
	r.catalog = &mirror.Catalog{Store: r.db, Disk: disk}
	r.http = &gitserver.HTTP{
		Catalog: r.catalog, Packs: packs{disk}, Accounts: r.accounts, Policy: auth.Policy{AnonymousRead: true},
		Log: log, Gate: gate, Front: r.front, Traffic: r.traffic, OnRequest: r.requests.add,
	}
	server := httptest.NewServer(r.http)
	t.Cleanup(server.Close)
	r.url = server.URL
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.sshAddr = listener.Addr().String()
	site = mirror.Site{URL: r.url, SSH: "ssh://git@" + r.sshAddr}
	r.http.Site, r.catalog.Site = site, site
	r.ssh = &gitserver.SSH{
		Listener: listener, HostKeyFile: filepath.Join(r.dir, "host_key"), Catalog: r.catalog, Packs: packs{disk},
		Accounts: r.accounts, Policy: auth.Policy{AnonymousRead: true}, Site: site, Log: log, Gate: gate, Front: r.front,
		Traffic: r.traffic, OnRequest: r.requests.add,
		Mirrors: func(ctx context.Context) (int, error) {
			n := 0
			counts, err := r.db.CountRepos(ctx, mirror.RepoQuery{})
			for _, c := range counts {
				n += c
			}
			return n, err
		},
	}
	for _, f := range adjust {
		f(r)
	}
	r.fill(t, disk)
	r.people(t)
	r.startSSH(t)
	return r
}

// fill makes the upstreams and waits until they are mirrored.
func (r *rig) fill(t *testing.T, disk *git.Disk) {
	t.Helper()
	r.up = gittest.NewUpstream(t)
	for i := range 5 {
		tag := fmt.Sprintf("v0.%d.0", i)
		r.up.Commit(t, tool, map[string]string{
			"go.mod": "module " + tool + "\n", "n.txt": fmt.Sprint(i), "big.bin": gittest.Noise(200_000, uint64(i)),
		}, tag)
	}
	r.up.CommitTo(t, tool, "side", map[string]string{"side.txt": "side"})
	r.up.Commit(t, secret, map[string]string{"key.txt": "classified"})
	r.catalog.Syncer = &mirror.Syncer{
		Store: r.db, Disk: disk, Owner: "test", Schedule: mirror.Schedule{Min: time.Hour, Max: 8 * time.Hour}, Workers: 4,
		MaxStaleness: r.maxAge,
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.catalog.Syncer.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	for path, private := range map[string]bool{tool: false, secret: true, queued: false} {
		_, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: path, Upstream: r.up.URL(path), Private: private})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []mirror.Path{tool, secret} {
		eventually(t, string(path)+" is mirrored", func() bool {
			repo, err := r.catalog.Find(t.Context(), path)
			if err == nil && repo.State.Problem != nil {
				t.Fatalf("first clone of %s: %v", path, repo.State.Problem)
			}
			return err == nil && repo.State.Served()
		})
	}
}

// people are a developer with a token and an SSH key in home/key.
func (r *rig) people(t *testing.T) {
	t.Helper()
	var err error
	if r.dev, err = r.accounts.AddUser(t.Context(), "dev", auth.Developer, ""); err != nil {
		t.Fatal(err)
	}
	if _, r.token, err = r.accounts.CreateToken(t.Context(), r.dev.ID, "test", auth.ScopeRead, 0); err != nil {
		t.Fatal(err)
	}
	r.register(t, r.dev, r.newKey(t, "key"))
}

// newKey makes home/name and home/name.pub and returns the latter's text.
func (r *rig) newKey(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(r.home, name)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	text, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (r *rig) register(t *testing.T, u auth.User, public string) auth.Key {
	t.Helper()
	k, err := r.accounts.AddKey(t.Context(), u.ID, "", public)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (r *rig) startSSH(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.ssh.Run(ctx) }()
	r.stopSSH = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stopSSH(); err != nil {
			t.Errorf("SSH.Run = %v, want nil", err)
		}
	})
	eventually(t, "the host key is there", func() bool {
		_, err := os.Stat(r.ssh.HostKeyFile)
		return err == nil
	})
	public, _, err := gitserver.HostKey(r.ssh.HostKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(r.sshAddr)
	line := fmt.Sprintf("[%s]:%s %s\n", host, port, public)
	if err := os.WriteFile(filepath.Join(r.home, "known_hosts"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
}

// result is how a command ended.
type result struct {
	out, err string
	code     int
}

// run runs a program; extra are settings of the environment.
func (r *rig) run(t *testing.T, extra []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = r.home, gittest.Env(r.home, extra...)
	cmd.WaitDelay = 10 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// git runs git with the SSH identity home/key.
func (r *rig) git(t *testing.T, args ...string) result {
	t.Helper()
	return r.run(t, []string{"GIT_SSH_COMMAND=ssh " + strings.Join(r.sshOptions("key"), " ")}, "git", args...)
}

// mustGit is git that has to succeed; it returns the standard output.
func (r *rig) mustGit(t *testing.T, args ...string) string {
	t.Helper()
	got := r.git(t, args...)
	if got.code != 0 {
		t.Fatalf("git %s = exit %d\n%s%s", strings.Join(args, " "), got.code, got.err, r.log)
	}
	return strings.TrimSpace(got.out)
}

func (r *rig) sshOptions(key string) []string {
	return []string{
		"-F", "/dev/null", "-i", filepath.Join(r.home, key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + filepath.Join(r.home, "known_hosts"), "-o", "StrictHostKeyChecking=yes",
	}
}

// sshTo runs ssh git@HOST with a command, if any.
func (r *rig) sshTo(t *testing.T, key string, command ...string) result {
	t.Helper()
	host, port, _ := net.SplitHostPort(r.sshAddr)
	args := append(r.sshOptions(key), "-T", "-p", port, "git@"+host)
	return r.run(t, nil, "ssh", append(args, command...)...)
}

func (r *rig) sshURL(path string) string { return "ssh://git@" + r.sshAddr + "/" + path }

// do asks by HTTP for exactly this path and follows nothing.
func (r *rig) do(t *testing.T, method, path string, header map[string]string, body io.Reader) (status int, head http.Header, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = path // exactly as written, nothing cleaned
	for k, v := range header {
		req.Header.Set(k, v)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func basic(user, password string) map[string]string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return map[string]string{"Authorization": r.Header.Get("Authorization")}
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not so within 2 minutes: %s", what)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// requestLog is what OnRequest heard: "http fetch ok".
type requestLog struct {
	mu   sync.Mutex
	list []string
	all  []mirror.Served
}

// served are the requests that "http fetch ok" names.
func (l *requestLog) served(line string) (found []mirror.Served) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, is := range l.list {
		if is == line {
			found = append(found, l.all[i])
		}
	}
	return found
}

func (l *requestLog) add(s mirror.Served) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, s.Proto+" "+s.Command+" "+s.Status)
	l.all = append(l.all, s)
}

func (l *requestLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.list, "\n")
}
