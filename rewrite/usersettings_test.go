package rewrite_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/rewrite"
)

func userSettings() []rewrite.Setting {
	return []rewrite.Setting{
		{Name: "GOPRIVATE", Value: "corp.example,git.corp.test"}, {Name: "GOPROXY", Value: "off"},
		{Name: "url.http://127.0.0.1:8080/.insteadOf", Value: "https://127.0.0.1/", Git: true},
		{Name: "url.http://127.0.0.1:8080/.insteadOf", Value: "http://127.0.0.1/", Git: true, Add: true},
		{Name: "http.https://git.corp.test:8443/.sslCAInfo", Value: `/etc/my "ca".pem`, Git: true},
	}
}

// Whatever was in the two files is there again, to the byte.
func TestUnsetGivesBackTheBytes(t *testing.T) {
	set := userSettings()
	for _, before := range [][]byte{
		nil, {}, []byte("\n"), []byte("GOPRIVATE=x"), []byte("# mine\nGOFLAGS=-v\nGOPRIVATE=corp.example\n"), []byte("GOPRIVATE=x\r\nGOPROXY=direct\r\n"),
		[]byte("GOFLAGS=-v\r\nGOPROXY=direct"), []byte("no setting\n\n\nGOPROXY=a\nGOPROXY=b\n"), []byte("\xef\xbb\xbfGOPROXY=a\n"), []byte("GOPRIVATE=x\r"), []byte("GOFLAGS=-v\nGOPROXY=a\r\nGOPRIVATE=b\n"),
	} {
		after := rewrite.SetGoEnv(bytes.Clone(before), set)
		if again := rewrite.SetGoEnv(bytes.Clone(after), set); !bytes.Equal(again, after) {
			t.Errorf("SetGoEnv() again = %q, want %q", again, after)
		}
		if got, changed := rewrite.UnsetGoEnv(after); !bytes.Equal(got, before) || (got == nil) != (before == nil) || len(changed) > 0 {
			t.Errorf("UnsetGoEnv(SetGoEnv(%q)) = %q, %v", before, got, changed)
		}
		if got, _ := rewrite.UnsetGoEnv(bytes.Clone(before)); !bytes.Equal(got, before) || (got == nil) != (before == nil) {
			t.Errorf("UnsetGoEnv(%q) = %q, want no change", before, got)
		}
	}
	for _, before := range [][]byte{
		nil, {}, []byte("[user]\n\tname = x\n"), []byte("[user]\n\tname = x"), []byte("[user]\r\n\tname = x\r\n"), []byte("[user]\r\n\tname = x"),
		[]byte("# only a comment"), []byte("[a]\r"), []byte("[a]\n[b]\r\n"), []byte("[url \"http://127.0.0.1:8080/\"]\n\tinsteadOf = \"https://127.0.0.1/\"\n"),
	} {
		after := rewrite.SetGitConfig(bytes.Clone(before), set)
		if again := rewrite.SetGitConfig(bytes.Clone(after), set); !bytes.Equal(again, after) {
			t.Errorf("SetGitConfig() again = %q, want %q", again, after)
		}
		if got := rewrite.UnsetGitConfig(after); !bytes.Equal(got, before) || (got == nil) != (before == nil) {
			t.Errorf("UnsetGitConfig(SetGitConfig(%q)) = %q", before, got)
		}
		if got := rewrite.UnsetGitConfig(bytes.Clone(before)); !bytes.Equal(got, before) || (got == nil) != (before == nil) {
			t.Errorf("UnsetGitConfig(%q) = %q, want no change", before, got)
		}
	}
}

// What an earlier run set and this one does not is as it was before.
func TestSetAgainWithLess(t *testing.T) {
	before := []byte("GOPROXY=direct\n")
	after := rewrite.SetGoEnv(rewrite.SetGoEnv(before, userSettings()), []rewrite.Setting{{Name: "GOPRIVATE", Value: "h"}})
	want := "GOPROXY=direct\n# gitmirror set GOPRIVATE=h; it was not set\nGOPRIVATE=h\n"
	if string(after) != want {
		t.Errorf("SetGoEnv() with less = %q, want %q", after, want)
	}
	git := rewrite.SetGitConfig([]byte("[a]\n"), userSettings())
	if got := rewrite.SetGitConfig(git, nil); string(got) != "[a]\n" {
		t.Errorf("SetGitConfig(nothing) = %q, want our block gone", got)
	}
}

