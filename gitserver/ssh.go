package gitserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// SSH serves git upload-pack to people with a registered public key. There is
// no other way to sign in, no shell, no terminal, no forwarding, no subsystem.
type SSH struct {
	// Addr to listen on, "127.0.0.1:2222"; or a Listener that listens already.
	Addr     string
	Listener net.Listener
	// HostKeyFile keeps the server's identity; see HostKey.
	HostKeyFile string

	Catalog  Catalog
	Packs    Packs
	Accounts *auth.Accounts
	Policy   auth.Policy
	Site     mirror.Site
	Log      *slog.Logger // nil = discard
	// Gate bounds the packs made at once; nil = one of its own.
	Gate *Gate
	// Front speaks protocol v2; nil = one of its own, with Packs, Gate and Log.
	Front *Front
	// Mirrors counts what may be read, for the greeting; nil = it says no number.
	Mirrors func(ctx context.Context) (int, error)
	// OnRequest, if set, hears of every command.
	OnRequest Observer
	// Traffic counts what is served as it goes; nil = it is not counted.
	Traffic *mirror.Traffic

	Handshake time.Duration // a client that has not signed in by then is cut off; zero = 10 s
	Idle      time.Duration // without a byte in either direction; zero = 5 min
	Grace     time.Duration // for commands that run when Run is told to end; zero = 30 s
	// Recheck is how often the key of a running command is looked up again; zero = 15 s.
	Recheck time.Duration
	// Silence is how long a client that waits for a first clone is told nothing when
	// it cannot say whether it wants to be: git before protocol v2; zero = 5 s.
	Silence time.Duration
	// MaxConns bounds the signed-in connections from one address (IPv6: /64) and
	// of one key; zero = 1024.
	MaxConns int
}

const (
	maxAuthTries = 6
	maxSessions  = 8    // on one connection
	maxRefusals  = 32   // of sessions that one connection has not taken note of
	maxPending   = 1024 // connections that have not signed in
)

// Run serves until ctx ends, then lets running commands finish for Grace.
func (s *SSH) Run(ctx context.Context) error {
	set := s.withDefaults()
	signer, err := hostKey(set.HostKeyFile)
	if err != nil {
		return err
	}
	listener := set.Listener
	if listener == nil {
		if listener, err = net.Listen("tcp", set.Addr); err != nil {
			return fmt.Errorf("SSH server: %w", err)
		}
	}
	set.Log.Info("ssh server listens", "addr", listener.Addr().String(), "hostkey", gossh.FingerprintSHA256(signer.PublicKey()))
	hall := newHall(set)
	server := &ssh.Server{
		HostSigners:          []ssh.Signer{signer},
		Version:              "gitmirror",
		IdleTimeout:          set.Idle,
		ConnCallback:         hall.welcome,
		ServerConfigCallback: hall.config,
		PublicKeyHandler:     hall.offered,
		Handler:              func(ssh.Session) {}, // never called: sessions have a handler of our own
		ChannelHandlers:      map[string]ssh.ChannelHandler{"session": hall.session},
		// Empty, not nil: nil would mean the library's defaults.
		RequestHandlers:   map[string]ssh.RequestHandler{},
		SubsystemHandlers: map[string]ssh.SubsystemHandler{},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		listener.Close()
		<-served
		err = nil
	}
	hall.drain(set.Grace)
	if cerr := server.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		set.Log.Debug("ssh server closed", "err", cerr)
	}
	hall.sessions.Wait()
	if err != nil {
		return fmt.Errorf("SSH server: %w", err)
	}
	return nil
}

