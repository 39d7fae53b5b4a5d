package rewrite

import (
	"strings"
)

// Setting is one thing to set where the go command runs: a variable of the go
// command, or a git setting (which may ride in GIT_CONFIG_* variables).
type Setting struct {
	// Name is "GOPRIVATE", or for git a key such as "url.https://a/.insteadOf".
	Name  string `json:"name"`
	Value string `json:"value"`
	Git   bool   `json:"git,omitempty"`
	// Add: a further value of a git key that has one already.
	Add bool   `json:"add,omitempty"`
	Why string `json:"why,omitempty"`
}

// String is the setting as a command or an assignment.
func (s Setting) String() string {
	if !s.Git {
		return s.Name + "=" + s.Value
	}
	add := ""
	if s.Add {
		add = "--add "
	}
	section, sub, name := splitKey(s.Name)
	return `git config --global ` + add + section + `."` + sub + `".` + name + " " + word(s.Value)
}

// Command is the setting as a shell command that makes it last.
func (s Setting) Command() string {
	if s.Git {
		return s.String()
	}
	return "go env -w " + word(s.Name+"="+s.Value)
}

// word is one word of a shell, in quotes where it needs them. To PowerShell a
// comma means something.
func word(text string) string {
	safe := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-./:@=+%", r)
	}
	if text != "" && strings.TrimFunc(text, safe) == "" {
		return text
	}
	return quoteShell(text)
}

// splitKey takes a git key apart: "url.https://a.b/.insteadOf" is url,
// https://a.b/ and insteadOf. A key without a subsection has none.
func splitKey(key string) (section, sub, name string) {
	section, rest, _ := strings.Cut(key, ".")
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		return section, rest[:i], rest[i+1:]
	}
	return section, "", rest
}

// GitSetting is a git setting that is in force on this machine, as
// "git config --list --show-origin" tells it.
type GitSetting struct {
	// Key as git prints it: section and name in lower case.
	Key   string
	Value string
	// Origin is "file:/home/x/.gitconfig" or "command line:" (GIT_CONFIG_COUNT).
	Origin string
}

// from is the origin in words.
func (g GitSetting) from() string {
	if name, ok := strings.CutPrefix(g.Origin, "file:"); ok {
		return name
	}
	return "GIT_CONFIG_COUNT of the environment"
}
