package rewrite_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// nasty are values with everything that means something to a shell.
var nasty = []string{"plain", "two words", `it's "quoted"`, `$HOME ${HOME} $(id) ` + "`id`", `back\slash\`, "#no; comment & | < > * ?", "‘typographic’ ‚quotes‛", "tab\there", "ünï", "a=b", "!history", "-dash", "%PATH%", "{a,b} [c] ~"}

func nastySettings() (settings []rewrite.Setting) {
	for i, v := range nasty {
		settings = append(settings, rewrite.Setting{Name: "GITMIRROR_TEST_" + string(rune('A'+i)), Value: v})
	}
	return append(settings, rewrite.Setting{Name: "url.http://127.0.0.1:8080/a b/.insteadOf", Value: "https://127.0.0.1/'x'/", Git: true})
}

// Shells read back what was meant, and so does git.
func TestFormatIsReadByRealShells(t *testing.T) {
	settings := nastySettings()
	for shell, format := range map[string]string{"sh": "sh", "bash": "sh", "fish": "fish", "zsh": "sh"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("there is no %s here", shell)
			continue
		}
		text, err := rewrite.Format(settings, format, map[string]string{"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.editor", "GIT_CONFIG_VALUE_0": "true"})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "settings")
		if err := os.WriteFile(file, []byte(text+"env -0\ngit config --get-urlmatch url.insteadOf x 2>/dev/null; git config --list -z\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, file)
		cmd.Env = gittest.Env(t.TempDir(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.editor", "GIT_CONFIG_VALUE_0=true")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", shell, err, out)
		}
		got := strings.Split(string(out), "\x00")
		for _, s := range settings[:len(nasty)] {
			if !slices.Contains(got, s.Name+"="+s.Value) {
				t.Errorf("%s did not read %s=%q", shell, s.Name, s.Value)
			}
		}
		if want := "url.http://127.0.0.1:8080/a b/.insteadof\nhttps://127.0.0.1/'x'/"; !slices.Contains(got, want) {
			t.Errorf("git under %s did not read %q of\n%q", shell, want, got)
		}
	}
}

// unPowerShell reads "$env:NAME = 'value'" lines as PowerShell's grammar has
// it: in a verbatim string two quotes of any kind are one.
func unPowerShell(t *testing.T, text string) map[string]string {
	all := map[string]string{}
	rest := []rune(text)
	quote := func(r rune) bool { return r == '\'' || r >= '\u2018' && r <= '\u201b' }
	for len(rest) > 0 {
		name, after, ok := strings.Cut(string(rest), " = ")
		name, isEnv := strings.CutPrefix(name, "$env:")
		rest = []rune(after)
		if !ok || !isEnv || len(rest) == 0 || !quote(rest[0]) {
			t.Fatalf("PowerShell cannot read %q", string(rest))
		}
		var value []rune
		i := 1
		for ; ; i++ {
			if i >= len(rest) {
				t.Fatalf("the string of %s has no end", name)
			}
			if quote(rest[i]) {
				if i+1 < len(rest) && quote(rest[i+1]) {
					i++
				} else {
					break
				}
			}
			value = append(value, rest[i])
		}
		all[name] = string(value)
		if i+1 >= len(rest) || rest[i+1] != '\n' {
			t.Fatalf("behind the string of %s stands %q", name, string(rest[i+1:]))
		}
		rest = rest[i+2:]
	}
	return all
}

// unDocker reads ENV lines as the Dockerfile reference has it.
func unDocker(t *testing.T, text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "ENV ")
		name, quoted, ok2 := strings.Cut(line, "=")
		if !ok || !ok2 || len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
			t.Fatalf("Docker cannot read %q", line)
		}
		var b strings.Builder
		inner := quoted[1 : len(quoted)-1]
		for i := 0; i < len(inner); i++ {
			switch {
			case inner[i] == '\\' && i+1 < len(inner) && strings.IndexByte(`"$\`, inner[i+1]) >= 0:
				i++
			case inner[i] == '"' || inner[i] == '$':
				t.Fatalf("Docker gives %q in %q a meaning", inner[i], line)
			}
			b.WriteByte(inner[i])
		}
		all[name] = b.String()
	}
	return all
}

func TestFormatIsReadByOthers(t *testing.T) {
	settings := nastySettings()
	want := map[string]string{}
	for _, v := range rewrite.Variables(settings, nil) {
		want[v.Name] = v.Value
	}
	read := map[string]func(*testing.T, string) map[string]string{
		"powershell": unPowerShell,
		"docker":     unDocker,
		"gitlab": func(t *testing.T, text string) map[string]string {
			all := map[string]string{}
			for name, v := range parseYAML(t, text)["variables"].(map[string]any) {
				all[name] = strings.ReplaceAll(v.(string), "$$", "$")
			}
			return all
		},
		"github": unGitHub,
		"json": func(t *testing.T, text string) map[string]string {
			var list []rewrite.Setting
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				t.Fatal(err)
			}
			all := map[string]string{}
			for _, v := range rewrite.Variables(list, nil) {
				all[v.Name] = v.Value
			}
			return all
		},
		"vscode": func(t *testing.T, text string) map[string]string {
			var settings map[string]map[string]string
			if err := json.Unmarshal([]byte(text), &settings); err != nil {
				t.Fatal(err)
			}
			return settings["go.toolsEnvVars"]
		},
		"dotenv": func(t *testing.T, text string) map[string]string { // a shell reads such a file, too
			file := filepath.Join(t.TempDir(), "env")
			if err := os.WriteFile(file, []byte("set -a\n"+text+"env -0\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("sh", file).Output()
			if err != nil {
				t.Fatal(err)
			}
			all := map[string]string{}
			for pair := range strings.SplitSeq(string(out), "\x00") {
				name, value, _ := strings.Cut(pair, "=")
				all[name] = value
			}
			return all
		},
	}
	for format, reader := range read {
		t.Run(format, func(t *testing.T) {
			want, settings := maps.Clone(want), slices.Clone(settings)
			if format == "vscode" { // has no way to write ${
				settings[3].Value, want[settings[3].Name] = "$HOME $(id)", "$HOME $(id)"
			}
			text, err := rewrite.Format(settings, format, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := reader(t, text)
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s = %q, want %q, of\n%s", name, got[name], value, text)
				}
			}
		})
	}
}

