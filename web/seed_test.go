package web_test

import (
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// seed fills the database with mirrors in every state, as a syncer would have
// left them, with history and events; nothing of it is ever synced. It returns
// the one with history.
func (s *consoleSite) seed(t testing.TB) mirror.Repo {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	stalled := &mirror.Problem{
		Code: mirror.CodeStalled, Kind: mirror.ErrUpstream, What: "upstream stalled: no bytes for 60 s after 14.2 MB",
		Why: "the connection to github.com is up but nothing comes", Do: "nothing; it is tried again in a few minutes",
		Raw: "error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec transferred the last 60 seconds\nfatal: early EOF",
	}
	gone := &mirror.Problem{
		Code: mirror.CodeGone, Kind: mirror.ErrNotFound, What: "github.com has no repository acme/internal-tools",
		Why: "it was removed or renamed, or it is private", Do: "edit the mirror: give the new address, or a credential that may read it",
		Raw: "remote: Repository not found.\nfatal: repository 'https://github.com/acme/internal-tools/' not found",
	}
	add := func(path mirror.Path, state mirror.State, change func(*mirror.Repo)) mirror.Repo {
		r := mirror.Repo{
			ID: mirror.NewID(), Path: path, Upstream: mirror.Upstream{Scheme: "https", Host: path.Host(), Path: string(path)[len(path.Host()):]},
			Tags: mirror.FreezeTags, Created: ago(90 * 24 * time.Hour), Updated: ago(90 * 24 * time.Hour), Version: 1, State: state,
		}
		if change != nil {
			change(&r)
		}
		ok("add "+string(path), s.db.AddRepo(ctx, r))
		return r
	}
	served := func(status mirror.Status, age time.Duration, size int64, heads, tags int) mirror.State {
		return mirror.State{
			Status: status, Digest: "d", Generation: 3, Head: "refs/heads/main", Heads: heads, Tags: tags, Bytes: size,
			LastAttempt: ago(age), LastSuccess: ago(age), LastChange: ago(30 * time.Hour), NextSync: now.Add(7 * time.Minute),
		}
	}
	add("github.com/acme/internal-tools", mirror.State{Status: mirror.Failed, LastAttempt: ago(3 * time.Minute), NextSync: now.Add(57 * time.Minute), Failures: 4, Problem: gone}, func(r *mirror.Repo) { r.Private = true })
	gin := served(mirror.Retrying, 130*time.Minute, 10_912_345, 8, 62)
	gin.LastAttempt, gin.Failures, gin.Problem, gin.NextSync = ago(4*time.Minute), 3, stalled, now.Add(4*time.Minute)
	main := add("github.com/gin-gonic/gin", gin, func(r *mirror.Repo) { r.Interval = 30 * time.Minute })
	add("github.com/go-yaml/yaml", served(mirror.Ready, 4*time.Minute, 1_204_000, 3, 41), nil)
	add("github.com/golang/mod", mirror.State{Status: mirror.Queued, NextSync: now}, nil)
	add("github.com/golang/net", mirror.State{Status: mirror.Cloning, NextSync: now, LastAttempt: ago(20 * time.Second)}, nil)
	add("github.com/google/uuid", served(mirror.Ready, 49*time.Second, 312_000, 1, 12), nil)
	add("github.com/kubernetes/kubernetes", served(mirror.Syncing, 11*time.Minute, 1_412_000_000, 61, 1298), nil)
	add("github.com/rs/xid", served(mirror.Ready, 2*time.Minute, 96_000, 1, 9), nil)
	add("github.com/spf13/cobra", served(mirror.Ready, 90*time.Second, 4_300_000, 5, 48), nil)
	paused := served(mirror.Paused, 12*24*time.Hour, 22_000_000, 14, 130)
	paused.NextSync = time.Time{}
	add("gitlab.com/a-rather-long-group-name/with-a-subgroup/and-a-repository-name-that-goes-on", paused, func(r *mirror.Repo) { r.Paused = true })
	s.seedHistory(t, main, stalled)
	ok("alias", s.db.AddAlias(ctx, mirror.Alias{Prefix: "golang.org/x/mod", Repo: "github.com/golang/mod", Found: "built-in"}))
	ok("alias", s.db.AddAlias(ctx, mirror.Alias{Prefix: "go.acme.dev/tools", Repo: "github.com/acme/internal-tools", Dir: "go", Found: "admin"}))
	ok("credential", s.catalog.AddCredential(ctx, mirror.Credential{Name: "acme-read", Host: "github.com", User: "acme-bot", Secret: "s3cret"}))
	ok("rule", s.catalog.AddRule(ctx, mirror.Rule{Pattern: "github.com/acme/*", Credential: "acme-read"}))
	ok("rule", s.catalog.AddRule(ctx, mirror.Rule{Pattern: "github.com/golang/*"}))
	for name, role := range map[string]auth.Role{"ada": auth.Developer, "ci-runner": auth.Robot, "grace": auth.Admin} {
		password := "a long enough password"
		if role == auth.Robot {
			password = ""
		}
		user, err := s.accounts.AddUser(ctx, name, role, password)
		ok("add user", err)
		if role == auth.Robot {
			_, _, err = s.accounts.CreateToken(ctx, user.ID, "pipeline", auth.ScopeRead, 90*24*time.Hour)
			ok("token", err)
		}
	}
	_, err := s.accounts.AddKey(ctx, s.admin.ID, "", publicKey)
	ok("key", err)
	_, _, err = s.accounts.CreateToken(ctx, s.admin.ID, "laptop", auth.ScopeAdmin, 30*24*time.Hour)
	ok("token", err)
	return main
}

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl admin@laptop"

// seedHistory gives a mirror runs and events through the store's own queue.
func (s *consoleSite) seedHistory(t testing.TB, repo mirror.Repo, problem *mirror.Problem) {
	t.Helper()
	ctx, at := t.Context(), time.Now().UTC().Add(-10*time.Hour)
	for i, size := range []int64{10_100_000, 0, 22_000, 180_000, 0, 0, 4_100, 310_000, 1_200, 0, 0, 52_000, -1, -1, -1} {
		at = at.Add(31 * time.Minute)
		if _, err := s.db.Ask(ctx, repo.ID, mirror.ByHand, at); err != nil {
			t.Fatal(err)
		}
		claims, err := s.db.Claim(ctx, "seed", at, time.Minute, mirror.Room{People: 1})
		if err != nil || len(claims) != 1 {
			t.Fatalf("Claim() = %d claims, %v, want 1", len(claims), err)
		}
		c := claims[0]
		run := c.Run
		run.Ended, run.Outcome, run.Bytes = at.Add(1400*time.Millisecond), mirror.Updated, size
		var events []mirror.Event
		switch {
		case size < 0:
			run.Outcome, run.Bytes, run.Problem = mirror.RunFailed, 0, problem
			run.Ended = at.Add(61 * time.Second)
		case size == 0:
			run.Outcome = mirror.Unchanged
		default:
			run.Created, run.Updated = i%3, 1+i%2
		}
		if i == 7 {
			events = []mirror.Event{
				{Repo: c.Repo.ID, Run: run.ID, At: at, Kind: mirror.TagMoved, Ref: "refs/tags/v1.8.1", Old: "e44017d0aa5f8f2f3a8a52ed3a54b1fe2d4f7c11", New: "77a1c0e1b2ff8f2f3a8a52ed3a54b1fe2d4f7c22", Text: "the old one is still served"},
				{Repo: c.Repo.ID, Run: run.ID, At: at, Kind: mirror.RefRewound, Ref: "refs/heads/next", Old: "9b4c2f1faa5f8f2f3a8a52ed3a54b1fe2d4f7c33", New: "10a1c0e1b2ff8f2f3a8a52ed3a54b1fe2d4f7c44"},
			}
		}
		if err := s.db.EndRun(ctx, c, mirror.Ending{Run: run, State: repo.State, Events: events}); err != nil {
			t.Fatal(err)
		}
	}
}
