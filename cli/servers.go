package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// login is a server somebody signed in to, as the file of logins keeps it.
type login struct {
	URL   string `json:"url"`
	User  string `json:"user"`
	Token string `json:"token"`
	// TokenID lets "logout" remove the token on the server; empty for a token
	// that was made elsewhere.
	TokenID string `json:"token_id,omitempty"`
}

// logins is the file <config dir>/gitmirror/servers.json, mode 0600.
type logins struct {
	Default string  `json:"default,omitempty"` // URL
	Servers []login `json:"servers"`

	path string
}

// configDir is where programs keep a user's settings on this system.
func (p *program) configDir() (string, error) {
	dir := p.lookup("XDG_CONFIG_HOME")
	switch {
	case runtime.GOOS == "windows":
		dir = p.lookup("AppData")
	case dir != "" && filepath.IsAbs(dir):
	case p.lookup("HOME") == "":
		dir = ""
	case runtime.GOOS == "darwin":
		dir = filepath.Join(p.lookup("HOME"), "Library", "Application Support")
	default:
		dir = filepath.Join(p.lookup("HOME"), ".config")
	}
	if dir == "" {
		return "", &mirror.Problem{Code: codeLogin, What: "there is no place for the user's settings", Why: "HOME is not set",
			Do: "set HOME, or give GITMIRROR_SERVER and GITMIRROR_TOKEN"}
	}
	return filepath.Join(dir, "gitmirror"), nil
}

// readLogins reads the file; one that is not there holds nothing.
func (p *program) readLogins() (*logins, error) {
	dir, err := p.configDir()
	if err != nil {
		return nil, err
	}
	l := &logins{path: filepath.Join(dir, "servers.json")}
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, l); err != nil {
		return nil, &mirror.Problem{Code: codeLogin, What: l.path + " is not what \"gitmirror login\" wrote", Why: err.Error(),
			Do: "remove the file and sign in again"}
	}
	return l, nil
}

func (l *logins) save() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(l.path, append(text, '\n'), 0o600)
}

// find returns the login of a URL, or of a host name if only one server has it.
func (l *logins) find(name string) (login, bool) {
	var found []login
	for _, s := range l.Servers {
		u, err := url.Parse(s.URL)
		if s.URL == name {
			return s, true
		}
		if err == nil && (u.Host == name || u.Hostname() == name) {
			found = append(found, s)
		}
	}
	if len(found) == 1 {
		return found[0], true
	}
	return login{}, false
}

// put adds or replaces s and makes it the default.
func (l *logins) put(s login) {
	l.drop(s.URL)
	l.Servers = append(l.Servers, s)
	l.Default = s.URL
}

func (l *logins) drop(url string) {
	l.Servers = slices.DeleteFunc(l.Servers, func(s login) bool { return s.URL == url })
	if l.Default == url {
		l.Default = ""
		if len(l.Servers) > 0 {
			l.Default = l.Servers[len(l.Servers)-1].URL
		}
	}
}

// chosen is the server to talk to: --server, GITMIRROR_SERVER, or the one that
// was signed in to last. A token from the environment is sent to the server of
// the environment only.
func (p *program) chosen() (login, error) {
	fromEnv := p.lookup("GITMIRROR_SERVER")
	name := p.server
	if name == "" {
		name = fromEnv
	}
	stored, err := p.readLogins()
	if err != nil {
		if name == "" {
			return login{}, err
		}
		stored = &logins{}
	}
	if name == "" {
		if name = stored.Default; name == "" {
			return login{}, &mirror.Problem{
				Code: codeLogin, Kind: mirror.ErrSignIn, What: "no server is known here",
				Do: "run \"gitmirror login URL\" (for a server on this machine: gitmirror login http://127.0.0.1:8080), or set GITMIRROR_SERVER and GITMIRROR_TOKEN",
			}
		}
	}
	s, known := stored.find(name)
	if !known {
		address, err := serverURL(name)
		if err != nil {
			return login{}, err
		}
		if s, known = stored.find(address); !known {
			s = login{URL: address}
		}
	}
	if token := p.lookup("GITMIRROR_TOKEN"); token != "" {
		home, err := serverURL(fromEnv)
		if fromEnv == "" || err == nil && home == s.URL {
			s.Token, s.User, s.TokenID = token, "", ""
		}
	}
	return s, nil
}

// serverURL checks and normalises the address of a server; a bare host name
// means https.
func serverURL(text string) (string, error) {
	full := text
	if !strings.Contains(full, "://") {
		full = "https://" + full
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", wrongUsage(fmt.Sprintf("%q is not the address of a server", text),
			"write it as https://HOST or http://HOST:PORT, without a user name or a password")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.Path, "/"), nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = errors.Join(f.Chmod(mode), writeSynced(f, text), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func writeSynced(f *os.File, text []byte) error {
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.Sync()
}
