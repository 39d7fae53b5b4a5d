package auth_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestVault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vault.key")
	v, err := auth.OpenVault(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file has mode %v, %v, want 0600", info.Mode(), err)
	}
	for _, text := range []string{"", "s3cret", "with\x00nul", string([]byte{0xff, 0xfe})} {
		sealed, err := v.Seal("github", text)
		if err != nil || text != "" && bytes.Contains(sealed, []byte(text)) {
			t.Fatalf("Seal(%q) = %q, %v, want ciphertext", text, sealed, err)
		}
		again, err := auth.OpenVault(file) // after a restart
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Open("github", sealed); err != nil || got != text {
			t.Errorf("Open(Seal(%q)) = %q, %v", text, got, err)
		}
		_, err = v.Open("gitlab", sealed)
		wantKind(t, "Open(under another id)", err, mirror.ErrIntegrity)
		sealed[len(sealed)-1] ^= 1
		_, err = v.Open("github", sealed)
		wantKind(t, "Open(damaged)", err, mirror.ErrIntegrity)
	}
	_, err = v.Seal("a\x00b", "x")
	wantKind(t, "Seal(id with NUL)", err, mirror.ErrInvalid)

	other, err := auth.OpenVault(filepath.Join(t.TempDir(), "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, _ := v.Seal("github", "s3cret")
	_, err = other.Open("github", sealed)
	wantKind(t, "Open(with another key)", err, mirror.ErrIntegrity)
}

func TestVaultRefusesBadKeyFiles(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if _, err := auth.OpenVault(open); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte("AGE-SECRET-KEY-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{open, junk, dir, filepath.Join(dir, "no", "such", "dir")} {
		if _, err := auth.OpenVault(file); err == nil {
			t.Errorf("OpenVault(%s) = nil, want an error", filepath.Base(file))
		}
	}
}

// Servers that start at the same moment agree on one key.
func TestVaultIsMadeOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vault.key")
	vaults := make([]*auth.Vault, 8)
	var wg sync.WaitGroup
	for i := range vaults {
		wg.Go(func() {
			v, err := auth.OpenVault(file)
			if err != nil {
				t.Errorf("OpenVault = %v", err)
			}
			vaults[i] = v
		})
	}
	wg.Wait()
	sealed, err := vaults[0].Seal("id", "text")
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vaults {
		if got, err := v.Open("id", sealed); err != nil || got != "text" {
			t.Errorf("vault %d: Open = %q, %v, want text", i, got, err)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("files beside the key: %v, want none", left)
	}
}
