package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

// dataDir is an opened data directory: it is locked for as long as the process
// lives, so that no two servers ever write the same repositories.
type dataDir struct {
	Path string
	// Node names this server in leases. It stays the same over restarts, which
	// is how a server knows the leases of its own earlier life.
	Node string

	lock *os.File
}

// openData makes the directory if need be, locks it and reads the node's name.
func openData(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, startProblem("the data directory "+path+" cannot be made", err, "choose another with --data, or mend the permissions")
	}
	f, err := os.OpenFile(filepath.Join(path, "server.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, startProblem("the data directory "+path+" cannot be written", err, "choose another with --data, or mend the permissions")
	}
	if err := lockFile(f); err != nil {
		holder, _ := os.ReadFile(f.Name())
		f.Close()
		if !errors.Is(err, errLocked) {
			return nil, startProblem("the data directory "+path+" cannot be locked", err, "put it on a local file system")
		}
		why := "its lock is held"
		if pid := strings.TrimSpace(string(holder)); pid != "" {
			why += " by process " + pid
		}
		return nil, &mirror.Problem{Code: codeStart, Kind: mirror.ErrExists,
			What: "another gitmirror server runs on " + path, Why: why,
			Do: "stop it first, or give this one a directory of its own with --data"}
	}
	d := &dataDir{Path: path, lock: f}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("%d\n", os.Getpid()))); err != nil {
		f.Close()
		return nil, startProblem("the data directory "+path+" cannot be written", err, "free some space, or mend the permissions")
	}
	if d.Node, err = nodeName(filepath.Join(path, "node-id")); err != nil {
		f.Close()
		return nil, startProblem("the data directory "+path+" cannot be written", err, "free some space, or mend the permissions")
	}
	// What an earlier server left half-made there is of no use to anybody.
	if err := errors.Join(os.RemoveAll(d.temp()), os.Mkdir(d.temp(), 0o700)); err != nil {
		f.Close()
		return nil, startProblem("the directory for temporary files cannot be made", err, "free some space, or mend the permissions")
	}
	return d, nil
}

// temp is for large temporary files: on the disk that has room for repositories,
// not where /tmp is memory.
func (d *dataDir) temp() string { return filepath.Join(d.Path, "tmp") }

// Close gives the lock back. The file stays: removing it would let two servers
// hold locks on two files of the same name.
func (d *dataDir) Close() error { return d.lock.Close() }

// writable tells whether a file can be made and made durable.
func (d *dataDir) writable() error {
	f, err := os.CreateTemp(d.Path, ".probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	return errors.Join(writeSynced(f, []byte("ok")), f.Close())
}

func nodeName(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		if id, err := xid.FromString(strings.TrimSpace(string(text))); err == nil {
			return id.String(), nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := xid.New().String()
	return id, replaceFile(path, []byte(id+"\n"), 0o600)
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

func startProblem(what string, err error, do string) error {
	return &mirror.Problem{Code: codeStart, What: what, Why: err.Error(), Do: do}
}

// initialPassword is the file that keeps a generated admin password until it is changed.
func (d *dataDir) initialPassword() string { return filepath.Join(d.Path, "initial-admin-password") }

// keepPassword writes the generated password.
func (d *dataDir) keepPassword(password string) error {
	return replaceFile(d.initialPassword(), []byte(password+"\n"), 0o600)
}

// forgetPassword removes the file; it need not be there.
func (d *dataDir) forgetPassword() error {
	err := os.Remove(d.initialPassword())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
