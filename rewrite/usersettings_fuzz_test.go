package rewrite_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/rewrite"
)

// Whatever stands in a settings file of a user, setting and unsetting gives it
// back, and a file with broken marks of ours does no harm.
func FuzzUserSettings(f *testing.F) {
	for _, seed := range []string{"", "GOPROXY=a\n", "GOPRIVATE=x\r\nGOPROXY=y", "[url \"a\"]\n\tinsteadOf = b", "# gitmirror: end\n[x]\n", "# gitmirror set A=b; it was not set\nA=b\n", "\n\n[core", "GOPROXY=off\nGOPROXY=off\n"} {
		f.Add([]byte(seed))
	}
	f.Add(rewrite.SetGoEnv(nil, userSettings()))
	f.Add(rewrite.SetGitConfig([]byte("[a]"), userSettings()))
	f.Fuzz(func(t *testing.T, before []byte) {
		goEnv, _ := rewrite.UnsetGoEnv(bytes.Clone(before))
		gitConfig := rewrite.UnsetGitConfig(bytes.Clone(before))
		rewrite.OwnGitSettings(before)
		if strings.Contains(string(before), "gitmirror") {
			return // marks of ours, whole or broken: they may mean anything
		}
		if !bytes.Equal(goEnv, before) || !bytes.Equal(gitConfig, before) {
			t.Errorf("Unset(%q) = %q, %q, want no change", before, goEnv, gitConfig)
		}
		if got, _ := rewrite.UnsetGoEnv(rewrite.SetGoEnv(bytes.Clone(before), userSettings())); !bytes.Equal(got, before) {
			t.Errorf("UnsetGoEnv(SetGoEnv(%q)) = %q", before, got)
		}
		if got := rewrite.UnsetGitConfig(rewrite.SetGitConfig(bytes.Clone(before), userSettings())); !bytes.Equal(got, before) {
			t.Errorf("UnsetGitConfig(SetGitConfig(%q)) = %q", before, got)
		}
	})
}
