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
	return []string{"sh", "fish", "powershell", "dotenv", "github", "gitlab", "docker", "goland", "vscode", "json", "commands"}
}

// Variables are the settings as environment variables; git settings become
// GIT_CONFIG_KEY_n and VALUE_n behind those that current counts. What of them
// current has already is left out, so that doing it twice changes nothing.
func Variables(settings []Setting, current map[string]string) []Setting {
	count, err := strconv.Atoi(current["GIT_CONFIG_COUNT"])
	if err != nil || count < 0 {
		count = 0
	}
	has := map[[2]string]bool{}
	for i := range min(count, 10_000) { // git itself stops at what is missing
		n := strconv.Itoa(i)
		has[[2]string{current["GIT_CONFIG_KEY_"+n], current["GIT_CONFIG_VALUE_"+n]}] = true
	}
	n := count
	var plain, git []Setting
	for _, s := range settings {
		if !s.Git {
			plain = append(plain, s)
			continue
		}
		if has[[2]string{s.Name, s.Value}] {
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
// environment they are added to; a container, a GitLab job and an editor begin with none.
func Format(settings []Setting, format string, current map[string]string) (string, error) {
	if format == "gitlab" || format == "docker" || format == "goland" || format == "vscode" {
		current = nil
	}
	for _, s := range settings {
		if err := writable(s, format); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	line := func(pattern string, quote func(string) string) {
		for _, v := range Variables(settings, current) {
			fmt.Fprintf(&b, pattern+"\n", v.Name, quote(v.Value))
		}
	}
	switch format {
	case "sh", "":
		line("export %s=%s", quoteShell)
	case "fish":
		line("set -gx %s %s", quoteFish)
	case "powershell":
		line("$env:%s = %s", quotePowerShell)
	case "dotenv":
		line("%s=%s", quoteDotenv)
	case "github":
		for _, v := range Variables(settings, current) {
			b.WriteString(githubLine(v.Name, v.Value))
		}
	case "gitlab":
		b.WriteString("variables:\n")
		line("  %s: %s", quoteGitLab)
	case "docker":
		line("ENV %s=%s", quoteDocker)
	case "goland":
		var words []string
		for _, v := range Variables(settings, current) {
			words = append(words, v.Name+"="+v.Value)
		}
		b.WriteString(strings.Join(words, ";") + "\n")
	case "vscode":
		return formatVSCode(Variables(settings, current))
	case "commands":
		for _, s := range settings {
			b.WriteString(s.Command() + "\n")
		}
	case "json":
		if settings == nil {
			settings = []Setting{}
		}
		return indented(settings)
	default:
		return "", &mirror.Problem{
			Kind: mirror.ErrInvalid, What: "unknown format " + strconv.Quote(format), Do: "use one of " + strings.Join(Formats(), ", "),
		}
	}
	return b.String(), nil
}

// formatVSCode is what belongs into settings.json: the variables of the Go tools,
// and of the terminal of each system.
func formatVSCode(variables []Setting) (string, error) {
	set := make(map[string]string, len(variables))
	for _, v := range variables {
		set[v.Name] = v.Value
	}
	return indented(struct {
		Tools   map[string]string `json:"go.toolsEnvVars"`
		Linux   map[string]string `json:"terminal.integrated.env.linux"`
		MacOS   map[string]string `json:"terminal.integrated.env.osx"`
		Windows map[string]string `json:"terminal.integrated.env.windows"`
	}{set, set, set, set})
}

func indented(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.String(), err
}

// writable refuses a value that a format has no way to write.
func writable(s Setting, format string) error {
	bad := ""
	switch breaks := strings.ContainsAny(s.Value, "\r\n"); {
	case strings.ContainsRune(s.Value, 0), breaks && (format == "docker" || format == "dotenv" || format == "commands" || format == "goland"):
		bad = "a line break"
	case format == "goland" && strings.Contains(s.Value, ";"):
		bad = "a semicolon"
	case format == "vscode" && strings.Contains(s.Value, "${"):
		bad = "${"
	}
	if bad == "" {
		return nil
	}
	return &mirror.Problem{
		Code: CodeSettings, Kind: mirror.ErrInvalid, What: "the value of " + s.Name + " holds " + bad + ", which --format " + format + " cannot write",
		Do: "mend the present value of " + s.Name,
	}
}

// quoteShell is one word of a POSIX shell: nothing has a meaning in '…'.
func quoteShell(v string) string { return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'" }

// quoteFish: in '…' of fish only \\ and \' are special.
func quoteFish(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(v) + "'"
}

// quotePowerShell: in '…' a quote is doubled, and to PowerShell the typographic
// ones are quotes, too.
func quotePowerShell(v string) string {
	return "'" + strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(v) + "'"
}

// quoteDotenv writes what readers of .env files and shells take alike.
func quoteDotenv(v string) string {
	switch {
	case !strings.ContainsAny(v, " \t#\"'$\\`;&|<>()*?[]!~{}"):
		return v
	case !strings.Contains(v, "'"):
		return "'" + v + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(v) + `"`
}

// githubLine is an entry of the file $GITHUB_ENV. A value of several lines
// stands between two delimiters that are not in it.
func githubLine(name, v string) string {
	if !strings.ContainsAny(v, "\r\n") {
		return name + "=" + v + "\n"
	}
	end := "GITMIRROR_END"
	for strings.Contains(v, end) {
		end += "_"
	}
	return name + "<<" + end + "\n" + v + "\n" + end + "\n"
}

// quoteGitLab is a YAML string. In GitLab's variables "$" begins a reference;
// "$$" is one dollar.
func quoteGitLab(v string) string { return quoteYAML(strings.ReplaceAll(v, "$", "$$")) }

// quoteYAML is a double-quoted YAML string: the escapes of Go are a subset of
// its own, but for the byte \x.. of invalid UTF-8, which is replaced.
func quoteYAML(v string) string { return strconv.Quote(strings.ToValidUTF8(v, "\uFFFD")) }

// quoteDocker: in "…" of a Dockerfile \ escapes ", $ and itself.
func quoteDocker(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`).Replace(v) + `"`
}
