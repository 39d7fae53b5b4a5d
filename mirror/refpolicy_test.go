package mirror_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestRefPolicyMirrors(t *testing.T) {
	release := mirror.RefPolicy{Include: []string{"refs/heads/main", "refs/heads/release-*", "refs/tags/v*"}, Exclude: []string{"refs/tags/**-rc*"}}
	bots := mirror.RefPolicy{Exclude: []string{"refs/heads/bot/**", "refs/heads/*/tmp"}, Pulls: true}
	for _, c := range []struct {
		policy mirror.RefPolicy
		name   string
		want   bool
	}{
		{mirror.RefPolicy{}, "refs/heads/main", true},
		{mirror.RefPolicy{}, "refs/tags/a/b/c", true},
		{mirror.RefPolicy{}, "refs/pull/1/head", false},
		{mirror.RefPolicy{}, "refs/notes/commits", false},
		{mirror.RefPolicy{}, "refs/gitmirror/kept/x/heads/y", false},
		{mirror.RefPolicy{}, "HEAD", false},
		{release, "refs/heads/main", true},
		{release, "refs/heads/main2", false},
		{release, "refs/heads/release-1", true},
		{release, "refs/heads/release-1/x", false},
		{release, "refs/tags/v1.0.0", true},
		{release, "refs/tags/v1.0.0-rc1", false},
		{release, "refs/tags/x/v1.0.0", false},
		{bots, "refs/heads/bot/a/b", false},
		{bots, "refs/heads/bot", true},
		{bots, "refs/heads/me/tmp", false},
		{bots, "refs/heads/me/x/tmp", true},
		{bots, "refs/pull/17/head", true},
		{bots, "refs/pull/17/merge", false},
		{bots, "refs/pull/x/head", false},
		{bots, "refs/pull//head", false},
		{mirror.RefPolicy{Include: []string{"refs/heads/*a*b/**/c"}}, "refs/heads/xaxbb/1/2/c", true},
		{mirror.RefPolicy{Include: []string{"refs/heads/*a*b/**/c"}}, "refs/heads/xaxbb/c", false},
		{mirror.RefPolicy{Include: []string{"refs/heads/*"}}, "refs/heads/a/b", false},
		{mirror.RefPolicy{Include: []string{"refs/heads/**"}}, "refs/heads/a/b", true},
	} {
		if got := c.policy.Mirrors(c.name); got != c.want {
			t.Errorf("%+v.Mirrors(%q) = %v, want %v", c.policy, c.name, got, c.want)
		}
	}
	// Its time does not grow with the number of ways to match.
	slow := mirror.RefPolicy{Include: []string{"refs/heads/" + strings.Repeat("*a", 60) + "**b"}}
	if slow.Mirrors("refs/heads/" + strings.Repeat("a", 900)) {
		t.Errorf("Mirrors of a name without b = true, want false")
	}
}

func FuzzRefPolicyMirrors(f *testing.F) {
	f.Add("refs/heads/*a**b*/c", "refs/heads/xa/b/c")
	f.Add("refs/heads/**/*", "refs/heads/a/b")
	f.Add("refs/tags/v*.*", "refs/tags/v1.2")
	f.Fuzz(func(t *testing.T, glob, name string) {
		p, err := mirror.ParseRefPolicy(mirror.RefPolicy{Include: []string{glob}})
		if err != nil || len(p.Include) == 0 || len(name) > 200 || strings.Contains(name, "\n") {
			return
		}
		if ref := (mirror.Ref{Name: name}); !ref.IsHead() && !ref.IsTag() {
			return
		}
		text := strings.NewReplacer(`\*\*`, "(?s:.*)", `\*`, "[^/]*").Replace(regexp.QuoteMeta(p.Include[0]))
		re, err := regexp.Compile("^" + text + "$")
		if err != nil {
			return // the expression is not UTF-8
		}
		if got, want := p.Mirrors(name), re.MatchString(name); got != want {
			t.Errorf("Include %q: Mirrors(%q) = %v, want %v", p.Include[0], name, got, want)
		}
	})
}

func TestParseRefPolicy(t *testing.T) {
	many := make([]string, 51)
	for i := range many {
		many[i] = "refs/heads/" + strings.Repeat("x", i+1)
	}
	for _, bad := range [][]string{
		{"main"}, {"refs/**"}, {"refs/pull/*/head"}, {"refs/heads/"}, {"refs/heads/a b"}, {"refs/heads/a//b"}, {"refs/heads/../x"},
		{"refs/heads/[ab]"}, {"refs/heads/***"}, {"-refs/heads/x"}, {"refs/heads/\x1b"}, {"refs/heads/" + strings.Repeat("x", 250)}, many,
	} {
		if _, err := mirror.ParseRefPolicy(mirror.RefPolicy{Exclude: bad}); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("ParseRefPolicy(%.60q) = %v, want ErrInvalid", bad, err)
		}
	}
	got, err := mirror.ParseRefPolicy(mirror.RefPolicy{Include: []string{" refs/heads/main ", "", "refs/heads/main", "refs/tags/**"}})
	if want := (mirror.RefPolicy{Include: []string{"refs/heads/main", "refs/tags/**"}}); err != nil || !got.Equal(want) {
		t.Errorf("ParseRefPolicy = %+v, %v, want %+v", got, err, want)
	}
}