// What the user changed meanwhile stays, with the tools people change it by.
func TestUnsetKeepsTheUsersEdits(t *testing.T) {
	home := t.TempDir()
	goFile, gitFile := filepath.Join(home, "env"), filepath.Join(home, "gitconfig")
	write(t, home, map[string]string{"env": "# mine\nGOPRIVATE=corp.example\n", "gitconfig": "[user]\n\tname = x\n"})
	env := gittest.Env(home, "GOENV="+goFile, "GIT_CONFIG_GLOBAL="+gitFile, "GOTOOLCHAIN=local", "GOPATH="+home, "GOCACHE="+home)
	do := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env, cmd.Dir = env, home
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	if err := errors.Join(rewrite.EditFile(goFile, func(b []byte) []byte { return rewrite.SetGoEnv(b, userSettings()) }),
		rewrite.EditFile(gitFile, func(b []byte) []byte { return rewrite.SetGitConfig(b, userSettings()) })); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(gitFile)
	if own := rewrite.OwnGitSettings(text); err != nil || len(own) != 3 || own[1].Value != "http://127.0.0.1/" || own[2].Value != `/etc/my "ca".pem` {
		t.Errorf("OwnGitSettings() = %+v, %v, want our three", own, err)
	}
	do("go", "env", "-w", "GOPROXY=direct", "GOFLAGS=-v")
	do("git", "config", "--global", "user.email", "x@example.com")
	do("git", "config", "--global", "--replace-all", "url.http://127.0.0.1:8080/.insteadOf", "https://mine/", "^http://127")
	do("git", "config", "--global", "core.editor", "true")
	var changed []string
	err = errors.Join(rewrite.EditFile(goFile, func(b []byte) (out []byte) { out, changed = rewrite.UnsetGoEnv(b); return out }),
		rewrite.EditFile(gitFile, rewrite.UnsetGitConfig))
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, home)
	if want := "# mine\nGOPRIVATE=corp.example\nGOFLAGS=-v\nGOPROXY=direct\n"; got["env"] != want || !slices.Equal(changed, []string{"GOPROXY"}) {
		t.Errorf("UnsetGoEnv() = %q, %v, want %q and GOPROXY named", got["env"], changed, want)
	}
	want := "[user]\n\tname = x\n\temail = x@example.com\n[url \"http://127.0.0.1:8080/\"]\n\tinsteadOf = https://mine/\n[core]\n\teditor = true\n"
	if got["gitconfig"] != want {
		t.Errorf("UnsetGitConfig() = %q, want %q", got["gitconfig"], want)
	}
}

// A file that was not there is not there again.
func TestEditFileRemoves(t *testing.T) {
	name := filepath.Join(t.TempDir(), "git", "config")
	if err := rewrite.EditFile(name, func(b []byte) []byte { return rewrite.SetGitConfig(b, userSettings()) }); err != nil {
		t.Fatal(err)
	}
	if err := rewrite.EditFile(name, rewrite.UnsetGitConfig); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat() = %v, want no file", err)
	}
}

func TestFiles(t *testing.T) {
	home := t.TempDir()
	write(t, home, map[string]string{"xdg/git/config": ""})
	for _, c := range []struct {
		vars     map[string]string
		env, git string // below home; "!" = an error that says so
	}{
		{map[string]string{"HOME": home}, ".config/go/env", ".gitconfig"},
		{map[string]string{"HOME": home, "XDG_CONFIG_HOME": home + "/xdg"}, "xdg/go/env", "xdg/git/config"},
		{map[string]string{"HOME": home, "GOENV": home + "/e", "GIT_CONFIG_GLOBAL": home + "/g"}, "e", "g"},
		{map[string]string{"HOME": home, "GOENV": "off"}, "!GOENV=off", ".gitconfig"},
		{map[string]string{}, "!HOME is not set", "!HOME is not set"},
	} {
		f := rewrite.Files{Lookup: func(name string) string { return c.vars[name] }}
		for _, one := range []struct {
			name string
			find func() (string, error)
			want string
		}{{"GoEnv", f.GoEnv, c.env}, {"GitConfig", f.GitConfig, c.git}} {
			got, err := one.find()
			if why, fails := strings.CutPrefix(one.want, "!"); fails != (err != nil) || fails && !strings.Contains(err.Error(), why) || !fails && got != filepath.Join(home, one.want) {
				t.Errorf("%s() with %v = %q, %v, want %s", one.name, c.vars, got, err, one.want)
			}
		}
	}
}
