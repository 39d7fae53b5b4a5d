package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// TestHostileE19Crash has the program end by SIGQUIT and by SIGABRT while it works on
// requests that hold secrets, and looks for these in all it leaves: its log and the
// goroutines in it, its metrics, the arguments of its processes, its answers to an
// administrator, its database and the rest of its data directory.
func TestHostileE19Crash(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			s := startSecretive(t)
			s.speak()
			s.linger()
			s.look("the metrics", s.read("/metrics"))
			s.look("the audit trail", s.read("/api/v1/audit/export"))
			for _, path := range []string{"/api/v1/status", "/api/v1/mirrors", "/api/v1/credentials", "/api/v1/alerts/channels", "/api/v1/alerts/messages", "/api/v1/users", "/system", "/audit"} {
				s.look(path, s.read(path))
			}
			for _, args := range [][]string{{"doctor", "--json"}, {"doctor"}, {"config", "show"}, {"config", "show", "--json"}, {"version"}, {"whoami"}, {"mirror", "list", "--json"}} {
				s.look("gitmirror "+strings.Join(args, " "), s.command(args...))
			}
			s.look("the arguments of processes", s.arguments())
			if limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.cmd.Process.Pid)); err != nil || !strings.Contains(string(limits), "Max core file size        0 ") {
				t.Errorf("limits = %s, %v, want no core files", limits, err)
			}
			if err := s.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if code := s.wait(); code != 2 {
				t.Errorf("the server ended with %d, want 2", code)
			}
			log := s.log.String()
			if n := strings.Count(log, "\ngoroutine "); n < 20 || !strings.Contains(log, "gitmirror/mirror.(*Syncer)") || !strings.Contains(log, "web.(*Server)") {
				t.Errorf("the log has %d goroutines, want all, at work:\n%.2000s", n, log)
			}
			s.look("the log", log)
			s.lookAt(s.data)
		})
	}
}

// secretive is a server that is told secrets.
type secretive struct {
	t                   *testing.T
	dir, data, http, at string // at is http://HOST:PORT, http is HOST:PORT
	ssh                 string
	cmd                 *exec.Cmd
	ended               chan error
	log                 *lockedBuffer
	up                  *gittest.Upstream
	browser             *http.Client
	token               string
	secrets             map[string]string // by where they were told
}

// secret is a new one; what they have in common would show where any of them is.
func (s *secretive) secret(where string) string {
	value := fmt.Sprintf("cAnArY%02dx", len(s.secrets))
	s.secrets[where] = value
	return value
}

func startSecretive(t *testing.T) *secretive {
	t.Helper()
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	s := &secretive{t: t, dir: t.TempDir(), http: free(), ssh: free(), ended: make(chan error, 1), log: &lockedBuffer{}, up: gittest.NewUpstream(t), secrets: map[string]string{}}
	s.data, s.at = filepath.Join(s.dir, "data"), "http://"+s.http
	s.cmd = exec.Command("gitmirror", "serve", "--data", s.data, "--http-addr", s.http, "--ssh-addr", s.ssh, "--log-format", "json", "--log-level", "debug", "--security-allow-private-upstreams", "true")
	s.cmd.Env = gittest.Env(s.dir, "GOTRACEBACK=system", "GITMIRROR_ADMIN_PASSWORD="+s.secret("admin's password")+"-is-long",
		"GITMIRROR_HOOKS_GITHUB_SECRET="+s.secret("secret of webhooks"), "GITMIRROR_MODULES_PROXIES=http://proxy:"+s.secret("password of a module proxy")+"@127.0.0.1:1")
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() { s.cmd.Process.Kill() })
	s.eventually("the server is ready", func() bool {
		resp, err := http.Get(s.at + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return s
}

func (s *secretive) wait() int {
	s.t.Helper()
	select {
	case err := <-s.ended:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		return 0
	case <-time.After(time.Minute):
		s.t.Fatal("the server has not ended")
		return 0
	}
}

func (s *secretive) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within 2 minutes: %s\n%s", what, s.log)
		}
	}
}

// send makes a request and returns the answer's text; headers are name, value, …
func (s *secretive) send(client *http.Client, method, path, body string, headers ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.at+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	} else if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(text)
}

// api is an administrator's operation with that token.
func (s *secretive) api(want int, method, path, body string) string {
	s.t.Helper()
	status, text := s.send(http.DefaultClient, method, "/api/v1"+path, body, "Authorization", "Bearer "+s.token)
	if status != want {
		s.t.Errorf("%s %s = %d, want %d: %s", method, path, status, want, text)
	}
	return text
}

