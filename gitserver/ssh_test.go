package gitserver_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/gitserver"
	"github.com/gitmirror/gitmirror/mirror"
	"golang.org/x/crypto/ssh"
)

func TestSSHGreets(t *testing.T) {
	r := newRig(t)
	got := r.sshTo(t, "key")
	if want := "Hi dev! You can read 3 mirrors. No shell here.\n"; got.code != 0 || got.out != want {
		t.Errorf("ssh git@HOST = exit %d, %q %q, want exit 0, %q", got.code, got.out, got.err, want)
	}
}

func TestSSHCommands(t *testing.T) {
	r := newRig(t)
	for command, want := range map[string]string{
		"git-receive-pack '/" + tool + "'":            "gitmirror[E3201]: Mirrors are read-only.",
		"git receive-pack '/" + missing + "'":         "gitmirror[E3201]: Mirrors are read-only.",
		"git-upload-archive '/" + tool + "'":          "gitmirror[E3104]",
		"git-lfs-authenticate '/" + tool + "' upload": "gitmirror[E3104]",
		"git-lfs-transfer '/" + tool + "' upload":     "gitmirror[E3104]",
		"scp -f /etc/passwd":                          "git-upload-pack '<path>'",
		"bash":                                        "gitmirror[E3104]",
		"git-upload-pack '/" + tool + "'; id":         "gitmirror[E3104]",
		"git-upload-pack '/$(id)'":                    "gitmirror[E4004]",
		"git-upload-pack '../../etc'":                 "gitmirror[E4004]",
		"git-upload-pack '//" + tool + "'":            "gitmirror[E4004]",
		"git-upload-pack '~/" + tool + "'":            "gitmirror[E4004]",
		"git-upload-pack '-x'":                        "gitmirror[E4004]",
		"git-upload-pack '/github.com%2facme%2ftool'": "gitmirror[E4004]",
		"git-upload-pack '/github.com/acme/\x1b[31m'": "gitmirror[E4004]",
		"git-upload-pack '/" + missing + "'":          "gitmirror[E2104]: " + missing + " is not mirrored here\ngitmirror: ask an administrator, or run: gitmirror mirror add " + missing,
		"git-upload-pack '/" + secret + "x'":          "gitmirror[E2104]",
	} {
		got := r.sshTo(t, "key", command)
		if got.code != 1 || !strings.Contains(got.err, want) {
			t.Errorf("%.60q = exit %d, %q %q, want exit 1 and %q", command, got.code, got.out, got.err, want)
		}
		if strings.ContainsAny(got.err, "\x1b") || strings.Contains(got.err, r.dir) {
			t.Errorf("%.60q says %q", command, got.err)
		}
	}
	got := r.sshTo(t, "key", strings.Repeat("x", 100_000))
	if got.code != 1 || !strings.Contains(got.err, "E3104") {
		t.Errorf("a command of 100 KB = exit %d %.80q, want E3104", got.code, got.err)
	}
}

func TestUnknownKeys(t *testing.T) {
	r := newRig(t)
	public := r.newKey(t, "stranger")
	key, err := auth.ParseKey(public)
	if err != nil {
		t.Fatal(err)
	}
	got := r.sshTo(t, "stranger")
	if got.code != 255 || !strings.Contains(got.err, "gitmirror[E3102]: the key "+key.Fingerprint+" is not registered") || !strings.Contains(got.err, r.url) {
		t.Errorf("unknown key = exit %d, %q, want its fingerprint and where to add it", got.code, got.err)
	}
	if strings.Contains(got.err, "password") || !strings.Contains(got.err, "Permission denied (publickey).") {
		t.Errorf("unknown key = %q, want publickey as the only way in", got.err)
	}
	// One who has another key that is known hears of this one once, not always.
	host, port, _ := net.SplitHostPort(r.sshAddr)
	both := append([]string{"-i", filepath.Join(r.home, "stranger")}, r.sshOptions("key")...)
	both = append(both, "-T", "-p", port, "git@"+host)
	for i := range 3 {
		got := r.run(t, nil, "ssh", both...)
		if got.code != 0 || i > 0 && strings.Contains(got.err, "E3102") {
			t.Errorf("ssh with two keys, time %d = exit %d %q, want exit 0 and not a word of the other key", i, got.code, got.err)
		}
	}
}

