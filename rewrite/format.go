package rewrite

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// Formats are the names Format knows.
func Formats() []string {
	return []string{"sh", "fish", "powershell", "dotenv", "github", "gitlab", "docker", "json"}
}

// Variables are the settings as environment variables; git settings become
// GIT_CONFIG_KEY_n and VALUE_n behind those that current counts.
func Variables(settings []Setting, current map[string]string) []Setting {
	count, err := strconv.Atoi(current["GIT_CONFIG_COUNT"])
	if err != nil || count < 0 {
		count = 0
	}
	n := count
	var plain, git []Setting
	for _, s := range settings {
		if !s.Git {
			plain = append(plain, s)
			continue
		}
		i := strconv.Itoa(n)
		n++
		git = append(git,
			Setting{Name: "GIT_CONFIG_KEY_" + i, Value: s.Name, Why: s.Why},
			Setting{Name: "GIT_CONFIG_VALUE_" + i, Value: s.Value})
	}
	if n > count {
		plain = append(plain, Setting{Name: "GIT_CONFIG_COUNT", Value: strconv.Itoa(n)})
	}
	return append(plain, git...)
}

// Format writes settings for a shell, a CI system or a program. current is the
// environment they are added to.
func Format(settings []Setting, format string, current map[string]string) (string, error) {
	var b strings.Builder
	line := func(pattern string, quote func(string) string) {
		for _, v := range Variables(settings, current) {
			fmt.Fprintf(&b, pattern+"\n", v.Name, quote(v.Value))
		}
	}
	switch format {
	case "sh", "":
		line("export %s=%s", func(v string) string { return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'" })
	case "fish":
		line("set -gx %s %s", func(v string) string {
			return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(v) + "'"
		})
	case "powershell":
		line("$env:%s = %s", func(v string) string { return "'" + strings.ReplaceAll(v, "'", "''") + "'" })
	case "dotenv":
		line("%s=%s", func(v string) string {
			if strings.ContainsAny(v, " #\"'$\\`") {
				return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(v) + `"`
			}
			return v
		})
	case "github":
		line("%s=%s", func(v string) string { return v })
	case "gitlab":
		b.WriteString("variables:\n")
		// In GitLab variables "$" begins a reference; "$$" is one dollar.
		line("  %s: %s", func(v string) string { return strconv.Quote(strings.ReplaceAll(v, "$", "$$")) })
	case "docker":
		line("ENV %s=%s", func(v string) string {
			return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`).Replace(v) + `"`
		})
	case "json":
		if settings == nil {
			settings = []Setting{}
		}
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err := enc.Encode(settings)
		return b.String(), err
	default:
		return "", &mirror.Problem{
			Kind: mirror.ErrInvalid, What: "unknown format " + strconv.Quote(format), Do: "use one of " + strings.Join(Formats(), ", "),
		}
	}
	return b.String(), nil
}
