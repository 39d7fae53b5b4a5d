package modproxy

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/mirror"
)

// sumOps are what one look-up of a sumdb.Client needs.
type sumOps struct {
	*mirror.SumFiles
	db  *SumDB
	ctx context.Context // of the look-up; the interface has no room for it

	record []byte // as it was proven

	mu   sync.Mutex
	err  error  // the first that a request failed with
	fork string // what SecurityError said
}

// ReadConfig adds the key to the files.
func (o *sumOps) ReadConfig(name string) ([]byte, error) {
	if name == "key" {
		return []byte(o.db.DB.Key), nil
	}
	return o.SumFiles.ReadConfig(name)
}

// ReadRemote asks the database.
func (o *sumOps) ReadRemote(name string) ([]byte, error) {
	data, err := o.db.road.get(o.ctx, name)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		// A partial tile that is gone is asked for whole: no failure yet.
		if o.err == nil && !(errors.Is(err, mirror.ErrNotFound) && strings.HasPrefix(name, "/tile/")) {
			o.err = err
		}
	}
	return data, err
}

// WriteCache is called with what was proven.
func (o *sumOps) WriteCache(name string, data []byte) {
	if strings.HasPrefix(name, o.db.DB.Name+"/lookup/") {
		o.record = data
	}
	o.SumFiles.WriteCache(name, data)
}

// Log is never called by the client.
func (o *sumOps) Log(string) {}

// SecurityError is called with the proof of a fork.
func (o *sumOps) SecurityError(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fork = text
}

// explain is why a look-up failed; the client gives but text.
func (o *sumOps) explain(m module.Version, err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.fork != "":
		return o.db.forked(show(strings.ReplaceAll(o.fork, "\n", " ")))
	case errors.Is(o.err, mirror.ErrNotFound):
		return unknownSum(m.String())
	case o.err != nil:
		return o.err
	case o.ctx.Err() != nil:
		return o.ctx.Err()
	}
	return o.db.forged(show(err.Error()))
}

func unknownSum(m string) error {
	return noSuchSum("the checksum database does not know " + show(m))
}

// tiles reads the log outside of a sumdb.Client.
type tiles struct {
	db  *SumDB
	ctx context.Context
}

// Height is that of all tiles.
func (t *tiles) Height() int { return mirror.TileHeight }

// ReadTiles reads what is kept, and asks for the rest at once.
func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(wanted))
	var g errgroup.Group
	for i, tile := range wanted {
		g.Go(func() (err error) {
			data[i], err = t.read(tile)
			return err
		})
	}
	return data, g.Wait()
}

func (t *tiles) read(tile tlog.Tile) ([]byte, error) {
	if data, err := t.db.files.ReadCache(t.db.DB.Name + "/" + tile.Path()); err == nil {
		return data, nil
	}
	data, err := t.db.road.get(t.ctx, "/"+tile.Path())
	if full := tile; errors.Is(err, mirror.ErrNotFound) && tile.W < 1<<tile.H {
		full.W = 1 << tile.H // it has grown since
		if data, err = t.db.road.get(t.ctx, "/"+full.Path()); err == nil && len(data) == full.W*tlog.HashSize {
			data = data[:tile.W*tlog.HashSize]
		}
	}
	return data, err
}

// SaveTiles keeps what was proven.
func (t *tiles) SaveTiles(proven []tlog.Tile, data [][]byte) {
	for i, tile := range proven {
		name := t.db.DB.Name + "/" + tile.Path()
		if _, err := t.db.files.ReadCache(name); errors.Is(err, fs.ErrNotExist) {
			t.db.files.WriteCache(name, data[i])
		}
	}
}
