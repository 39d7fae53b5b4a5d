package modproxy_test

import (
	"archive/zip"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// knownSum is a line of testdata/hashes.txt.
type knownSum struct {
	gittest.Module
	zip, mod string
}

// knownSums are module versions and their true hashes: a few of each shape, or all.
func knownSums(t *testing.T, perShape int) []knownSum {
	t.Helper()
	data, err := os.ReadFile("testdata/hashes.txt")
	if err != nil {
		t.Fatal(err)
	}
	var sums []knownSum
	inShape := 0
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		switch {
		case len(f) > 0 && f[0] == "##":
			inShape = 0
		case len(f) == 4 && f[0] != "#":
			if inShape++; perShape == 0 || inShape <= perShape {
				sums = append(sums, knownSum{gittest.Module{Path: f[0], Version: f[1]}, f[2], f[3]})
			}
		}
	}
	return sums
}

// What is made of git has the hashes that everybody has, in every shape a module
// can have: what the go command gets from us is compared with the checksum
// database. The repositories hold more than the modules, see gittest.AddDressed.
// GITMIRROR_HASHES=all compares the whole list.
func TestHashes(t *testing.T) {
	perShape := 2
	if os.Getenv("GITMIRROR_HASHES") == "all" {
		perShape = 0
	}
	sums := knownSums(t, perShape)
	mods := make([]gittest.Module, len(sums))
	for i, s := range sums {
		mods[i] = s.Module
	}
	w := newWorld(t)
	fixtures := w.up.AddDressed(t, mods...)
	queries := make([]string, len(fixtures))
	for i, fix := range fixtures {
		w.known(t, fix)
		queries[i] = fix.Module.String()
	}
	theirs := goDownload(t, w.goEnv(t), goModule(t), queries...)
	equal := 0
	for i, want := range sums {
		got, ok := theirs[queries[i]]
		if !ok || got.Error != "" {
			t.Errorf("go mod download %s = %s", queries[i], got.Error)
			continue
		}
		sum := got.Sum
		if module.IsPseudoVersion(want.Version) { // the commit has another name here, and the files had it in theirs
			var err error
			if sum, err = hashAs(got.Zip, got.Path+"@"+got.Version, want.String()); err != nil {
				t.Errorf("zip of %s: %v", got.Path, err)
			}
		}
		if sum != want.zip || got.GoModSum != want.mod {
			t.Errorf("go mod download %s = %s %s, want %s %s", want.Module, sum, got.GoModSum, want.zip, want.mod)
			continue
		}
		equal++
	}
	t.Logf("%d of %d module versions have the hashes of the checksum database", equal, len(sums))
}

// known mirrors the repository of a fixture under the import path that it has.
func (w *world) known(t *testing.T, fix gittest.Fixture) {
	t.Helper()
	if _, ok := w.added[fix.Repo]; !ok {
		w.add(t, fix.Repo)
	}
	_, err := w.repos.Module(t.Context(), fix.Path)
	if !errors.Is(err, mirror.ErrNotFound) {
		return
	}
	root, repo := gittest.Root(fix.Path)
	if err := w.db.AddAlias(context.Background(), mirror.Alias{Prefix: root, Repo: mirror.Path(repo)}); err != nil {
		t.Fatal(err)
	}
}

// hashAs is the hash a zip would have if the version in its names were another.
func hashAs(file, is, as string) (string, error) {
	r, err := zip.OpenReader(file)
	if err != nil {
		return "", err
	}
	defer r.Close()
	byName := map[string]*zip.File{}
	var names []string
	for _, f := range r.File {
		name := as + strings.TrimPrefix(f.Name, is)
		byName[name], names = f, append(names, name)
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return byName[name].Open() })
}
