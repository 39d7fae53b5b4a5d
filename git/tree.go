package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// maxTreeEntries bounds what one Tree lists in all its directories together:
	// forty objects can describe ten thousand million files.
	maxTreeEntries = 1_000_000
	maxTreeObject  = 64 << 20
	// maxFileBytes is the largest file that can be opened; a module zip holds no
	// more either (golang.org/x/mod/zip.MaxZipFile).
	maxFileBytes = 500 << 20
	// inMemory is the size up to which go-git reads a file, into memory. Larger
	// ones are streamed by git.
	inMemory = 8 << 20
)

// tree is the files of one commit.
type tree struct {
	disk *Disk
	ctx  context.Context // values only, never its end: an fs.FS has no other place for them
	root plumbing.Hash
	time time.Time

	*objects
	listed int // entries so far; guarded by the lock of the objects
}

// Tree opens the files of a commit. See mirror.Reader. At most a million
// directory entries can be listed through it and no file over 500 MB opened.
func (d *Disk) Tree(ctx context.Context, id mirror.ID, commit string) (fs.FS, error) {
	c, err := d.Commit(ctx, id, commit)
	if err != nil {
		return nil, err
	}
	repo, err := d.existing(id)
	if err != nil {
		return nil, err
	}
	t := &tree{disk: d, ctx: context.WithoutCancel(ctx), time: c.Time, objects: d.objects(id, repo)}
	err = t.read(func(s *filesystem.Storage) error {
		found, err := object.GetCommit(s, plumbing.NewHash(c.Hash))
		if err == nil {
			t.root = found.TreeHash
		}
		return err
	})
	if err != nil {
		return nil, d.gone(ctx, id, "read a commit", err)
	}
	return t, nil
}

func tooMuch(is bool, what string) error {
	if !is {
		return nil
	}
	return &mirror.Problem{Kind: mirror.ErrInvalid, What: what, Why: "limits keep one repository from taking the server down"}
}

// entry finds what a valid path leads to. The lock is held.
func (t *tree) entry(name string) (object.TreeEntry, error) {
	at := object.TreeEntry{Name: ".", Mode: filemode.Dir, Hash: t.root}
	if name == "." {
		return at, nil
	}
	for element := range strings.SplitSeq(name, "/") {
		if at.Mode != filemode.Dir {
			return at, fs.ErrNotExist
		}
		d, err := t.dir(at.Hash)
		if err != nil {
			return at, err
		}
		i := slices.IndexFunc(d.Entries, func(e object.TreeEntry) bool { return e.Name == element })
		if i < 0 || !shown(d.Entries[i]) {
			return at, fs.ErrNotExist
		}
		at = d.Entries[i]
	}
	return at, nil
}

// shown leaves out submodules and names that no file can have.
func shown(e object.TreeEntry) bool {
	return e.Mode != filemode.Submodule && e.Name != "." && fs.ValidPath(e.Name) && !strings.ContainsAny(e.Name, "/\x00")
}

