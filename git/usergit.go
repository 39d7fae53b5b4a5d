package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Client is the git of a user, with that user's own settings, trust and
// credentials: what the go command finds when it runs git. It is for looking
// only (doctor, env); the server's own git is Disk's.
type Client struct {
	// Environ is the user's, as os.Environ has it; git is looked for in its PATH.
	Environ []string
	// Dir is an empty directory git is started in. No repository's settings are
	// read, not even those of a repository above it: they may be a stranger's.
	Dir string
}

// ClientError is a git of the user's that did not succeed.
type ClientError struct {
	Code int    // exit code; -1 when it was ended
	Said string // the end of its stderr, control characters and passwords cut out
}

func (e *ClientError) Error() string { return fmt.Sprintf("git: exit %d: %s", e.Code, e.Said) }

// ConfigValue is one line of "git config --list".
type ConfigValue struct {
	Key, Value string // the key as git prints it: section and name in lower case
	Origin     string // "file:/home/x/.gitconfig", "command line:"
}

// Version is what "git version" prints behind these words, "2.39.5". The error
// is a *mirror.Problem when there is no git.
func (c Client) Version(ctx context.Context) (string, error) {
	out, err := c.run(ctx, 1<<10, nil, "version")
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "git version "), err
}

// Recent tells whether a version is one that this program was tested with.
func Recent(text string) bool {
	var v version
	n, _ := fmt.Sscanf(text, "%d.%d", &v.major, &v.minor)
	return n == 2 && !v.before(oldest)
}

// Config lists the settings in force for the user. They may hold secrets.
func (c Client) Config(ctx context.Context) ([]ConfigValue, error) {
	out, err := c.run(ctx, 4<<20, nil, "config", "--list", "--show-origin", "-z")
	if err != nil {
		return nil, err
	}
	var all []ConfigValue
	fields := strings.Split(string(out), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		key, value, _ := strings.Cut(fields[i+1], "\n")
		all = append(all, ConfigValue{Key: key, Value: value, Origin: fields[i]})
	}
	return all, nil
}

// ListRemote lists the refs of a repository at a URL, as the go command does:
// no questions are asked, and ssh asks for nothing either. The error is a
// *ClientError when git ran.
func (c Client) ListRemote(ctx context.Context, url string) ([]mirror.Ref, error) {
	env := []string{}
	if c.lookup("GIT_SSH") == "" && c.lookup("GIT_SSH_COMMAND") == "" { // as cmd/go does
		env = append(env, "GIT_SSH_COMMAND=ssh -o ControlMaster=no -o BatchMode=yes")
	}
	out, err := c.run(ctx, 64<<20, env, "ls-remote", "--end-of-options", url)
	if err != nil {
		return nil, err
	}
	var refs []mirror.Ref
	for line := range strings.Lines(string(out)) {
		if hash, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			refs = append(refs, mirror.Ref{Name: name, Hash: hash})
		}
	}
	return refs, nil
}

func (c Client) lookup(name string) string {
	value := ""
	for _, pair := range c.Environ {
		if key, v, ok := strings.Cut(pair, "="); ok && key == name {
			value = v
		}
	}
	return value
}

// binary is the git in the user's PATH.
func (c Client) binary() (string, error) {
	name := "git"
	if runtime.GOOS == "windows" {
		name = "git.exe"
	}
	for _, dir := range filepath.SplitList(c.lookup("PATH")) {
		if !filepath.IsAbs(dir) {
			continue // what lies in the present directory is not the user's git
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && (info.Mode()&0o111 != 0 || runtime.GOOS == "windows") {
			return path, nil
		}
	}
	return "", &mirror.Problem{Kind: mirror.ErrNotFound, What: "git was not found", Why: "no program called git is in PATH", Do: "install git 2.39 or newer"}
}

// userinfo of a URL may hold a password.
var userinfo = regexp.MustCompile(`://[^/@\s']+@`)

func (c Client) run(ctx context.Context, limit int, env []string, args ...string) ([]byte, error) {
	binary, err := c.binary()
	if err != nil {
		return nil, err
	}
	out, said := &capped{limit: limit}, &tail{}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = c.Dir
	for _, pair := range c.Environ {
		switch key, _, _ := strings.Cut(pair, "="); key {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_TRACE", "GIT_TRACE_CURL", "GIT_CURL_VERBOSE",
			"GIT_TERMINAL_PROMPT", "GCM_INTERACTIVE", "LC_ALL", "GIT_CEILING_DIRECTORIES":
		default:
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "LC_ALL=C", "GIT_CEILING_DIRECTORIES="+filepath.Dir(c.Dir))
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = out, said
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { signalGroup(cmd.Process, true); return nil }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &exit):
		return nil, &ClientError{Code: exit.ExitCode(), Said: userinfo.ReplaceAllString(said.text(), "://…@")}
	case err != nil:
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	case out.over:
		return nil, fmt.Errorf("git %s: more than %d bytes of output", args[0], limit)
	}
	return out.data, nil
}
