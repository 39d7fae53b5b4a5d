package modproxy

import (
	"archive/zip"
	"bufio"
	"cmp"
	"compress/flate"
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// spool keeps the contents of files, one after the other, in a temporary file:
// no more than most bytes. Of more it keeps nothing and is over.
type spool struct {
	most int64
	file *os.File
	out  *bufio.Writer
	size int64
	over bool
}

func newSpool(dir string, most int64) (*spool, error) {
	f, err := os.CreateTemp(dir, "module-*.tmp")
	if err != nil {
		return nil, err
	}
	return &spool{most: most, file: f, out: bufio.NewWriterSize(f, pieces)}, nil
}

func (s *spool) Write(p []byte) (int, error) {
	if !s.over && s.size+int64(len(p)) > s.most {
		s.over = true
		if err := s.file.Truncate(0); err != nil {
			return 0, err
		}
	}
	if s.over {
		return len(p), nil
	}
	n, err := s.out.Write(p)
	s.size += int64(n)
	return n, err
}

// last opens the last size bytes written so far. They can be read after flush.
func (s *spool) last(size int64) func() io.ReadCloser {
	start := s.size - size
	return func() io.ReadCloser { return io.NopCloser(io.NewSectionReader(s.file, start, size)) }
}

func (s *spool) flush() error {
	if s.over {
		return nil
	}
	return s.out.Flush()
}

// restart empties it.
func (s *spool) restart() error {
	s.size, s.over = 0, false
	s.out.Reset(s.file)
	_, err := s.file.Seek(0, io.SeekStart)
	return errors.Join(err, s.file.Truncate(0))
}

// close closes and removes the file.
func (s *spool) close() error { return errors.Join(s.file.Close(), os.Remove(s.file.Name())) }

// writeZip writes the zip of a module version to w and returns its h1 hash.
// Temporary files are in dir.
func (v *view) writeZip(ctx context.Context, w io.Writer, f found, dir string) (hash string, err error) {
	m := module.Version{Path: v.path, Version: f.version}
	if err := module.Check(m.Path, m.Version); err != nil {
		return "", unfit("%v", err)
	}
	s, err := newSpool(dir, cmp.Or(v.repos.spooled, modzip.MaxZipFile))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	c, err := v.read(ctx, f.place, s)
	if err != nil {
		return "", err
	}
	if err := c.pack(contextWriter{ctx, w}, m); err != nil {
		return "", err
	}
	return c.hash(m.Path, m.Version), nil
}

// pack writes the zip of the contents, which were checked (modzip.Create). They
// are compressed as fast as can be, which takes half of the time that archive/zip
// takes when it is not told, and makes zips a tenth larger: the hash of a module
// is of what it holds, not of how it is packed.
func (c contents) pack(w io.Writer, m module.Version) error {
	out := bufio.NewWriterSize(w, pieces)
	z := zip.NewWriter(out)
	press, err := flate.NewWriter(out, flate.BestSpeed)
	if err != nil {
		return err
	}
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		press.Reset(w) // one file is packed at a time
		return press, nil
	})
	buf := make([]byte, pieces)
	for _, e := range c {
		to, err := z.Create(m.Path + "@" + m.Version + "/" + e.name)
		if err != nil {
			return err
		}
		from := e.content()
		n, err := io.CopyBuffer(to, from, buf)
		if err = errors.Join(err, from.Close()); err != nil {
			return err
		}
		if n != e.size {
			return io.ErrUnexpectedEOF
		}
	}
	return errors.Join(z.Close(), out.Flush())
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
