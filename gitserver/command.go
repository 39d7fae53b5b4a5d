package gitserver

import (
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// maxCommand bounds the command of an SSH session; the longest repository path
// has 500 bytes.
const maxCommand = 2048

// parseCommand reads what a git client asks for over SSH. The grammar is what
// clients send and nothing else (git's quote.c, sq_quote_buf):
//
//	git-upload-pack '<path>'   or   git upload-pack '<path>'
//
// with two escapes inside of the quotes:
//
//	'\''   a quote
//	'\!'   an exclamation mark
//
// There is no shell that could understand more. The service is "upload-pack" or
// "receive-pack".
func parseCommand(raw string) (service, path string, err error) {
	if len(raw) > maxCommand {
		return "", "", errCommand()
	}
	rest, ok := strings.CutPrefix(raw, "git-")
	if !ok {
		rest, ok = strings.CutPrefix(raw, "git ")
	}
	service, quoted, found := strings.Cut(rest, " ")
	if !ok || !found || service != "upload-pack" && service != "receive-pack" {
		return "", "", errCommand()
	}
	path, ok = unquote(quoted)
	if !ok {
		return "", "", errCommand()
	}
	return service, path, nil
}

// unquote undoes git's quoting of one argument; ok is false if s is not exactly
// one quoted argument.
func unquote(s string) (text string, ok bool) {
	s, ok = strings.CutPrefix(s, "'")
	if !ok {
		return "", false
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "'")
		if !found {
			return "", false
		}
		b.WriteString(before)
		switch {
		case after == "":
			return b.String(), true
		case strings.HasPrefix(after, `\''`):
			b.WriteByte('\'')
		case strings.HasPrefix(after, `\!'`):
			b.WriteByte('!')
		default:
			return "", false
		}
		s = after[3:]
	}
}

// repoPath reads the path of a command: as in ssh://git@host/<path> or
// git@host:<path>.
func repoPath(text string) (mirror.Path, error) {
	return mirror.ParsePath(strings.TrimPrefix(text, "/"))
}

func errCommand() error {
	return &mirror.Problem{
		Code: mirror.CodeCommand, Kind: mirror.ErrInvalid, What: "this command is not available here",
		Why: "the only one is git-upload-pack '<path>', which git clone, git fetch and git ls-remote use",
		Do:  "run for example: git ls-remote ssh://git@HOST:PORT/github.com/spf13/cobra",
	}
}
