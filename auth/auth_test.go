package auth_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
	"golang.org/x/crypto/ssh"
)

const (
	good = "correct horse battery"
	peer = "192.0.2.7:4711"
)

// world is accounts on a real database, with everything they log.
type world struct {
	*auth.Accounts
	db  *store.DB
	log *bytes.Buffer
}

func newWorld(t *testing.T) world {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "test.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	log := &bytes.Buffer{}
	return world{&auth.Accounts{Store: db, Log: slog.New(slog.NewTextHandler(log, nil))}, db, log}
}

// user adds an account whose password is good, unless it is a robot.
func (w world) user(t *testing.T, name string, role auth.Role) auth.User {
	t.Helper()
	password := good
	if role == auth.Robot {
		password = ""
	}
	u, err := w.AddUser(t.Context(), name, role, password)
	if err != nil {
		t.Fatalf("AddUser(%q) = %v", name, err)
	}
	return u
}

func publicKey(t *testing.T) string {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return line(t, pub)
}

func line(t *testing.T, pub any) string {
	t.Helper()
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func wantKind(t *testing.T, call string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want kind %v", call, err, want)
	}
}

// wantText also checks that no sentence is empty: every refusal is explained.
func wantText(t *testing.T, call string, err error, want string) {
	t.Helper()
	p := mirror.AsProblem(err)
	if p == nil || p.Kind == "" || !strings.Contains(p.What+"\n"+p.Why+"\n"+p.Do, want) {
		t.Errorf("%s = %+v, want a problem that says %q", call, p, want)
	}
}

func rsaLine(t *testing.T, bits int) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return line(t, &key.PublicKey)
}
