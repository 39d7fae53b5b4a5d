package mirror_test

import (
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestSight(t *testing.T) {
	mine := &mirror.Sight{Open: []string{"github.com/acme/*", "git.corp.example/tool"}, Closed: []string{"github.com/acme/*", "github.com/secret/*"}}
	strict := &mirror.Sight{Open: []string{"github.com/Acme/app"}, Strict: true}
	for _, row := range []struct {
		sight   *mirror.Sight
		path    mirror.Path
		private bool
		want    bool
	}{
		{nil, "github.com/secret/x", true, true},
		{&mirror.Sight{}, "github.com/secret/x", true, true},
		{mine, "github.com/acme/app", true, true},
		{mine, "github.com/ACME/sub/app", true, true},
		{mine, "github.com/secret/x", true, false},
		{mine, "github.com/secret/sub/x", true, false},
		{mine, "github.com/secret/x", false, true},
		{mine, "github.com/secretive/x", true, true},
		{mine, "github.com/other/x", true, true},
		{strict, "github.com/acme/app", true, true},
		{strict, "github.com/acme/app2", true, false},
		{strict, "github.com/acme/app2", false, true},
	} {
		if got := row.sight.Sees(row.path, row.private); got != row.want {
			t.Errorf("%+v.Sees(%s, private %t) = %t, want %t", row.sight, row.path, row.private, got, row.want)
		}
	}
}

func TestCheckReach(t *testing.T) {
	for text, want := range map[string]string{
		"*": "*", " github.com/acme/* ": "github.com/acme/*", "GitHub.com/acme/*": "github.com/acme/*", "github.com/*": "github.com/*",
		"gitlab.example/a/b/*": "gitlab.example/a/b/*", "github.com/acme/app.git": "github.com/acme/app",
	} {
		if got, err := mirror.CheckReach(text); got != want || err != nil {
			t.Errorf("CheckReach(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "acme", "acme/*", "**", "github.com/*/x", "github.com/a*", "github.com", "github.com/../*", "github.com/a/*/*"} {
		if got, err := mirror.CheckReach(text); err == nil {
			t.Errorf("CheckReach(%q) = %q, want an error", text, got)
		}
	}
}
