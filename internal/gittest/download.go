package gittest

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// Sums are the two go.sum hashes of a module version, "h1:…".
type Sums struct {
	Zip string // of the line "path version h1:…"
	Mod string // of the line "path version/go.mod h1:…"
}

// RealSums returns the true sums of a public module version, as the go command
// downloaded and verified them, whatever mirror the test talks to.
func RealSums(tb testing.TB, m Module) Sums {
	tb.Helper()
	d, err := fetch([]Module{m})
	if err != nil {
		tb.Fatal(err)
	}
	return Sums{d[0].Sum, d[0].GoModSum}
}

// downloaded is a line of go mod download -json with what the files hold.
type downloaded struct {
	Path, Version, Error string
	Info, GoMod, Zip     string
	Sum, GoModSum        string
	time                 time.Time
	files                map[string][]byte
}

// download is fetch with the files of the modules.
func download(mods []Module) ([]downloaded, error) {
	all, err := fetch(mods)
	for i := range all {
		err = errors.Join(err, all[i].read())
	}
	return all, err
}

// fetch asks the go command for modules through the proxy of the environment,
// with a few tries. The answers are in the order of the question.
func fetch(mods []Module) ([]downloaded, error) {
	dir, err := os.MkdirTemp("", "gittest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module gittest.invalid/download\n\ngo 1.21\n"), 0o644); err != nil {
		return nil, err
	}
	got := map[Module]downloaded{}
	var trouble error
	for try := 0; try < 4 && len(got) < len(mods); try++ {
		if try > 0 {
			time.Sleep(time.Duration(try) * time.Second) // a hiccup of the network, not of what is tested
		}
		trouble = downloadInto(dir, mods, got)
	}
	answers := make([]downloaded, 0, len(mods))
	for _, m := range mods {
		d, ok := got[m]
		if !ok {
			return nil, fmt.Errorf("go mod download %s: %w", m, trouble)
		}
		answers = append(answers, d)
	}
	return answers, nil
}

func downloadInto(dir string, mods []Module, got map[Module]downloaded) error {
	args := []string{"mod", "download", "-json"}
	for _, m := range mods {
		if _, ok := got[m]; !ok {
			args = append(args, m.String())
		}
	}
	env := append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "PWD="+dir)
	out, trouble := try(dir, env, nil, "go", args...)
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var d downloaded
		err := dec.Decode(&d)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, trouble)
		}
		if d.Error != "" {
			trouble = errors.Join(trouble, errors.New(d.Error))
			continue
		}
		if err := d.readInfo(); err != nil {
			return err
		}
		got[Module{d.Path, d.Version}] = d
	}
	if trouble == nil {
		trouble = errors.New("the go command did not answer for it")
	}
	return trouble
}

// readInfo loads the time of a downloaded module.
func (d *downloaded) readInfo() error {
	info, err := os.ReadFile(d.Info)
	if err != nil {
		return err
	}
	var stat struct{ Time time.Time }
	if err := json.Unmarshal(info, &stat); err != nil {
		return err
	}
	d.time = stat.Time
	return nil
}

// read loads its files.
func (d *downloaded) read() error {
	zr, err := zip.OpenReader(d.Zip)
	if err != nil {
		return err
	}
	defer zr.Close()
	d.files = map[string][]byte{}
	prefix := d.Path + "@" + d.Version + "/"
	for _, f := range zr.File {
		r, err := f.Open()
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		d.files[strings.TrimPrefix(f.Name, prefix)] = data
	}
	return nil
}

// sumsAs computes the sums the module's files have under another version, with
// nothing but golang.org/x/mod.
func (d *downloaded) sumsAs(version string) (Sums, error) {
	dir, err := os.MkdirTemp("", "gittest-")
	if err != nil {
		return Sums{}, err
	}
	defer os.RemoveAll(dir)
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "m.zip")
	if err := modzip.Unzip(src, module.Version{Path: d.Path, Version: d.Version}, d.Zip); err != nil {
		return Sums{}, err
	}
	f, err := os.Create(dst)
	if err != nil {
		return Sums{}, err
	}
	err = errors.Join(modzip.CreateFromDir(f, module.Version{Path: d.Path, Version: version}, src), f.Close())
	if err != nil {
		return Sums{}, err
	}
	h, err := dirhash.HashZip(dst, dirhash.Hash1)
	return Sums{Zip: h, Mod: d.GoModSum}, err // go.mod's hash does not depend on the version
}
