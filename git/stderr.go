package git

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const maxStderr = 4 << 10

// tail takes what git says on stderr: every line goes to line, the last 4 KB of
// those that are not progress are kept, without secrets and terminal controls.
type tail struct {
	secrets []string
	root    string // the data directory: whoever reads this need not know where it is
	line    func(string) bool

	mu      sync.Mutex
	partial []byte
	kept    string
}

// Write splits at line feeds and carriage returns; git redraws progress with
// the latter.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range p {
		if b == '\n' || b == '\r' {
			t.flush()
			continue
		}
		if len(t.partial) < maxStderr {
			t.partial = append(t.partial, b)
		}
	}
	return len(p), nil
}

func (t *tail) flush() {
	line := clean(string(t.partial), t.secrets)
	if t.root != "" {
		line = strings.ReplaceAll(line, t.root+"/", "")
	}
	t.partial = t.partial[:0]
	if line == "" || t.line != nil && t.line(line) {
		return
	}
	t.kept += line + "\n"
	if over := len(t.kept) - maxStderr; over > 0 {
		t.kept = t.kept[over:]
		if i := strings.IndexByte(t.kept, '\n'); i >= 0 && i+1 < len(t.kept) {
			t.kept = t.kept[i+1:]
		}
	}
}

// text is what was kept.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flush()
	return strings.TrimSpace(t.kept)
}

// clean makes a line of a stranger fit for logs and terminals: no secrets, no
// escape sequences, no control characters, no line breaks, valid UTF-8.
func clean(line string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			line = strings.ReplaceAll(line, s, "[secret]")
		}
	}
	var b strings.Builder
	for i := 0; i < len(line); {
		if line[i] == 0x1b {
			i += escapeLen(line[i:])
			continue
		}
		r, n := utf8.DecodeRuneInString(line[i:])
		i += n
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteRune(utf8.RuneError)
		case r == '\t' || r == '\n':
			b.WriteByte(' ')
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// escapeLen is the length of the terminal escape sequence s begins with.
func escapeLen(s string) int {
	if len(s) < 2 {
		return 1
	}
	switch s[1] {
	case '[': // CSI … final byte
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
		}
		return len(s)
	case ']', 'P', '^', '_': // string … BEL or ST
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
		return len(s)
	}
	return 2
}
