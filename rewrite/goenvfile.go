package rewrite

import (
	"slices"
	"strings"
)

const (
	goEnvMark = "# gitmirror set " // "# gitmirror set A=new; it was A=old"
	goEnvWas  = "; it was "
	goEnvNone = "not set"
	// What else has to be remembered to give back the same bytes.
	goEnvNoFile = "# gitmirror made this file"
	goEnvNoEnd  = "# gitmirror ended the last line"
)

// SetGoEnv returns the go settings file with the go settings in it; nil is a
// file that does not exist. What was there before is remembered in a comment
// above each; other lines stay.
func SetGoEnv(data []byte, settings []Setting) []byte {
	data, _ = UnsetGoEnv(data) // also what an earlier run set and this one does not
	end := eolOf(data)
	lines := rawLines(data)
	first, last := "", ""
	if data == nil {
		first = goEnvNoFile + end
	} else if len(lines) > 0 && !strings.HasSuffix(lines[len(lines)-1], "\n") {
		lines[len(lines)-1] += end
		last = goEnvNoEnd + end
	}
	set := false
	for _, s := range settings {
		if s.Git {
			continue
		}
		set = true
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, s.Name+"=") })
		before, line, end := goEnvNone, s.Name+"="+s.Value, end
		if i >= 0 {
			before, end = bare(lines[i]), ending(lines[i])
		} else {
			i = len(lines)
			lines = append(lines, "")
		}
		lines[i] = line + end
		lines = slices.Insert(lines, i, goEnvMark+line+goEnvWas+before+end)
	}
	if !set {
		return data
	}
	return []byte(first + strings.Join(lines, "") + last)
}

// UnsetGoEnv takes SetGoEnv back; nil when there was no file. A value somebody
// changed since stays, and is named.
func UnsetGoEnv(data []byte) (restored []byte, changed []string) {
	var out []string
	now := map[string]string{} // line written → line before
	noFile, added := false, "" // the end of the last line that was not there
	for _, line := range rawLines(data) {
		plain := bare(line)
		if plain == goEnvNoFile || plain == goEnvNoEnd {
			if noFile = noFile || plain == goEnvNoFile; plain == goEnvNoEnd {
				added = ending(line)
			}
			continue
		}
		if rest, ok := strings.CutPrefix(plain, goEnvMark); ok {
			if set, before, ok := strings.Cut(rest, goEnvWas); ok {
				now[set] = before
				continue
			}
		}
		before, ours := now[plain]
		delete(now, plain)
		switch {
		case ours && before == goEnvNone:
		case ours:
			out = append(out, before+ending(line))
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
	if noFile && len(out) == 0 {
		return nil, changed
	}
	restored = []byte(strings.TrimSuffix(strings.Join(out, ""), added))
	if data == nil {
		return nil, changed
	}
	return restored, changed
}
