package modproxy

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	modzip "golang.org/x/mod/zip"

	"github.com/gitmirror/gitmirror/mirror"
)

// Bounds of what is read from one archive before a module is refused. Only
// what is in the module counts for the limits of x/mod/zip; these are for the
// rest of the directory, which must be read to be left out.
const (
	maxArchiveFiles = 1 << 20
	maxArchiveNames = 64 << 20 // bytes of all names
	maxArchiveBytes = 4 << 30
)

// entry is a file of a module's directory.
type entry struct {
	name string
	size int64
	mode fs.FileMode
	sum  [sha256.Size]byte // of the content, when it is a regular file
	// content opens it; nil unless contents are kept.
	content func() io.ReadCloser
}

// contents are the files that make up a module.
type contents []entry

// read goes over the archive of a module: each file is hashed, and its content
// appended to spool if that is not nil. What comes back is what belongs in the
// zip; a *versionError says why there can be none. The spool never holds more than
// a zip may: where a directory holds more, of what perhaps does not belong in it,
// the archive is read a second time for what does.
func (v *view) read(ctx context.Context, p place, spool *spool) (contents, error) {
	c, err := v.readFor(ctx, p, spool, nil)
	if err != nil || spool == nil || !spool.over {
		return c, err
	}
	belongs := make(map[string]bool, len(c))
	for _, e := range c {
		belongs[e.name] = true
	}
	if err := spool.restart(); err != nil {
		return nil, err
	}
	return v.readFor(ctx, p, spool, belongs)
}

// readFor reads the files that only names; nil = all.
func (v *view) readFor(ctx context.Context, p place, spool *spool, only map[string]bool) (contents, error) {
	archive, err := v.reader.Archive(ctx, v.repo.ID, p.Hash, p.dir)
	if errors.Is(err, mirror.ErrInvalid) {
		return nil, unfit("%s", mirror.AsProblem(err).What)
	}
	if err != nil {
		return nil, err
	}
	all, err := readTar(archive, spool, only)
	if err = errors.Join(err, archive.Close()); err != nil {
		return nil, err
	}
	if p.dir != "" && !slices.ContainsFunc(all, func(e entry) bool { return e.name == "LICENSE" }) {
		license, err := v.file(ctx, p.Hash, "LICENSE")
		var big *versionError
		switch {
		case err == nil:
			e, err := newIntake(spool).entry("LICENSE", bytes.NewReader(license))
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		case !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &big):
			return nil, err
		}
	}
	if spool != nil {
		if err := spool.flush(); err != nil {
			return nil, err
		}
	}
	return check(all, p.gomod)
}

func readTar(archive io.Reader, spool *spool, only map[string]bool) (contents, error) {
	var all contents
	var total, names int64
	in := newIntake(spool)
	for tr := tar.NewReader(bufio.NewReaderSize(archive, pieces)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
		total, names = total+h.Size, names+int64(len(h.Name))
		if len(all) == maxArchiveFiles || total > maxArchiveBytes || names > maxArchiveNames {
			return nil, unfit("the directory holds more than %d files, %d GiB, or %d MiB of names", maxArchiveFiles, maxArchiveBytes>>30, maxArchiveNames>>20)
		}
		switch {
		case only != nil && !only[h.Name]:
		case h.Typeflag == tar.TypeReg:
			e, err := in.entry(h.Name, tr)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		case h.Typeflag == tar.TypeSymlink:
			all = append(all, entry{name: h.Name, mode: fs.ModeSymlink, size: int64(len(h.Linkname))})
		}
	}
}

// pieces are what is read, copied and written at a time.
const pieces = 64 << 10

// intake takes in the files of an archive, one after the other.
type intake struct {
	spool *spool // nil = contents are not kept
	hash  hash.Hash
	to    io.Writer
	buf   []byte
}

func newIntake(spool *spool) *intake {
	in := &intake{spool: spool, hash: sha256.New(), buf: make([]byte, pieces)}
	in.to = in.hash
	if spool != nil {
		in.to = io.MultiWriter(in.hash, spool)
	}
	return in
}

func (in *intake) entry(name string, r io.Reader) (entry, error) {
	e := entry{name: name}
	in.hash.Reset()
	size, err := io.CopyBuffer(in.to, struct{ io.Reader }{r}, in.buf)
	if err != nil {
		return e, err
	}
	e.size = size
	in.hash.Sum(e.sum[:0])
	if in.spool != nil {
		e.content = in.spool.last(size)
	}
	return e, nil
}

// check drops what does not belong in a module zip and refuses what cannot be
// in one, by the rules of x/mod/zip. Those of vendor directories depend on the
// go line of gomod.
func check(all contents, gomod []byte) (contents, error) {
	files := make([]modzip.File, len(all))
	byName := make(map[string]*entry, len(all))
	for i := range all {
		files[i] = zipEntry{&all[i], gomod}
		byName[all[i].name] = &all[i]
	}
	checked, err := modzip.CheckFiles(files)
	if err != nil {
		return nil, unfit("%s", show(strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	kept := make(contents, len(checked.Valid))
	for i, name := range checked.Valid {
		kept[i] = *byName[name]
	}
	return kept, nil
}

// hash is the h1 hash of the zip of the contents under path@version
// (dirhash.Hash1 of the same names).
func (c contents) hash(modPath, version string) string {
	prefix := modPath + "@" + version + "/"
	order := make([]int, len(c))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(c[a].name, c[b].name) })
	h := sha256.New()
	for _, i := range order {
		fmt.Fprintf(h, "%x  %s%s\n", c[i].sum, prefix, c[i].name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// hashGoMod is the h1 hash of a go.mod, as go.sum has it.
func hashGoMod(gomod []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%x  go.mod\n", sha256.Sum256(gomod))
	return "h1:" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// zipEntry is an entry as x/mod/zip wants it.
type zipEntry struct {
	*entry
	gomod []byte // content of the root's go.mod
}

func (z zipEntry) Path() string                { return z.name }
func (z zipEntry) Lstat() (fs.FileInfo, error) { return z, nil }
func (z zipEntry) Name() string                { return path.Base(z.name) }
func (z zipEntry) Size() int64                 { return z.size }
func (z zipEntry) Mode() fs.FileMode           { return z.mode }
func (z zipEntry) ModTime() time.Time          { return time.Time{} }
func (z zipEntry) IsDir() bool                 { return false }
func (z zipEntry) Sys() any                    { return nil }

// Open gives the content. While names are being checked only the root's go.mod
// is read, for its go line.
func (z zipEntry) Open() (io.ReadCloser, error) {
	switch {
	case z.content != nil:
		return z.content(), nil
	case z.name == "go.mod":
		return io.NopCloser(bytes.NewReader(z.gomod)), nil
	}
	return nil, fs.ErrNotExist
}