// Open opens a file or a directory.
func (t *tree) Open(name string) (fs.File, error) {
	fail := func(err error) (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.entry(name)
	if err != nil {
		return fail(err)
	}
	info := &fileInfo{tree: t, entry: e, name: path.Base(name)}
	if e.Mode == filemode.Dir {
		return &directory{fileInfo: info, path: name}, nil
	}
	size, err := t.size(e.Hash)
	if err != nil {
		return fail(err)
	}
	info.size, info.sized = size, true
	return &file{fileInfo: info}, nil
}

// ReadDir lists a directory in the order of names.
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	fail := func(err error) ([]fs.DirEntry, error) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.entry(name)
	if err != nil {
		return fail(err)
	}
	if e.Mode != filemode.Dir {
		return fail(errors.New("not a directory"))
	}
	d, err := t.dir(e.Hash)
	if err != nil {
		return fail(err)
	}
	if t.listed += len(d.Entries); t.listed > maxTreeEntries {
		return fail(tooMuch(true, "the repository has too many files"))
	}
	var list []fs.DirEntry
	for _, e := range d.Entries {
		if shown(e) {
			list = append(list, &fileInfo{tree: t, entry: e, name: e.Name})
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// fileInfo is an fs.FileInfo and an fs.DirEntry; the size is read when asked.
type fileInfo struct {
	tree  *tree
	entry object.TreeEntry
	name  string
	size  int64
	sized bool
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i *fileInfo) Type() fs.FileMode  { return i.Mode().Type() }
func (i *fileInfo) Size() int64        { return i.size }
func (i *fileInfo) ModTime() time.Time { return i.tree.time }
func (i *fileInfo) Sys() any           { return nil }

func (i *fileInfo) Mode() fs.FileMode {
	switch i.entry.Mode {
	case filemode.Dir:
		return fs.ModeDir | 0o755
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case filemode.Executable:
		return 0o755
	}
	return 0o644
}

// Info reads the size.
func (i *fileInfo) Info() (fs.FileInfo, error) {
	if i.sized || i.IsDir() {
		return i, nil
	}
	i.tree.mu.Lock()
	defer i.tree.mu.Unlock()
	size, err := i.tree.size(i.entry.Hash)
	if err != nil {
		return nil, err
	}
	with := *i
	with.size, with.sized = size, true
	return &with, nil
}

// file reads its content at the first Read.
type file struct {
	*fileInfo
	content io.Reader
	cancel  context.CancelFunc // of the git that streams a large file
	done    func() error
	closed  bool
}

func (f *file) Stat() (fs.FileInfo, error) { return f.fileInfo, nil }

func (f *file) Read(p []byte) (int, error) {
	if f.closed {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrClosed}
	}
	if f.content == nil {
		if err := f.load(); err != nil {
			return 0, &fs.PathError{Op: "read", Path: f.name, Err: err}
		}
	}
	n, err := f.content.Read(p)
	if err == io.EOF && f.done != nil {
		failed := f.done()
		f.done, f.content = nil, strings.NewReader("")
		if failed != nil {
			return n, &fs.PathError{Op: "read", Path: f.name, Err: failed}
		}
	}
	return n, err
}

func (f *file) load() error {
	if f.size > maxFileBytes {
		return tooMuch(true, "the file "+quote(f.name)+" is too large")
	}
	if f.size > inMemory {
		return f.stream()
	}
	t := f.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.retry(func(s *filesystem.Storage) error {
		blob, err := object.GetBlob(s, f.entry.Hash)
		if err != nil {
			return err
		}
		r, err := blob.Reader()
		if err != nil {
			return err
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		f.content = bytes.NewReader(data)
		return err
	})
}

// stream has git write the file, so that its size is not ours in memory.
func (f *file) stream() error {
	ctx, cancel := context.WithCancel(f.tree.ctx)
	p, err := f.tree.disk.start(ctx, command{
		args: []string{"cat-file", "blob", f.entry.Hash.String()}, repo: f.tree.repo, piped: true})
	if err != nil {
		cancel()
		return err
	}
	_ = p.stdin.Close()
	f.content, f.cancel, f.done = p.stdout, cancel, p.wait
	return nil
}

func (f *file) Close() error {
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	if f.cancel != nil {
		f.cancel()
		if f.done != nil { // not read to the end; how git took that does not matter
			_ = f.done()
		}
	}
	return nil
}

// directory is an open directory.
type directory struct {
	*fileInfo
	path string
	list []fs.DirEntry
	read bool
}

func (d *directory) Stat() (fs.FileInfo, error) { return d.fileInfo, nil }
func (d *directory) Close() error               { return nil }
func (d *directory) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errors.New("is a directory")}
}

// ReadDir returns the next n entries, all that are left when n <= 0.
func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		list, err := d.tree.ReadDir(d.path)
		if err != nil {
			return nil, err
		}
		d.list, d.read = list, true
	}
	if n <= 0 {
		all := d.list
		d.list = nil
		return all, nil
	}
	if len(d.list) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.list))
	some := d.list[:n]
	d.list = d.list[n:]
	return some, nil
}