func (s *secretive) read(path string) string {
	s.t.Helper()
	status, text := s.send(s.browser, "GET", path, "")
	if status != http.StatusOK {
		s.t.Errorf("GET %s = %d: %.300s", path, status, text)
	}
	return text
}

func (s *secretive) command(args ...string) string {
	cmd := exec.CommandContext(s.t.Context(), "gitmirror", args...)
	cmd.Dir = s.dir
	cmd.Env = append(s.cmd.Env, "GITMIRROR_SERVER="+s.at, "GITMIRROR_TOKEN="+s.token, "GITMIRROR_DATA="+s.data)
	out, _ := cmd.CombinedOutput() // doctor may find something: what counts is what they say
	return string(out)
}

// speak puts a secret wherever somebody may: where it belongs, and where it does not.
func (s *secretive) speak() {
	t := s.t
	s.browser = &http.Client{}
	s.browser.Jar, _ = cookiejar.New(nil) // never fails
	form := url.Values{"name": {"admin"}, "password": {s.secrets["admin's password"] + "-is-long"}}
	if status, text := s.send(s.browser, "POST", "/login", form.Encode()); status != http.StatusOK {
		t.Fatalf("sign-in = %d: %.500s", status, text)
	}
	at, _ := url.Parse(s.at) // it is one
	for _, cookie := range s.browser.Jar.Cookies(at) {
		s.secrets["session in "+cookie.Name] = cookie.Value
	}
	_, made := s.send(s.browser, "POST", "/api/v1/tokens", `{"name":"t","scope":"admin"}`, "Sec-Fetch-Site", "same-origin")
	_, rest, _ := strings.Cut(made, `"secret":"`)
	if s.token, _, _ = strings.Cut(rest, `"`); s.token == "" {
		t.Fatalf("token = %s", made)
	}
	s.secrets["token"] = s.token

	s.send(s.browser, "POST", "/login", url.Values{"name": {s.secret("name at sign-in")}, "password": {s.secret("wrong password")}}.Encode())
	s.send(s.browser, "POST", "/account/password", url.Values{"old": {s.secret("old password")}, "new": {s.secret("new password")}, "again": {s.secret("again")}}.Encode(), "Sec-Fetch-Site", "same-origin")
	s.api(201, "POST", "/users", `{"name":"ada","role":"developer","password":"`+s.secret("password of a user")+`-is-long"}`)
	s.api(201, "POST", "/credentials", `{"name":"c","host":"git.example","user":"u","secret":"`+s.secret("credential")+`"}`)
	s.api(200, "PUT", "/alerts/channels/ops", `{"kind":"webhook","url":"http://127.0.0.1:1/`+s.secret("address of a webhook")+`","secret":"`+s.secret("key of a webhook")+`"}`)
	s.api(502, "POST", "/alerts/channels/ops/test", "")
	s.api(201, "POST", "/mirrors", `{"path_or_url":"http://u:`+s.secret("password in a URL")+`@127.0.0.1:1/acme/none"}`)
	s.api(422, "POST", "/mirrors", `{"path_or_url":"https://u:`+s.secret("password in a bad URL")+`@/x y"}`)
	s.api(422, "POST", "/credentials", `{"name":"d","host":"git.example","secret":"`+s.secret("secret in a bad body")+`","is_admin":true}`)
	s.api(422, "POST", "/mirrors", `{"password":"`+s.secret("field nobody knows")+`"`)
	key := filepath.Join(s.dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	private, _ := os.ReadFile(key) // made just now, as is the other
	public, _ := os.ReadFile(key + ".pub")
	s.secrets["private key"] = strings.Split(string(private), "\n")[2]
	s.api(422, "POST", "/users/me/keys", `{"public_key":`+strconv.Quote(string(private))+`}`)
	s.api(201, "POST", "/users/me/keys", `{"public_key":`+strconv.Quote(string(public))+`}`)

	for _, header := range []string{"Authorization", "Proxy-Authorization", "X-Token", "X-Remote-User", "Cookie", "User-Agent", "Idempotency-Key", "X-Hub-Signature-256", "Git-Protocol", "Referer"} {
		value := s.secret("header " + header)
		if header == "User-Agent" { // the audit trail names clients: no place for secrets, and none is looked for
			delete(s.secrets, "header "+header)
		}
		for _, path := range []string{"/api/v1/whoami", "/", "/github.com/acme/x/info/refs?service=git-upload-pack", "/proxy/example.com/m/@v/list", "/hooks/github", "/metrics"} {
			s.send(http.DefaultClient, "GET", path, "", header, value)
			s.send(http.DefaultClient, "POST", path, `{"x":"`+value+`"}`, header, value)
		}
	}
	for _, path := range []string{"/", "/api/v1/mirrors", "/github.com/acme/x", "/proxy/example.com/m/@v/list", "/login"} {
		s.send(http.DefaultClient, "GET", path+"?token="+s.secret("query of "+path)+"&go-get=1", "", "Authorization", "Basic "+s.secret("basic of "+path))
	}
	raw, err := net.Dial("tcp", s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	fmt.Fprintf(raw, "GET http://u:%s@%s/github.com/acme/x?go-get=1 HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", s.secret("address with a password"), s.http, s.http)
	io.Copy(io.Discard, raw)

	host, port, _ := net.SplitHostPort(s.ssh)
	ssh := func(user string, args ...string) {
		options := []string{"-F", "/dev/null", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
			"-o", "SetEnv=GIT_PROTOCOL=version=2:" + s.secret("environment of ssh"), "-T", "-p", port, user + "@" + host}
		cmd := exec.CommandContext(t.Context(), "ssh", append(options, args...)...)
		cmd.Env = gittest.Env(s.dir)
		cmd.CombinedOutput() // refused, each in its way
	}
	ssh(s.secret("user of ssh"))
	ssh("git", s.secret("command of ssh"))
	ssh("git", "git-upload-pack", "'github.com/acme/x?token="+s.secret("path of ssh")+"'")
}

// linger leaves work undone that needs secrets: a clone from an upstream that wants
// a password, a client that waits for it, a form that never ends, a stream.
func (s *secretive) linger() {
	t := s.t
	const repo = "git.example/acme/slow"
	s.up.Commit(t, repo, map[string]string{"noise": gittest.Noise(400_000, 1)})
	password := s.secret("password of the upstream")
	s.up.Private(repo, "robot", password)
	t.Cleanup(s.up.Break(gittest.Fault{Path: "git-upload-pack", After: 200_000, Pause: true}))
	with := strings.Replace(s.up.URL(repo), "://", "://robot:"+password+"@", 1)
	s.api(201, "POST", "/mirrors", `{"path_or_url":"`+repo+`","upstream":"`+with+`"}`)
	s.eventually("the clone runs", func() bool {
		return len(s.children()) > 0
	})

	client := exec.CommandContext(t.Context(), "git", "-c", "http.extraHeader=Authorization: Bearer "+s.token, "clone", "-q", s.at+"/"+repo, filepath.Join(s.dir, "clone"))
	client.Env = gittest.Env(s.dir)
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Process.Kill(); client.Wait() })

	for what, request := range map[string]string{
		"body that does not end":   "POST /api/v1/users HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer " + s.token + "\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"name\":\"eve\",\"password\":\"%s",
		"form that does not end":   "POST /login HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nname=admin&password=%s",
		"header that does not end": "GET / HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s",
		"stream":                   "GET /api/v1/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer " + s.token + "\r\nX-Token: %s\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", s.http)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, request, s.http, s.secret(what))
	}
}

