package gitserver_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// stopsReading starts a clone over SSH and takes no byte of the pack.
func (r *rig) stopsReading(t *testing.T, c *rawSSH, version string) {
	t.Helper()
	tip := r.up.Rev(t, tool, "main")
	if err := c.openSession(7, 16<<10, 32<<10); err != nil {
		t.Fatal(err)
	}
	p, err := c.until(msgChannelOpened)
	if err != nil {
		t.Fatal(err)
	}
	channel := p[5:9]
	ask := func(kind string, payload []byte) {
		t.Helper()
		head := append(append([]byte{msgChannelRequest}, channel...), ssh.Marshal(struct {
			Kind  string
			Reply bool
		}{kind, false})...)
		if err := c.send(append(head, payload...)); err != nil {
			t.Fatal(err)
		}
	}
	want := pkt("want "+tip+" ofs-delta\n") + "0000" + pkt("done\n")
	if version == "2" {
		want = pkt("command=fetch") + "0001" + pkt("want "+tip+"\n") + pkt("done\n") + "0000"
	}
	ask("env", ssh.Marshal(struct{ K, V string }{"GIT_PROTOCOL", "version=" + version}))
	ask("exec", ssh.Marshal(struct{ C string }{"git-upload-pack '/" + tool + "'"}))
	data := append(append([]byte{msgChannelData}, channel...), ssh.Marshal(struct{ S string }{want})...)
	if err := c.send(data); err != nil {
		t.Fatal(err)
	}
}

// gitsOf are the processes that work for the rig.
func (r *rig) gitsOf(t *testing.T) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f) // it may have ended meanwhile
		if err == nil && bytes.Contains(text, []byte(r.dir)) {
			found = append(found, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return found
}

// filesOf are the files of the rig that this process has open, but for the
// database, whose connections come and go.
func (r *rig) filesOf(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, r.dir) && !strings.Contains(to, "mirror.db") {
			n++
		}
	}
	return n
}

// zombies are children of this process that have ended and that nobody has
// waited for.
func zombies(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()) {
			found[f] = true
		}
	}
	return found
}

// A client that stops reading in the middle of a pack is ended after a while, and
// git with it, though the client keeps its connection alive by other messages.
func TestClientsThatStopReading(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.Idle = 5 * time.Second })
	ended := func() int { return len(r.requests.served("ssh upload-pack gone")) }
	for i, version := range []string{"0", "2"} {
		c := r.rawSignedIn(t)
		r.stopsReading(t, c, version)
		eventually(t, "v"+version+": the clone has begun", func() bool { return r.traffic.Flows() == 1 || ended() > i })
		alive := append(append([]byte{80}, ssh.Marshal(struct{ S string }{"keepalive@openssh.com"})...), 0)
		eventually(t, "v"+version+": the clone is ended", func() bool {
			if r.traffic.Flows() == 0 {
				return true
			}
			c.send(alive)
			return false
		})
		eventually(t, "v"+version+": git has ended", func() bool { return len(r.gitsOf(t)) == 0 })
		c.Close()
	}
	eventually(t, "both were heard of", func() bool { return ended() == 2 })
}

// Clients that hang up in the middle leave nothing behind: no process, no file.
func TestClientsThatHangUp(t *testing.T) {
	r := newRig(t)
	r.mustGit(t, "ls-remote", r.sshURL(tool))
	eventually(t, "the first client is gone", func() bool { return r.traffic.Flows() == 0 && len(r.gitsOf(t)) == 0 })
	files := r.filesOf(t)
	for i := range 24 {
		c := r.rawSignedIn(t)
		r.stopsReading(t, c, []string{"0", "2"}[i%2])
		if i%3 > 0 { // in the middle of what is sent
			if _, err := c.until(msgChannelData); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
	}
	eventually(t, "all requests have ended", func() bool { return r.traffic.Flows() == 0 })
	eventually(t, "no git runs", func() bool { return len(r.gitsOf(t)) == 0 })
	eventually(t, "no file is open that was not before", func() bool { return r.filesOf(t) <= files })
	for z := range zombies(t) { // those of other tests go away, too
		eventually(t, z+" was waited for", func() bool { return !zombies(t)[z] })
	}
	r.mustGit(t, "clone", "-q", r.sshURL(tool), filepath.Join(t.TempDir(), "clone"))
}

// A key that is removed ends the command that runs under it.
func TestRevokedDuringACommand(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.Recheck = 50 * time.Millisecond })
	k := r.register(t, r.dev, r.newKey(t, "second"))
	c := r.rawHandshake(t)
	second := r.signer(t, "second")
	if got := c.auth(t, second.PublicKey(), second); got != msgAuthSuccess {
		t.Fatalf("signing in = message %d, want success", got)
	}
	r.stopsReading(t, c, "2")
	eventually(t, "the clone has begun", func() bool { return r.traffic.Flows() == 1 })
	if err := r.accounts.RemoveKey(t.Context(), r.dev.ID, k.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the clone is ended", func() bool { return r.traffic.Flows() == 0 && len(r.gitsOf(t)) == 0 })
}

// blob is a public key that need not be one.
type blob struct {
	kind string
	data []byte
}

func (b blob) Type() string                        { return b.kind }
func (b blob) Marshal() []byte                     { return b.data }
func (b blob) Verify([]byte, *ssh.Signature) error { return nil }

