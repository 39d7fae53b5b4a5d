package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	goEnvMark = "# gitmirror set " // "# gitmirror set A=new; it was A=old"
	goEnvWas  = "; it was "
	goEnvNone = "not set"
	gitMark   = `# gitmirror: written by "gitmirror env --write", removed by "gitmirror env --unset".`
	gitEnd    = "# gitmirror: end"
)

// GoEnvFile is the file "go env -w" writes: $GOENV, else go/env in the user's
// configuration directory.
func GoEnvFile() (string, error) {
	switch name := os.Getenv("GOENV"); {
	case name == "off":
		return "", &mirror.Problem{
			Code: CodeSettings, Kind: mirror.ErrInvalid, What: "GOENV=off: the go command reads no settings file", Do: "unset GOENV, or use the output of `gitmirror env`",
		}
	case name != "":
		return name, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("the go settings file: %w", err)
	}
	return filepath.Join(dir, "go", "env"), nil
}

// GitConfigFile is git's configuration of the user: $GIT_CONFIG_GLOBAL, else
// .gitconfig in the home directory.
func GitConfigFile() (string, error) {
	if name := os.Getenv("GIT_CONFIG_GLOBAL"); name != "" {
		return name, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("the git configuration file: %w", err)
	}
	return filepath.Join(home, ".gitconfig"), nil
}

// SetGoEnv returns the go settings file with the go settings in it. What was
// there before is remembered in a comment above each; other lines stay.
func SetGoEnv(data []byte, settings []Setting) []byte {
	lines, was := withoutGoEnvMarks(data)
	for _, s := range settings {
		if s.Git {
			continue
		}
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, s.Name+"=") })
		before, known := was[s.Name]
		if !known {
			before = goEnvNone
			if i >= 0 {
				before = lines[i]
			}
		}
		line := s.Name + "=" + s.Value
		if i < 0 {
			i = len(lines)
			lines = append(lines, line)
		}
		lines[i] = line
		lines = slices.Insert(lines, i, goEnvMark+line+goEnvWas+before)
		delete(was, s.Name)
	}
	return joinLines(lines)
}

// UnsetGoEnv takes SetGoEnv back. A value somebody changed since stays, and is named.
func UnsetGoEnv(data []byte) (restored []byte, changed []string) {
	var out []string
	now := map[string]string{} // line written → line before
	for _, line := range splitLines(data) {
		if rest, ok := strings.CutPrefix(line, goEnvMark); ok {
			if set, before, ok := strings.Cut(rest, goEnvWas); ok {
				now[set] = before
				continue
			}
		}
		before, ours := now[line]
		delete(now, line)
		switch {
		case ours && before == goEnvNone:
		case ours:
			out = append(out, before)
		default:
			out = append(out, line)
		}
	}
	for set := range now {
		name, _, _ := strings.Cut(set, "=")
		if slices.ContainsFunc(out, func(l string) bool { return strings.HasPrefix(l, name+"=") }) {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return joinLines(out), changed
}

// withoutGoEnvMarks drops our comments; was is what they remember, by name.
func withoutGoEnvMarks(data []byte) (lines []string, was map[string]string) {
	was = map[string]string{}
	for _, line := range splitLines(data) {
		rest, ok := strings.CutPrefix(line, goEnvMark)
		set, before, ok2 := strings.Cut(rest, goEnvWas)
		if !ok || !ok2 {
			lines = append(lines, line)
			continue
		}
		name, _, _ := strings.Cut(set, "=")
		was[name] = before
	}
	return lines, was
}

func splitLines(data []byte) (lines []string) {
	for line := range strings.Lines(string(data)) {
		lines = append(lines, strings.TrimRight(line, "\r\n"))
	}
	return lines
}

func joinLines(lines []string) []byte {
	if len(lines) == 0 {
		return nil
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// SetGitConfig returns a git configuration file with the git settings in one
// marked block, which takes the place of an earlier one.
func SetGitConfig(data []byte, settings []Setting) []byte {
	data = UnsetGitConfig(data)
	var b strings.Builder
	for _, s := range settings {
		if !s.Git {
			continue
		}
		base := strings.TrimSuffix(strings.TrimPrefix(s.Name, "url."), ".insteadOf")
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
		fmt.Fprintf(&b, "[url \"%s\"]\n\tinsteadOf = \"%s\"\n", quote.Replace(base), quote.Replace(s.Value))
	}
	if b.Len() == 0 {
		return data
	}
	if len(data) > 0 && !bytes.HasSuffix(data, []byte("\n")) {
		data = append(data, '\n')
	}
	return append(data, gitMark+"\n"+b.String()+gitEnd+"\n"...)
}

// UnsetGitConfig takes the marked block out. Lines somebody put into it stay.
func UnsetGitConfig(data []byte) []byte {
	var out strings.Builder
	inside, rest := false, string(data)
	for line := range strings.Lines(string(data)) {
		rest = rest[len(line):]
		switch text := strings.TrimSpace(line); {
		case text == gitMark:
			inside = true
		case inside && text == gitEnd:
			inside = false
		case inside && (strings.HasPrefix(text, "[url ") || strings.HasPrefix(text, "insteadOf ")):
		default:
			out.WriteString(line)
			inside = inside && strings.Contains(rest, gitEnd) // somebody lost our end
		}
	}
	return []byte(out.String())
}

// EditFile exchanges a settings file of the user for what edit makes of it: at
// once, with its mode kept, through a symbolic link to the file behind it. A
// file that does not exist is empty.
func EditFile(name string, edit func([]byte) []byte) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := fs.FileMode(0o644)
	var data []byte
	switch info, err := os.Lstat(name); {
	case err == nil && !info.Mode().IsRegular():
		return unwritable(name, fmt.Errorf("it is %s", irregular(info)))
	case err == nil && info.Size() > maxGoMod:
		return unwritable(name, errors.New("it is too large for a settings file"))
	case err == nil:
		mode = info.Mode()
		if data, err = os.ReadFile(name); err != nil {
			return unwritable(name, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return unwritable(name, err)
	}
	after := edit(bytes.Clone(data))
	if bytes.Equal(after, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return unwritable(name, err)
	}
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return unwritable(name, err)
	}
	defer root.Close()
	w := newWriter(root)
	err = w.stage(filepath.Base(name), after, mode)
	if err == nil {
		err = w.commit(filepath.Base(name))
	}
	return errors.Join(err, w.close())
}
