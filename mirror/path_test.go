package mirror_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestParsePath(t *testing.T) {
	good := map[string]mirror.Path{
		"github.com/spf13/cobra":      "github.com/spf13/cobra",
		"github.com/spf13/cobra.git":  "github.com/spf13/cobra",
		"github.com/spf13/cobra/":     "github.com/spf13/cobra",
		"GitHub.com/BurntSushi/toml":  "github.com/BurntSushi/toml",
		"GITHUB.com./a/b":             "github.com/a/b",
		"ＧＩＴＨＵＢ.com/a/b":              "github.com/a/b",
		"golang.org/x/mod":            "golang.org/x/mod",
		"go.uber.org/zap":             "go.uber.org/zap",
		"gopkg.in/yaml.v3":            "gopkg.in/yaml.v3",
		"git.sr.ht/~user/repo":        "git.sr.ht/~user/repo",
		"127.0.0.1/github.com/a/b":    "127.0.0.1/github.com/a/b",
		"example.org/c++/lib_x-1.2.3": "example.org/c++/lib_x-1.2.3",
	}
	for text, want := range good {
		if got, err := mirror.ParsePath(text); got != want || err != nil {
			t.Errorf("ParsePath(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	bad := []string{
		"", "/", "github.com", "github.com/", "localhost/a", "a/b", "/github.com/a/b", "github.com//b",
		"github.com/../etc", "github.com/a/..", "github.com/a/%2e%2e", "github.com/a/.git/hooks", "github.com/a/.git",
		"github.com/-x/y", "github.com/a/-x", "github.com/a/con", "github.com/a/NUL.txt", "github.com/a/name.lock",
		"github.com/a/b ", " github.com/a/b", "github.com/a/b\n", "github.com/a/b\x00", "github.com/a/b\\c", "github.com/a\tb",
		"github.com/a/b?x", "github.com/a/b;id", "github.com/a/$(id)", "github.com/a/`id`", "github.com/a/'", "github.com/a/b:c",
		"0x7f.1/a/b", "2130706433.1/a/b", "0177.0.0.1/a", "[::1]/a/b", "github.com:443/a/b", "-x.com/a", "x-.com/a",
		"github.com/a/é", "github.com/a/b.git.git.", "github.com/" + strings.Repeat("a/", 300) + "b", "github.com/" + strings.Repeat("a", 600),
	}
	for _, text := range bad {
		if got, err := mirror.ParsePath(text); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("ParsePath(%q) = %q, %v, want ErrInvalid", text, got, err)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("github.com/spf13/cobra.git")
	f.Add("ＧＩＴＨＵＢ.com/a/b/")
	f.Fuzz(func(t *testing.T, text string) {
		path, err := mirror.ParsePath(text)
		if err != nil {
			return
		}
		again, err := mirror.ParsePath(string(path))
		if err != nil || again != path {
			t.Errorf("ParsePath(%q) = %q, and that parses to %q, %v", text, path, again, err)
		}
		for e := range strings.SplitSeq(string(path), "/") {
			if e == "" || e[0] == '.' || e[0] == '-' {
				t.Errorf("ParsePath(%q) = %q has the element %q", text, path, e)
			}
		}
	})
}

func TestParseUpstream(t *testing.T) {
	good := map[string]string{
		"https://github.com/spf13/cobra":          "https://github.com/spf13/cobra",
		"https://GitHub.com:443/spf13/cobra.git/": "https://github.com/spf13/cobra.git",
		"http://127.0.0.1:8080/a/b.git":           "http://127.0.0.1:8080/a/b.git",
		"http://[::1]:8080/a":                     "http://[::1]:8080/a",
		"ssh://git@example.org:2222/a/b":          "ssh://git@example.org:2222/a/b",
		"ssh://example.org/a/b":                   "ssh://git@example.org/a/b",
		"git@github.com:spf13/cobra.git":          "ssh://git@github.com/spf13/cobra.git",
		"HTTPS://example.org/a":                   "https://example.org/a",
	}
	for text, want := range good {
		up, cred, err := mirror.ParseUpstream(text)
		if up.String() != want || cred != nil || err != nil {
			t.Errorf("ParseUpstream(%q) = %q, %v, %v, want %q", text, up, cred, err, want)
			continue
		}
		if again, _, err := mirror.ParseUpstream(up.String()); again != up || err != nil {
			t.Errorf("ParseUpstream(%q) = %+v, %v, want what it was printed from: %+v", up, again, err, up)
		}
	}
	// HOSTILE A01–A07, A11–A15: nothing of this may reach git or a resolver.
	bad := []string{
		"", "ext::sh -c id", "ext::sh", "--upload-pack=touch p", "git@-oProxyCommand=id:x", "ssh://-oProxyCommand=id/x",
		"file:///etc", "/etc", "./x", `C:\x`, `\\srv\x`, "git://github.com/a/b", "fd::17", "ftp://x.org/a", "javascript:alert(1)",
		"https://github.com/a b", "https://github.com/a\r\nb", "https://github.com/a\x00", "https://github.com/a%2e%2e/b",
		"https://github.com%2f@evil.org/x", "https://github.com@evil.org/x", `https://github.com\@evil.org/`, "https://user:@evil.org/x",
		"http://0x7f.1/a", "http://2130706433.1/a", "http://0177.0.0.1/a", "http://2130706433/a", "http://[fe80::1%25eth0]/a",
		"https://github.com/a/../../etc", "https://github.com/a/.git/hooks", "https://github.com/-x", "https://github.com", "https://github.com/",
		"https://github.com/a?x=1", "https://github.com/a#b", "https://github.com:0/a", "https://github.com:99999/a", "https:///a/b", "https://:443/a",
		"ssh://git:secret@example.org/a", "htps://github.com/a/b", "https://github.com/" + strings.Repeat("a", 2049), "a@b", "u@h:", "@h:p",
	}
	for _, text := range bad {
		up, _, err := mirror.ParseUpstream(text)
		if !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("ParseUpstream(%q) = %q, %v, want ErrInvalid", text, up, err)
		}
	}
}

func TestParseUpstreamKeepsPasswordsApart(t *testing.T) {
	for text, user := range map[string]string{
		"https://robot:s3cr3t@github.com/a/b": "robot",
		"https://s3cr3t@github.com/a/b":       "x-access-token",
	} {
		up, cred, err := mirror.ParseUpstream(text)
		if err != nil || cred == nil || cred.User != user || cred.Secret.Reveal() != "s3cr3t" || cred.Host != "github.com" {
			t.Fatalf("ParseUpstream(%q) = %v, %+v, %v, want the user %q and the password apart", text, up, cred, err, user)
		}
		if up.String() != "https://github.com/a/b" {
			t.Errorf("ParseUpstream(%q) prints as %q", text, up)
		}
	}
	_, _, err := mirror.ParseUpstream("ftp://robot:s3cr3t@github.com/a/b")
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("the refusal of a URL with a password reads %q, want it without the password", err)
	}
}

func TestParseMapping(t *testing.T) {
	for text, want := range map[string][2]string{
		"https://github.com/spf13/cobra":                   {"github.com/spf13/cobra", "https://github.com/spf13/cobra"},
		" https://github.com/spf13/cobra.git\n":            {"github.com/spf13/cobra", "https://github.com/spf13/cobra"},
		"https://github.com/spf13/cobra/tree/main/doc":     {"github.com/spf13/cobra", "https://github.com/spf13/cobra"},
		"git@github.com:spf13/cobra.git":                   {"github.com/spf13/cobra", "https://github.com/spf13/cobra"},
		"ssh://git@github.com/spf13/cobra":                 {"github.com/spf13/cobra", "https://github.com/spf13/cobra"},
		"github.com/spf13/cobra":                           {"github.com/spf13/cobra", "https://github.com/spf13/cobra"},
		"git@git.corp.test:team/tool.git":                  {"git.corp.test/team/tool", "ssh://git@git.corp.test/team/tool.git"},
		"https://gitlab.example.org/group/sub/project.git": {"gitlab.example.org/group/sub/project", "https://gitlab.example.org/group/sub/project.git"},
	} {
		path, up, cred, err := mirror.ParseMapping(text)
		if string(path) != want[0] || up.String() != want[1] || cred != nil || err != nil {
			t.Errorf("ParseMapping(%q) = %q, %q, %v, %v, want %q", text, path, up, cred, err, want)
		}
	}
	// Upstreams that give no path say what to type.
	for text, do := range map[string]string{
		"http://localhost:3000/team/tool": "--upstream http://localhost:3000/team/tool",
		"git@forge:team/tool.git":         "--upstream ssh://git@forge/team/tool.git",
		"http://[::1]/team/tool":          "--upstream http://[::1]/team/tool",
	} {
		_, _, _, err := mirror.ParseMapping(text)
		if p := mirror.AsProblem(err); !errors.Is(err, mirror.ErrInvalid) || !strings.HasSuffix(p.Do, do) {
			t.Errorf("ParseMapping(%q) = %v, do %q, want %q", text, err, p.Do, do)
		}
	}
}

func FuzzParseUpstream(f *testing.F) {
	f.Add("https://u:p@github.com:8443/a/b.git")
	f.Add("git@host:~x/y")
	f.Fuzz(func(t *testing.T, text string) {
		up, cred, err := mirror.ParseUpstream(text)
		if err != nil {
			return
		}
		again, _, err := mirror.ParseUpstream(up.String())
		if err != nil || again != up {
			t.Errorf("ParseUpstream(%q) = %+v, which prints as %q and parses to %+v, %v", text, up, up, again, err)
		}
		if cred != nil && len(cred.Secret) > 8 && strings.Contains(up.String(), cred.Secret.Reveal()) && !strings.Contains(up.Host+up.Path, cred.Secret.Reveal()) {
			t.Errorf("ParseUpstream(%q) prints the password", text)
		}
		if strings.HasPrefix(up.Host, "-") || strings.HasPrefix(up.User, "-") {
			t.Errorf("ParseUpstream(%q) = %+v could be read as an option", text, up)
		}
	})
}