// Keys that are weak, of old kinds, or certificates are refused as soon as they
// are offered.
func TestKeysThatAreRefused(t *testing.T) {
	r := newRig(t)
	strong, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := ssh.NewSignerFromKey(strong)
	if err != nil {
		t.Fatal(err)
	}
	r.register(t, r.dev, string(ssh.MarshalAuthorizedKey(rsaKey.PublicKey())))
	for algorithm, want := range map[string]bool{ssh.KeyAlgoRSASHA512: true, ssh.KeyAlgoRSASHA256: true, ssh.KeyAlgoRSA: false} {
		signer, err := ssh.NewSignerWithAlgorithms(rsaKey.(ssh.AlgorithmSigner), []string{algorithm})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.dial(t, ssh.PublicKeys(signer)); (err == nil) != want {
			t.Errorf("an RSA key that signs with %s = %v, want signed in %v", algorithm, err, want)
		}
	}
	number := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.Add(n, big.NewInt(12345))
	}
	rsaOf := func(bits int) blob {
		return blob{"rsa-sha2-512", ssh.Marshal(struct {
			Kind string
			E, N *big.Int
		}{"ssh-rsa", big.NewInt(65537), number(bits)})}
	}
	own := r.signer(t, "key")
	cert := func(change func(*ssh.Certificate)) blob {
		c := &ssh.Certificate{Key: own.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"git"}, ValidBefore: ssh.CertTimeInfinity}
		change(c)
		if err := c.SignCert(rand.Reader, own); err != nil {
			t.Fatal(err)
		}
		return blob{c.Type(), c.Marshal()}
	}
	dsa := ssh.Marshal(struct {
		Kind       string
		P, Q, G, Y *big.Int
	}{"ssh-dss", number(1024), number(160), big.NewInt(2), number(1000)})
	for name, key := range map[string]blob{
		"RSA 1024":                      rsaOf(1024),
		"RSA 2048":                      rsaOf(2048),
		"RSA 16384":                     rsaOf(16384),
		"RSA 200000":                    rsaOf(200_000),
		"DSA":                           {"ssh-dss", dsa},
		"DSA that says it is ed25519":   {ssh.KeyAlgoED25519, dsa},
		"no key":                        {ssh.KeyAlgoED25519, nil},
		"a short ed25519 key":           {ssh.KeyAlgoED25519, ssh.Marshal(struct{ K, P string }{ssh.KeyAlgoED25519, "short"})},
		"certificate":                   cert(func(*ssh.Certificate) {}),
		"certificate, other principal":  cert(func(c *ssh.Certificate) { c.ValidPrincipals = []string{"root"} }),
		"certificate, expired":          cert(func(c *ssh.Certificate) { c.ValidBefore = 1 }),
		"certificate, forced command":   cert(func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "id"} }),
		"certificate, says it is plain": {ssh.KeyAlgoED25519, cert(func(*ssh.Certificate) {}).data},
	} {
		c := r.rawHandshake(t)
		if got := c.auth(t, key, nil); got != msgAuthFailure && got != 0 {
			t.Errorf("offering %s = message %d, want a refusal", name, got)
		}
		c.Close()
	}
}

// What a client may sign in with is told to nobody: the only method is publickey.
func TestMethodsOffered(t *testing.T) {
	r := newRig(t)
	for _, method := range []string{"none", "password", "keyboard-interactive", "hostbased", "gssapi-with-mic"} {
		c := r.rawHandshake(t)
		request := append([]byte{msgAuthRequest}, ssh.Marshal(struct{ User, Service, Method string }{"git", "ssh-connection", method})...)
		if err := c.send(append(request, 0, 0, 0, 0, 0, 0, 0, 0, 0)); err != nil {
			t.Fatal(err)
		}
		p, err := c.until(msgAuthFailure, msgAuthSuccess)
		if err != nil {
			continue // hung up, as good
		}
		var left struct {
			Methods string
			Partial bool
		}
		if err := ssh.Unmarshal(p[1:], &left); err != nil || p[0] != msgAuthFailure || left.Methods != "publickey" || left.Partial {
			t.Errorf("signing in by %s = message %d, %+v, %v, want a refusal that names publickey", method, p[0], left, err)
		}
	}
}

// Idle connections are held, in numbers; a limit of one address holds off more.
func TestIdleConnectionsAreHeld(t *testing.T) {
	const many = 150 // bench/ holds 1,000
	r := newRig(t, func(r *rig) { r.ssh.MaxConns = many })
	var idle []*rawSSH
	for range many {
		idle = append(idle, r.rawSignedIn(t))
	}
	more := r.rawHandshake(t)
	key := r.signer(t, "key")
	if got := more.auth(t, key.PublicKey(), key); got == msgAuthSuccess {
		t.Errorf("connection %d = signed in, want a refusal", many+1)
	}
	for i, c := range idle {
		c.SetDeadline(time.Now().Add(time.Minute))
		if got := c.greeting(t); !strings.HasPrefix(got, "Hi dev!") {
			t.Fatalf("greeting on idle connection %d = %q", i, got)
		}
	}
	for _, c := range idle {
		c.Close()
	}
	eventually(t, "there is room again", func() bool {
		c := r.rawHandshake(t)
		defer c.Close()
		return c.auth(t, key.PublicKey(), key) == msgAuthSuccess
	})
}

// One address that opens very many connections keeps nobody from another out.
func TestFloodFromOneAddress(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.Handshake = time.Minute })
	other := r.connectRawFrom(t, "127.0.0.2")
	if err := other.version(); err != nil {
		t.Fatal(err)
	}
	var flood []*rawSSH
	for range 1100 {
		flood = append(flood, r.connectRaw(t))
	}
	for i, step := range other.steps()[1:] {
		if err := step(); err != nil {
			t.Fatalf("step %d of a handshake beside a flood from another address: %v", i+1, err)
		}
	}
	key := r.signer(t, "key")
	if got := other.auth(t, key.PublicKey(), key); got != msgAuthSuccess {
		t.Errorf("signing in beside a flood = message %d, want success", got)
	}
	if !flood[0].isCutOff() {
		t.Error("the oldest of 1100 silent connections is open, want it to give way")
	}
}
