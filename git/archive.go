package git

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

// goAttributes switch off the two attributes that the go command switches off
// (see modfetch/codehost/git.go of the go command). In info/attributes they come
// before what a commit says; git archive alone has a use for them here.
const goAttributes = "* -export-subst -export-ignore\n"

// Archive runs git archive. See mirror.Reader.
func (d *Disk) Archive(ctx context.Context, id mirror.ID, commit, dir string) (io.ReadCloser, error) {
	if dir != "" && (!fs.ValidPath(dir) || dir == "." || strings.ContainsAny(dir, "\x00\n")) {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: quote(dir) + " is not a directory of a repository"}
	}
	c, err := d.Commit(ctx, id, commit)
	if err != nil {
		return nil, err
	}
	repo, err := d.existing(id)
	if err != nil {
		return nil, err
	}
	if err := d.archivable(ctx, id, c.Hash, dir); err != nil {
		return nil, err
	}
	if err := setAttributes(repo); err != nil {
		return nil, d.local("set the attributes of a repository", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	args := []string{"archive", "--format=tar", "--end-of-options", c.Hash + "^{tree}"}
	if dir != "" {
		args = append(args, dir)
	}
	p, err := d.start(ctx, command{args: args, repo: repo, piped: true,
		config: [][2]string{{"core.autocrlf", "input"}, {"core.eol", "lf"}}})
	if err != nil {
		cancel()
		return nil, d.localGit(ctx, "archive", err)
	}
	_ = p.stdin.Close()
	a := &archive{disk: d, ctx: ctx, process: p, cancel: cancel, Reader: p.stdout}
	if dir != "" {
		a.Reader = a.relative(dir)
	}
	return a, nil
}

// archivable tells why there can be no archive of a directory, empty = the root.
func (d *Disk) archivable(ctx context.Context, id mirror.ID, commit, dir string) error {
	files, err := d.Tree(ctx, id, commit)
	if err != nil {
		return err
	}
	all, err := files.(*tree).paths()
	if err != nil {
		return d.gone(ctx, id, "count the files of a commit", err)
	}
	if all.tooMany() {
		return tooMuch(true, "the commit has too many files")
	}
	if dir == "" {
		return nil
	}
	info, err := fs.Stat(files, dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "the commit has no directory " + quote(dir)}
	}
	if err != nil {
		return d.gone(ctx, id, "look for a directory", err)
	}
	return nil
}

// setAttributes is for repositories that have lost the attributes they were
// begun with. Where they stand already nothing is written.
func setAttributes(repo string) error {
	name := filepath.Join(repo, "info", "attributes")
	text, err := os.ReadFile(name)
	if err == nil && string(text) == goAttributes {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return replaceFile(name, "attributes."+xid.New().String(), goAttributes)
}

// archive is a running git archive.
type archive struct {
	io.Reader
	disk    *Disk
	ctx     context.Context
	process *process
	cancel  context.CancelFunc
	pipe    *io.PipeReader
	copied  chan struct{}

	once sync.Once
	err  error
}

// relative renames dir/x to x on the way.
func (a *archive) relative(dir string) io.Reader {
	r, w := io.Pipe()
	a.pipe, a.copied = r, make(chan struct{})
	go func() {
		defer close(a.copied)
		w.CloseWithError(renamed(w, a.process.stdout, dir+"/"))
		_, _ = io.Copy(io.Discard, a.process.stdout)
	}()
	return r
}

func renamed(w io.Writer, r io.Reader, prefix string) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		name, inside := strings.CutPrefix(h.Name, prefix)
		if !inside || name == "" {
			continue
		}
		h.Name, h.Format = name, tar.FormatUnknown
		delete(h.PAXRecords, "path")
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}

// Close ends git, cleans up and returns git's error. When the caller has not
// read to the end, it is no error that git was stopped.
func (a *archive) Close() error {
	a.once.Do(func() {
		// Readers of tar stop at its end mark, git pads behind it.
		_, err := io.CopyN(io.Discard, a.Reader, 64<<10)
		complete := err != nil
		if !complete {
			a.cancel()
		}
		if err == io.EOF {
			err = nil
		}
		if a.pipe != nil {
			_ = a.pipe.CloseWithError(io.ErrClosedPipe)
			<-a.copied
		}
		if waited := a.process.wait(); waited != nil {
			err = waited
		}
		if complete && err != nil {
			a.err = a.disk.localGit(a.ctx, "archive", err)
		}
		a.cancel()
	})
	return a.err
}
