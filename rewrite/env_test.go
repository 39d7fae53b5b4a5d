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
			[]string{"GOPROXY=http://127.0.0.1:8080/proxy,https://proxy.example|direct"}, nil},
		"below a path": {rewrite.Environment{Site: mirror.Site{URL: "https://corp.test/git"}, Form: mirror.DotGit, Coverage: some}, []string{"GOPRIVATE=corp.test/git"}, nil},
		"below a path, on a port": {rewrite.Environment{Site: mirror.Site{URL: "https://corp.test:8443/git"}, Coverage: some},
			[]string{"GOPRIVATE=corp.test/git", `git config --global url."https://corp.test:8443/git/".insteadOf https://corp.test/git/`}, nil},
		"an authority of its own": {
			rewrite.Environment{Site: mirror.Site{URL: "https://git.corp.test:8443"}, Coverage: some, Current: vars{"SSL_CERT_FILE": "/etc/my ca.pem"}},
			[]string{"GOPRIVATE=git.corp.test", `git config --global url."https://git.corp.test:8443/".insteadOf https://git.corp.test/`,
				`git config --global http."https://git.corp.test:8443/".sslCAInfo '/etc/my ca.pem'`}, nil},
		"git knows the authority": {
			rewrite.Environment{Site: mirror.Site{URL: "https://127.0.0.1"}, Coverage: some, Current: vars{"SSL_CERT_FILE": "/a", "GIT_SSL_CAINFO": "/a"}},
			[]string{"GOPRIVATE=127.0.0.1"}, nil},
		"ssh only":          {rewrite.Environment{Site: mirror.Site{SSH: "ssh://git@git.corp.test:2222", URL: "https://git.corp.test"}, Form: mirror.DotGit, SSH: true, Coverage: some}, []string{"GOPRIVATE=git.corp.test", `git config --global url."ssh://git@git.corp.test:2222/".insteadOf https://git.corp.test/`}, nil},
		"ssh that is off":   {rewrite.Environment{Site: mirror.Site{URL: "http://git.corp.test"}, SSH: true, Coverage: some}, []string{"GOPRIVATE=git.corp.test"}, []string{"!no ssh address"}},
		"proxy without one": {rewrite.Environment{Site: mirror.Site{SSH: "ssh://git@git.corp.test"}, Mode: rewrite.GOPROXY, Coverage: some}, nil, []string{"!no http address"}},
		"sealed proxy without sums": {rewrite.Environment{Site: local, Mode: rewrite.GOPROXY, Sealed: true, NoSumDB: true, Coverage: some},
			[]string{"GOPROXY=http://127.0.0.1:8080/proxy"}, []string{"no checksum database"}},
		"every spelling": {rewrite.Environment{Site: local, Mode: rewrite.InsteadOf, Spellings: true, Coverage: rewrite.Coverage{Modules: 1, Mirrored: 1, Patterns: []string{"github.com/o/a"}}},
			[]string{"GONOPROXY=github.com/o/a", `git config --global url."http://127.0.0.1:8080/github.com/o/a".insteadOf https://github.com/o/a`,
				`git config --global --add url."http://127.0.0.1:8080/github.com/o/a".insteadOf http://github.com/o/a`,
				`git config --global --add url."http://127.0.0.1:8080/github.com/o/a".insteadOf git://github.com/o/a`,
				`git config --global --add url."http://127.0.0.1:8080/github.com/o/a".insteadOf ssh://git@github.com/o/a`,
				`git config --global --add url."http://127.0.0.1:8080/github.com/o/a".insteadOf git@github.com:o/a`}, nil},
		"a neighbour that is not mirrored": {
			rewrite.Environment{Site: local, Mode: rewrite.InsteadOf, Coverage: rewrite.Coverage{Modules: 2, Mirrored: 1, Patterns: []string{"github.com/o/a"},
				Unmirrored: []string{"github.com/o/ab", "github.com/o/ab/v2"}, Missing: gaps.Missing}},
			[]string{"GONOPROXY=github.com/o/a", `git config --global url."http://127.0.0.1:8080/github.com/o/a".insteadOf https://github.com/o/a`,
				`git config --global url."https://github.com/o/ab".insteadOf https://github.com/o/ab`}, nil},
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
		"https://git.corp.test:8443": mirror.DotGit, "http://git.corp.test": mirror.DotGit, "https://git.corp.test/mirror": mirror.Discovery,
		"https://git.corp.test:8443/mirror": mirror.DotGit,
	} {
		if got := rewrite.SiteForm(mirror.Site{URL: site}); got != want {
			t.Errorf("SiteForm(%q) = %q, want %q", site, got, want)
		}
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
