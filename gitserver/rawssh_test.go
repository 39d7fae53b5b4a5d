package gitserver_test

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// rawSSH is an SSH client (RFC 4253, 4252, 4254) that says what a test wants, in
// any order: libraries keep to the rules. It knows curve25519-sha256 and
// aes128-gcm@openssh.com, and trusts every host.
type rawSSH struct {
	net.Conn
	from    *bufio.Reader
	out, in *gcmPackets // nil before there are keys
	session []byte      // its id

	mine, theirs           string // versions
	myKexInit, theyKexInit []byte
	secret                 *ecdh.PrivateKey
}

// Messages of SSH that tests send or look for.
const (
	msgServiceRequest = 5
	msgServiceAccept  = 6
	msgKexInit        = 20
	msgNewKeys        = 21
	msgKexInitECDH    = 30
	msgKexReplyECDH   = 31
	msgAuthRequest    = 50
	msgAuthFailure    = 51
	msgAuthSuccess    = 52
	msgAuthKeyOK      = 60
	msgGlobalSuccess  = 81
	msgChannelOpen    = 90
	msgChannelOpened  = 91
	msgChannelRefused = 92
	msgChannelData    = 94
	msgChannelClose   = 97
	msgChannelRequest = 98
)

// gcmPackets is one direction of a connection that is encrypted (RFC 5647).
type gcmPackets struct {
	aead cipher.AEAD
	iv   [12]byte
}

func (g *gcmPackets) nonce() []byte {
	now := g.iv
	binary.BigEndian.PutUint64(g.iv[4:], binary.BigEndian.Uint64(g.iv[4:])+1)
	return now[:]
}

// connectRaw connects and does nothing else.
func (r *rig) connectRaw(t *testing.T) *rawSSH {
	t.Helper()
	return r.connectRawFrom(t, "127.0.0.1")
}

// connectRawFrom is connectRaw from an address of this machine.
func (r *rig) connectRawFrom(t *testing.T, addr string) *rawSSH {
	t.Helper()
	from := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	conn, err := from.DialContext(t.Context(), "tcp", r.sshAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	return &rawSSH{Conn: conn, from: bufio.NewReader(conn)}
}

// The steps of a handshake, in their order.
func (c *rawSSH) steps() []func() error {
	return []func() error{c.version, c.offer, c.exchange, c.newKeys, c.askForAuth}
}

// rawHandshake connects and does the handshake, up to where users sign in.
func (r *rig) rawHandshake(t *testing.T) *rawSSH {
	t.Helper()
	c := r.connectRaw(t)
	for i, step := range c.steps() {
		if err := step(); err != nil {
			t.Fatalf("step %d of the handshake: %v", i, err)
		}
	}
	return c
}

// rawSignedIn is rawHandshake with the key home/key.
func (r *rig) rawSignedIn(t *testing.T) *rawSSH {
	t.Helper()
	c := r.rawHandshake(t)
	key := r.signer(t, "key")
	if got := c.auth(t, key.PublicKey(), key); got != msgAuthSuccess {
		t.Fatalf("signing in = message %d, want success", got)
	}
	return c
}

func (c *rawSSH) version() error {
	c.mine = "SSH-2.0-raw"
	if _, err := io.WriteString(c, c.mine+"\r\n"); err != nil {
		return err
	}
	line, err := c.from.ReadString('\n')
	c.theirs = strings.TrimRight(line, "\r\n")
	return err
}

func (c *rawSSH) offer() error {
	lists := [10]string{"curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com", "aes128-gcm@openssh.com", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "none", "none"}
	c.myKexInit = append([]byte{msgKexInit}, make([]byte, 16)...)
	for _, l := range lists {
		c.myKexInit = append(c.myKexInit, ssh.Marshal(struct{ S string }{l})...)
	}
	c.myKexInit = append(c.myKexInit, 0, 0, 0, 0, 0)
	if err := c.send(c.myKexInit); err != nil {
		return err
	}
	var err error
	c.theyKexInit, err = c.until(msgKexInit)
	return err
}

func (c *rawSSH) exchange() (err error) {
	if c.secret, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		return err
	}
	return c.send(append([]byte{msgKexInitECDH}, ssh.Marshal(struct{ Q []byte }{c.secret.PublicKey().Bytes()})...))
}

func (c *rawSSH) newKeys() error {
	reply, err := c.until(msgKexReplyECDH)
	if err != nil {
		return err
	}
	var theirs struct{ Host, Q, Signature []byte }
	if err := ssh.Unmarshal(reply[1:], &theirs); err != nil {
		return err
	}
	public, err := ecdh.X25519().NewPublicKey(theirs.Q)
	if err != nil {
		return err
	}
	shared, err := c.secret.ECDH(public)
	if err != nil {
		return err
	}
	k := ssh.Marshal(struct{ K *big.Int }{new(big.Int).SetBytes(shared)})
	h := sha256.Sum256(append(ssh.Marshal(struct {
		VC, VS               string
		IC, IS, Host, QC, QS []byte
	}{c.mine, c.theirs, c.myKexInit, c.theyKexInit, theirs.Host, c.secret.PublicKey().Bytes(), theirs.Q}), k...))
	c.session = h[:]
	derive := func(name byte) []byte {
		sum := sha256.Sum256(append(append(append(append([]byte{}, k...), h[:]...), name), h[:]...))
		return sum[:]
	}
	direction := func(iv, key byte) *gcmPackets {
		block, _ := aes.NewCipher(derive(key)[:16])
		aead, _ := cipher.NewGCM(block)
		return &gcmPackets{aead: aead, iv: [12]byte(derive(iv)[:12])}
	}
	if err := c.send([]byte{msgNewKeys}); err != nil {
		return err
	}
	if _, err := c.until(msgNewKeys); err != nil {
		return err
	}
	c.out, c.in = direction('A', 'C'), direction('B', 'D')
	return nil
}

