//go:build unix

package bench_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// peers are git http-backend behind nginx and fcgiwrap, and OpenSSH, on the
// repositories below root. "make bench-serve" installs them.
type peers struct {
	root                string
	http                string // URL
	httpGroup, sshGroup *group
	httpIdle            int    // processes when nobody asks
	ssh                 string // address
	clientKey           *ssh.ClientConfig
}

// program finds what is not always in PATH.
func program(b *testing.B, name string) string {
	b.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return filepath.Join(dir, name)
		}
	}
	b.Fatalf("%s is not installed; \"make bench-serve\" does that", name)
	return ""
}

// newKeys makes a key for the clients; public is its line for authorized_keys.
func newKeys(b *testing.B) (config *ssh.ClientConfig, public string) {
	b.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		b.Fatal(err)
	}
	config = &ssh.ClientConfig{
		User: "git", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // both are ours, on loopback
		Config:          ssh.Config{Ciphers: []string{ssh.CipherAES128GCM}},
		Timeout:         time.Minute,
	}
	return config, string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
}

func startPeers(b *testing.B, root string) *peers {
	b.Helper()
	p := &peers{root: root, httpGroup: newGroup(b), sshGroup: newGroup(b)}
	work := b.TempDir()
	p.startHTTP(b, work)
	p.startSSH(b, work)
	return p
}

// daemon runs a server until the benchmark ends, and waits until it listens.
func (g *group) daemon(b *testing.B, network, addr string, name string, args ...string) {
	b.Helper()
	cmd := g.command(name, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // fcgiwrap leaves its workers behind
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	b.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	awaitListener(b, network, addr)
}

func awaitListener(b *testing.B, network, addr string) {
	b.Helper()
	for range 600 {
		if conn, err := net.Dial(network, addr); err == nil {
			conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatalf("nobody listens at %s after half a minute", addr)
}

func freeAddr(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *peers) startHTTP(b *testing.B, work string) {
	b.Helper()
	addr, socket := freeAddr(b), filepath.Join(work, "fcgi")
	core := gittest.Git(b, "", "--exec-path")
	p.httpGroup.daemon(b, "unix", socket, program(b, "fcgiwrap"), "-c", "16", "-s", "unix:"+socket)
	p.httpGroup.nginx(b, work, addr, "client_max_body_size 0;", fmt.Sprintf(`location / {
fastcgi_pass unix:%s; fastcgi_buffering off; fastcgi_read_timeout 600;
fastcgi_param SCRIPT_FILENAME %s/git-http-backend;
fastcgi_param GIT_PROJECT_ROOT %s; fastcgi_param GIT_HTTP_EXPORT_ALL ""; fastcgi_param HOME %s;
fastcgi_param PATH_INFO $uri; fastcgi_param GIT_PROTOCOL $http_git_protocol;
fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param REMOTE_ADDR $remote_addr;
}`, socket, core, p.root, work))
	p.http = "http://" + addr
	time.Sleep(500 * time.Millisecond) // all of their workers are there
	p.httpIdle = len(p.httpGroup.processes())
}

// nginx starts one in the group that listens on addr, with directives of ours for
// all of HTTP and for its server.
func (g *group) nginx(b *testing.B, work, addr, http, server string) {
	b.Helper()
	me, err := user.Current()
	if err != nil {
		b.Fatal(err)
	}
	var temps strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temps, "%s_temp_path %s;\n", kind, filepath.Join(work, kind))
	}
	conf := filepath.Join(work, "nginx.conf")
	text := fmt.Sprintf(`user %s;
daemon off; worker_processes 2; pid %s/nginx.pid; error_log stderr crit;
events { worker_connections 512; }
http {
access_log off; sendfile on; tcp_nopush on; %s
%s
server {
listen %s backlog=512;
%s
}}
`, me.Username, work, http, temps.String(), addr, server)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	g.daemon(b, "tcp", addr, program(b, "nginx"), "-c", conf, "-p", work, "-e", "stderr")
}

func (p *peers) startSSH(b *testing.B, work string) {
	b.Helper()
	p.ssh = freeAddr(b)
	config, public := newKeys(b)
	me, err := user.Current()
	if err != nil {
		b.Fatal(err)
	}
	config.User, p.clientKey = me.Username, config
	host := filepath.Join(work, "host_key")
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		b.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(p.ssh)
	files := map[string]string{
		host: string(pem.EncodeToMemory(block)), filepath.Join(work, "authorized"): public,
		filepath.Join(work, "sshd_config"): fmt.Sprintf(`ListenAddress 127.0.0.1
Port %s
HostKey %s
AuthorizedKeysFile %s/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
AcceptEnv GIT_PROTOCOL
MaxStartups 200
PidFile %s/sshd.pid
LogLevel FATAL
Ciphers aes128-gcm@openssh.com
`, port, host, work, work),
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	if os.Getuid() == 0 { // where its children that are not trusted live
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			b.Fatal(err)
		}
	}
	p.sshGroup.daemon(b, "tcp", p.ssh, program(b, "sshd"), "-D", "-e", "-f", filepath.Join(work, "sshd_config"))
}
