package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// The block of one server in ~/.netrc stands between these lines. No word of
// them may be one that a reader of netrc files acts upon.
const (
	netrcBegin = "# gitmirror begin "
	netrcEnd   = "# gitmirror end "
)

// netrcPath is the file git and the go command read. A link is followed: what
// it leads to is edited, and the link stays.
func (p *program) netrcPath() (string, error) {
	path := p.lookup("NETRC")
	if path == "" {
		home := p.lookup("HOME")
		if home == "" {
			return "", &mirror.Problem{Code: codeLogin, What: "there is no home directory for .netrc", Do: "set HOME or NETRC"}
		}
		path = filepath.Join(home, ".netrc")
	}
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(target); err != nil || !info.Mode().IsRegular() {
		return "", &mirror.Problem{Code: codeLogin, What: target + " is not a regular file", Do: "move it away, or name another file in NETRC"}
	}
	return target, nil
}

// writeNetrc puts the login of a server into ~/.netrc, or takes it out when
// token is empty. Everything else in the file stays as it is; the text before
// the first change is kept beside it.
func (p *program) writeNetrc(s login) (path string, err error) {
	path, err = p.netrcPath()
	if err != nil {
		return "", err
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	text := editNetrc(string(old), s)
	if text == string(old) {
		return path, nil
	}
	if len(old) > 0 {
		backup := path + ".before-gitmirror"
		f, err := os.OpenFile(backup, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			err = errors.Join(writeSynced(f, old), f.Close())
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return path, replaceFile(path, []byte(text), 0o600)
}

// editNetrc returns the text of a netrc file with our block of the server
// replaced. The block goes first: readers take the first machine that matches,
// and what follows "default" or an unfinished macro is not read at all.
func editNetrc(old string, s login) string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return old
	}
	begin, end := netrcBegin+u.Host+"\n", netrcEnd+u.Host+"\n"
	if from := strings.Index(old, begin); from >= 0 && (from == 0 || old[from-1] == '\n') {
		if to := strings.Index(old[from:], end); to >= 0 {
			old = old[:from] + old[from+to+len(end):]
		}
	}
	if s.Token == "" {
		return old
	}
	// git looks for the host alone, the go command for host:port when the
	// address of the module proxy has a port.
	block := begin + netrcLine(u.Hostname(), s)
	if u.Port() != "" {
		block += netrcLine(u.Host, s)
	}
	return block + end + old
}

func netrcLine(machine string, s login) string {
	user := s.User
	if user == "" {
		user = "token"
	}
	return fmt.Sprintf("machine %s login %s password %s\n", machine, user, s.Token)
}
