package gitserver

import (
	"bufio"
	"context"
	"io"

	"github.com/gitmirror/gitmirror/mirror"
)

// converse is protocol v2 over a connection that lasts.
func (f *Front) converse(ctx context.Context, who party, repo mirror.Repo, protocol string, in io.Reader, out io.Writer) error {
	return f.requests(in, out, func(request *body) error {
		_, err := f.answer(ctx, who, repo, protocol, request, out)
		return err
	})
}

// requests says what the server can do, then hears one request after the other,
// each of which stands for itself, until the client has enough.
func (f *Front) requests(in io.Reader, out io.Writer, answer func(*body) error) error {
	f.init()
	if err := send(out, []byte(capabilities)); err != nil {
		return err
	}
	for from := bufio.NewReaderSize(in, 16<<10); ; {
		next := &oneRequest{r: from}
		if more, err := next.begun(); !more {
			return err
		}
		request, err := f.bodies.receive(limited(next))
		if err != nil {
			return err
		}
		err = answer(request)
		request.Close()
		if err != nil {
			return err
		}
	}
}
