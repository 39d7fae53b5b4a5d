package git

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gitmirror/gitmirror/mirror"
)

// Space is the room on the disk of the repositories. Inodes count, too: a disk
// without them is as full as one without blocks.
func (d *Disk) Space() (mirror.Space, error) {
	s, err := space(d.Root)
	if err != nil {
		return mirror.Space{}, d.local("look how much space is free", err)
	}
	return s, nil
}

// reserve is what must be free when a fetch begins whose size nobody knows: 2 GiB,
// on a small disk a twentieth of it.
func reserve(s mirror.Space) int64 { return min(2<<30, s.Total/20) }

// room refuses work that will need so many bytes more than there are, with what
// should stay free.
func (d *Disk) room(expected int64) error {
	s, err := space(d.Root)
	if err != nil || s.Total <= 0 || s.Free >= max(reserve(s), expected) {
		return nil // not knowing is no reason to stop; a full disk is told by the writes
	}
	return &mirror.Problem{
		Code: mirror.CodeDisk, Kind: mirror.ErrBusy, What: "there is not enough space on the server's disk",
		Why: "about " + mib(max(reserve(s), expected)) + " are needed and " + mib(s.Free) + " are free; nothing was changed",
		Do:  "make room on the disk that holds the data directory; it is tried again by itself",
	}
}

// ballast is the file that keeps space for the database.
const ballast = "ballast"

// Ballast makes or frees a file of so many bytes, or of a hundredth of the disk
// when that is less. It is what the database has left to go on with when
// everything else has filled the disk.
func (d *Disk) Ballast(bytes int64) func(hold bool) error {
	return func(hold bool) error {
		name := filepath.Join(d.Root, ballast)
		s, err := space(d.Root)
		if err != nil {
			return err
		}
		want := min(bytes, s.Total/100)
		info, err := os.Stat(name)
		switch {
		case !hold || want <= 0:
			return remove(name)
		case err == nil && info.Size() == want, s.Free < 3*want:
			return nil
		}
		if err = allocate(name, want); err == nil {
			return nil
		}
		if errors.Is(err, errors.ErrUnsupported) { // by this file system
			return remove(name)
		}
		return errors.Join(d.local("keep space in reserve", err), remove(name))
	}
}

func mib(n int64) string { return strconv.FormatInt(n>>20, 10) + " MiB" }
