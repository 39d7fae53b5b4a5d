package auth_test

import (
	//lint:ignore SA1019 a DSA key is made to see it refused
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"golang.org/x/crypto/ssh"
)

func TestParseKeyAccepts(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// From PROTOCOL.u2f of OpenSSH: type, curve point, application.
	pub, _, _ := ed25519.GenerateKey(rand.Reader)
	sk := ssh.Marshal(struct{ Type, Key, App string }{ssh.KeyAlgoSKED25519, string(pub), "ssh:"})
	for name, text := range map[string]string{
		"ed25519":         publicKey(t),
		"with comment":    publicKey(t) + " ada@laptop\n",
		"ecdsa":           line(t, &ec.PublicKey),
		"rsa 3072":        rsaLine(t, 3072),
		"security key":    ssh.KeyAlgoSKED25519 + " " + base64.StdEncoding.EncodeToString(sk),
		"spaces around":   "  " + publicKey(t) + "  \r\n",
		"spaces, comment": publicKey(t) + "   a comment of words",
	} {
		k, err := auth.ParseKey(text)
		if err != nil {
			t.Errorf("ParseKey(%s) = %v, want a key", name, err)
			continue
		}
		if !strings.HasPrefix(k.Fingerprint, "SHA256:") || strings.Count(k.Public, " ") != 1 {
			t.Errorf("ParseKey(%s) = %q, %q, want a fingerprint and type and key", name, k.Fingerprint, k.Public)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	var params dsa.Parameters
	if err := dsa.GenerateParameters(&params, rand.Reader, dsa.L1024N160); err != nil {
		t.Fatal(err)
	}
	huge := ssh.Marshal(struct {
		Type string
		E, N *big.Int
	}{"ssh-rsa", big.NewInt(65537), new(big.Int).SetBit(big.NewInt(1), 16383, 1)})
	signer, _ := ssh.NewSignerFromKey(private)
	cert := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct{ text, want string }{
		"private key":     {string(pem.EncodeToMemory(block)), "PRIVATE key"},
		"old private key": {"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "PRIVATE key"},
		"PuTTY key":       {"PuTTY-User-Key-File-3: ssh-ed25519\n", "PRIVATE key"},
		"SSH2 form":       {"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----", "ssh-keygen -i"},
		"nothing":         {" \n", "there is no key"},
		"words":           {"hello world", "not a public SSH key"},
		"two keys":        {publicKey(t) + "\n" + publicKey(t), "one at a time"},
		"options":         {`command="sh" ` + publicKey(t), "options"},
		"RSA 2048":        {rsaLine(t, 2048), "2048 bits"},
		"RSA 16384":       {"ssh-rsa " + base64.StdEncoding.EncodeToString(huge), ""},
		"certificate":     {strings.TrimSpace(string(ssh.MarshalAuthorizedKey(cert))), "certificate"},
		"cut short":       {publicKey(t)[:40], "not a public SSH key"},
		"1 MB":            {"ssh-ed25519 " + strings.Repeat("A", 1<<20), "longer than"},
		"DSA": {"ssh-dss " + base64.StdEncoding.EncodeToString(ssh.Marshal(struct {
			Type       string
			P, Q, G, Y *big.Int
		}{"ssh-dss", params.P, params.Q, params.G, big.NewInt(4)})), ""},
	} {
		_, err := auth.ParseKey(row.text)
		wantText(t, "ParseKey("+name+")", err, row.want)
		if err != nil && strings.Contains(fmt.Sprintf("%+v", mirror.AsProblem(err)), "MIIE") {
			t.Errorf("ParseKey(%s) = %v, want nothing of the key repeated", name, err)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL0 x")
	f.Add(`from="*" ssh-rsa AAAA`)
	f.Fuzz(func(t *testing.T, text string) {
		k, err := auth.ParseKey(text)
		if err != nil {
			wantKind(t, "ParseKey", err, mirror.ErrInvalid)
			return
		}
		if again, err := auth.ParseKey(k.Public); err != nil || again.Fingerprint != k.Fingerprint {
			t.Errorf("ParseKey(%q) = %q, %v, want %q", k.Public, again.Fingerprint, err, k.Fingerprint)
		}
	})
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.user(t, "ada", auth.Developer), w.user(t, "bob", auth.Developer)
	text := publicKey(t)
	k, err := w.AddKey(t.Context(), ada.ID, "", text+" ada@laptop")
	if err != nil || k.Name != "ada@laptop" || k.User != ada.ID {
		t.Fatalf("AddKey = %+v, %v, want ada's key named ada@laptop", k, err)
	}
	_, err = w.AddKey(t.Context(), bob.ID, "mine", text)
	wantKind(t, "AddKey(in use)", err, mirror.ErrExists)
	if p := mirror.AsProblem(err); strings.Contains(p.What+p.Why+p.Do, "ada") {
		t.Errorf("AddKey(in use) = %+v, want nothing about whose it is", p)
	}
	if err := w.OfferedKey(t.Context(), k.Fingerprint); err != nil {
		t.Errorf("OfferedKey = %v, want nil", err)
	}
	if keys, _ := w.Keys(t.Context(), ada.ID); len(keys) != 1 || !keys[0].LastUsed.IsZero() {
		t.Errorf("Keys after an offer = %+v, want one, never used", keys)
	}
	id, err := w.Key(t.Context(), k.Fingerprint)
	want := auth.Identity{User: ada.ID, Name: "ada", Role: auth.Developer, Scope: auth.ScopeRead, Via: auth.ByKey, Key: k.Fingerprint}
	if err != nil || id != want {
		t.Errorf("Key = %+v, %v, want %+v", id, err, want)
	}
	if keys, _ := w.Keys(t.Context(), ada.ID); len(keys) != 1 || keys[0].LastUsed.IsZero() {
		t.Errorf("Keys after a use = %+v, want one, used", keys)
	}
	_, err = w.Key(t.Context(), "SHA256:nothing")
	wantKind(t, "Key(unknown)", err, mirror.ErrSignIn)
	wantKind(t, "RemoveKey(somebody else's)", w.RemoveKey(t.Context(), bob.ID, k.ID), mirror.ErrNotFound)
	if err := w.RemoveKey(t.Context(), ada.ID, k.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.Key(t.Context(), k.Fingerprint)
	wantKind(t, "Key(removed)", err, mirror.ErrSignIn)
	for _, name := range []string{"a\x1b[31m", strings.Repeat("x", 101), "a\nb"} {
		_, err := w.AddKey(t.Context(), ada.ID, name, publicKey(t))
		wantKind(t, fmt.Sprintf("AddKey(named %.8q)", name), err, mirror.ErrInvalid)
	}
}