// unGitHub reads the file $GITHUB_ENV as a runner does.
func unGitHub(t *testing.T, text string) map[string]string {
	all := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		equals, here := strings.Index(lines[i], "="), strings.Index(lines[i], "<<")
		if here >= 0 && (equals < 0 || here < equals) {
			name, end := lines[i][:here], lines[i][here+2:]
			var value []string
			for i++; i < len(lines) && lines[i] != end; i++ {
				value = append(value, lines[i])
			}
			if i == len(lines) {
				t.Fatalf("%s has no end", name)
			}
			all[name] = strings.Join(value, "\n")
			continue
		}
		if equals < 0 {
			t.Fatalf("a runner cannot read %q", lines[i])
		}
		all[lines[i][:equals]] = lines[i][equals+1:]
	}
	return all
}

func TestFormatOfSeveralLines(t *testing.T) {
	value := "a\nGITMIRROR_END\nB=c"
	settings := []rewrite.Setting{{Name: "GOPRIVATE", Value: value}, {Name: "GOPROXY", Value: "off"}}
	text, err := rewrite.Format(settings, "github", nil)
	if got := unGitHub(t, text); err != nil || len(got) != 2 || got["GOPRIVATE"] != value {
		t.Errorf("Format(github) = %q, %v, want both read back", got, err)
	}
	for _, format := range []string{"docker", "dotenv", "commands"} {
		if text, err := rewrite.Format(settings, format, nil); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("Format(%s) = %q, %v, want ErrInvalid", format, text, err)
		}
	}
}

// Setting what is set already adds nothing; a job or an image begins at zero.
func TestFormatAddsToWhatIsThere(t *testing.T) {
	settings := []rewrite.Setting{{Name: "url.http://m/.insteadOf", Value: "https://m/", Git: true}}
	current := map[string]string{"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_1": "url.http://m/.insteadOf", "GIT_CONFIG_VALUE_1": "https://m/"}
	if got, err := rewrite.Format(settings, "sh", current); err != nil || got != "" {
		t.Errorf("Format(sh) = %q, %v, want nothing", got, err)
	}
	delete(current, "GIT_CONFIG_KEY_1")
	want := "export GIT_CONFIG_COUNT='3'\nexport GIT_CONFIG_KEY_2='url.http://m/.insteadOf'\nexport GIT_CONFIG_VALUE_2='https://m/'\n"
	if got, err := rewrite.Format(settings, "sh", current); err != nil || got != want {
		t.Errorf("Format(sh) = %q, %v, want %q", got, err, want)
	}
	want = "ENV GIT_CONFIG_COUNT=\"1\"\nENV GIT_CONFIG_KEY_0=\"url.http://m/.insteadOf\"\nENV GIT_CONFIG_VALUE_0=\"https://m/\"\n"
	if got, err := rewrite.Format(settings, "docker", current); err != nil || got != want {
		t.Errorf("Format(docker) = %q, %v, want %q", got, err, want)
	}
	want = "git config --global url.\"http://m/\".insteadOf https://m/\n"
	if got, err := rewrite.Format(settings, "commands", current); err != nil || got != want {
		t.Errorf("Format(commands) = %q, %v, want %q", got, err, want)
	}
	if _, err := rewrite.Format(settings, "csh", nil); !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Format(csh) = %v, want ErrInvalid", err)
	}
}

func parseYAML(t *testing.T, text string) map[string]any {
	t.Helper()
	all, err := yaml.Parser().Unmarshal([]byte(text))
	if err != nil {
		t.Fatalf("not YAML: %v\n%s", err, text)
	}
	return all
}

// An editor reads "NAME=value;NAME=value", and nothing else between semicolons.
func TestFormatForGoLand(t *testing.T) {
	settings := []rewrite.Setting{{Name: "GOPROXY", Value: "http://127.0.0.1:8080/proxy,direct"}, {Name: "url.http://a/.insteadOf", Value: "https://a/", Git: true}}
	want := "GOPROXY=http://127.0.0.1:8080/proxy,direct;GIT_CONFIG_COUNT=1;GIT_CONFIG_KEY_0=url.http://a/.insteadOf;GIT_CONFIG_VALUE_0=https://a/\n"
	if got, err := rewrite.Format(settings, "goland", map[string]string{"GIT_CONFIG_COUNT": "3"}); got != want || err != nil {
		t.Errorf("Format() = %q, %v, want %q", got, err, want)
	}
	for format, value := range map[string]string{"goland": "a;b", "vscode": "${HOME}"} {
		if _, err := rewrite.Format([]rewrite.Setting{{Name: "GOFLAGS", Value: value}}, format, nil); mirror.AsProblem(err).Code != rewrite.CodeSettings {
			t.Errorf("Format(%q, %s) = %v, want %s", value, format, err, rewrite.CodeSettings)
		}
	}
}
