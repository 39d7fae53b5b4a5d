package modproxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	modzip "golang.org/x/mod/zip"

	"github.com/gitmirror/gitmirror/mirror"
)

// fills lets those who want the same large file at the same time share one
// transfer, and read it while it arrives. The zero value is ready.
type fills struct {
	mu     sync.Mutex
	byKey  map[string]*fill
	closed bool
	work   sync.WaitGroup
}

// heldBack is how much of the end of a zip is given to nobody before the whole
// was checked. A zip's directory is at its end: without it there is no module.
const heldBack = 64 << 10

// fill is a zip that arrives.
type fill struct {
	file   *os.File
	cancel context.CancelFunc
	from   string
	size   int64 // -1 = not known yet, or not said

	mu    sync.Mutex
	more  chan struct{} // closed and made anew whenever anything below changes
	begun bool          // from and size are known
	ready int64         // bytes that may be read
	done  bool
	err   error
	sum   string // SHA-256 of the whole, in hex
	users int
}

// join returns the transfer of key, which get begins unless somebody has. The
// transfer goes on when all have left: what is half here is soon wanted again.
// The caller must leave it.
func (fs *fills) join(ctx context.Context, key, dir string, get func(ctx context.Context, f *fill) error) (*fill, error) {
	fs.mu.Lock()
	f := fs.byKey[key]
	if f == nil {
		if fs.closed {
			fs.mu.Unlock()
			return nil, &mirror.Problem{Kind: mirror.ErrBusy, What: "the server is about to end"}
		}
		file, err := os.CreateTemp(dir, "fill-*")
		if err != nil {
			fs.mu.Unlock()
			return nil, err
		}
		work, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		f = &fill{file: file, cancel: cancel, size: -1, more: make(chan struct{}), users: 1}
		if fs.byKey == nil {
			fs.byKey = map[string]*fill{}
		}
		fs.byKey[key] = f
		fs.work.Go(func() {
			defer cancel()
			err := get(work, f)
			fs.mu.Lock()
			delete(fs.byKey, key)
			fs.mu.Unlock()
			f.end(err)
			f.leave()
		})
	}
	f.mu.Lock()
	f.users++
	f.mu.Unlock()
	fs.mu.Unlock()
	return f, nil
}

// drainFor is how long transfers may go on when the server is about to end: who
// gets one is served to its end by then, or not at all.
const drainFor = 20 * time.Second

// close begins no more transfers, and waits until those that go on have ended.
func (fs *fills) close() {
	fs.mu.Lock()
	fs.closed = true
	for _, f := range fs.byKey {
		defer time.AfterFunc(drainFor, f.cancel).Stop()
	}
	fs.mu.Unlock()
	fs.work.Wait()
}

// running is the transfer of key that goes on, nil = none does. The caller must
// leave it.
func (fs *fills) running(key string) *fill {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.byKey[key]
	if f != nil {
		f.mu.Lock()
		f.users++
		f.mu.Unlock()
	}
	return f
}

// has tells whether the transfer of key goes on.
func (fs *fills) has(key string) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.byKey[key] != nil
}

// leave gives up one use; the last one removes the file.
func (f *fill) leave() {
	f.mu.Lock()
	f.users--
	last := f.users == 0
	f.mu.Unlock()
	if last {
		f.file.Close()
		os.Remove(f.file.Name())
	}
}

// change makes a change known to all who wait for one.
func (f *fill) change(to func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to()
	close(f.more)
	f.more = make(chan struct{})
}

func (f *fill) end(err error) {
	f.change(func() {
		if !f.done {
			f.done, f.err = true, err
		}
	})
}

// take copies a body into the file and hashes it. All but its end can be read
// meanwhile; pass gives the rest free.
func (f *fill) take(ctx context.Context, body *incoming) error {
	f.change(func() { f.begun, f.from, f.size = true, body.from, body.size })
	hash := sha256.New()
	buf := make([]byte, 64<<10)
	var n int64
	for {
		got, err := body.Read(buf)
		if got > 0 {
			if n == 0 && (got < 2 || buf[0] != 'P' || buf[1] != 'K') {
				return oddZip(body.from, "it begins like no zip file")
			}
			if n += int64(got); n > modzip.MaxZipFile {
				return oddZip(body.from, fmt.Sprintf("it is larger than %d MiB", modzip.MaxZipFile>>20))
			}
			hash.Write(buf[:got])
			if _, err := f.file.Write(buf[:got]); err != nil {
				return err
			}
			if ready := n - heldBack; ready > 0 {
				f.change(func() { f.ready = ready })
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if body.size >= 0 && n != body.size {
				return brokenOff(body.from)
			}
			f.change(func() { f.size, f.sum = n, hex.EncodeToString(hash.Sum(nil)) })
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return brokenOff(body.from)
		}
	}
}

func brokenOff(from string) error {
	return &mirror.Problem{Code: mirror.CodeCutOff, Kind: mirror.ErrUpstream, What: "the module proxy " + from + " broke off in the middle of a zip", Do: "ask again"}
}

func oddZip(from, why string) error {
	return &mirror.Problem{Code: mirror.CodeCutOff, Kind: mirror.ErrUpstream, What: "the module proxy " + from + " sends no module zip", Why: why,
		Do: "find out what answers there; it may want a sign-in"}
}

// pass gives all of the file free: it was checked.
func (f *fill) pass() {
	f.change(func() { f.ready, f.done = f.size, true })
}

// wait blocks until the transfer has begun, so that failures before that can be
// answered with a status.
func (f *fill) wait(ctx context.Context, enough func() bool) error {
	for {
		f.mu.Lock()
		more, ok, err := f.more, enough(), f.err
		f.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin waits until bytes can be read, or all was checked.
func (f *fill) begin(ctx context.Context) error {
	return f.wait(ctx, func() bool { return f.done || f.begun && f.ready > 0 })
}

// whole waits until all was checked.
func (f *fill) whole(ctx context.Context) error {
	return f.wait(ctx, func() bool { return f.done })
}

// ended tells whether all was checked.
func (f *fill) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done && f.err == nil
}

// length is the size when it is known, else -1.
func (f *fill) length() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// copyTo sends the file as it arrives, until its end. An error means that what
// was sent, if anything was, is of no use.
func (f *fill) copyTo(ctx context.Context, w io.Writer, flush func()) (sent int64, err error) {
	for {
		var ready int64
		var done bool
		if err := f.wait(ctx, func() bool {
			ready, done = f.ready, f.done
			return ready > sent || done
		}); err != nil {
			return sent, err
		}
		if ready > sent {
			n, err := io.Copy(w, io.NewSectionReader(f.file, sent, ready-sent))
			if sent += n; err != nil {
				return sent, err
			}
			if !done {
				flush()
			}
		}
		if done {
			return sent, nil
		}
	}
}

// reader reads the whole file, independently of other readers.
func (f *fill) reader() io.ReadSeeker { return io.NewSectionReader(f.file, 0, f.length()) }
