package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// base is the "now" of tests that need none; it has microseconds and no zone but UTC.
func base() time.Time { return time.Date(2026, 3, 29, 1, 2, 3, 456_789_000, time.UTC) }

// newRepo is a mirror as the catalog adds one.
func newRepo(t testing.TB, path string) mirror.Repo {
	t.Helper()
	p, up, _, err := mirror.ParseMapping(path)
	if err != nil {
		t.Fatal(err)
	}
	return mirror.Repo{
		ID: mirror.NewID(), Path: p, Upstream: up, Tags: mirror.FreezeTags, Created: base(), Updated: base(), Version: 1,
		State: mirror.State{Status: mirror.Queued, NextSync: base()},
	}
}

func add(t testing.TB, db *store.DB, path string) mirror.Repo {
	t.Helper()
	r := newRepo(t, path)
	if err := db.AddRepo(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func mustRepo(t testing.TB, db *store.DB, id mirror.ID) mirror.Repo {
	t.Helper()
	r, err := db.RepoByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func paths(repos []mirror.Repo) string {
	var s []string
	for _, r := range repos {
		s = append(s, string(r.Path))
	}
	return strings.Join(s, " ")
}

func TestRepoRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		full := newRepo(t, "https://github.com/Spf13/Cobra")
		full.Upstream = mirror.Upstream{Scheme: "ssh", User: "git", Host: "2001:db8::1", Port: "2222", Path: "/~a/Cobra.git"}
		full.Credential, full.Private, full.Tags = `it's "x"; --`, true, mirror.FollowTags
		full.Interval = 90*time.Second + 250*time.Millisecond
		full.Created = time.Date(2026, 3, 29, 3, 2, 3, 456_789_999, time.FixedZone("CEST", 7200))
		full.Updated, full.Version = base().Add(time.Hour), 7
		full.State = mirror.State{
			Status: mirror.Retrying, Digest: "abc", Generation: 1 << 40, Head: "refs/heads/ünï 'q' \x1b", Heads: 3, Tags: 70_000,
			Bytes: 5 << 40, LastAttempt: base(), LastSuccess: base().Add(-time.Microsecond), LastChange: time.Unix(-5, 1000).UTC(),
			NextSync: base().AddDate(50, 0, 0), Failures: 4,
			Problem: &mirror.Problem{Code: mirror.CodeStalled, Kind: mirror.ErrUpstream, What: "wh\u2028at", Why: "<why> & 'so'", Do: "do", Raw: "raw\nlines"},
		}
		if err := db.AddRepo(t.Context(), full); err != nil {
			t.Fatal(err)
		}
		want := full
		want.Created = base().Add(0) // 03:02 CEST, cut to microseconds
		again := open(t, location)
		for _, d := range []*store.DB{db, again} {
			got := mustRepo(t, d, full.ID)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("RepoByID(%s) =\n%+v, want\n%+v", full.ID, got, want)
			}
			if got, err := d.Repo(t.Context(), "github.com/SPF13/cobra"); err != nil || got.ID != full.ID {
				t.Errorf("Repo(other case) = %s, %v, want %s", got.ID, err, full.ID)
			}
		}
		if !errors.Is(mustRepo(t, db, full.ID).State.Problem, mirror.ErrUpstream) {
			t.Errorf("Problem.Kind after a round trip is not ErrUpstream")
		}
	})
}

func TestProblemKinds(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		for i, kind := range append(mirror.Kinds(), "") {
			r := newRepo(t, fmt.Sprintf("github.com/k/%d", i))
			r.State.Problem = &mirror.Problem{Kind: kind, What: "x", Raw: "bad \xff\x00 bytes"}
			if err := db.AddRepo(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			got := mustRepo(t, db, r.ID).State.Problem
			if got.Kind != kind || got.What != "x" || !strings.HasPrefix(got.Raw, "bad ") {
				t.Errorf("problem of kind %v came back as %+v", kind, got)
			}
		}
	})
}

