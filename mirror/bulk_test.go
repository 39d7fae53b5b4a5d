package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

// hosts answers for the hosts of import paths as their pages would; the real
// asking is tested where it is done, in package git.
type hosts struct {
	tags  map[string]mirror.Discovered
	asked atomic.Int64
}

func (h *hosts) Discover(_ context.Context, path string) (mirror.Discovered, error) {
	h.asked.Add(1)
	best := mirror.Discovered{}
	for prefix, found := range h.tags {
		if (prefix == path || strings.HasPrefix(path, prefix+"/")) && len(prefix) > len(best.Prefix) {
			best, best.Prefix = found, prefix
		}
	}
	if best.Prefix == "" {
		return best, &mirror.Problem{Code: mirror.CodeNoImport, Kind: mirror.ErrNotFound, What: "no tag for " + path}
	}
	return best, nil
}

func discovered(t *testing.T, url string) mirror.Discovered {
	t.Helper()
	up, _, err := mirror.ParseUpstream(url)
	if err != nil {
		t.Fatal(err)
	}
	return mirror.Discovered{Upstream: up}
}

func modules(paths ...string) []mirror.NewMirror {
	list := make([]mirror.NewMirror, len(paths))
	for i, p := range paths {
		list[i] = mirror.NewMirror{Text: p, Module: true}
	}
	return list
}

func TestPlanAll(t *testing.T) {
	r := newRig(t)
	r.catalog.Site = mirror.Site{URL: "https://git.corp.test"}
	r.catalog.Discoverer = &hosts{tags: map[string]mirror.Discovered{
		"go.acme.test/tools": discovered(t, "https://github.com/acme/tools"),
		"go.acme.test/deep":  discovered(t, "https://gitlab.test/a/b/deep.git"),
		"gitlab.test/a/b":    discovered(t, "https://gitlab.test/a/b.git"),
	}}
	if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/golang/mod"}); err != nil {
		t.Fatal(err)
	}
	plan, err := r.catalog.PlanAll(t.Context(), modules(
		"golang.org/x/mod", "github.com/golang/mod", // present, by two names
		"gopkg.in/yaml.v3", "gopkg.in/yaml.v2", // one repository
		"github.com/hashicorp/golang-lru/v2", "github.com/hashicorp/golang-lru/arc/v2",
		"go.acme.test/tools", "go.acme.test/tools/v2", // by asking
		"gitlab.test/a/b/v3",                    // the host knows where the repository ends
		"git.corp.test/github.com/spf13/cobra",  // rewritten to the mirror
		"git.corp.test/github.com/rs/xid.git",   // … in the other form
		"code.test/team/tool.git/sub/v2",        // names its version control system
		"go.unknown.test/x", "old.test/repo.hg", // impossible
	), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, item := range plan.Items {
		got = append(got, fmt.Sprintf("%s %s %d %s", item.State, item.Repo.Path, len(item.Asked), strings.Join(item.Prefixes, ",")))
		if (item.State == mirror.PlanImpossible) != (item.Err != nil) {
			t.Errorf("%s %v: error = %v", item.State, item.Asked, item.Err)
		}
	}
	want := []string{
		"present github.com/golang/mod 2 golang.org/x/mod",
		"new github.com/go-yaml/yaml 2 ",
		"new github.com/hashicorp/golang-lru 2 ",
		"new github.com/acme/tools 2 go.acme.test/tools",
		"new gitlab.test/a/b 1 ",
		"new github.com/spf13/cobra 1 ",
		"new github.com/rs/xid 1 ",
		"new code.test/team/tool 1 ",
		"impossible  1 ",
		"impossible  1 ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("PlanAll =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if plan.Asked != 14 || plan.New != 7 || plan.Present != 1 || plan.Impossible != 2 {
		t.Errorf("totals = %d asked, %d new, %d present, %d impossible", plan.Asked, plan.New, plan.Present, plan.Impossible)
	}
	if repos, err := r.db.Repos(t.Context(), mirror.RepoQuery{}); err != nil || len(repos) != 1 {
		t.Errorf("%d mirrors after a preview (%v), want the one that was there", len(repos), err)
	}
}

// What discovery found is kept as an alias, for mirrors that were there as well.
func TestAddKeepsWhatWasFound(t *testing.T) {
	r := newRig(t)
	asked := &hosts{tags: map[string]mirror.Discovered{
		"go.acme.test/tools":       discovered(t, "https://github.com/acme/tools"),
		"go.acme.test/tools/inner": discovered(t, "https://github.com/acme/inner"),
	}}
	r.catalog.Discoverer = asked
	there, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/acme/tools"})
	if err != nil {
		t.Fatal(err)
	}
	again, existed, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "go.acme.test/tools/v2", Module: true})
	if err != nil || !existed || again.ID != there.ID {
		t.Fatalf("Add = %s, %v, %v, want the mirror that is there", again.Path, existed, err)
	}
	if imp, err := r.catalog.Import(t.Context(), "go.acme.test/tools/v2/cmd"); err != nil || imp.Repo.ID != there.ID || imp.Prefix != "go.acme.test/tools" {
		t.Errorf("Import = %+v, %v, want the mirror by its discovered prefix", imp, err)
	}
	// Another repository below a discovered prefix is found nonetheless.
	inner, existed, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "go.acme.test/tools/inner/v3", Module: true})
	if err != nil || existed || inner.Path != "github.com/acme/inner" {
		t.Errorf("Add of the nested one = %s, %v, %v, want github.com/acme/inner", inner.Path, existed, err)
	}
	// An administrator's alias is not asked about, and not replaced.
	if err := r.catalog.AddAlias(t.Context(), mirror.Alias{Prefix: "go.acme.test/own", Repo: "github.com/acme/tools"}); err != nil {
		t.Fatal(err)
	}
	before := asked.asked.Load()
	if own, existed, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "go.acme.test/own/x", Module: true}); err != nil || !existed || own.ID != there.ID {
		t.Errorf("Add under an alias = %s, %v, %v", own.Path, existed, err)
	}
	if n := asked.asked.Load() - before; n != 0 {
		t.Errorf("the host was asked %d times about an alias", n)
	}
}

