package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// Files finds the settings files of a user by the environment it is given.
type Files struct {
	// Lookup returns a variable of the environment, "" when it is not set.
	Lookup func(name string) string
}

// GoEnv is the file "go env -w" writes: $GOENV, else go/env in the user's
// configuration directory.
func (f Files) GoEnv() (string, error) {
	switch name := f.Lookup("GOENV"); {
	case name == "off":
		return "", &mirror.Problem{
			Code: CodeSettings, Kind: mirror.ErrInvalid, What: "GOENV=off: the go command reads no settings file", Do: "unset GOENV, or use the output of `gitmirror env`",
		}
	case name != "":
		return name, nil
	}
	dir := ""
	switch home := f.Lookup("HOME"); {
	case runtime.GOOS == "windows":
		dir = f.Lookup("AppData")
	case runtime.GOOS == "darwin" && home != "":
		dir = filepath.Join(home, "Library", "Application Support")
	case runtime.GOOS != "darwin" && f.Lookup("XDG_CONFIG_HOME") != "":
		dir = f.Lookup("XDG_CONFIG_HOME")
	case home != "":
		dir = filepath.Join(home, ".config")
	}
	if dir == "" {
		return "", f.homeless("the go settings file")
	}
	return filepath.Join(dir, "go", "env"), nil
}

// GitConfig is the file "git config --global" writes: $GIT_CONFIG_GLOBAL, else
// .gitconfig in the home directory, or git/config in the configuration
// directory when only that is there.
func (f Files) GitConfig() (string, error) {
	if name := f.Lookup("GIT_CONFIG_GLOBAL"); name != "" {
		return name, nil
	}
	home := f.Lookup("HOME")
	if home == "" && runtime.GOOS == "windows" {
		home = f.Lookup("USERPROFILE")
	}
	if home == "" {
		return "", f.homeless("the git configuration file")
	}
	plain := filepath.Join(home, ".gitconfig")
	config := f.Lookup("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(home, ".config")
	}
	other := filepath.Join(config, "git", "config")
	if _, err := os.Stat(plain); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(other); err == nil {
			return other, nil
		}
	}
	return plain, nil
}

func (f Files) homeless(what string) error {
	return &mirror.Problem{Code: CodeSettings, Kind: mirror.ErrInvalid, What: "there is no place for " + what, Why: "HOME is not set", Do: "set HOME"}
}

// EditFile exchanges a settings file of the user for what edit makes of it: at
// once, with its mode kept, through a symbolic link to the file behind it. For
// a file that does not exist edit is given nil; when it returns nil there is
// none afterwards.
func EditFile(name string, edit func([]byte) []byte) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := fs.FileMode(0o644)
	var data []byte
	switch info, err := os.Lstat(name); {
	case err == nil && !info.Mode().IsRegular():
		return unwritable(name, fmt.Errorf("it is %s", irregular(info)))
	case err == nil && info.Size() > maxGoMod:
		return unwritable(name, errors.New("it is too large for a settings file"))
	case err == nil:
		mode = info.Mode()
		if data, err = os.ReadFile(name); err != nil {
			return unwritable(name, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return unwritable(name, err)
	}
	after := edit(bytes.Clone(data))
	switch {
	case after == nil && data == nil, after != nil && data != nil && bytes.Equal(after, data):
		return nil
	case after == nil:
		if err := os.Remove(name); err != nil {
			return unwritable(name, err)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return unwritable(name, err)
	}
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return unwritable(name, err)
	}
	defer root.Close()
	w := newWriter(root)
	err = w.stage(filepath.Base(name), after, mode)
	if err == nil {
		err = w.commit(filepath.Base(name))
	}
	return errors.Join(err, w.close())
}

// rawLines are the lines of a file, each with its end.
func rawLines(data []byte) (lines []string) {
	for line := range strings.Lines(string(data)) {
		lines = append(lines, line)
	}
	return lines
}

// eolOf is how lines of a file end.
func eolOf(data []byte) string {
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// bare is a line without its end.
func bare(line string) string { return line[:len(line)-len(ending(line))] }

// ending is how a line ends: "\n", "\r\n", or "" for the last of some files.
func ending(line string) string {
	switch {
	case strings.HasSuffix(line, "\r\n"):
		return "\r\n"
	case strings.HasSuffix(line, "\n"):
		return "\n"
	}
	return ""
}