func (c *rawSSH) askForAuth() error {
	if err := c.send(append([]byte{msgServiceRequest}, ssh.Marshal(struct{ S string }{"ssh-userauth"})...)); err != nil {
		return err
	}
	_, err := c.until(msgServiceAccept)
	return err
}

// send sends a packet; what is in it is the caller's business.
func (c *rawSSH) send(payload []byte) error {
	block, head := 8, 4
	if c.out != nil {
		block, head = 16, 0
	}
	pad := block - (len(payload)+1+head)%block
	if pad < 4 {
		pad += block
	}
	packet := make([]byte, 4, 4+1+len(payload)+pad+16)
	binary.BigEndian.PutUint32(packet, uint32(1+len(payload)+pad))
	body := append(append([]byte{byte(pad)}, payload...), make([]byte, pad)...)
	if c.out != nil {
		packet = c.out.aead.Seal(packet, c.out.nonce(), body, packet[:4])
	} else {
		packet = append(packet, body...)
	}
	_, err := c.Write(packet)
	return err
}

// recv returns the next packet.
func (c *rawSSH) recv() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.from, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if c.in != nil {
		n += 16
	}
	if n < 2 || n > 1<<20 {
		return nil, fmt.Errorf("a packet of %d bytes", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c.from, body); err != nil {
		return nil, err
	}
	if c.in != nil {
		var err error
		if body, err = c.in.aead.Open(nil, c.in.nonce(), body, head[:]); err != nil {
			return nil, err
		}
	}
	if pad := int(body[0]); len(body) > 1+pad {
		return body[1 : len(body)-pad], nil
	}
	return nil, errors.New("an empty packet")
}

// until returns the next packet of a kind.
func (c *rawSSH) until(kinds ...byte) ([]byte, error) {
	for {
		p, err := c.recv()
		if err != nil {
			return nil, err
		}
		for _, k := range kinds {
			if p[0] == k {
				return p, nil
			}
		}
	}
}

// auth offers a key (signer nil), or signs in as the owner of key with a
// signature by signer. It returns what the server said, 0 when it hung up.
func (c *rawSSH) auth(t *testing.T, key ssh.PublicKey, signer ssh.Signer) (answer byte) {
	t.Helper()
	request := append([]byte{msgAuthRequest}, ssh.Marshal(struct {
		User, Service, Method string
		Signed                bool
		Algorithm             string
		Key                   []byte
	}{"git", "ssh-connection", "publickey", signer != nil, key.Type(), key.Marshal()})...)
	if signer != nil {
		signature, err := signer.Sign(rand.Reader, append(ssh.Marshal(struct{ S []byte }{c.session}), request...))
		if err != nil {
			t.Fatal(err)
		}
		request = append(request, ssh.Marshal(struct{ S []byte }{ssh.Marshal(signature)})...)
	}
	if err := c.send(request); err != nil {
		t.Fatal(err)
	}
	p, err := c.until(msgAuthFailure, msgAuthSuccess, msgAuthKeyOK)
	if err != nil {
		return 0
	}
	return p[0]
}

// openSession sends the request for a channel that will be called id here.
func (c *rawSSH) openSession(id, window, packet uint32) error {
	return c.send(append([]byte{msgChannelOpen}, ssh.Marshal(struct {
		Kind               string
		ID, Window, Packet uint32
	}{"session", id, window, packet})...))
}

// command opens a session and asks for a command, or for a shell when it is empty.
// It returns the server's name of the channel.
func (c *rawSSH) command(t *testing.T, text string, window uint32) (channel uint32) {
	t.Helper()
	if err := c.openSession(7, window, 32<<10); err != nil {
		t.Fatal(err)
	}
	p, err := c.until(msgChannelOpened)
	if err != nil {
		t.Fatal(err)
	}
	channel = binary.BigEndian.Uint32(p[5:])
	request := ssh.Marshal(struct {
		Channel uint32
		Kind    string
		Reply   bool
	}{channel, "shell", false})
	if text != "" {
		request = ssh.Marshal(struct {
			Channel uint32
			Kind    string
			Reply   bool
			Command string
		}{channel, "exec", false, text})
	}
	if err := c.send(append([]byte{msgChannelRequest}, request...)); err != nil {
		t.Fatal(err)
	}
	return channel
}

// greeting is what a session without a command hears.
func (c *rawSSH) greeting(t *testing.T) string {
	t.Helper()
	c.command(t, "", 1<<20)
	p, err := c.until(msgChannelData)
	if err != nil {
		t.Fatalf("no greeting: %v", err)
	}
	return string(p[9:])
}

// isCutOff tells whether the server closes the connection in good time.
func (c *rawSSH) isCutOff() bool {
	c.SetReadDeadline(time.Now().Add(40 * time.Second))
	_, err := io.Copy(io.Discard, c.from)
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}
