package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// graceful is how long git may take to put its lock files away after SIGTERM.
const graceful = 5 * time.Second

// command is one run of git.
type command struct {
	args   []string    // behind "git"; never a secret
	repo   string      // the repository it works in
	scheme string      // the one protocol it may speak; empty = none
	config [][2]string // settings, secret ones too: they travel in the environment
	env    []string
	// gate is its way to an upstream; may be nil.
	gate *gate
	// secrets are cut out of what git says.
	secrets []string
	stdin   io.Reader
	stdout  io.Writer
	// piped leaves stdin and stdout to the caller, as pipes of the process. Bytes
	// that a slow reader has not taken yet are then not lost when git ends.
	piped bool
	// background lets everything else go first: processor and disk are had when
	// nobody else wants them.
	background bool
	// line sees every line of stderr and returns true for those that are progress
	// and need not be kept. May be nil.
	line func(string) bool
}

// failure is a git that did not succeed. Its text is for the log.
type failure struct {
	name   string // "fetch"
	code   int    // exit code, -1 when killed
	stderr string // the last 4 KB, cleaned
	full   bool   // the disk, a quota or a limit on files had no room for what it wrote
	cause  error  // why we ended it, when we did
	road   error  // what its gate knows of the road to upstream
}

func (f *failure) Error() string {
	text := fmt.Sprintf("git %s: exit %d", f.name, f.code)
	if f.cause != nil {
		text = fmt.Sprintf("git %s: %v", f.name, f.cause)
	}
	if f.stderr != "" {
		text += ": " + f.stderr
	}
	return text
}

func (f *failure) Unwrap() error { return f.cause }

// process is a running git. It ends, with everything it started, when its
// context does.
type process struct {
	cmd    *exec.Cmd
	ctx    context.Context // of this process only; bounds nothing else
	name   string
	stdin  io.WriteCloser // when piped
	stdout io.ReadCloser  // when piped
	stderr *tail
	gate   *gate
	unhook func() bool
	done   chan struct{}
}

// run starts git and waits for it. The error is a *failure when git ran.
func (d *Disk) run(ctx context.Context, c command) error {
	p, err := d.start(ctx, c)
	if err != nil {
		return err
	}
	return p.wait()
}

// output is run with stdout returned; more than limit bytes are an error.
func (d *Disk) output(ctx context.Context, limit int, c command) ([]byte, error) {
	buf := &capped{limit: limit}
	c.stdout = buf
	err := d.run(ctx, c)
	if buf.over {
		return nil, fmt.Errorf("git %s: more than %d bytes of output", c.args[0], limit)
	}
	return buf.data, err
}

// start is the one place where a process begins.
func (d *Disk) start(ctx context.Context, c command) (*process, error) {
	if err := ctx.Err(); err != nil {
		return nil, &failure{name: c.args[0], code: -1, cause: context.Cause(ctx)}
	}
	p := &process{ctx: ctx, name: c.args[0], gate: c.gate, stderr: &tail{secrets: c.secrets, root: d.Root, line: c.line}, done: make(chan struct{})}
	p.cmd = exec.Command(d.state.binary, c.args...)
	p.cmd.Dir = c.repo
	if c.repo == "" {
		p.cmd.Dir = d.Root
	}
	p.cmd.Env = d.environment(c)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.stdin, c.stdout, p.stderr
	p.cmd.SysProcAttr = ownGroup()
	// A helper that outlives git holds its pipes open; do not wait for it forever.
	p.cmd.WaitDelay = 2 * graceful
	if c.piped {
		var err error
		if p.stdin, err = p.cmd.StdinPipe(); err != nil {
			return nil, fmt.Errorf("git %s: %w", p.name, err)
		}
		if p.stdout, err = p.cmd.StdoutPipe(); err != nil {
			return nil, fmt.Errorf("git %s: %w", p.name, err)
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("git %s: %w", p.name, err)
	}
	if c.background {
		stepBack(p.cmd.Process)
	}
	p.unhook = context.AfterFunc(ctx, p.end)
	return p, nil
}

// end asks the process group to stop and, when it does not, stops it.
func (p *process) end() {
	signalGroup(p.cmd.Process, false)
	timer := time.NewTimer(graceful)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		signalGroup(p.cmd.Process, true)
	}
}

