package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"

	"github.com/gitmirror/gitmirror/mirror"
)

// Codes of the catalogue for what is wrong on the caller's machine.
const (
	codeUsage  mirror.Code = "E4001" // arguments
	codeConfig mirror.Code = "E4002" // settings
	codeLogin  mirror.Code = "E4005" // no server to talk to
	codeReach  mirror.Code = "E4006" // the server does not answer
	codeStart  mirror.Code = "E5106" // the server cannot start here
)

// failure is the --json document of a command that did not succeed.
type failure struct {
	Problem *mirror.Problem `json:"error"`
	Exit    int             `json:"exit_code"`
	Reason  string          `json:"exit_reason"`
}

// emit writes one JSON document.
func (p *program) emit(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// say writes a line for a person, unless --quiet or --json forbid it.
func (p *program) say(format string, args ...any) {
	if !p.quiet && !p.json {
		fmt.Fprintf(p.stderr, format+"\n", args...)
	}
}

// tell writes a problem for a person.
func (p *program) tell(problem *mirror.Problem) {
	code := ""
	if problem.Code != "" {
		code = string(problem.Code) + ": "
	}
	fmt.Fprintf(p.stderr, "gitmirror: %s%s\n", code, printable(problem.What))
	if problem.Why != "" {
		fmt.Fprintf(p.stderr, "  why: %s\n", printable(problem.Why))
	}
	if problem.Raw != "" {
		for line := range strings.Lines(strings.TrimSpace(problem.Raw)) {
			fmt.Fprintf(p.stderr, "       %s\n", printable(strings.TrimRight(line, "\r\n")))
		}
	}
	if problem.Do != "" {
		fmt.Fprintf(p.stderr, "  do:  %s\n", printable(problem.Do))
	}
}

// printable keeps a server's text from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0x7f || 0x80 <= r && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// explain is mirror.AsProblem for errors of this machine: those are the user's
// own, so their text is shown.
func explain(err error) *mirror.Problem {
	var known *mirror.Problem
	if errors.As(err, &known) {
		return known
	}
	problem := &mirror.Problem{What: err.Error()}
	switch {
	case errors.Is(err, errInterrupted):
	case errors.Is(err, fs.ErrPermission):
		problem.Do = "check the owner and mode of the file, or run as the user it belongs to"
	case errors.Is(err, syscall.ENOSPC):
		problem.Code, problem.Do = mirror.CodeDisk, "free some space and try again"
	}
	return problem
}

// row is one line of a table.
type row []string

// table writes aligned columns, two spaces apart. An empty table is one line on stderr.
func (p *program) table(empty string, head row, rows []row) {
	if len(rows) == 0 {
		p.say("%s", empty)
		return
	}
	width := make([]int, len(head))
	all := append([]row{head}, rows...)
	for _, r := range all {
		for i, cell := range r {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range all {
		var line strings.Builder
		for i, cell := range r {
			line.WriteString(printable(cell))
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		fmt.Fprintln(p.stdout, strings.TrimRight(line.String(), " "))
	}
}

// facts writes name and value pairs, one a line, leaving out empty values.
func (p *program) facts(pairs ...[2]string) {
	width := 0
	for _, pair := range pairs {
		if pair[1] != "" {
			width = max(width, utf8.RuneCountInString(pair[0]))
		}
	}
	for _, pair := range pairs {
		if pair[1] != "" {
			fmt.Fprintf(p.stdout, "%-*s  %s\n", width, pair[0], printable(pair[1]))
		}
	}
}

// words puts a space between what is not empty.
func words(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// ago is a moment for a person: relative while it is near, a date when far.
func ago(t time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case time.Since(t) > 30*24*time.Hour:
		return t.Local().Format(time.DateOnly)
	}
	return humanize.Time(t)
}

// size is bytes for a person.
func size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// terminal tells whether w is one.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// progress tells whether a moving bar may be drawn: stderr is a terminal that
// can, and nobody asked for quiet.
func (p *program) progress() bool {
	return !p.json && !p.quiet && !p.noProgress && terminal(p.stderr) &&
		p.lookup("CI") == "" && p.lookup("TERM") != "dumb"
}

// line reads one line of r, without its end, of at most 64 KB.
func line(r io.Reader) (string, error) {
	var b strings.Builder
	one := make([]byte, 1)
	for b.Len() < 64<<10 {
		n, err := r.Read(one)
		if n > 0 {
			if one[0] == '\n' {
				return strings.TrimSuffix(b.String(), "\r"), nil
			}
			b.WriteByte(one[0])
		}
		if err == io.EOF {
			return strings.TrimSuffix(b.String(), "\r"), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", &mirror.Problem{Code: codeUsage, Kind: mirror.ErrInvalid, What: "the line on standard input is longer than 64 KB"}
}

// count says how many there are, in words that fit the number.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