// The same question is not asked twice, whether the answer was good or bad, and
// a path somebody typed may be a repository that no page speaks of.
func TestDiscoveryIsRemembered(t *testing.T) {
	r := newRig(t)
	asked := &hosts{}
	r.catalog.Discoverer = asked
	for range 3 {
		plan, err := r.catalog.PlanAll(t.Context(), modules("go.nowhere.test/x"), nil)
		if err != nil || plan.Impossible != 1 || mirror.AsProblem(plan.Items[0].Err).Code != mirror.CodeNoImport {
			t.Fatalf("PlanAll = %+v, %v, want one that is impossible", plan, err)
		}
	}
	if n := asked.asked.Load(); n != 1 {
		t.Errorf("the host was asked %d times, want once", n)
	}
	typed, err := r.catalog.Preview(t.Context(), mirror.NewMirror{Text: "git.corp.test/team/tool"})
	if err != nil || typed.Repo.Path != "git.corp.test/team/tool" || typed.Alias.Prefix != "" {
		t.Errorf("Preview of a path = %+v, %v, want that path", typed.Repo, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.catalog.PlanAll(ctx, modules("go.other.test/x"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("PlanAll of a caller that has gone = %v", err)
	}
}

func TestPlanAllOfThousands(t *testing.T) {
	r := newRig(t)
	list := make([]mirror.NewMirror, 3000)
	for i := range list {
		list[i] = mirror.NewMirror{Text: fmt.Sprintf("github.com/many/repo%d/v2", i/2), Module: true}
	}
	last := 0
	plan, err := r.catalog.PlanAll(t.Context(), list, func(done int) { last = done })
	if err != nil || plan.New != 1500 || plan.Asked != 3000 || last != 3000 {
		t.Errorf("PlanAll = %d new of %d, %v, last step %d, want 1500 of 3000", plan.New, plan.Asked, err, last)
	}
}
