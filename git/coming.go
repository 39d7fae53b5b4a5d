package git

import (
	"context"
	"io"
	"path/filepath"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

// What a client of protocol v2 asks for before it wants objects can be answered
// before there is a repository: what the server can do is the same for all, and
// the refs are those that the upstream has just listed.

// Announce answers info/refs of protocol v2, for a repository that is still to
// come.
func (d *Disk) Announce(ctx context.Context, out io.Writer) error {
	text := d.state.advertisement.Load()
	if text == nil {
		said, err := d.capabilities(ctx)
		if err != nil {
			return err
		}
		text = &said
		d.state.advertisement.Store(text)
	}
	_, err := out.Write(*text)
	return err
}

// capabilities has git say what it can, in a repository without anything.
func (d *Disk) capabilities(ctx context.Context) ([]byte, error) {
	dir := filepath.Join(d.Root, "staging", "empty-"+xid.New().String()+".git")
	defer func() {
		if err := d.discard(dir); err != nil {
			d.Log.Error("discard an empty repository", "err", err)
		}
	}()
	if err := initBare(dir); err != nil {
		return nil, d.local("begin a repository", err)
	}
	return d.output(ctx, 64<<10, command{
		args: []string{"upload-pack", "--strict", "--stateless-rpc", "--http-backend-info-refs", dir},
		repo: dir, config: uploadPackConfig(), env: []string{"GIT_PROTOCOL=version=2"},
	})
}

// ListRefs answers an ls-refs of protocol v2 with the refs of a listing. It
// returns false, and has written nothing, when the request is another one or is
// not understood.
func (d *Disk) ListRefs(l mirror.Listing, request []byte, out io.Writer) (ok bool, err error) {
	q, ok := parseListRequest(request)
	if !ok || len(request) > maxListRequest {
		return false, nil
	}
	return true, q.write(out, l)
}
