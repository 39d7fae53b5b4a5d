package rewrite

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

const (
	// Behind it stands, in brackets, what is ours: a sum of each line with its
	// section, and what has to be remembered to give back the same bytes.
	gitMark   = `# gitmirror: written by "gitmirror env --write", removed by "gitmirror env --unset".`
	gitEnd    = "# gitmirror: end"
	gitNoFile = "no-file"
	gitNoEnd  = "no-line-end"
)

// SetGitConfig returns a git configuration file with the git settings in one
// marked block, which takes the place of an earlier one. nil is a file that
// does not exist.
func SetGitConfig(data []byte, settings []Setting) []byte {
	data = UnsetGitConfig(data)
	end := eolOf(data)
	var block strings.Builder
	var facts []string
	header := ""
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for _, s := range settings {
		if !s.Git {
			continue
		}
		section, sub, name := splitKey(s.Name)
		if next := fmt.Sprintf(`[%s "%s"]`, section, quote.Replace(sub)); next != header {
			header = next
			block.WriteString(header + end)
		}
		line := fmt.Sprintf("\t%s = \"%s\"", name, quote.Replace(s.Value))
		facts = append(facts, gitSum(header, line))
		block.WriteString(line + end)
	}
	if len(facts) == 0 {
		return data
	}
	before := string(data)
	switch {
	case data == nil:
		facts = append(facts, gitNoFile)
	case before != "" && !strings.HasSuffix(before, "\n"):
		before += end
		facts = append(facts, gitNoEnd)
	}
	return []byte(before + gitMark + " [" + strings.Join(facts, " ") + "]" + end + block.String() + gitEnd + end)
}

func gitSum(header, line string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(strings.TrimSpace(header)+"\n"+strings.TrimSpace(line))))
}

// UnsetGitConfig takes the marked block out; nil when there was no file. Lines
// that somebody changed in it, or put into it, stay.
func UnsetGitConfig(data []byte) []byte {
	var out strings.Builder
	var facts []string
	marked, inside, end := false, false, ""
	header, dropped := "", false // the section's, not written yet; whether a line of ours was in it
	endSection := func() {
		if !dropped {
			out.WriteString(header)
		}
		header, dropped = "", false
	}
	section := "" // as header, which is empty once it is written
	for _, line := range rawLines(data) {
		plain := strings.TrimSpace(line)
		rest, begins := strings.CutPrefix(plain, gitMark)
		switch {
		case begins:
			endSection()
			marked, inside, end = true, true, ending(line)
			facts = append(facts, strings.Fields(strings.Trim(rest, " []"))...)
		case inside && plain == gitEnd:
			endSection()
			inside = false
		case inside && strings.HasPrefix(plain, "["):
			endSection()
			header, section = line, line
		case inside && section != "" && slices.Contains(facts, gitSum(section, line)):
			dropped = true
		default:
			out.WriteString(header + line)
			header = ""
		}
	}
	endSection()
	switch {
	case !marked:
		return data
	case slices.Contains(facts, gitNoFile) && out.Len() == 0:
		return nil
	case slices.Contains(facts, gitNoEnd):
		return []byte(strings.TrimSuffix(out.String(), end))
	}
	return []byte(out.String())
}

// OwnGitSettings are the settings in the marked block that are as SetGitConfig
// wrote them.
func OwnGitSettings(data []byte) (own []GitSetting) {
	inside, section, sub := false, "", ""
	unquote := strings.NewReplacer(`\\`, `\`, `\"`, `"`)
	for _, line := range rawLines(data) {
		plain := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(plain, gitMark):
			inside = true
		case plain == gitEnd:
			inside = false
		case inside && strings.HasPrefix(plain, "["):
			section, sub, _ = strings.Cut(strings.Trim(plain, "[]"), " ")
			sub = unquote.Replace(strings.TrimSuffix(strings.TrimPrefix(sub, `"`), `"`))
		case inside:
			if name, value, ok := strings.Cut(plain, " = "); ok {
				value = unquote.Replace(strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`))
				own = append(own, GitSetting{Key: strings.ToLower(section) + "." + sub + "." + strings.ToLower(name), Value: value})
			}
		}
	}
	return own
}