// dial connects as a client that does what it likes.
func (r *rig) dial(t *testing.T, methods ...ssh.AuthMethod) (*ssh.Client, error) {
	t.Helper()
	c, err := ssh.Dial("tcp", r.sshAddr, &ssh.ClientConfig{
		User: "git", Auth: methods, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 2 * time.Minute, //nolint:gosec // a test
	})
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func (r *rig) mustDial(t *testing.T) *ssh.Client {
	t.Helper()
	c, err := r.dial(t, ssh.PublicKeys(r.signer(t, "key")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *rig) signer(t *testing.T, name string) ssh.Signer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.home, name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// remote runs a command on a connection and returns what came back.
func remote(c *ssh.Client, command string) (out, errOut string, err error) {
	s, err := c.NewSession()
	if err != nil {
		return "", "", err
	}
	defer s.Close()
	var o, e bytes.Buffer
	s.Stdout, s.Stderr = &o, &e
	if command == "" {
		if err = s.Shell(); err == nil {
			err = s.Wait()
		}
	} else {
		err = s.Run(command)
	}
	return o.String(), e.String(), err
}

// thief has a victim's public key without the private one.
type thief struct{ ssh.Signer }

func (th thief) Sign(io.Reader, []byte) (*ssh.Signature, error) {
	return &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: make([]byte, 64)}, nil
}

// A client may offer somebody else's public key, which is accepted for trying,
// and then sign with its own (CVE-2024-45337): it is who signed.
func TestIdentityIsOfTheKeyThatSigned(t *testing.T) {
	r := newRig(t)
	eve, err := r.accounts.AddUser(t.Context(), "eve", auth.Developer, "")
	if err != nil {
		t.Fatal(err)
	}
	r.register(t, eve, r.newKey(t, "eves"))
	victim := r.signer(t, "key")
	public := ssh.MarshalAuthorizedKey(victim.PublicKey())
	if err := os.WriteFile(filepath.Join(r.home, "victim.pub"), public, 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(r.sshAddr)
	// OpenSSH offers victim.pub, finds no private key for it, and goes on.
	args := append([]string{"-v", "-i", filepath.Join(r.home, "victim.pub")}, r.sshOptions("eves")...)
	got := r.run(t, nil, "ssh", append(args, "-T", "-p", port, "git@"+host)...)
	accepts := strings.Count(got.err, "Server accepts key")
	if got.code != 0 || !strings.HasPrefix(got.out, "Hi eve!") || accepts != 2 {
		t.Errorf("victim's key offered, own key signs = exit %d %q after %d accepted offers, want eve after 2\n%s", got.code, got.out, accepts, got.err)
	}
	if _, err := r.dial(t, ssh.PublicKeys(thief{victim})); err == nil {
		t.Error("a forged signature = signed in, want a refusal")
	}
	keys, err := r.accounts.Keys(t.Context(), r.dev.ID)
	if err != nil || !keys[0].LastUsed.IsZero() {
		t.Errorf("the victim's key was last used %v, %v, want never", keys[0].LastUsed, err)
	}
}

func TestOtherWaysInAreRefused(t *testing.T) {
	r := newRig(t)
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weak, _ := ssh.NewSignerFromKey(small)
	_, fresh, _ := ed25519.GenerateKey(rand.Reader)
	unknown, _ := ssh.NewSignerFromKey(fresh)
	own := r.signer(t, "key")
	cert := &ssh.Certificate{
		Key: own.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"git"}, ValidBefore: ssh.CertTimeInfinity,
	}
	if err := cert.SignCert(rand.Reader, unknown); err != nil {
		t.Fatal(err)
	}
	certified, err := ssh.NewCertSigner(cert, own)
	if err != nil {
		t.Fatal(err)
	}
	for name, method := range map[string]ssh.AuthMethod{
		"password":             ssh.Password(password),
		"keyboard-interactive": ssh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) { return []string{password}, nil }),
		"unknown key":          ssh.PublicKeys(unknown),
		"RSA 2048":             ssh.PublicKeys(weak),
		"certificate":          ssh.PublicKeys(certified),
		"unknown key, 7 times": ssh.PublicKeys(unknown, unknown, unknown, unknown, unknown, unknown, unknown),
	} {
		if _, err := r.dial(t, method); err == nil {
			t.Errorf("%s = signed in, want a refusal", name)
		}
	}
	if _, err := r.dial(t); err == nil {
		t.Error("no authentication = signed in, want a refusal")
	}
}

