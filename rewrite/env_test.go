package rewrite_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

func TestSettings(t *testing.T) {
	some := rewrite.Coverage{Modules: 2, Mirrored: 2, Patterns: []string{"github.com/o/a"}, Unreachable: []string{"golang.org/x/mod"}}
	gaps := some
	gaps.Missing = []mirror.ModuleVersion{{Path: "example.org/b", Version: "v1.0.0"}}
	local := mirror.Site{URL: "http://127.0.0.1:8080", SSH: "ssh://git@127.0.0.1:2222"}
	type vars = map[string]string
	for name, c := range map[string]struct {
		env      rewrite.Environment
		want     []string
		problems []string // parts of their text; the ones with a kind begin with "!"
	}{
		"loopback": {rewrite.Environment{Site: local, Coverage: some},
			[]string{"GOPRIVATE=127.0.0.1", `git config --global url."http://127.0.0.1:8080/".insteadOf https://127.0.0.1/`}, nil},
		"loopback by ssh": {rewrite.Environment{Site: local, Coverage: some, SSH: true},
			[]string{"GOPRIVATE=127.0.0.1", `git config --global url."ssh://git@127.0.0.1:2222/".insteadOf https://127.0.0.1/`}, nil},
		"https on another port": {rewrite.Environment{Site: mirror.Site{URL: "https://git.corp.test:8443"}, Coverage: some},
			[]string{"GOPRIVATE=git.corp.test", `git config --global url."https://git.corp.test:8443/".insteadOf https://git.corp.test/`}, nil},
		"dotgit where https is": {rewrite.Environment{Site: testSite, Form: mirror.DotGit, Coverage: some}, []string{"GOPRIVATE=git.corp.test"}, nil},
		"sealed": {rewrite.Environment{Site: testSite, Coverage: some, Sealed: true},
			[]string{"GOPRIVATE=git.corp.test", "GOPROXY=off"}, []string{"GOTOOLCHAIN=local"}},
		"sealed with gaps": {rewrite.Environment{Site: testSite, Coverage: gaps, Sealed: true},
			[]string{"GOPRIVATE=git.corp.test"}, []string{"!example.org/b@v1.0.0"}},
		"sealed, direct only": {rewrite.Environment{Site: testSite, Coverage: rewrite.Coverage{Modules: 1, Mirrored: 1, DirectOnly: true}, Sealed: true},
			[]string{"GOPRIVATE=git.corp.test"}, []string{"!--scope all"}},
		"localhost":  {rewrite.Environment{Site: mirror.Site{URL: "http://localhost:8080"}, Coverage: some}, nil, []string{"!localhost has none"}},
		"IPv6":       {rewrite.Environment{Site: mirror.Site{URL: "http://[::1]:8080"}, Coverage: some}, nil, []string{"!IPv6"}},
		"no modules": {rewrite.Environment{Site: testSite}, nil, nil},
		"discovery on a port": {rewrite.Environment{Site: local, Form: mirror.Discovery, Coverage: some},
			[]string{"GOPRIVATE=127.0.0.1"}, []string{"!--form dotgit"}},
		"added to what is set": {
			rewrite.Environment{Site: testSite, Coverage: some, Current: vars{"GOPRIVATE": "corp.example,*.x.example", "GONOSUMDB": "sum.example", "GONOPROXY": "none"}},
			[]string{"GOPRIVATE=corp.example,*.x.example,git.corp.test", "GONOPROXY=git.corp.test", "GONOSUMDB=sum.example,git.corp.test"}, nil},
		"already covered": {
			rewrite.Environment{Site: testSite, Coverage: some, Current: vars{"GOPRIVATE": "*.corp.test", "GONOSUMDB": "*.corp.test"}},
			[]string{"GOPRIVATE=*.corp.test"}, nil},
		"suffix is no cover": { // corp.test does not match git.corp.test
			rewrite.Environment{Site: testSite, Coverage: some, Current: vars{"GOPRIVATE": "corp.test"}},
			[]string{"GOPRIVATE=corp.test,git.corp.test"}, nil},
		"insteadof with a vanity path": {rewrite.Environment{Site: local, Mode: rewrite.InsteadOf, Coverage: some},
			[]string{"GONOPROXY=github.com/o/a", `git config --global url."http://127.0.0.1:8080/github.com/o/a".insteadOf https://github.com/o/a`},
			[]string{"!golang.org/x/mod"}},
		"proxy": {rewrite.Environment{Site: local, Mode: rewrite.GOPROXY, Coverage: some}, []string{"GOPROXY=http://127.0.0.1:8080/proxy,direct"}, nil},
		"proxy before another": {rewrite.Environment{Site: local, Mode: rewrite.GOPROXY, Coverage: some, Current: vars{"GOPROXY": "https://proxy.example|direct"}},
			[]string{"GOPROXY=http://127.0.0.1:8080/proxy,https://proxy.example,direct"}, nil},
		"proxy gone past": {rewrite.Environment{Site: local, Mode: rewrite.GOPROXY, Sealed: true, Coverage: some, Current: vars{"GOPRIVATE": "github.com"}},
			[]string{"GOPROXY=http://127.0.0.1:8080/proxy"}, []string{"!github.com/o/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			settings, problems := c.env.Settings()
			var got []string
			for _, s := range settings {
				got = append(got, s.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("Settings() = %q, want %q", got, c.want)
			}
			if len(problems) != len(c.problems) {
				t.Fatalf("Settings() problems = %v, want %q", problems, c.problems)
			}
			for i, p := range problems {
				want, failed := strings.CutPrefix(c.problems[i], "!")
				if text := p.Error() + " " + p.Do; !strings.Contains(text, want) || failed != (p.Kind != "") || p.Do == "" {
					t.Errorf("Settings() problem = %+v, want %q", p, c.problems[i])
				}
			}
		})
	}
}

func TestSiteThatCannotBeWritten(t *testing.T) {
	lib, files := pflag(t)
	dir := t.TempDir()
	write(t, dir, files)
	for _, site := range []string{"http://localhost:8080", "https://mirror/", "http://[::1]:8080", "https://-x.example/", ""} {
		_, err := (&rewrite.Planner{Resolver: lib, Site: mirror.Site{URL: site}}).Plan(t.Context(), openRoot(t, dir).FS())
		if p := mirror.AsProblem(err); p == nil || p.Code != rewrite.CodeAddress || p.Do == "" {
			t.Errorf("Plan() for %q = %v, want %s", site, err, rewrite.CodeAddress)
		}
	}
	for site, want := range map[string]mirror.Form{
		"https://git.corp.test": mirror.Discovery, "https://git.corp.test:443/": mirror.Discovery, "https://127.0.0.1": mirror.DotGit,
		"https://git.corp.test:8443": mirror.DotGit, "http://git.corp.test": mirror.DotGit, "https://git.corp.test/mirror": mirror.DotGit,
	} {
		if got := rewrite.SiteForm(mirror.Site{URL: site}); got != want {
			t.Errorf("SiteForm(%q) = %q, want %q", site, got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	settings := []rewrite.Setting{
		{Name: "GOPRIVATE", Value: "it's,$HOME"},
		{Name: "url.http://127.0.0.1:8080/.insteadOf", Value: "https://127.0.0.1/", Git: true},
	}
	current := map[string]string{"GIT_CONFIG_COUNT": "2"}
	for format, want := range map[string]string{
		"sh": "export GOPRIVATE='it'\\''s,$HOME'\nexport GIT_CONFIG_COUNT='3'\n" +
			"export GIT_CONFIG_KEY_2='url.http://127.0.0.1:8080/.insteadOf'\nexport GIT_CONFIG_VALUE_2='https://127.0.0.1/'\n",
		"fish": "set -gx GOPRIVATE 'it\\'s,$HOME'\nset -gx GIT_CONFIG_COUNT '3'\n" +
			"set -gx GIT_CONFIG_KEY_2 'url.http://127.0.0.1:8080/.insteadOf'\nset -gx GIT_CONFIG_VALUE_2 'https://127.0.0.1/'\n",
		"powershell": "$env:GOPRIVATE = 'it''s,$HOME'\n$env:GIT_CONFIG_COUNT = '3'\n" +
			"$env:GIT_CONFIG_KEY_2 = 'url.http://127.0.0.1:8080/.insteadOf'\n$env:GIT_CONFIG_VALUE_2 = 'https://127.0.0.1/'\n",
		"dotenv": "GOPRIVATE=\"it's,\\$HOME\"\nGIT_CONFIG_COUNT=3\nGIT_CONFIG_KEY_2=url.http://127.0.0.1:8080/.insteadOf\nGIT_CONFIG_VALUE_2=https://127.0.0.1/\n",
		"github": "GOPRIVATE=it's,$HOME\nGIT_CONFIG_COUNT=3\nGIT_CONFIG_KEY_2=url.http://127.0.0.1:8080/.insteadOf\nGIT_CONFIG_VALUE_2=https://127.0.0.1/\n",
		"gitlab": "variables:\n  GOPRIVATE: \"it's,$$HOME\"\n  GIT_CONFIG_COUNT: \"3\"\n" +
			"  GIT_CONFIG_KEY_2: \"url.http://127.0.0.1:8080/.insteadOf\"\n  GIT_CONFIG_VALUE_2: \"https://127.0.0.1/\"\n",
		"docker": "ENV GOPRIVATE=\"it's,\\$HOME\"\nENV GIT_CONFIG_COUNT=\"3\"\n" +
			"ENV GIT_CONFIG_KEY_2=\"url.http://127.0.0.1:8080/.insteadOf\"\nENV GIT_CONFIG_VALUE_2=\"https://127.0.0.1/\"\n",
		"json": "[\n  {\n    \"name\": \"GOPRIVATE\",\n    \"value\": \"it's,$HOME\"\n  },\n  {\n    \"name\": \"url.http://127.0.0.1:8080/.insteadOf\",\n" +
			"    \"value\": \"https://127.0.0.1/\",\n    \"git\": true\n  }\n]\n",
	} {
		got, err := rewrite.Format(settings, format, current)
		if err != nil || got != want {
			t.Errorf("Format(%s) = %q, %v, want %q", format, got, err, want)
		}
		if !slices.Contains(rewrite.Formats(), format) {
			t.Errorf("Formats() lacks %s", format)
		}
	}
	if _, err := rewrite.Format(settings, "csh", nil); !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Format(csh) = %v, want ErrInvalid", err)
	}
}

func TestGoEnvFile(t *testing.T) {
	before := "# mine\nGOFLAGS=-mod=mod\nGOPRIVATE=corp.example\n"
	settings := []rewrite.Setting{{Name: "GOPRIVATE", Value: "corp.example,git.corp.test"}, {Name: "GOPROXY", Value: "off"}, {Name: "url.x.insteadOf", Value: "y", Git: true}}
	set := rewrite.SetGoEnv([]byte(before), settings)
	want := "# mine\nGOFLAGS=-mod=mod\n# gitmirror set GOPRIVATE=corp.example,git.corp.test; it was GOPRIVATE=corp.example\nGOPRIVATE=corp.example,git.corp.test\n" +
		"# gitmirror set GOPROXY=off; it was not set\nGOPROXY=off\n"
	if string(set) != want {
		t.Errorf("SetGoEnv() = %q, want %q", set, want)
	}
	if again := rewrite.SetGoEnv(set, settings); string(again) != want {
		t.Errorf("SetGoEnv() again = %q, want no change", again)
	}
	if got, changed := rewrite.UnsetGoEnv(set); string(got) != before || len(changed) > 0 {
		t.Errorf("UnsetGoEnv() = %q, %v, want %q", got, changed, before)
	}
	edited := strings.Replace(string(set), "\nGOPROXY=off", "\nGOPROXY=direct", 1)
	if got, changed := rewrite.UnsetGoEnv([]byte(edited)); string(got) != before+"GOPROXY=direct\n" || !slices.Equal(changed, []string{"GOPROXY"}) {
		t.Errorf("UnsetGoEnv() after an edit = %q, %v, want GOPROXY=direct kept", got, changed)
	}
}

func TestGitConfigFile(t *testing.T) {
	before := "[user]\n\tname = x"
	settings := []rewrite.Setting{{Name: "GOPROXY", Value: "off"}, {Name: "url.http://127.0.0.1:8080/.insteadOf", Value: "https://127.0.0.1/", Git: true}}
	set := rewrite.SetGitConfig([]byte(before), settings)
	want := before + "\n# gitmirror: written by \"gitmirror env --write\", removed by \"gitmirror env --unset\".\n" +
		"[url \"http://127.0.0.1:8080/\"]\n\tinsteadOf = \"https://127.0.0.1/\"\n# gitmirror: end\n"
	if string(set) != want {
		t.Errorf("SetGitConfig() = %q, want %q", set, want)
	}
	if again := rewrite.SetGitConfig(set, settings); string(again) != want {
		t.Errorf("SetGitConfig() again = %q, want no change", again)
	}
	if got := rewrite.UnsetGitConfig(append(set, "[core]\n"...)); string(got) != before+"\n[core]\n" {
		t.Errorf("UnsetGitConfig() = %q, want only our block gone", got)
	}
	lost := strings.Replace(want, "# gitmirror: end\n", "[core]\n[url \"mine\"]\n\tinsteadOf = x\n", 1)
	if got := rewrite.UnsetGitConfig([]byte(lost)); !strings.HasSuffix(string(got), "[core]\n[url \"mine\"]\n\tinsteadOf = x\n") {
		t.Errorf("UnsetGitConfig() without our end = %q, want the user's section kept", got)
	}
}

func TestEditFile(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "dotfiles", "gitconfig"), filepath.Join(dir, ".gitconfig")
	write(t, dir, map[string]string{"dotfiles/gitconfig": "[a]\n"})
	if err := errors.Join(os.Chmod(real, 0o600), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	add := func(data []byte) []byte { return append(data, "[b]\n"...) }
	if err := rewrite.EditFile(link, add); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is now %v, %v, want a link still", info.Mode(), err)
	}
	info, err = os.Stat(real)
	if data, _ := os.ReadFile(real); err != nil || string(data) != "[a]\n[b]\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("the file = %q, %v, want both sections and 0600", data, info.Mode())
	}
	if err := rewrite.EditFile(filepath.Join(dir, "new", "go", "env"), add); err != nil {
		t.Errorf("EditFile() of a new file = %v", err)
	}
	if err := rewrite.EditFile(dir, add); mirror.AsProblem(err).Code != rewrite.CodeFiles {
		t.Errorf("EditFile() of a directory = %v, want %s", err, rewrite.CodeFiles)
	}
}
