package gitserver_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/gitserver"
	"github.com/gitmirror/gitmirror/mirror"
	"golang.org/x/crypto/ssh"
)

// A handshake that stops anywhere is cut off, and the next client gets in.
func TestHandshakesThatStop(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.Handshake = 8 * time.Second })
	var stopped []*rawSSH
	for n := range len((&rawSSH{}).steps()) + 1 {
		c := r.connectRaw(t)
		for i, step := range c.steps()[:n] {
			if err := step(); err != nil {
				t.Fatalf("step %d of the handshake: %v", i, err)
			}
		}
		stopped = append(stopped, c)
	}
	offered := r.rawHandshake(t) // a key is good, and never signs
	if got := offered.auth(t, r.signer(t, "key").PublicKey(), nil); got != msgAuthKeyOK {
		t.Errorf("offering a known key = message %d, want %d", got, msgAuthKeyOK)
	}
	r.mustDial(t)
	for i, c := range append(stopped, offered) {
		if !c.isCutOff() {
			t.Errorf("a handshake that stopped after %d steps is open after 40 s, want it cut off", i)
		}
	}
}

// Whatever keys are offered, in whatever order, the identity is that of the key
// that signs (CVE-2024-45337).
func TestOfferedKeysAreNoIdentity(t *testing.T) {
	r := newRig(t)
	eve, err := r.accounts.AddUser(t.Context(), "eve", auth.Developer, "")
	if err != nil {
		t.Fatal(err)
	}
	r.register(t, eve, r.newKey(t, "eves"))
	a, b := r.signer(t, "key"), r.signer(t, "eves") // of the victim, of eve
	for name, order := range map[string][]ssh.Signer{"A": {a}, "A, B": {a, b}, "B, A": {b, a}, "B, A, A": {b, a, a}} {
		offer := func() *rawSSH {
			c := r.rawHandshake(t)
			for _, offered := range order {
				if got := c.auth(t, offered.PublicKey(), nil); got != msgAuthKeyOK {
					t.Fatalf("offers %s: an offer = message %d, want %d", name, got, msgAuthKeyOK)
				}
			}
			return c
		}
		if got := offer().auth(t, a.PublicKey(), b); got != msgAuthFailure && got != 0 {
			t.Errorf("offers %s: A's key with B's signature = message %d, want a refusal", name, got)
		}
		c := offer()
		if got := c.auth(t, b.PublicKey(), b); got != msgAuthSuccess {
			t.Fatalf("offers %s: B signs = message %d, want success", name, got)
		}
		if got := c.greeting(t); !strings.HasPrefix(got, "Hi eve!") {
			t.Errorf("offers %s, B signs = %q, want eve", name, got)
		}
	}
}

// Who keeps asking whether keys are good, and never signs, is sent away.
func TestEndlessOffers(t *testing.T) {
	r := newRig(t)
	c := r.rawHandshake(t)
	key := r.signer(t, "key").PublicKey()
	request := append([]byte{msgAuthRequest}, ssh.Marshal(struct {
		User, Service, Method string
		Signed                bool
		Algorithm             string
		Key                   []byte
	}{"git", "ssh-connection", "publickey", false, key.Type(), key.Marshal()})...)
	for range 10_000 {
		if c.send(request) != nil {
			break
		}
	}
	answers := 0
	for {
		if _, err := c.until(msgAuthKeyOK); err != nil {
			break
		}
		answers++
	}
	if answers > 200 {
		t.Errorf("%d of 10000 offers were answered, want few", answers)
	}
}