func TestOldAlgorithmsAreRefused(t *testing.T) {
	r := newRig(t)
	for name, adjust := range map[string]func(*ssh.ClientConfig){
		"KEX nistp256": func(c *ssh.ClientConfig) { c.KeyExchanges = []string{ssh.KeyExchangeECDHP256} },
		"KEX dh14":     func(c *ssh.ClientConfig) { c.KeyExchanges = []string{ssh.InsecureKeyExchangeDH14SHA1} },
		"aes128-cbc":   func(c *ssh.ClientConfig) { c.Ciphers = []string{ssh.InsecureCipherAES128CBC} },
		"hmac-sha1":    func(c *ssh.ClientConfig) { c.Ciphers, c.MACs = []string{ssh.CipherAES128CTR}, []string{ssh.HMACSHA1} },
	} {
		config := &ssh.ClientConfig{User: "git", Auth: []ssh.AuthMethod{ssh.PublicKeys(r.signer(t, "key"))}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 2 * time.Minute} //nolint:gosec // a test
		adjust(config)
		if c, err := ssh.Dial("tcp", r.sshAddr, config); err == nil {
			c.Close()
			t.Errorf("%s = connected, want no common algorithm", name)
		}
	}
}

func TestOnlyGitProtocolGetsThrough(t *testing.T) {
	r := newRig(t)
	c := r.mustDial(t)
	for _, row := range []struct {
		kind    string
		payload any
		want    bool
	}{
		{"env", struct{ K, V string }{"GIT_PROTOCOL", "version=2"}, true},
		{"env", struct{ K, V string }{"GIT_PROTOCOL", "version=2:" + strings.Repeat("a", 100_000)}, false},
		{"env", struct{ K, V string }{"LD_PRELOAD", "/tmp/x.so"}, false},
		{"env", struct{ K, V string }{"LANG", "C"}, false},
		{"pty-req", struct {
			Term       string
			W, H, X, Y uint32
			Modes      string
		}{"xterm", 80, 24, 0, 0, ""}, false},
		{"x11-req", struct{ X string }{"x"}, false},
		{"auth-agent-req@openssh.com", struct{ X string }{}, false},
		{"subsystem", struct{ Name string }{"sftp"}, false},
		{"signal", struct{ Name string }{"KILL"}, false},
		{"nothing@example.com", struct{ X string }{}, false},
	} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		ok, err := s.SendRequest(row.kind, true, ssh.Marshal(row.payload))
		if err == nil && ok != row.want || err != nil && row.want {
			t.Errorf("request %s %.40v = %v, %v, want %v", row.kind, row.payload, ok, err, row.want)
		}
		s.Close()
	}
	for _, kind := range []string{"direct-tcpip", "forwarded-tcpip", "x11", "direct-streamlocal@openssh.com", "tun@openssh.com"} {
		if ch, _, err := c.OpenChannel(kind, ssh.Marshal(struct {
			Host string
			Port uint32
			From string
			P    uint32
		}{"127.0.0.1", 22, "127.0.0.1", 1})); err == nil {
			ch.Close()
			t.Errorf("channel %s = open, want a refusal", kind)
		}
	}
	for _, kind := range []string{"tcpip-forward", "streamlocal-forward@openssh.com"} {
		if ok, _, err := c.SendRequest(kind, true, ssh.Marshal(struct {
			Host string
			Port uint32
		}{"127.0.0.1", 0})); ok || err != nil {
			t.Errorf("global request %s = %v, %v, want false", kind, ok, err)
		}
	}
	if out, _, err := remote(c, ""); err != nil || !strings.HasPrefix(out, "Hi dev!") {
		t.Errorf("greeting after all that = %q, %v", out, err)
	}
}

func TestEnvironmentFlood(t *testing.T) {
	r := newRig(t)
	c := r.mustDial(t)
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	value := ssh.Marshal(struct{ K, V string }{"X", strings.Repeat("x", 16<<10)})
	accepted := 0
	for range 200 {
		ok, err := s.SendRequest("env", true, value)
		if err != nil {
			break // the session was ended
		}
		if ok {
			accepted++
		}
	}
	if accepted > 0 {
		t.Errorf("%d of 200 foreign variables were accepted, want none", accepted)
	}
	if err := s.Shell(); err == nil {
		t.Error("a command after 200 requests = accepted, want the session ended")
	}
}

func TestSessionsOfOneConnectionAreLimited(t *testing.T) {
	r := newRig(t)
	c := r.mustDial(t)
	open := 0
	for range 50 {
		if _, err := c.NewSession(); err == nil {
			open++
		}
	}
	if open != 8 {
		t.Errorf("sessions of one connection = %d, want 8", open)
	}
	for range 1000 {
		if ch, _, err := c.OpenChannel("session", nil); err == nil {
			ch.Close()
			t.Fatal("a 9th session = open, want a refusal")
		}
	}
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.MaxConns = 3 })
	for range 3 {
		r.mustDial(t)
	}
	if _, err := r.dial(t, ssh.PublicKeys(r.signer(t, "key"))); err == nil {
		t.Error("a 4th connection = signed in, want a refusal")
	}
}