// children are the arguments of the processes that the server has started.
func (s *secretive) children() (all []string) {
	below := map[int]bool{s.cmd.Process.Pid: true}
	for range 4 { // git, its remote helper, and what that starts
		names, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, name := range names {
			text, _ := os.ReadFile(name) // gone: no child
			fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if len(fields) < 2 || below[pid] {
				continue
			}
			if parent, _ := strconv.Atoi(fields[1]); below[parent] {
				below[pid] = true
				args, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
				all = append(all, strings.ReplaceAll(string(args), "\x00", " "))
			}
		}
	}
	return all
}

func (s *secretive) arguments() string {
	all := s.children()
	if len(all) == 0 {
		s.t.Error("the server has started no process")
	}
	return strings.Join(append(all, strings.Join(s.cmd.Args, " ")), "\n")
}

// look finds secrets in a text.
func (s *secretive) look(where, text string) {
	s.t.Helper()
	lower := strings.ToLower(text) // names are written so
	for what, secret := range s.secrets {
		if i := strings.Index(lower, strings.ToLower(secret)); i >= 0 {
			s.t.Errorf("%s has the secret %q: …%s…", where, what, lower[max(0, i-300):min(len(lower), i+100)])
		}
	}
}

// lookAt finds secrets in all files, apart from those that are there to be secret.
func (s *secretive) lookAt(dir string) {
	s.t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		text, err := os.ReadFile(name)
		s.look(name, string(text))
		if strings.HasPrefix(d.Name(), "core") {
			s.t.Errorf("%s is the memory of a process", name)
		}
		return err
	})
	if err != nil || files < 5 {
		s.t.Errorf("%d files of %s were looked at, %v", files, dir, err)
	}
}
