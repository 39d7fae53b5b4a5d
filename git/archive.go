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

// Archive runs git archive in a scratch repository that borrows the objects and
// switches off the two attributes that the go command switches off (see
// modfetch/codehost/git.go of the go command). See mirror.Reader.
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
	if dir != "" {
		if err := d.isDirectory(ctx, repo, c.Hash, dir); err != nil {
			return nil, err
		}
	}
	scratch := filepath.Join(d.Root, "staging", "archive-"+xid.New().String()+".git")
	if err := borrow(scratch, repo); err != nil {
		return nil, errors.Join(d.local("make a scratch repository", err), d.discard(scratch))
	}
	ctx, cancel := context.WithCancel(ctx)
	args := []string{"archive", "--format=tar", "--end-of-options", c.Hash + "^{tree}"}
	if dir != "" {
		args = append(args, dir)
	}
	p, err := d.start(ctx, command{args: args, repo: scratch, piped: true,
		config: [][2]string{{"core.autocrlf", "input"}, {"core.eol", "lf"}}})
	if err != nil {
		cancel()
		return nil, errors.Join(d.localGit(ctx, "archive", err), d.discard(scratch))
	}
	_ = p.stdin.Close()
	a := &archive{disk: d, ctx: ctx, process: p, cancel: cancel, scratch: scratch, Reader: p.stdout}
	if dir != "" {
		a.Reader = a.relative(dir)
	}
	return a, nil
}

func (d *Disk) isDirectory(ctx context.Context, repo, commit, dir string) error {
	out, err := d.output(ctx, 64<<10, command{args: []string{"cat-file", "--batch-check=%(objecttype)"}, repo: repo,
		stdin: strings.NewReader(commit + ":" + dir + "\n")})
	if err != nil {
		return d.localGit(ctx, "look for a directory", err)
	}
	if strings.TrimSpace(string(out)) != "tree" {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "the commit has no directory " + quote(dir)}
	}
	return nil
}

func borrow(scratch, repo string) error {
	if err := initBare(scratch); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(scratch, "objects", "info", "alternates"), []byte(alternate(filepath.Join(repo, "objects"))+"\n"), 0o644),
		os.WriteFile(filepath.Join(scratch, "info", "attributes"), []byte("* -export-subst -export-ignore\n"), 0o644),
	)
}

// archive is a running git archive.
type archive struct {
	io.Reader
	disk    *Disk
	ctx     context.Context
	process *process
	cancel  context.CancelFunc
	scratch string
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
		a.err = errors.Join(a.err, a.disk.discard(a.scratch))
	})
	return a.err
}