// wait returns when git has ended and its output is delivered. A piped stdout
// must have been read to its end before.
func (p *process) wait() error {
	err := p.cmd.Wait()
	ended := !p.unhook()
	close(p.done)
	if ended { // helpers that git did not take with it
		signalGroup(p.cmd.Process, true)
	}
	if err == nil && !ended {
		return nil
	}
	f := &failure{name: p.name, code: p.cmd.ProcessState.ExitCode(), stderr: p.stderr.text()}
	if p.gate != nil {
		f.road = p.gate.wrong()
	}
	if ended {
		f.cause = context.Cause(p.ctx)
		return f
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if errors.Is(err, exec.ErrWaitDelay) && f.code == 0 {
			return nil
		}
		return fmt.Errorf("git %s: %w", p.name, err)
	}
	f.full = overFileSize(exit) || saysFull(f.stderr)
	return f
}

// saysFull tells whether git, which has several words for it, ran out of room.
// What the other side says is about the other side's disk.
func saysFull(stderr string) bool {
	for line := range strings.Lines(stderr) {
		line, _, _ = strings.Cut(line, "remote: ")
		line, _, _ = strings.Cut(line, "remote error: ")
		for _, words := range []string{"No space left on device", "Out of diskspace", "Disk quota exceeded", "File too large", "file size limit exceeded"} {
			if strings.Contains(line, words) {
				return true
			}
		}
	}
	return false
}

// environment is everything a git of ours knows of the world.
func (d *Disk) environment(c command) []string {
	allow := c.scheme
	if allow == "" {
		allow = "none"
	}
	env := []string{
		"PATH=" + d.state.path,
		"HOME=/nonexistent",
		"LC_ALL=C",
		"TZ=UTC",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ASKPASS=/bin/false",
		"SSH_ASKPASS=/bin/false",
		"GIT_ALLOW_PROTOCOL=" + allow,
		"GIT_PROTOCOL_FROM_USER=0",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_LITERAL_PATHSPECS=1",
		d.mark(),
	}
	config := [][2]string{
		// Without these git reports success before refs survive a power cut.
		{"core.fsync", "committed,reference"},
		{"core.fsyncMethod", "fsync"},
		{"core.hooksPath", "/dev/null"},
		{"core.fsmonitor", "false"},
		{"core.symlinks", "false"},
		{"core.alternateRefsCommand", "exit 0 #"},
		{"core.bigFileThreshold", "50m"},
		{"pack.threads", strconv.Itoa(d.state.threads)},
		{"pack.windowMemory", "100m"},
		{"pack.writeReverseIndex", "true"},
		{"protocol.allow", "never"},
		{"http.followRedirects", "false"},
		{"transfer.fsckObjects", "true"},
		{"transfer.bundleURI", "false"},
		{"submodule.recurse", "false"},
		{"gc.auto", "0"},
		{"maintenance.auto", "false"},
		{"credential.helper", ""},
		{"advice.detachedHead", "false"},
	}
	if c.repo != "" {
		env = append(env, "GIT_DIR="+c.repo)
		config = append(config, [2]string{"safe.directory", c.repo})
	}
	if c.scheme != "" {
		config = append(config, [2]string{"protocol." + c.scheme + ".allow", "always"})
	}
	config = append(config, c.config...)
	env = append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(config)))
	for i, kv := range config {
		n := strconv.Itoa(i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+kv[0], "GIT_CONFIG_VALUE_"+n+"="+kv[1])
	}
	return append(env, c.env...)
}

// mark tells the children of this data directory from all other processes. It
// is the name of no setting: the server itself must not have it.
func (d *Disk) mark() string { return "_GITMIRROR_CHILD_OF=" + d.Root }

// searchPath is where git's helpers are found.
func searchPath(binary string) string {
	dirs := []string{filepath.Dir(binary)}
	for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
		if dir != dirs[0] {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}

// capped keeps what is written to it up to a limit.
type capped struct {
	limit int
	data  []byte
	over  bool
}

func (b *capped) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > b.limit {
		b.over = true
		return 0, errors.New("too much output") // closes the pipe, which ends git
	}
	b.data = append(b.data, p...)
	return len(p), nil
}
