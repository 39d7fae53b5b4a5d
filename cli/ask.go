package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/gitmirror/gitmirror/mirror"
)

// confirm asks a person before something is destroyed. Where nobody can
// answer, the flag --yes must have been given.
func (p *program) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if p.json || !terminal(p.stdin) {
		return wrongUsage("this destroys something, and nobody is here to confirm it", "give --yes")
	}
	fmt.Fprintf(p.stderr, "%s [y/N] ", question)
	answer, err := line(p.stdin)
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &mirror.Problem{What: "nothing was done"}
}

// secret reads a password or token: the first line of standard input when the
// flag says so, else a terminal without echo.
func (p *program) secret(fromStdin bool, flag, prompt string) (string, error) {
	if fromStdin {
		text, err := line(p.stdin)
		if err == nil && text == "" {
			return "", wrongUsage("standard input is empty", "pipe the secret into it: … "+flag+" < FILE")
		}
		return text, err
	}
	in, ok := p.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", wrongUsage("there is no terminal to ask for the secret", "give "+flag+" and pipe it in; an argument would be seen by others on this machine")
	}
	fmt.Fprintf(p.stderr, "%s: ", prompt)
	text, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(p.stderr)
	if err == io.EOF {
		return "", errInterrupted
	}
	return string(text), err
}

// duration is time.ParseDuration that knows days and weeks: 90d, 2w.
func duration(text string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				return 0, err
			}
			return time.Duration(n) * unit, nil
		}
	}
	return time.ParseDuration(text)
}