// Silent connections are cut off, and keep nobody out meanwhile.
func TestSilentConnections(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.Handshake = 20 * time.Second })
	var conns []net.Conn
	for i := range 1000 {
		c, err := net.Dial("tcp", r.sshAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%3 == 0 {
			fmt.Fprint(c, "SSH-2.0-silent\r\n")
		}
		conns = append(conns, c)
	}
	began := time.Now()
	c := r.mustDial(t)
	if d := time.Since(began); d > 15*time.Second {
		t.Errorf("login beside 1000 silent connections took %v, want no waiting", d)
	}
	for _, conn := range conns {
		conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a silent connection is open after 2 minutes, want it cut off")
		}
	}
	if out, _, err := remote(c, ""); err != nil || !strings.HasPrefix(out, "Hi dev!") {
		t.Errorf("greeting on the connection that signed in = %q, %v", out, err)
	}
}

func TestGarbageInsteadOfAHandshake(t *testing.T) {
	r := newRig(t)
	for name, text := range map[string]string{
		"long version line": "SSH-2.0-" + strings.Repeat("x", 1<<20) + "\r\n",
		"banner flood":      strings.Repeat("hello\r\n", 100_000),
		"HTTP":              "GET / HTTP/1.1\r\n\r\n" + strings.Repeat("\x00", 40_000),
		"huge packet":       "SSH-2.0-x\r\n\xff\xff\xff\xff" + strings.Repeat("A", 40_000),
	} {
		c, err := net.Dial("tcp", r.sshAddr)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(c, text)
		c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection is open after 2 minutes, want it closed", name)
		}
		c.Close()
	}
	r.mustDial(t)
}