func TestRepoErrors(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		have := add(t, db, "github.com/gorilla/mux")
		twin := newRepo(t, "github.com/Gorilla/MUX")
		if err := db.AddRepo(ctx, twin); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("AddRepo(other case) = %v, want ErrExists", err)
		}
		sameID := newRepo(t, "github.com/gorilla/other")
		sameID.ID = have.ID
		if err := db.AddRepo(ctx, sameID); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("AddRepo(same id) = %v, want ErrExists", err)
		}
		for _, path := range []mirror.Path{"github.com/gorilla/nope", "1=1 OR 1", "' OR '1'='1", "a\x00b", "\xff", ""} {
			if _, err := db.Repo(ctx, path); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("Repo(%q) = %v, want ErrNotFound", path, err)
			}
			id := mirror.ID(path)
			if _, err := db.RepoByID(ctx, id); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("RepoByID(%q) = %v, want ErrNotFound", id, err)
			}
			if err := db.RemoveRepo(ctx, id); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("RemoveRepo(%q) = %v, want ErrNotFound", id, err)
			}
			if _, err := db.Ask(ctx, id, mirror.ByHand, base()); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("Ask(%q) = %v, want ErrNotFound", id, err)
			}
			if err := db.EditRepo(ctx, mirror.Repo{ID: id, Version: 1}); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("EditRepo(%q) = %v, want ErrNotFound", id, err)
			}
			if runs, err := db.Runs(ctx, id+"x", 0, 0); err != nil || len(runs) != 0 {
				t.Errorf("Runs(%q) = %v, %v, want none", id, runs, err)
			}
		}
		if got := mustRepo(t, db, have.ID); got.Path != have.Path {
			t.Errorf("the one repository is %s now, want %s", got.Path, have.Path)
		}
	})
}

func TestEditRepo(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		r := newRepo(t, "github.com/a/b")
		r.State.Digest, r.State.Status, r.State.LastSuccess, r.State.Bytes = "d", mirror.Ready, base(), 5
		r.State.NextSync = base().Add(time.Hour)
		if err := db.AddRepo(ctx, r); err != nil {
			t.Fatal(err)
		}
		edit := r
		edit.Upstream.Host, edit.Credential, edit.Private, edit.Interval, edit.Tags = "example.org", "c", true, time.Minute, mirror.FollowTags
		edit.Updated, edit.State = base().Add(time.Second), mirror.State{Status: mirror.Ready, NextSync: base().Add(time.Second), Bytes: 99}
		if err := db.EditRepo(ctx, edit); err != nil {
			t.Fatal(err)
		}
		want := edit
		want.Version, want.State = 2, r.State
		want.State.Digest, want.State.NextSync = "", base().Add(time.Second)
		if got := mustRepo(t, db, r.ID); !reflect.DeepEqual(got, want) {
			t.Errorf("after EditRepo:\n%+v, want\n%+v", got, want)
		}
		if err := db.EditRepo(ctx, edit); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("EditRepo(stale version) = %v, want ErrExists", err)
		}
		// Back to zero values, which an ORM likes to skip, and paused.
		edit = want
		edit.Credential, edit.Private, edit.Interval, edit.Paused = "", false, 0, true
		if err := db.EditRepo(ctx, edit); err != nil {
			t.Fatal(err)
		}
		got := mustRepo(t, db, r.ID)
		if got.Credential != "" || got.Private || got.Interval != 0 || !got.Paused {
			t.Errorf("zero values were not written: %+v", got)
		}
		if got.State.Status != mirror.Paused || !got.State.NextSync.IsZero() {
			t.Errorf("paused mirror has status %s, next sync %s, want paused and never", got.State.Status, got.State.NextSync)
		}
		edit.Paused, edit.Version, edit.State.NextSync = false, 3, time.Time{}
		if err := db.EditRepo(ctx, edit); err != nil {
			t.Fatal(err)
		}
		if got := mustRepo(t, db, r.ID); got.State.Status != mirror.Ready || got.State.NextSync.IsZero() {
			t.Errorf("resumed mirror has status %s, next sync %s, want ready and due", got.State.Status, got.State.NextSync)
		}
	})
}

