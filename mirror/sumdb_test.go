package mirror_test

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestParseSumDB(t *testing.T) {
	_, key, err := note.GenerateKey(rand.Reader, "sum.corp.test")
	if err != nil {
		t.Fatal(err)
	}
	_, odd, err := note.GenerateKey(rand.Reader, "sum.corp.test/../x")
	if err != nil {
		t.Fatal(err)
	}
	def, err := mirror.ParseSumDB("")
	if err != nil || def.Name == "" || !strings.HasPrefix(def.Key, def.Name+"+") || def.URL != "" {
		t.Fatalf("ParseSumDB(\"\") = %+v, %v, want the go command's default", def, err)
	}
	named, err := mirror.ParseSumDB(def.Name)
	if err != nil || named != def {
		t.Errorf("ParseSumDB(%q) = %+v, %v, want %+v", def.Name, named, err, def)
	}
	if off, err := mirror.ParseSumDB("off"); err != nil || off != (mirror.SumDB{}) {
		t.Errorf("ParseSumDB(off) = %+v, %v, want none", off, err)
	}
	if other, err := mirror.ParseSumDB(key + " https://mirror.corp.test/sums/"); err != nil || other.Name != "sum.corp.test" || other.URL != "https://mirror.corp.test/sums" {
		t.Errorf("ParseSumDB(key and URL) = %+v, %v, want sum.corp.test and the URL", other, err)
	}
	for _, text := range []string{"example.org", "off https://x.test", key + " x.test", key + " file:///x", key + " https://x.test more", key[:len(key)-2], odd} {
		if db, err := mirror.ParseSumDB(text); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("ParseSumDB(%q) = %+v, %v, want ErrInvalid", text, db, err)
		}
	}
}

// A file that is not what was written is not there.
func TestSumFilesNoticeDamage(t *testing.T) {
	f := &mirror.SumFiles{Dir: t.TempDir()}
	const record, tile = "sum.corp.test/lookup/example.org/../../../../x@v1.0.0", "sum.corp.test/tile/8/0/x001/234.p/2"
	f.WriteCache(record, []byte("a record"))
	f.WriteCache(tile, []byte(strings.Repeat("h", 64)))
	if got, err := f.ReadCache(record); err != nil || string(got) != "a record" {
		t.Fatalf("ReadCache(record) = %q, %v, want what was written", got, err)
	}
	if got, err := f.ReadCache("sum.corp.test/tile/8/0/x001/234.p/1"); err != nil || len(got) != 32 {
		t.Errorf("ReadCache(narrower tile) = %d bytes, %v, want 32", len(got), err)
	}
	if _, err := f.ReadCache("sum.corp.test/tile/8/0/x001/234"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadCache(wider tile) = %v, want fs.ErrNotExist", err)
	}
	if err := f.WriteConfig("sum.corp.test/latest", nil, []byte("tree 1")); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteConfig("sum.corp.test/latest", nil, []byte("tree 2")); err == nil {
		t.Error("WriteConfig() over another tree = nil, want a conflict")
	}
	spoiled := 0
	err := filepath.WalkDir(f.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		data[len(data)-1] ^= 1
		spoiled++
		return os.WriteFile(name, data, 0o600)
	})
	if err != nil || spoiled != 3 {
		t.Fatalf("spoiled %d files, %v, want 3 in the directory and nowhere else", spoiled, err)
	}
	if _, err := f.ReadCache(record); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadCache(spoiled record) = %v, want fs.ErrNotExist", err)
	}
	if tree, err := f.ReadConfig("sum.corp.test/latest"); err != nil || len(tree) > 0 {
		t.Errorf("ReadConfig(spoiled tree) = %q, %v, want none", tree, err)
	}
}
