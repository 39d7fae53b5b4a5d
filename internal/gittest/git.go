package gittest

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// QuickExit is for the environment of our own programs: one with the race detector
// sleeps for a second before it exits, to hear of races in goroutines that still
// run. What it reported before decides its exit code without that.
const QuickExit = "GORACE=atexit_sleep_ms=0"

// Git runs git in dir ("" = the present one) with a clean configuration and
// returns its standard output without the last newline. The test fails when git does.
func Git(tb testing.TB, dir string, args ...string) string {
	tb.Helper()
	return run(tb, dir, nil, "git", args...)
}

// Env is an environment for git and go in tests: no configuration of the
// machine's user, no prompts. HOME is home. Later settings in extra win.
func Env(home string, extra ...string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home,
		"LC_ALL=C",
		"TZ=UTC",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		// What goes on behind a command that has ended may write where a test removes.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=maintenance.auto", "GIT_CONFIG_VALUE_0=false",
		"GIT_AUTHOR_NAME=A. Author", "GIT_AUTHOR_EMAIL=author@example.com", "GIT_AUTHOR_DATE=2024-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=C. Committer", "GIT_COMMITTER_EMAIL=committer@example.com", "GIT_COMMITTER_DATE=2024-01-01T00:00:00Z",
		QuickExit,
	}
	return append(env, extra...)
}

func run(tb testing.TB, dir string, stdin io.Reader, name string, args ...string) string {
	tb.Helper()
	out, err := try(dir, Env(os.DevNull), stdin, name, args...)
	if err != nil {
		tb.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return out
}

// commandError is what a command said before it failed.
type commandError struct {
	err    error
	stderr string
}

func (e *commandError) Error() string { return e.err.Error() + "\n" + e.stderr }

func try(dir string, env []string, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, env, stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), &commandError{err, stderr.String()}
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// linkTree copies a directory by hard links where the file system allows.
// Git never changes an object or pack in place; everything else is copied.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if strings.HasPrefix(rel, "objects"+string(filepath.Separator)) && os.Link(name, target) == nil {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
}
