package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// What SQL says somebody sees is what Sight.Sees says.
func TestSightInSQL(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		var all []mirror.Repo
		for i, path := range []string{"github.com/acme/app", "github.com/acme/sub/app", "github.com/ac_e/app", "github.com/acXe/app", "gitlab.example/Acme/app", "github.com/other/x"} {
			for _, private := range []bool{true, false} {
				p, err := mirror.ParsePath(fmt.Sprintf("%s-%t", path, private))
				if err != nil {
					t.Fatal(err)
				}
				r := mirror.Repo{ID: mirror.NewID(), Path: p, Private: private, Created: time.Now(), State: mirror.State{Status: mirror.Queued}}
				if err := db.AddRepo(t.Context(), r); err != nil {
					t.Fatalf("AddRepo %d: %v", i, err)
				}
				all = append(all, r)
			}
		}
		for _, s := range []*mirror.Sight{
			nil, {}, {Strict: true}, {Closed: []string{"*"}}, {Closed: []string{"github.com/*"}, Open: []string{"github.com/acme/*"}},
			{Closed: []string{"github.com/ac_e/*"}}, {Strict: true, Open: []string{"github.com/ACME/app-true", "gitlab.example/*"}},
			{Closed: []string{"github.com/acme/app-true", "gitlab.example/acme/*"}, Open: []string{"gitlab.example/acme/app-true"}},
		} {
			got, err := db.Repos(t.Context(), mirror.RepoQuery{Sight: s})
			if err != nil {
				t.Fatal(err)
			}
			seen := map[mirror.ID]bool{}
			for _, r := range got {
				seen[r.ID] = true
			}
			count, err := db.CountRepos(t.Context(), mirror.RepoQuery{Sight: s})
			if err != nil || count[mirror.Queued] != len(got) {
				t.Errorf("CountRepos(%+v) = %v, %v, want %d", s, count, err, len(got))
			}
			for _, r := range all {
				if want := s.Sees(r.Path, r.Private); seen[r.ID] != want {
					t.Errorf("Repos(%+v) has %s = %t, want %t", s, r.Path, seen[r.ID], want)
				}
			}
			if _, err := db.Holds(t.Context(), mirror.HoldQuery{Sight: s}); err != nil {
				t.Errorf("Holds(%+v) = %v", s, err)
			}
		}
		if _, err := db.Claim(t.Context(), "n", time.Now().Add(time.Minute), time.Hour, mirror.Room{People: 100, News: 100, Routine: 100}); err != nil { // it opens runs
			t.Fatal(err)
		}
		for _, s := range []*mirror.Sight{nil, {Strict: true}, {Closed: []string{"github.com/*"}, Open: []string{"github.com/acme/*"}}} {
			runs, err := db.NewestRuns(t.Context(), s, 100)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[mirror.ID]bool{}
			for _, run := range runs {
				seen[run.Repo] = true
			}
			for _, r := range all {
				if want := s.Sees(r.Path, r.Private); seen[r.ID] != want {
					t.Errorf("NewestRuns(%+v) has one of %s = %t, want %t", s, r.Path, seen[r.ID], want)
				}
			}
		}
	})
}
