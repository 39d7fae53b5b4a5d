package rewrite_test

import (
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

func TestConflicts(t *testing.T) {
	some := rewrite.Coverage{Modules: 1, Mirrored: 1, Patterns: []string{"github.com/o/a"}}
	local := mirror.Site{URL: "http://127.0.0.1:8080", SSH: "ssh://git@127.0.0.1:2222"}
	type vars = map[string]string
	for name, c := range map[string]struct {
		env  rewrite.Environment
		file bool
		want string // part of what the only conflict says, with its cure; "" = none
	}{
		"none":                 {rewrite.Environment{Site: local, Current: vars{"GOFLAGS": "-trimpath -mod=readonly"}}, true, ""},
		"the environment wins": {rewrite.Environment{Site: local, Shell: vars{"GOPRIVATE": "x.example"}}, true, "take GOPRIVATE out of the shell's start-up files"},
		"it is what we set":    {rewrite.Environment{Site: local, Shell: vars{"GOPRIVATE": "127.0.0.1"}}, true, ""},
		"no file is written":   {rewrite.Environment{Site: local, Shell: vars{"GOPRIVATE": "x.example"}}, false, ""},
		"-mod=mod":             {rewrite.Environment{Site: local, Current: vars{"GOFLAGS": "-v -mod=mod"}}, false, "GOFLAGS has -mod=mod"},
		"--mod=mod":            {rewrite.Environment{Site: local, Current: vars{"GOFLAGS": "--mod=mod"}}, false, "GOFLAGS has -mod=mod"},
		"-insecure":            {rewrite.Environment{Site: local, Current: vars{"GOFLAGS": "-insecure"}}, false, "GOINSECURE"},
		"-modfile":             {rewrite.Environment{Site: local, Current: vars{"GOFLAGS": "-modfile=/x/go.mod"}}, false, "-modfile=/x/go.mod"},
		"-modfile in a mode that writes none": {
			rewrite.Environment{Site: local, Mode: rewrite.GOPROXY, Current: vars{"GOFLAGS": "-modfile=/x/go.mod"}}, false, ""},
		"GONOSUMCHECK":            {rewrite.Environment{Site: local, Current: vars{"GONOSUMCHECK": "1"}}, false, "GONOSUMDB"},
		"GO111MODULE":             {rewrite.Environment{Site: local, Current: vars{"GO111MODULE": "off"}}, false, "go env -u GO111MODULE"},
		"a bogus count":           {rewrite.Environment{Site: local, Current: vars{"GIT_CONFIG_COUNT": "x"}}, false, "unset GIT_CONFIG_COUNT"},
		"GOVCS":                   {rewrite.Environment{Site: local, Current: vars{"GOVCS": "*:off"}}, false, "set GOVCS=127.0.0.1:git,*:off"},
		"GOVCS for private ones":  {rewrite.Environment{Site: local, Current: vars{"GOVCS": "private:hg"}}, false, "GOVCS=private:hg"},
		"GOVCS for public ones":   {rewrite.Environment{Site: local, Current: vars{"GOVCS": "public:off"}}, false, ""},
		"GOVCS that allows it":    {rewrite.Environment{Site: local, Current: vars{"GOVCS": "127.0.0.1:git,*:off"}}, false, ""},
		"GOVCS without git":       {rewrite.Environment{Site: testSite, Current: vars{"GOVCS": "*:off"}}, false, ""},
		"GOVCS in mode insteadof": {rewrite.Environment{Site: local, Mode: rewrite.InsteadOf, Current: vars{"GOVCS": "github.com:off"}}, false, "github.com/o/a:git"},
		"another insteadOf": {
			rewrite.Environment{Site: local, Git: []rewrite.GitSetting{{Key: "url.https://other.example/.insteadof", Value: "https://127.0.0.1/", Origin: "file:/home/x/.gitconfig"}}},
			false, `/home/x/.gitconfig redirects https://127.0.0.1/ to https://other.example/: git then does not ask http://127.0.0.1:8080/`},
		"a longer one in the environment": {
			rewrite.Environment{Site: local, Git: []rewrite.GitSetting{{Key: "url.git@h:.insteadof", Value: "https://127.0.0.1/github.com/", Origin: "command line:"}}},
			false, "GIT_CONFIG_COUNT of the environment redirects"},
		"a shorter one": {
			rewrite.Environment{Site: local, Mode: rewrite.InsteadOf, Git: []rewrite.GitSetting{{Key: "url.git@github.com:.insteadof", Value: "https://github.com/", Origin: "file:x"}}}, false, ""},
		"our own": {
			rewrite.Environment{Site: local, Git: []rewrite.GitSetting{{Key: "url.http://127.0.0.1:8080/.insteadof", Value: "https://127.0.0.1/", Origin: "file:x"}}}, false, ""},
		"the mirror itself is redirected": {
			rewrite.Environment{Site: testSite, Form: mirror.DotGit, Git: []rewrite.GitSetting{{Key: "url.git@git.corp.test:.insteadof", Value: "https://git.corp.test/", Origin: "file:x"}}},
			false, "redirects https://git.corp.test/"},
		"two trust stores": {
			rewrite.Environment{Site: mirror.Site{URL: "https://git.corp.test:8443"}, Current: vars{"SSL_CERT_FILE": "/a", "GIT_SSL_CAINFO": "/b"}}, false, "let both name one file"},
		"NETRC": {rewrite.Environment{Site: local, Current: vars{"NETRC": "/x"}}, false, "git reads ~/.netrc only"},
	} {
		t.Run(name, func(t *testing.T) {
			c.env.Coverage = some
			settings, _ := c.env.Settings()
			all := c.env.Conflicts(settings, c.file)
			if c.want == "" {
				if len(all) > 0 {
					t.Errorf("Conflicts() = %v, want none", all)
				}
				return
			}
			if len(all) != 1 || !strings.Contains(all[0].Error()+"; "+all[0].Do, c.want) || all[0].Do == "" || all[0].Kind != "" {
				t.Errorf("Conflicts() = %+v, want one with %q and a cure", all, c.want)
			}
		})
	}
}