// Packets that no client sends hurt nobody but their sender.
func TestOddPackets(t *testing.T) {
	r := newRig(t)
	be := binary.BigEndian.AppendUint32
	for name, packets := range map[string][][]byte{
		"answers nobody asked for": bytes.SplitAfter(bytes.Repeat([]byte{msgGlobalSuccess}, 2000), []byte{msgGlobalSuccess})[:2000],
		"failures of requests":     {{82}, {82}, {82}, {82}},
		"channel opened":           {be(be(be(be([]byte{msgChannelOpened}, 0), 0), 1<<20), 1<<15)},
		"channel refused":          {be(be([]byte{msgChannelRefused}, 9), 9)},
		"window of no channel":     {be(be([]byte{93}, 3), 1<<31)},
		"data of no channel":       {append(be([]byte{msgChannelData}, 4), 0, 0, 0, 1, 'x')},
		"close of no channel":      {be([]byte{msgChannelClose}, 5)},
		"35,000 bytes":             {append([]byte{80}, make([]byte, 35_000)...)},
		"250,000 bytes":            {append([]byte{80}, make([]byte, 250_000)...)},
		"an unknown message":       {{199, 1, 2, 3}, {0}, {255}},
		"no payload":               {{}},
		"a second sign-in":         {append([]byte{msgAuthRequest}, 0, 0, 0, 0)},
		"new keys out of turn":     {{msgNewKeys}},
		"key exchange out of turn": {{msgKexInitECDH, 0, 0, 0, 0}},
		"half a key exchange":      {{msgKexInit}},
		"a kind of 4 GB":           {{80, 0xff, 0xff, 0xff, 0xff, 'x'}},
		"disconnect":               {{1, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0}},
	} {
		c := r.rawSignedIn(t)
		for _, p := range packets {
			if c.send(p) != nil {
				break // it was cut off: all right
			}
		}
		c.Close()
		if out, _, err := remote(r.mustDial(t), ""); err != nil || !strings.HasPrefix(out, "Hi dev!") {
			t.Errorf("%s: greeting of the next client = %q, %v", name, out, err)
		}
	}
	// Windows and packets as odd as they can be: none, all there is, more than that.
	for _, row := range []struct{ window, packet, more uint32 }{
		{0, 0, 0}, {0, 1 << 15, 1<<32 - 1}, {1<<32 - 1, 1 << 15, 1<<32 - 1}, {1, 1, 1}, {1 << 20, 1<<32 - 1, 0}, {3, 9, 1 << 31},
	} {
		c := r.rawSignedIn(t)
		if err := c.openSession(1, row.window, row.packet); err != nil {
			t.Fatal(err)
		}
		if p, err := c.until(msgChannelOpened, msgChannelRefused); err == nil && p[0] == msgChannelOpened {
			channel := binary.BigEndian.Uint32(p[5:])
			c.send(append([]byte{msgChannelRequest}, ssh.Marshal(struct {
				Channel uint32
				Kind    string
				Reply   bool
				Command string
			}{channel, "exec", true, "git-upload-pack '/" + tool + "'"})...))
			c.send(be(be([]byte{93}, channel), row.more))
			c.send(be(be([]byte{93}, channel), row.more))
			c.send(append(be(be([]byte{msgChannelData}, channel), 40_000), make([]byte, 40_000)...)) // more than a packet may have
		}
		c.Close()
	}
	eventually(t, "no command runs", func() bool { return r.traffic.Flows() == 0 })
	r.mustGit(t, "ls-remote", r.sshURL(tool))
}

// Random packets behind a sign-in: the server outlives them.
func TestRandomPackets(t *testing.T) {
	r := newRig(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		c := r.rawSignedIn(t)
		c.openSession(0, 1<<20, 1<<15)
		for range 20 {
			p := make([]byte, random.IntN(200))
			for i := range p {
				p[i] = byte(random.Uint32())
				if i > 0 && random.IntN(2) == 0 {
					p[i] = 0 // small numbers reach further
				}
			}
			if len(p) > 0 && random.IntN(4) > 0 {
				p[0] = []byte{2, 3, 4, 7, 20, 80, 81, 90, 93, 94, 95, 96, 97, 98, 99, 100}[random.IntN(16)]
			}
			if c.send(p) != nil {
				break
			}
		}
		c.Close()
	}
	r.mustGit(t, "ls-remote", r.sshURL(tool))
}

// Who opens sessions and hears no answer is cut off before they pile up.
func TestSessionFlood(t *testing.T) {
	r := newRig(t)
	c := r.rawSignedIn(t)
	before, most := runtime.NumGoroutine(), 0
	cut := false
	for i := range uint32(400_000) {
		if err := c.openSession(i, 1<<20, 1<<15); err != nil {
			cut = true
			break
		}
		if i%1000 == 0 {
			most = max(most, runtime.NumGoroutine())
		}
	}
	if !cut {
		t.Error("400000 sessions were asked for and no answer was read, want the connection cut off")
	}
	if grown := most - before; grown > 20_000 { // other tests run beside this one
		t.Errorf("%d goroutines more than before, want few", grown)
	}
	if out, _, err := remote(r.mustDial(t), ""); err != nil || !strings.HasPrefix(out, "Hi dev!") {
		t.Errorf("greeting of the next client = %q, %v", out, err)
	}
}

// panickyCatalog has a bug that knows a password.
type panickyCatalog struct{ gitserver.Catalog }

func (panickyCatalog) Admit(context.Context, mirror.Path) (mirror.Repo, error) { panic("cAnArY") }

// TestHostileE19PanicOfASession: a bug in one session is the end of that session; the
// log does not have what the bug knew, and the server goes on.
func TestHostileE19PanicOfASession(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ssh.Catalog = panickyCatalog{r.ssh.Catalog} })
	for range 2 {
		if got := r.sshTo(t, "key", "git-upload-pack '"+tool+"'"); got.code != 1 || !strings.Contains(got.err, "internal error") || strings.Contains(got.err, "cAnArY") {
			t.Errorf("git-upload-pack = %+v, want exit 1 and an internal error", got)
		}
	}
	if got := r.sshTo(t, "key"); !strings.HasPrefix(got.out, "Hi dev!") {
		t.Errorf("after it = %+v, want the greeting", got)
	}
	if log := r.log.String(); strings.Contains(log, "cAnArY") || strings.Count(log, "a value of type string") != 2 || !strings.Contains(log, "panickyCatalog") {
		t.Errorf("the log has the panic's value, or not where it came from:\n%s", log)
	}
}
