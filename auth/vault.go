package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/gitmirror/gitmirror/mirror"
)

// Vault seals secrets for the database, so that a copy of the database alone
// gives none away. Its key is an age X25519 identity in a file beside it.
type Vault struct {
	identity *age.X25519Identity
}

// OpenVault reads the key file, or makes it (mode 0600, durable before it is
// used). A key file that others can read is refused.
func OpenVault(file string) (*Vault, error) {
	text, err := readKeyFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := newKeyFile(file); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("key file for stored credentials: %w", err)
		}
		text, err = readKeyFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("key file for stored credentials: %w", err)
	}
	identity, err := age.ParseX25519Identity(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%s is not an age identity; restore it from a backup, or move it away and enter the upstream credentials again", file)
	}
	return &Vault{identity: identity}, nil
}

func readKeyFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s has mode %v and may be read by others; run: chmod 600 %[1]s", file, info.Mode())
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	return string(b), err
}

// newKeyFile makes the key under another name and links it into place: nobody
// ever sees half a key, and of two servers that start at once one wins.
func newKeyFile(file string) error {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".key-*") // O_EXCL, mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(identity.String() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
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

var _ mirror.Vault = (*Vault)(nil)

// Seal encrypts a text that belongs to the record id. The id is sealed in
// with it, so that ciphertexts cannot be swapped between records.
func (v *Vault) Seal(id, text string) ([]byte, error) {
	if strings.ContainsRune(id, 0) {
		return nil, fmt.Errorf("record id %q: %w", id, mirror.ErrInvalid)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, v.identity.Recipient())
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, id+"\x00"+text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Open decrypts what Seal made for the same id. Anything else is ErrIntegrity.
func (v *Vault) Open(id string, sealed []byte) (string, error) {
	bad := func(why string) (string, error) {
		return "", &mirror.Problem{
			Kind: mirror.ErrIntegrity, What: "the stored secret of " + printable(id) + " cannot be opened", Why: why,
			Do: "restore the key file that belongs to this database, or enter the secret again",
		}
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), v.identity)
	if err != nil {
		return bad("it was sealed with another key or is damaged")
	}
	plain, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return bad("it is damaged")
	}
	owner, text, ok := strings.Cut(string(plain), "\x00")
	if !ok || owner != id {
		return bad("it was sealed for another record")
	}
	return text, nil
}
