package modproxy

import (
	"context"
	"io"
	"os"
	"sync"
)

// flights lets those who want the same zip at the same time share one file. The
// file is made while anybody waits for it and lives while anybody reads it.
// The zero value is ready.
type flights struct {
	mu    sync.Mutex
	byKey map[string]*zipFile
}

// zipFile is a zip that is being made, or is made.
type zipFile struct {
	flights *flights
	key     string
	file    *os.File
	size    int64
	hash    string // h1
	// after is done when nobody waits any more; may be nil.
	after func()

	cancel context.CancelFunc
	done   chan struct{} // closed when made, or failed
	err    error
	users  int // guarded by flights.mu
}

// join returns the zip for key, having build write it to z.file unless somebody
// has begun already. The caller must leave it. The context bounds the waiting;
// the work stops only when nobody waits for it any more.
func (fs *flights) join(ctx context.Context, key, dir string, build func(ctx context.Context, z *zipFile) error) (*zipFile, error) {
	fs.mu.Lock()
	z := fs.byKey[key]
	if z == nil {
		work, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		z = &zipFile{flights: fs, key: key, cancel: cancel, done: make(chan struct{}), users: 1} // the work is a user, too
		if fs.byKey == nil {
			fs.byKey = map[string]*zipFile{}
		}
		fs.byKey[key] = z
		go z.make(work, dir, build)
	}
	z.users++
	fs.mu.Unlock()

	select {
	case <-z.done:
	case <-ctx.Done():
		z.leave()
		return nil, ctx.Err()
	}
	if z.err != nil {
		z.leave()
		return nil, z.err
	}
	return z, nil
}

func (z *zipFile) make(ctx context.Context, dir string, build func(ctx context.Context, z *zipFile) error) {
	defer z.leave()
	z.file, z.err = os.CreateTemp(dir, "module-*.zip")
	if z.err == nil {
		z.err = build(ctx, z)
	}
	if z.err == nil {
		z.size, z.err = z.file.Seek(0, io.SeekCurrent)
	}
	close(z.done)
	if z.err == nil && z.after != nil {
		z.after()
	}
}

// reader reads the file from its beginning, independently of other readers.
func (z *zipFile) reader() io.ReadSeeker { return io.NewSectionReader(z.file, 0, z.size) }

// leave gives up one use. The last one removes the file; the last but the work
// itself stops the work.
func (z *zipFile) leave() {
	z.flights.mu.Lock()
	z.users--
	users := z.users
	finished := false
	select {
	case <-z.done:
		finished = true
	default:
	}
	if (users == 0 || users == 1 && !finished || finished && z.err != nil) && z.flights.byKey[z.key] == z {
		delete(z.flights.byKey, z.key)
	}
	z.flights.mu.Unlock()
	if users == 1 && !finished {
		z.cancel()
	}
	if users == 0 {
		z.cancel()
		if z.file != nil {
			z.file.Close()
			os.Remove(z.file.Name())
		}
	}
}