func (s *SSH) withDefaults() *SSH {
	set := *s
	if set.Log == nil {
		set.Log = slog.New(slog.DiscardHandler)
	}
	if set.Gate == nil {
		set.Gate = &Gate{}
	}
	if set.Front == nil {
		set.Front = &Front{Packs: set.Packs, Gate: set.Gate, Log: set.Log}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&set.Handshake, 10 * time.Second}, {&set.Idle, 5 * time.Minute}, {&set.Grace, 30 * time.Second},
		{&set.Recheck, 15 * time.Second}, {&set.Silence, 5 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if set.MaxConns <= 0 {
		set.MaxConns = 1024
	}
	return &set
}

// verifiedKey is the name under which the fingerprint of the key that signed
// the handshake travels in the connection's permissions.
const verifiedKey = "gitmirror-key"

// config is what a connection may negotiate. ChaCha20 is left out: clients
// prefer it where they can, and AES-GCM takes a third of the time here.
func (h *hall) config(ctx ssh.Context) *gossh.ServerConfig {
	c := clientOf(ctx)
	config := &gossh.ServerConfig{
		MaxAuthTries: maxAuthTries,
		PublicKeyAuthAlgorithms: []string{
			gossh.KeyAlgoED25519, gossh.KeyAlgoSKED25519,
			gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521, gossh.KeyAlgoSKECDSA256,
			gossh.KeyAlgoRSASHA256, gossh.KeyAlgoRSASHA512, // RSA with SHA-1 is not
		},
		PreAuthConnCallback: func(conn gossh.ServerPreAuthConn) { c.say = conn.SendAuthBanner },
		// The identity is that of the key that signed, and of no key that was
		// merely offered before (CVE-2024-45337): these permissions are made anew
		// here and nothing else ever writes them.
		VerifiedPublicKeyCallback: func(_ gossh.ConnMetadata, key gossh.PublicKey, _ *gossh.Permissions, _ string) (*gossh.Permissions, error) {
			fingerprint := gossh.FingerprintSHA256(key)
			if err := h.admit(ctx, c, fingerprint); err != nil {
				return nil, err
			}
			return &gossh.Permissions{Extensions: map[string]string{verifiedKey: fingerprint}}, nil
		},
	}
	config.KeyExchanges = []string{gossh.KeyExchangeMLKEM768X25519, gossh.KeyExchangeCurve25519}
	config.Ciphers = []string{gossh.CipherAES128GCM, gossh.CipherAES256GCM, gossh.CipherAES256CTR, gossh.CipherAES128CTR}
	config.MACs = []string{gossh.HMACSHA256ETM, gossh.HMACSHA512ETM}
	return config
}

// offered tells whether a client may try to sign in with a key. Nothing is
// remembered of it but that it was refused.
func (h *hall) offered(ctx ssh.Context, key ssh.PublicKey) bool {
	c := clientOf(ctx)
	fingerprint := gossh.FingerprintSHA256(key)
	err := auth.CheckKey(key)
	if err == nil {
		err = h.Accounts.OfferedKey(ctx, fingerprint)
	}
	if err == nil {
		return true
	}
	p := mirror.AsProblem(err)
	if p.Kind == "" {
		h.Log.Error("ssh key not looked up", "key", fingerprint, "addr", c.peer, "err", err)
		return false
	}
	h.Log.Debug("ssh key refused", "key", fingerprint, "addr", c.peer, "err", err)
	h.explain(c, fingerprint, p)
	return false
}

// explain tells the client, by a banner, why a key was refused: "Permission
// denied (publickey)" alone helps nobody. People with several keys offer some
// that we do not know on every connection; once one of them has signed in with
// another key, that key is not mentioned again.
func (h *hall) explain(c *client, fingerprint string, p *mirror.Problem) {
	c.refused = append(c.refused, fingerprint) // at most maxAuthTries
	if c.say == nil || h.usual(fingerprint) {
		return
	}
	said := *p
	if said.Code == "" {
		said.Code = mirror.CodeSSHKey
	}
	if said.Code == mirror.CodeSSHKey && h.Site.URL != "" {
		said.Do += "; the console is at " + h.Site.URL
	}
	if err := c.say(terminal(&said)); err != nil {
		h.Log.Debug("ssh client is gone", "addr", c.peer, "err", err)
	}
}

// terminal is a problem as an SSH client prints it, apart from git's own words.
func terminal(p *mirror.Problem) string {
	text := "gitmirror"
	if p.Code != "" {
		text += "[" + string(p.Code) + "]"
	}
	text += ": " + oneLine(p.What) + "\n"
	for _, line := range []string{p.Why, p.Do} {
		if line != "" {
			text += "gitmirror: " + oneLine(line) + "\n"
		}
	}
	return text
}
