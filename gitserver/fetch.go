package gitserver

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// errBroken ends an answer of which a part is out.
var errBroken = errors.New("the answer broke off")

// party is who asks: a principal at the gate, who may read what is asked for.
type party struct {
	principal string
	flow      *mirror.Flow
}

// fetch answers a fetch of what the repository shows now: from the cache, along
// with others who ask the same, or by a git of its own. Of anything else git is
// the judge, and nothing of it is shared.
func (f *Front) fetch(ctx context.Context, who party, id mirror.ID, q *fetchRequest, out io.Writer) (done bool, err error) {
	v, err := f.view(ctx, id)
	if err != nil {
		return false, err
	}
	if !v.shows(q.wants) {
		return false, nil
	}
	if c, ok := cloneOf(q, v); ok {
		f.habits.note(id, c)
	}
	is := f.Cache.find(q.key(id, v), q.progress)
	who.flow.Cached(is.how)
	if is.file != nil {
		defer is.file.Close()
		return true, sendFile(out, is.file, is.size)
	}
	defer is.making.leave(is.reader)
	if err := f.takeOff(ctx, who.principal, id, q, is.making); err != nil {
		return true, err
	}
	sent, err := is.making.copy(ctx, is.reader, out)
	return true, f.cut(out, sent, err)
}

// takeOff returns when git is at work for a flight. Of all who wait for it, the
// first to have a place at the gate gives it.
func (f *Front) takeOff(ctx context.Context, principal string, id mirror.ID, q *fetchRequest, making *flight) error {
	select {
	case <-making.begun:
		return nil
	default:
	}
	wait, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-making.begun:
			stop()
		case <-wait.Done():
		}
	}()
	leave, err := f.Gate.enter(wait, principal, id)
	if err == nil {
		ask := *q
		begun := making.begin(ctx, func(ctx context.Context, out io.Writer) error {
			return f.Packs.UploadPack(ctx, id, "version=2", true, false, strings.NewReader(string(ask.text())), out, io.Discard)
		}, leave)
		if begun {
			return nil
		}
		leave()
		err = errBusy()
	}
	select {
	case <-making.begun:
		return nil
	default:
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// cut tells a client that its answer ends too early, unless git has done so.
func (f *Front) cut(out io.Writer, sent bool, err error) error {
	var cut *cutError
	if !errors.As(err, &cut) || cut.told || !sent {
		return err
	}
	const text = "the server could not finish this answer; try again\n"
	if cut.inPack {
		_ = sideband(out, 3, text)
	} else {
		_, _ = io.WriteString(out, pktText("ERR "+text))
	}
	return errors.Join(errBroken, cut.err)
}

// fileSender sends files better than by Write.
type fileSender interface {
	sendFile(file *os.File, size int64) error
}

func sendFile(out io.Writer, file *os.File, size int64) error {
	if s, ok := out.(fileSender); ok {
		return s.sendFile(file, size)
	}
	n, err := io.Copy(out, io.LimitReader(file, size))
	if err == nil && n < size {
		err = errBroken
	}
	return err
}