// A key that is removed, or whose owner is disabled, stops working on
// connections that are open already.
func TestRevokedDuringAConnection(t *testing.T) {
	r := newRig(t)
	k := r.register(t, r.dev, r.newKey(t, "second"))
	c, err := r.dial(t, ssh.PublicKeys(r.signer(t, "second")))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := remote(c, ""); err != nil {
		t.Fatal(err)
	}
	if err := r.accounts.RemoveKey(t.Context(), r.dev.ID, k.ID); err != nil {
		t.Fatal(err)
	}
	if out, errOut, err := remote(c, ""); err == nil || out != "" || !strings.Contains(errOut, "E3102") {
		t.Errorf("command after the key was removed = %q %q %v, want E3102", out, errOut, err)
	}
	c = r.mustDial(t)
	if err := r.accounts.Disable(t.Context(), r.dev.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, errOut, err := remote(c, "git-upload-pack '/"+tool+"'"); err == nil || !strings.Contains(errOut, "disabled") {
		t.Errorf("command after the user was disabled = %q %v, want a refusal", errOut, err)
	}
}

// A client that ends its input badly, or not at all, is told and let go.
func TestBadConversationsEnd(t *testing.T) {
	r := newRig(t)
	c := r.mustDial(t)
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe() // and it is never closed
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.Stdout = &out
	if err := s.Start("git-upload-pack '/" + tool + "'"); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "zzzz this is not a pkt-line")
	ended := make(chan error, 1)
	go func() { ended <- s.Wait() }()
	select {
	case err := <-ended:
		var exit *ssh.ExitError
		if !errors.As(err, &exit) || exit.ExitStatus() != 1 {
			t.Errorf("bad conversation ended with %v, want exit 1", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("a bad conversation goes on after a minute")
	}
}

func TestHostKeyPersists(t *testing.T) {
	file := filepath.Join(t.TempDir(), "host_key")
	first, fingerprint, err := gitserver.HostKey(file)
	if err != nil || !strings.HasPrefix(first, "ssh-ed25519 ") || !strings.HasPrefix(fingerprint, "SHA256:") {
		t.Fatalf("HostKey = %q, %q, %v, want an ed25519 key", first, fingerprint, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("host key has mode %v, %v, want 0600", info.Mode(), err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if again, _, err := gitserver.HostKey(file); err != nil || again != first {
				t.Errorf("HostKey again = %q, %v, want %q", again, err, first)
			}
		})
	}
	wg.Wait()
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := gitserver.HostKey(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("HostKey(readable by all) = %v, want what to do", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := gitserver.HostKey(file); err == nil {
		t.Error("HostKey(empty file) = nil, want an error and the file left alone")
	}
}

// When the server ends, a clone that runs is finished, idle connections are
// closed, and nobody new is let in.
func TestDrain(t *testing.T) {
	slow := &slowPacks{started: make(chan struct{}), release: make(chan struct{})}
	r := newRig(t, func(r *rig) { slow.Packs = r.front.Packs; r.front.Packs = slow })
	idle := r.mustDial(t)
	idleGone := make(chan struct{})
	go func() { idle.Wait(); close(idleGone) }()
	busy := r.mustDial(t)
	dir := filepath.Join(t.TempDir(), "clone")
	cloned := make(chan result, 1)
	go func() { cloned <- r.git(t, "clone", "-q", "--mirror", r.sshURL(tool), dir) }()
	<-slow.started
	ended := make(chan error, 1)
	go func() { ended <- r.stopSSH() }()
	<-idleGone
	select {
	case err := <-ended:
		t.Fatalf("Run ended (%v) while a clone ran", err)
	default:
	}
	if _, _, err := remote(busy, ""); err == nil {
		t.Error("a new command while the server ends = accepted, want a refusal")
	}
	if _, err := net.DialTimeout("tcp", r.sshAddr, time.Second); err == nil {
		t.Error("a new connection while the server ends = accepted, want none")
	}
	close(slow.release)
	if got := <-cloned; got.code != 0 {
		t.Errorf("the clone that ran = exit %d %q, want it finished", got.code, got.err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// Commands that outlive the grace are cut off.
func TestDrainHasAnEnd(t *testing.T) {
	slow := &slowPacks{started: make(chan struct{}), release: make(chan struct{})}
	r := newRig(t, func(r *rig) { slow.Packs = r.ssh.Packs; r.ssh.Packs = slow; r.ssh.Grace = 200 * time.Millisecond })
	cloned := make(chan result, 1)
	go func() { cloned <- r.git(t, "-c", "protocol.version=0", "ls-remote", r.sshURL(tool)) }()
	<-slow.started
	if err := r.stopSSH(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if got := <-cloned; got.code == 0 {
		t.Error("ls-remote cut off = exit 0, want a failure")
	}
}

// slowPacks holds the first answer back until released, or its context ends.
type slowPacks struct {
	gitserver.Packs
	once             sync.Once
	started, release chan struct{}
}

func (s *slowPacks) UploadPack(ctx context.Context, id mirror.ID, protocol string, stateless, advertise bool, in io.Reader, out, errOut io.Writer) error {
	s.once.Do(func() { close(s.started) })
	select {
	case <-s.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.Packs.UploadPack(ctx, id, protocol, stateless, advertise, in, out, errOut)
}

// Who waits too long for a turn is told so in git's own way.
func TestBusy(t *testing.T) {
	slow := &slowPacks{started: make(chan struct{}), release: make(chan struct{})}
	r := newRig(t, func(r *rig) {
		slow.Packs = r.ssh.Packs
		r.ssh.Packs = slow

		r.http.Gate.Total, r.http.Gate.Each, r.http.Gate.Wait = 1, 1, 300*time.Millisecond
	})
	first := make(chan result, 1)
	go func() { first <- r.git(t, "-c", "protocol.version=0", "ls-remote", r.sshURL(tool)) }()
	<-slow.started
	for _, args := range [][]string{
		{"-c", "protocol.version=0", "ls-remote", r.sshURL(tool)},
		{"-c", "protocol.version=2", "clone", r.sshURL(tool), filepath.Join(t.TempDir(), "clone")},
	} {
		if got := r.git(t, args...); got.code == 0 || !strings.Contains(got.err, "remote error: too many clones and fetches") {
			t.Errorf("git %v over SSH while busy = exit %d %q, want ERR", args, got.code, got.err)
		}
	}
	r.mustGit(t, "ls-remote", r.sshURL(tool))
	status, head, text := r.do(t, "POST", "/"+tool+"/git-upload-pack", map[string]string{"Content-Type": "application/x-git-upload-pack-request", "Git-Protocol": "version=2"},
		strings.NewReader(pkt("command=fetch")+"0001"+pkt("done\n")+"0000"))
	if status != 503 || head.Get("Retry-After") == "" {
		t.Errorf("fetch over HTTP while busy = %d %q, want 503 with Retry-After", status, text)
	}
	r.mustGit(t, "ls-remote", r.url+"/"+tool) // listing refs takes no place
	close(slow.release)
	if got := <-first; got.code != 0 {
		t.Errorf("the first ls-remote = exit %d %q, want 0", got.code, got.err)
	}
}
