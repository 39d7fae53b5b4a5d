package modproxy

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// spool keeps the contents of files, one after the other, in a temporary file.
type spool struct {
	file *os.File
	size int64
}

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "module-*.tmp")
	if err != nil {
		return nil, err
	}
	return &spool{file: f}, nil
}

func (s *spool) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	s.size += int64(n)
	return n, err
}

// last opens the last size bytes written so far.
func (s *spool) last(size int64) func() io.ReadCloser {
	start := s.size - size
	return func() io.ReadCloser { return io.NopCloser(io.NewSectionReader(s.file, start, size)) }
}

// close closes and removes the file.
func (s *spool) close() error { return errors.Join(s.file.Close(), os.Remove(s.file.Name())) }

// writeZip writes the zip of a module version to w and returns its h1 hash.
// Temporary files are in dir.
func (v *view) writeZip(ctx context.Context, w io.Writer, f found, dir string) (hash string, err error) {
	s, err := newSpool(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	c, err := v.read(ctx, f.place, s)
	if err != nil {
		return "", err
	}
	files := make([]modzip.File, len(c))
	for i := range c {
		files[i] = zipEntry{&c[i], f.gomod}
	}
	if err := modzip.Create(contextWriter{ctx, w}, module.Version{Path: v.path, Version: f.version}, files); err != nil {
		return "", err
	}
	return c.hash(v.path, f.version), nil
}

// contextWriter stops a long copy when its context ends.
type contextWriter struct {
	ctx context.Context
	io.Writer
}

func (w contextWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}
