package main_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gitmirror/gitmirror/cli"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/internal/oidctest"
	"github.com/gitmirror/gitmirror/internal/pgtest"
)

// The binary of the tests is also the program: a story that says "gitmirror"
// runs it again under that name.
func TestMain(m *testing.M) {
	testscript.Main(withPostgres{m}, map[string]func(){"gitmirror": func() {
		os.Exit(cli.Main(context.Background(), cli.Process{
			Args: os.Args, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(), Version: "v0.0.0-test",
		}))
	}})
}

// postgres is for the stories that want one; it starts with the first.
var postgres pgtest.Server

// withPostgres stops it behind the tests.
type withPostgres struct{ *testing.M }

func (m withPostgres) Run() int {
	code := m.M.Run()
	if err := postgres.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
		return 1
	}
	return code
}

// TestStories runs testdata/script/*.txtar, each a promise of the README kept by
// the whole program. Beside what testscript offers a story may say:
//
//	upstream start                    a git host on loopback; its URL is $UPSTREAM
//	upstream commit REPO DIR [TAG…]   commit the files of DIR
//	upstream modules PATH@VERSION…    repositories made of real modules
//	upstream move REPO TAG REV        move a tag
//	upstream branch REPO REV NAME…    make branches, or rewrite them by force
//	upstream delete REPO REF          delete a ref, or all that a pattern matches
//	upstream private REPO USER PASS   it wants a password now
//	upstream break HOW [REPO]         it misbehaves: see faults in script_faults_test.go
//	upstream mend                     it does no longer
//	upstream remove REPO              its owner deletes it
//	upstream stop                     it is gone
//	upstream second COMMAND…          the same of another host, whose URL is $SECOND
//	server start [FLAG…]              a server on $WORK/data; $SERVER, $ADDR, $SSH, $PASSWORD
//	postgres                          an empty database on a real PostgreSQL, $POSTGRES
//	server stop | kill                SIGTERM and wait for exit 0 | SIGKILL
//	server login                      sign in as the admin
//	server log FILE                   what the present or last server said
//	disk small MB                     the next server's data directory is on a disk of that size
//	disk fill MB | free               only so much room is left on it | as much as before
//	eventually COMMAND…               until it exits with 0
//	exits CODE COMMAND…               the exit code, exactly
//	replace FILE OLD NEW              in a file
//	project DIR PATH[@VERSION]…       a Go project that requires modules of the upstream
//	certificate HOST[:PORT|:free]     the next server is https://HOST, with a certificate of its own
//	front HOST PATH [keep]            a reverse proxy, https://HOST/PATH is the server; it keeps the path, or cuts it off
//	answers FILE [plain]              port 443 answers everything with a page
//	sign KEY FILE                     GitHub's signature of a file, with the key in another: $SIGNATURE
//	sumdb start | stop | lie PATH     a checksum database that knows the modules of the upstream: $SUMDB, $SUMDB_AT
//	console open PATH                 a page of the console, as the admin, into the file "page"
//	console post PATH [NAME=VALUE…]   a form of it, sent; the page it leads to
//	console refused PATH [NAME=…]     a form that comes back with what is wrong
//	console text ID FILE              a text of that page which is there to be copied
//	receiver start                    takes what a webhook is sent; its URL is $RECEIVER
//	receiver heard N FILE             there were N messages; the last one, signed with $HEARD_SIGNATURE
//	issuer start                      a CI system's issuer of identity tokens, $ISSUER
//	issuer token CLAIM=VALUE…         one of them, as GitLab gives it to a job
//	issuer actions CLAIM=VALUE…       they are to be had as in GitHub Actions
//	settings [FLAG…]                  what "gitmirror env" says, into the environment
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob(testdata/script/*.txtar) = %v, %v, want stories", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runStory(t, file)
		})
	}
}

func runStory(t *testing.T, file string) {
	w := &world{tb: t}
	testscript.Run(t, testscript.Params{
		Files: []string{file},
		Setup: w.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"upstream": w.upstreamCommand, "server": w.serverCommand, "exits": exits, "replace": replace,
			"project": w.projectCommand, "settings": settingsCommand, "certificate": certificateCommand,
			"postgres": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Setenv("POSTGRES", postgres.Database(w.tb)) },
			"sumdb":    w.sumdbCommand,
			"disk":     w.diskCommand, "eventually": eventually, "sign": sign,
			"receiver": w.receiverCommand, "issuer": w.issuerCommand,
			"front": w.frontCommand, "answers": w.answersCommand, "console": w.consoleCommand,
		},
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_STORIES") != "",
	})
}

// world is what one story runs in.
type world struct {
	tb       testing.TB
	upstream *gittest.Upstream
	second   *gittest.Upstream // another host; nil until "upstream second start"
	fixtures []gittest.Fixture
	sums     *httptest.Server // the checksum database
	lie      string           // the module it has another hash of

	http, ssh string // addresses; chosen once, so that a restart finds its clients again
	server    *exec.Cmd
	log       *lockedBuffer
	ended     chan error

	mend     []func() // ends what "upstream break" began
	leave443 func()   // ends what "front" or "answers" began; nil = nothing

	visitor *http.Client // signed in by "console"; nil = not yet

	receiver *receiver        // of "receiver start"
	issuer   *oidctest.Issuer // of "issuer start"

	small string // mount point of the small disk; empty = none
}

// setup gives the story a home of its own; nothing of the developer's settings is seen.
func (w *world) setup(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	for key, value := range map[string]string{
		"HOME": home, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -F /dev/null",
		"GIT_AUTHOR_NAME": "story", "GIT_AUTHOR_EMAIL": "story@example.com", "GIT_COMMITTER_NAME": "story", "GIT_COMMITTER_EMAIL": "story@example.com",
		"GOCACHE": filepath.Join(cache, "go-build"), "GOMODCACHE": filepath.Join(env.WorkDir, "modcache"),
		"GOFLAGS":     "-modcacherw -trimpath", // what was built of a module version is good for every module cache
		"GOTOOLCHAIN": "local", "GOPROXY": "off", "NO_COLOR": "1", "CI": "",
	} {
		env.Setenv(key, value)
	}
	env.Vars = append(env.Vars, gittest.QuickExit)
	env.Defer(func() { w.stop(syscall.SIGKILL) })
	return nil
}

// parseModules reads PATH@VERSION arguments.
func parseModules(fatalf func(string, ...any), args []string) []gittest.Module {
	var mods []gittest.Module
	for _, arg := range args {
		path, version, ok := strings.Cut(arg, "@")
		if !ok {
			fatalf("upstream modules: %s has no @VERSION", arg)
		}
		mods = append(mods, gittest.Module{Path: path, Version: version})
	}
	return mods
}

func (w *world) serverCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: server start [FLAG…] | stop | kill | login | log FILE")
	}
	switch args[0] {
	case "start":
		w.start(ts, args[1:])
	case "stop":
		if err := w.stop(syscall.SIGTERM); err != nil {
			ts.Fatalf("the server did not end with exit code 0 on SIGTERM: %v\n%s", err, w.log)
		}
	case "kill":
		w.stop(syscall.SIGKILL)
	case "login":
		cmd := w.program(ts, "login", ts.Getenv("SERVER"), "--username", "admin", "--password-stdin")
		cmd.Stdin = strings.NewReader(ts.Getenv("PASSWORD") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("gitmirror login: %v\n%s", err, out)
		}
	case "log":
		if len(args) != 2 {
			ts.Fatalf("usage: server log FILE")
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(w.log.String()), 0o666))
	default:
		ts.Fatalf("server %s: unknown", args[0])
	}
}

// program is gitmirror in the environment of the story.
func (w *world) program(ts *testscript.TestScript, args ...string) *exec.Cmd {
	path, err := exec.LookPath("gitmirror")
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), []string{gittest.QuickExit}
	for _, key := range []string{"HOME", "PATH", "TMPDIR", "GIT_CONFIG_NOSYSTEM", "GOCOVERDIR", "SSL_CERT_FILE"} {
		cmd.Env = append(cmd.Env, key+"="+ts.Getenv(key))
	}
	return cmd
}

// start runs a server and waits until it is ready.
func (w *world) start(ts *testscript.TestScript, flags []string) {
	if w.server != nil {
		ts.Fatalf("server start: it runs already")
	}
	if w.http == "" {
		w.http, w.ssh = freePort(ts), freePort(ts)
		url := "http://" + w.http
		if host := ts.Getenv("TLS_HOST"); host != "" { // see the command "certificate"
			w.http, url = "127.0.0.1:443", "https://"+host
			if _, port, err := net.SplitHostPort(host); err == nil {
				w.http = "127.0.0.1:" + port
			}
		}
		ts.Setenv("ADDR", w.http)
		ts.Setenv("SERVER", url)
		ts.Setenv("SSH", "ssh://git@"+w.ssh)
		ts.Setenv("PASSWORD", "correct-horse-battery-staple")
	}
	args := append([]string{
		"serve", "--data", ts.MkAbs(filepath.Join(ts.Getenv("WORK"), "data")), "--http-addr", w.http, "--ssh-addr", w.ssh,
		"--security-allow-private-upstreams", "true", "--log-format", "text", "--modules-proxies", "off",
	}, flags...)
	cmd := w.program(ts, args...)
	cmd.Env = append(cmd.Env, "GITMIRROR_ADMIN_PASSWORD="+ts.Getenv("PASSWORD"))
	w.log = &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = w.log, w.log
	ts.Check(cmd.Start())
	w.server, w.ended = cmd, make(chan error, 1)
	go func() { w.ended <- cmd.Wait() }()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		select {
		case err := <-w.ended:
			w.server = nil
			ts.Fatalf("the server ended before it was ready: %v\n%s", err, w.log)
		case <-time.After(20 * time.Millisecond):
		}
		if err := w.ready(ts); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the server is not ready after 2 minutes: %v\n%s", w.ready(ts), w.log)
		}
	}
}

// ready asks the server whether it is.
func (w *world) ready(ts *testscript.TestScript) error {
	client := &http.Client{Transport: transportOf(ts)}
	defer client.CloseIdleConnections()
	resp, err := client.Get(ts.Getenv("SERVER") + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// transportOf trusts the certificate of the story, if it has one.
func transportOf(ts *testscript.TestScript) *http.Transport {
	pem, err := os.ReadFile(ts.Getenv("SSL_CERT_FILE"))
	if err != nil {
		return &http.Transport{}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
}

// stop ends the server, if one runs, and returns how it ended.
func (w *world) stop(signal syscall.Signal) error {
	if w.server == nil {
		return nil
	}
	defer func() { w.server = nil }()
	if err := w.server.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-w.ended:
		return err
	case <-time.After(2 * time.Minute):
		w.server.Process.Kill()
		<-w.ended
		return errors.New("it still ran after 2 minutes")
	}
}

func freePort(ts *testscript.TestScript) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer l.Close()
	return l.Addr().String()
}

// exits runs a command and wants an exact exit code. Its output is what stdout
// and stderr then match.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("%s = exit code %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("replace: %s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o644))
}

// lockedBuffer takes what a process says while a test reads it.
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
