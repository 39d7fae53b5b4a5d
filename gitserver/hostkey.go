package gitserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// HostKey reads the server's SSH host key, or makes it (ed25519, OpenSSH form,
// mode 0600) when the file does not exist. It returns the public half as a
// known_hosts file has it behind the host name, and its fingerprint.
func HostKey(file string) (public, fingerprint string, err error) {
	signer, err := hostKey(file)
	if err != nil {
		return "", "", err
	}
	pub := signer.PublicKey()
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(pub))), gossh.FingerprintSHA256(pub), nil
}

func hostKey(file string) (gossh.Signer, error) {
	text, err := readHostKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := newHostKey(file); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("SSH host key: %w", err)
		}
		text, err = readHostKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("SSH host key: %w", err)
	}
	signer, err := gossh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("SSH host key: %s is not a private key without passphrase; restore it from a backup, or move it away and tell the users", file)
	}
	return signer, nil
}

func readHostKey(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %v and may be read by others; run: chmod 600 %[1]s", file, info.Mode())
	}
	return io.ReadAll(io.LimitReader(f, 64<<10))
}

// newHostKey makes the key under another name and links it into place, so that
// nobody ever sees half of one and a key that is there is never replaced.
func newHostKey(file string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := gossh.MarshalPrivateKey(key, "gitmirror")
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".hostkey-*") // O_EXCL, mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = pem.Encode(f, block)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