// A glance sees at once what this process changes, and what another one does soon.
func TestGlance(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		other, err := store.Open(t.Context(), location, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		r := newRepo(t, "github.com/spf13/cobra")
		if _, err := db.Glance(t.Context(), r.Path); !errors.Is(err, mirror.ErrNotFound) {
			t.Fatalf("before it is added: %v", err)
		}
		if err := db.AddRepo(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		look := func() mirror.Repo {
			got, err := db.Glance(t.Context(), "github.com/SPF13/cobra")
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		for range 5 {
			got := look()
			if got.Private = !got.Private; db.EditRepo(t.Context(), got) != nil {
				t.Fatal("a glance was out of date after an edit")
			}
			if seen := look(); seen.Private != got.Private || seen.Version != got.Version+1 {
				t.Fatalf("after an edit: private %v, version %d", seen.Private, seen.Version)
			}
		}
		if err := other.RemoveRepo(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if _, err := db.Glance(t.Context(), r.Path); errors.Is(err, mirror.ErrNotFound) {
				break
			}
			if time.Now().After(end) {
				t.Fatal("what another process removed is still seen after 30 s")
			}
		}
	})
}

func TestReposListing(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		for _, p := range []string{"github.com/b/z_1", "github.com/B/a-b", "github.com/a/zz1", "gitlab.com/x/100", "github.com/b/z~1"} {
			add(t, db, p)
		}
		failed := newRepo(t, "example.org/f/f")
		failed.State.Status = mirror.Failed
		if err := db.AddRepo(ctx, failed); err != nil {
			t.Fatal(err)
		}
		all := "example.org/f/f github.com/a/zz1 github.com/B/a-b github.com/b/z_1 github.com/b/z~1 gitlab.com/x/100"
		for _, c := range []struct {
			q    mirror.RepoQuery
			want string
		}{
			{mirror.RepoQuery{}, all},
			{mirror.RepoQuery{Limit: 2}, "example.org/f/f github.com/a/zz1"},
			{mirror.RepoQuery{After: "github.com/b/A-B", Limit: 2}, "github.com/b/z_1 github.com/b/z~1"},
			{mirror.RepoQuery{After: "zzz"}, ""},
			{mirror.RepoQuery{Search: "HUB.com/b"}, "github.com/B/a-b github.com/b/z_1 github.com/b/z~1"},
			{mirror.RepoQuery{Search: "z_1"}, "github.com/b/z_1"},
			{mirror.RepoQuery{Search: "%"}, ""},
			{mirror.RepoQuery{Search: `\`}, ""},
			{mirror.RepoQuery{Search: "1=1 OR 1"}, ""},
			{mirror.RepoQuery{Search: "' OR '1'='1"}, ""},
			{mirror.RepoQuery{Search: "\x00"}, ""},
			{mirror.RepoQuery{Search: "\xff"}, ""},
			{mirror.RepoQuery{Search: "日本"}, ""},
			{mirror.RepoQuery{Status: mirror.Failed}, "example.org/f/f"},
			{mirror.RepoQuery{Status: mirror.Failed, Search: "github"}, ""},
			{mirror.RepoQuery{Status: mirror.Queued, Search: "gitlab"}, "gitlab.com/x/100"},
			{mirror.RepoQuery{Status: "' OR 1=1 --"}, ""},
		} {
			got, err := db.Repos(ctx, c.q)
			if err != nil || paths(got) != c.want {
				t.Errorf("Repos(%+v) = %q, %v, want %q", c.q, paths(got), err, c.want)
			}
		}
		for _, c := range []struct {
			q    mirror.RepoQuery
			want map[mirror.Status]int
		}{
			{mirror.RepoQuery{Limit: 1, After: "zzz"}, map[mirror.Status]int{mirror.Queued: 5, mirror.Failed: 1}},
			{mirror.RepoQuery{Search: "z_1"}, map[mirror.Status]int{mirror.Queued: 1}},
			{mirror.RepoQuery{Status: mirror.Failed}, map[mirror.Status]int{mirror.Failed: 1}},
			{mirror.RepoQuery{Search: "nothing"}, map[mirror.Status]int{}},
		} {
			got, err := db.CountRepos(ctx, c.q)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("CountRepos(%+v) = %v, %v, want %v", c.q, got, err, c.want)
			}
		}
	})
}

func TestThousandRepos(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		const n = 1005
		for i := range n {
			add(t, db, fmt.Sprintf("github.com/o%d/r%04d", i%7, i))
		}
		if got, err := db.Repos(ctx, mirror.RepoQuery{}); err != nil || len(got) != 100 {
			t.Errorf("Repos(zero) = %d rows, %v, want 100", len(got), err)
		}
		if got, err := db.Repos(ctx, mirror.RepoQuery{Limit: 1 << 30}); err != nil || len(got) != 1000 {
			t.Errorf("Repos(Limit 1<<30) = %d rows, %v, want 1000", len(got), err)
		}
		seen, after := 0, mirror.Path("")
		for {
			page, err := db.Repos(ctx, mirror.RepoQuery{After: after, Limit: 99})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				if r.Path.Key() <= after.Key() {
					t.Fatalf("%s is listed behind %s", r.Path, after)
				}
				seen, after = seen+1, r.Path
			}
		}
		if seen != n {
			t.Errorf("paging saw %d repositories, want %d", seen, n)
		}
		if got, err := db.CountRepos(ctx, mirror.RepoQuery{}); err != nil || got[mirror.Queued] != n {
			t.Errorf("CountRepos = %v, %v, want %d queued", got, err, n)
		}
	})
}

// TestReposInOrder lists in every order, with every filter, and pages through.
func TestReposInOrder(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		now := base().Add(100 * time.Hour)
		make := func(path string, change func(*mirror.Repo)) mirror.Repo {
			r := newRepo(t, path)
			r.State.Status, r.State.LastSuccess, r.State.NextSync = mirror.Ready, now.Add(-time.Minute), now.Add(time.Hour)
			change(&r)
			if err := db.AddRepo(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			return r
		}
		make("github.com/a/big", func(r *mirror.Repo) { r.State.Bytes, r.State.NextSync = 9, now.Add(2*time.Hour) })
		make("github.com/b/late", func(r *mirror.Repo) { r.State.LastSuccess = now.Add(-49 * time.Hour) })
		make("github.com/c/lateHourly", func(r *mirror.Repo) { r.Interval, r.State.LastSuccess = time.Hour, now.Add(-4*time.Hour) })
		make("github.com/d/hourly", func(r *mirror.Repo) {
			r.Interval, r.State.LastSuccess, r.State.LastChange = time.Hour, now.Add(-2*time.Hour), now
		})
		make("github.com/e/quick", func(r *mirror.Repo) { r.Interval, r.State.LastSuccess = time.Minute, now.Add(-9*time.Minute) })
		make("github.com/f/paused", func(r *mirror.Repo) { r.Paused, r.State.LastSuccess = true, now.Add(-900*time.Hour) })
		make("github.com/g/new", func(r *mirror.Repo) {
			r.State = mirror.State{Status: mirror.Queued, NextSync: base(), Failures: 3}
		})
		for _, row := range []struct {
			q    mirror.RepoQuery
			want string
		}{
			{mirror.RepoQuery{Sort: mirror.SortSize, Limit: 2}, "a/big b/late"},
			{mirror.RepoQuery{Sort: mirror.SortSize, Limit: 2, Offset: 2}, "c/lateHourly d/hourly"},
			{mirror.RepoQuery{Sort: mirror.SortAge, Limit: 3}, "g/new f/paused b/late"},
			{mirror.RepoQuery{Sort: mirror.SortNext}, "g/new b/late c/lateHourly d/hourly e/quick a/big f/paused"},
			{mirror.RepoQuery{Sort: mirror.SortFailures, Limit: 2}, "g/new a/big"},
			{mirror.RepoQuery{Sort: mirror.SortChange, Limit: 2}, "d/hourly a/big"},
			{mirror.RepoQuery{Sort: "nosuch", Limit: 2}, "a/big b/late"},
			{mirror.RepoQuery{Late: now}, "b/late c/lateHourly"},
			{mirror.RepoQuery{Held: true}, ""},
		} {
			repos, err := db.Repos(t.Context(), row.q)
			if got := strings.ReplaceAll(paths(repos), "github.com/", ""); err != nil || !strings.EqualFold(got, row.want) {
				t.Errorf("Repos(%+v) = %q, %v, want %q", row.q, got, err, row.want)
			}
		}
		counts, err := db.CountRepos(t.Context(), mirror.RepoQuery{Late: now})
		if err != nil || counts[mirror.Ready] != 2 {
			t.Errorf("CountRepos(late) = %v, %v, want 2 ready", counts, err)
		}
	})
}
