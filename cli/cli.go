package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gitmirror/gitmirror/mirror"
)

// Exit codes of CONTRACT, "Command line".
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitChanges     = 3 // --check found something to do
	exitAuth        = 4
	exitNotFound    = 5
	exitUnreachable = 6
	exitHeld        = 7
	exitIntegrity   = 9
	exitInterrupted = 130
)

// exitTable is the one place where an error becomes an exit code; reason is the
// word for it in a --json document. The first row that matches decides.
var exitTable = []struct {
	kind   error
	code   int
	reason string
}{
	{errInterrupted, exitInterrupted, "interrupted"},
	{errChanges, exitChanges, "changes needed"},
	{mirror.ErrIntegrity, exitIntegrity, "integrity"},
	{mirror.ErrHeld, exitHeld, "held"},
	{mirror.ErrSignIn, exitAuth, "sign-in required"},
	{mirror.ErrDenied, exitAuth, "not allowed"},
	{mirror.ErrNotFound, exitNotFound, "not found"},
	{mirror.ErrUpstream, exitUnreachable, "unreachable"},
	{mirror.ErrBusy, exitUnreachable, "busy"},
	{mirror.ErrInvalid, exitUsage, "invalid"},
	{mirror.ErrExists, exitFailed, "already exists"},
}

var (
	errInterrupted = errors.New("interrupted")
	errChanges     = errors.New("changes are needed")
)

// silent is an error that has been told already: only its exit code is left to say.
type silent struct{ error }

func (s silent) Unwrap() error { return s.error }

func exitCode(err error) (code int, reason string) {
	if err == nil {
		return exitDone, "done"
	}
	for _, row := range exitTable {
		if errors.Is(err, row.kind) {
			return row.code, row.reason
		}
	}
	return exitFailed, "failed"
}

// Process is what an invocation is given by the system.
type Process struct {
	Args     []string // the first is the program's name
	In       io.Reader
	Out, Err io.Writer
	Environ  []string // as os.Environ has it
	Version  string   // of the binary; empty = what the go command stamped into it
}

// program is one invocation: where it reads and writes, and the flags that
// every command understands.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	stamp          string // Process.Version

	json       bool // one JSON document on stdout, nothing else on either stream
	quiet      bool
	noProgress bool
	server     string // --server: URL or name of a stored one

	// running is set when the arguments were understood: an error before that is
	// wrong usage.
	running bool
}

// Main runs a command line and returns its exit code. The first SIGINT or
// SIGTERM ends ctx, a second one the process.
func Main(ctx context.Context, in Process) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	p := &program{stdin: in.In, stdout: in.Out, stderr: in.Err, environ: in.Environ, stamp: in.Version}
	root := p.root()
	root.SetArgs(bareSwitches(in.Args[1:]))
	ran, err := root.ExecuteContextC(ctx)
	if err != nil && ctx.Err() != nil {
		err = errInterrupted
	}
	if err != nil && !p.running {
		p.json = p.json || wantsJSON(in.Args)
		err = usage(ran, err)
	}
	return p.finish(err)
}

// finish tells err, unless it has been told, and returns the exit code.
func (p *program) finish(err error) int {
	code, reason := exitCode(err)
	var told silent
	switch {
	case err == nil, errors.As(err, &told):
	case errors.Is(err, errInterrupted) && !p.json:
		p.say("interrupted")
	case p.json:
		p.emit(failure{Problem: explain(err), Exit: code, Reason: reason})
	default:
		p.tell(explain(err))
	}
	return code
}

// wantsJSON looks for --json in arguments that could not be parsed.
func wantsJSON(args []string) bool {
	for _, arg := range args {
		switch {
		case arg == "--":
			return false
		case arg == "--json", arg == "--json=true":
			return true
		}
	}
	return false
}

// usage makes a Problem of what cobra says about the arguments of a command.
func usage(ran *cobra.Command, err error) error {
	var known *mirror.Problem
	if errors.As(err, &known) {
		return err
	}
	what, hint, _ := strings.Cut(err.Error(), "\n\n")
	do := "see \"" + ran.CommandPath() + " --help\""
	if _, names, ok := strings.Cut(hint, "Did you mean this?"); ok {
		do = "did you mean " + strings.Join(strings.Fields(names), " or ") + "? " + do
	}
	var bare *pflag.ValueRequiredError
	if errors.As(err, &bare) {
		do = "write --" + bare.GetFlag().Name + " VALUE: " + bare.GetFlag().Usage
	}
	return &mirror.Problem{Code: codeUsage, Kind: mirror.ErrInvalid, What: what, Do: do}
}

// lookup returns an environment variable; empty counts as not set.
func (p *program) lookup(name string) string {
	for i := len(p.environ) - 1; i >= 0; i-- {
		if key, value, ok := strings.Cut(p.environ[i], "="); ok && key == name {
			return value
		}
	}
	return ""
}
