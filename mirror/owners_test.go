package mirror_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// listed is a repository as the API of a host lists it.
type listed struct {
	ID       int    `json:"id"`
	FullName string `json:"full_name"`
	CloneURL string `json:"clone_url"`
	Archived bool   `json:"archived"`
	Fork     bool   `json:"fork"`
}

// ownersAPI answers with what acme has: real repositories of the rig's upstream.
func (r *rig) ownersAPI(t *testing.T) (has *atomic.Pointer[[]listed], asked *atomic.Int64) {
	t.Helper()
	has, asked = &atomic.Pointer[[]listed]{}, &atomic.Int64{}
	has.Store(&[]listed{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if req.URL.Path != "/orgs/acme/repos" {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"Not Found"}`)
			return
		}
		text, _ := json.Marshal(*has.Load())
		etag := fmt.Sprintf(`"%d"`, len(text))
		w.Header().Set("ETag", etag)
		if req.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write(text)
	}))
	t.Cleanup(server.Close)
	r.api["127.0.0.1"] = server.URL
	return has, asked
}

func (r *rig) paths(t *testing.T) []string {
	t.Helper()
	repos, err := r.db.Repos(t.Context(), mirror.RepoQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, repo := range repos {
		all = append(all, string(repo.Path))
	}
	return all
}

func TestOwnersAddWhatIsListed(t *testing.T) {
	r := newRig(t)
	has, _ := r.ownersAPI(t)
	acme := func(names ...string) []listed {
		var all []listed
		for i, name := range names {
			r.up.Commit(t, "acme/"+name, files(name))
			all = append(all, listed{ID: i + 1, FullName: "acme/" + name, CloneURL: r.up.URL("acme/" + name)})
		}
		return all
	}
	first := acme("one", "two", "old", "legacy-x", "forked")
	first[2].Archived, first[4].Fork = true, true
	has.Store(&first)

	owners := &mirror.Owners{Catalog: r.catalog, Lister: r.disk, Every: 50 * time.Millisecond}
	r.catalog.Owners = owners
	run(t, r.syncer)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- owners.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Owners.Run = %v", err)
		}
	})
	const pattern = "127.0.0.1/acme/*"
	rule := mirror.Rule{Pattern: pattern, Discovery: &mirror.RuleDiscovery{Exclude: []string{"Legacy-*"}}}
	plan, listed, err := owners.Plan(t.Context(), rule)
	if err != nil || plan.New != 2 || listed.Found != 5 || listed.Skipped != 3 || len(r.paths(t)) != 0 {
		t.Fatalf("Plan = %+v, %v, want two new and nothing added", plan, err)
	}
	if err := r.catalog.AddRule(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
	want := []string{"127.0.0.1/acme/one", "127.0.0.1/acme/two"}
	eventually(t, "both are added", func() bool { return slices.Equal(r.paths(t), want) })
	eventually(t, "both are cloned", func() bool {
		for _, path := range want {
			repo, err := r.catalog.Find(t.Context(), mirror.Path(path))
			if err != nil || !repo.State.Served() {
				return false
			}
		}
		return true
	})
	listing := func() mirror.RuleListing {
		rules, err := r.db.Rules(t.Context())
		if err != nil || len(rules) != 1 {
			t.Fatalf("Rules = %v, %v", rules, err)
		}
		return rules[0].Listing
	}
	eventually(t, "the listing is recorded", func() bool { return !listing().At.IsZero() })
	if l := listing(); l.Found != 5 || l.Skipped != 3 || l.Added != 2 || l.Problem != nil {
		t.Errorf("listing = %+v, want 5 found, 3 skipped, 2 added", l)
	}

	// A mirror that a person removed does not come back; a new repository comes.
	one, err := r.catalog.Find(t.Context(), "127.0.0.1/acme/one")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.catalog.Remove(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	more := append(slices.Clone(first), acme("one", "two", "three")[2])
	more[5].ID = 6
	has.Store(&more)
	rules, _ := r.db.Rules(t.Context())
	if _, err := r.catalog.EditRule(t.Context(), pattern, rules[0].Discovery); err != nil { // looks again at once
		t.Fatal(err)
	}
	want = []string{"127.0.0.1/acme/three", "127.0.0.1/acme/two"}
	eventually(t, "three is added and one is not", func() bool { return slices.Equal(r.paths(t), want) })

	// What was not wanted can be wanted later.
	d := *rules[0].Discovery
	d.Archived, d.Forks = true, true
	if _, err := r.catalog.EditRule(t.Context(), pattern, &d); err != nil {
		t.Fatal(err)
	}
	want = []string{"127.0.0.1/acme/forked", "127.0.0.1/acme/old", "127.0.0.1/acme/three", "127.0.0.1/acme/two"}
	eventually(t, "all are added", func() bool { return slices.Equal(r.paths(t), want) })
}

func TestOwnersTellWhatFailed(t *testing.T) {
	r := newRig(t)
	r.ownersAPI(t)
	owners := &mirror.Owners{Catalog: r.catalog, Lister: r.disk}
	r.catalog.Owners = owners
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- owners.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	rule := mirror.Rule{Pattern: "127.0.0.1/nobody/*", Discovery: &mirror.RuleDiscovery{}}
	if err := r.catalog.AddRule(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the failure is recorded", func() bool {
		rules, err := r.db.Rules(t.Context())
		return err == nil && len(rules) == 1 && rules[0].Listing.Problem != nil && rules[0].Listing.Problem.Code == mirror.CodeGone
	})
	for _, bad := range []mirror.Rule{
		{Pattern: "github.com/*/*", Discovery: &mirror.RuleDiscovery{}},
		{Pattern: "github.com/a/b/*", Discovery: &mirror.RuleDiscovery{}},
		{Pattern: "github.com/a/*", Discovery: &mirror.RuleDiscovery{Exclude: []string{"[x"}}},
		{Pattern: "github.com/a/*", Discovery: &mirror.RuleDiscovery{Exclude: []string{"a/b"}}},
	} {
		if err := r.catalog.AddRule(t.Context(), bad); mirror.AsProblem(err) == nil || mirror.AsProblem(err).Kind != mirror.ErrInvalid {
			t.Errorf("AddRule(%+v) = %v, want ErrInvalid", bad, err)
		}
	}
}
