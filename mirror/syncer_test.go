package mirror_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

const tool = "github.com/acme/tool"

func files(text string) map[string]string {
	return map[string]string{"go.mod": "module github.com/acme/tool\n", "tool.go": "package tool // " + text + "\n"}
}

func TestMirrorFollowsUpstream(t *testing.T) {
	r := newRig(t)
	first := r.up.Commit(t, tool, files("1"), "v1.0.0")
	run(t, r.syncer)
	repo := r.clone(t, tool)
	if got := r.sync(t, repo.ID, mirror.Unchanged); got.Trigger != mirror.ByHand {
		t.Errorf("the second run was triggered by %q, want manual", got.Trigger)
	}
	r.sameRefs(t, repo.ID, tool)
	after := r.repo(t, repo.ID).State
	if after.Status != mirror.Ready || after.Heads != 1 || after.Tags != 1 || after.Bytes == 0 || after.Head != "refs/heads/main" || after.Generation != 1 {
		t.Errorf("state after the first clone = %+v", after)
	}

	r.up.Commit(t, tool, files("2"), "v1.1.0")
	r.up.CommitTo(t, tool, "next", files("3"))
	r.up.AnnotateTag(t, tool, "v1.1.1", "main")
	got := r.sync(t, repo.ID, mirror.Updated)
	if got.Created != 3 || got.Updated != 1 || got.Deleted != 0 || got.Bytes == 0 {
		t.Errorf("run = %+v, want 3 created, 1 updated and some bytes", got)
	}
	r.sameRefs(t, repo.ID, tool)
	if after := r.repo(t, repo.ID).State; after.Generation != 2 {
		t.Errorf("generation = %d, want 2", after.Generation)
	}
	r.sync(t, repo.ID, mirror.Unchanged)
	if c, err := r.disk.Commit(t.Context(), repo.ID, "refs/tags/v1.0.0"); err != nil || c.Hash != first {
		t.Errorf("Commit(v1.0.0) = %v, %v, want %s", c, err, first)
	}
}

func TestDefaultBranchIsFollowed(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	r.up.CommitTo(t, tool, "trunk", files("2"))
	r.up.SetHead(t, tool, "trunk")
	r.sync(t, repo.ID, mirror.Updated)
	if got := gittest.Git(t, r.mirrorDir(repo.ID), "symbolic-ref", "HEAD"); got != "refs/heads/trunk" {
		t.Errorf("HEAD = %s, want refs/heads/trunk", got)
	}
	if got := r.events(t, repo.ID); !slices.Contains(got, "head-moved refs/heads/trunk") {
		t.Errorf("events = %v, want head-moved", got)
	}
}

func TestWhatUpstreamTakesAwayStays(t *testing.T) {
	r := newRig(t)
	old := r.up.Commit(t, tool, files("1"))
	tip := r.up.Commit(t, tool, files("2"))
	gone := r.up.CommitTo(t, tool, "topic", files("3"))
	run(t, r.syncer)
	repo := r.clone(t, tool)

	r.up.ForceBranch(t, tool, "main", old)
	r.up.DeleteRef(t, tool, "refs/heads/topic")
	got := r.sync(t, repo.ID, mirror.Updated)
	if got.Updated != 1 || got.Deleted != 1 {
		t.Errorf("run = %+v, want 1 updated and 1 deleted", got)
	}
	r.sameRefs(t, repo.ID, tool)
	kept := refs(t, r.mirrorDir(repo.ID), "refs/gitmirror/kept")
	for _, want := range []string{"/heads/main " + tip, "/heads/topic " + gone} {
		if !strings.Contains(kept, want) {
			t.Errorf("kept refs:\n%s\nwant …%s", kept, want)
		}
	}
	events := r.events(t, repo.ID)
	for _, want := range []string{"ref-rewound refs/heads/main", "ref-deleted refs/heads/topic"} {
		if !slices.Contains(events, want) {
			t.Errorf("events = %v, want %s", events, want)
		}
	}
}

func TestFrozenTags(t *testing.T) {
	r := newRig(t)
	released := r.up.Commit(t, tool, files("1"), "v1.0.0", "v0.9.0")
	run(t, r.syncer)
	repo := r.clone(t, tool)

	forged := r.up.Commit(t, tool, files("evil"))
	r.up.MoveTag(t, tool, "v1.0.0", forged)
	r.up.DeleteRef(t, tool, "refs/tags/v0.9.0")
	r.sync(t, repo.ID, mirror.Updated) // main moved
	r.up.Commit(t, tool, files("2"))
	r.sync(t, repo.ID, mirror.Updated) // and reports nothing twice

	served := refs(t, r.mirrorDir(repo.ID), "refs/tags")
	if want := "refs/tags/v0.9.0 " + released + "\nrefs/tags/v1.0.0 " + released; served != want {
		t.Errorf("tags served:\n%s\nwant the old ones:\n%s", served, want)
	}
	want := []string{"ref-deleted refs/tags/v0.9.0", "tag-moved refs/tags/v1.0.0"}
	got := r.events(t, repo.ID)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("events = %v, want each once: %v", got, want)
	}

	follow := mirror.FollowTags
	if _, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Tags: &follow}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the mirror follows", func() bool {
		return refs(t, r.mirrorDir(repo.ID), "refs/tags") == refs(t, r.up.Dir(tool), "refs/tags")
	})
	r.sameRefs(t, repo.ID, tool)
	if kept := refs(t, r.mirrorDir(repo.ID), "refs/gitmirror/kept"); !strings.Contains(kept, "/tags/v1.0.0 "+released) {
		t.Errorf("kept refs:\n%s\nwant the old v1.0.0", kept)
	}
}

// I8: one worker for a repository, whoever asks, in however many processes.
func TestI8NoTwoSyncsOfOneRepository(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	other := r.newSyncer("other")
	run(t, r.syncer)
	run(t, other)
	repo := r.add(t, tool)
	var wg sync.WaitGroup
	for i := range 12 {
		s := r.syncer
		if i%2 == 1 {
			s = other
		}
		wg.Go(func() {
			if _, err := s.Sync(t.Context(), repo.ID, mirror.ByHand); err != nil {
				t.Errorf("Sync = %v", err)
			}
		})
	}
	wg.Wait()
	runs, err := r.db.Runs(t.Context(), repo.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(runs); i++ { // newest first
		if runs[i].Ended.IsZero() || runs[i].Ended.After(runs[i-1].Started) {
			t.Errorf("run %d (%s–%s) overlaps run %d, which started %s", runs[i].ID, runs[i].Started, runs[i].Ended, runs[i-1].ID, runs[i-1].Started)
		}
	}
	if len(runs) > 13 {
		t.Errorf("12 asks made %d runs", len(runs))
	}
}

func TestFailureBacksOffAndKeepsServing(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	good := r.repo(t, repo.ID).State
	before := refs(t, r.mirrorDir(repo.ID))

	mend := r.up.Break(gittest.Fault{Status: http.StatusServiceUnavailable})
	var wait time.Duration
	for n := 1; n <= 3; n++ {
		got := r.sync(t, repo.ID, mirror.RunFailed)
		if got.Problem == nil || got.Problem.What == "" || got.Problem.Do == "" || !errors.Is(got.Problem, mirror.ErrUpstream) {
			t.Fatalf("problem = %+v, want an upstream problem with advice", got.Problem)
		}
		s := r.repo(t, repo.ID).State
		if s.Status != mirror.Retrying || s.Failures != n || !s.LastSuccess.Equal(good.LastSuccess) {
			t.Errorf("state after failure %d = %+v, want retrying, and the last success where it was", n, s)
		}
		next := s.NextSync.Sub(s.LastAttempt)
		if next <= wait*13/10 || next > 2*time.Hour {
			t.Errorf("failure %d is followed by a wait of %s after one of %s, want longer", n, next, wait)
		}
		wait = next
	}
	if after := refs(t, r.mirrorDir(repo.ID)); after != before {
		t.Errorf("refs changed by failed syncs:\n%s\nwere\n%s", after, before)
	}
	mend()
	r.sync(t, repo.ID, mirror.Unchanged)
	if s := r.repo(t, repo.ID).State; s.Status != mirror.Ready || s.Failures != 0 || s.Problem != nil {
		t.Errorf("state after recovery = %+v", s)
	}
}

func TestFailuresThatNeedAPerson(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, "github.com/acme/secret", files("1"))
	r.up.Private("github.com/acme/secret", "robot", "s3cr3t-pass")
	run(t, r.syncer)
	for path, kinds := range map[string][]error{
		"github.com/acme/missing": {mirror.ErrNotFound, mirror.ErrSignIn},
		"github.com/acme/secret":  {mirror.ErrSignIn, mirror.ErrNotFound},
	} {
		repo := r.add(t, path)
		eventually(t, path+" has failed", func() bool { return r.repo(t, repo.ID).State.Status == mirror.Failed })
		s := r.repo(t, repo.ID).State
		if !slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(s.Problem, k) }) || s.Problem.Do == "" {
			t.Errorf("%s: problem = %+v, want one of %v with advice", path, s.Problem, kinds)
		}
		if s.NextSync.Sub(s.LastAttempt) < 50*time.Minute {
			t.Errorf("%s: next sync in %s, want an hour or so", path, s.NextSync.Sub(s.LastAttempt))
		}
	}
}

func TestPrivateUpstreamWithCredential(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	r.up.Private(tool, "robot", "s3cr3t-pass")
	run(t, r.syncer)
	url := strings.Replace(r.up.URL(tool), "://", "://robot:s3cr3t-pass@", 1)
	repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: tool, Upstream: url})
	if err != nil {
		t.Fatal(err)
	}
	if !repo.Private || repo.Credential == "" || strings.Contains(repo.Upstream.String(), "s3cr3t") {
		t.Errorf("repo = %+v, want it private, with a credential of its own and no password in the URL", repo)
	}
	eventually(t, "the mirror is ready", func() bool { return r.repo(t, repo.ID).State.Status == mirror.Ready })
	r.sameRefs(t, repo.ID, tool)
	sealed, err := r.db.Credential(t.Context(), repo.Credential)
	if err != nil || strings.Contains(string(sealed.Secret), "s3cr3t") {
		t.Errorf("stored credential = %q, %v, want it sealed", sealed.Secret, err)
	}
}

func TestStoppedSyncIsTakenUpAgain(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, map[string]string{"noise": gittest.Noise(1<<20, 1)}, "v1.0.0")
	mend := r.up.Break(gittest.Fault{Path: "git-upload-pack", After: 200_000, Stall: true})
	stop := run(t, r.syncer)
	repo := r.add(t, tool)
	eventually(t, "the pack is coming in", func() bool {
		p, ok := r.syncer.Progress(repo.ID)
		return ok && p.Phase == mirror.Receiving
	})
	stop()
	mend()
	runs, err := r.db.Runs(t.Context(), repo.ID, 0, 10)
	if err != nil || len(runs) != 1 || runs[0].Outcome != mirror.Interrupted {
		t.Fatalf("runs after the stop = %+v, %v, want one, interrupted", runs, err)
	}
	if s := r.repo(t, repo.ID).State; s.Status != mirror.Queued || s.Failures != 0 {
		t.Errorf("state after the stop = %+v, want queued and no failure", s)
	}
	r.syncer = r.newSyncer("test")
	r.catalog.Syncer = r.syncer
	run(t, r.syncer)
	eventually(t, "the mirror is ready", func() bool { return r.repo(t, repo.ID).State.Status == mirror.Ready })
	r.sameRefs(t, repo.ID, tool)
}

func TestDeadServersWorkIsTakenUp(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	repo := r.add(t, tool)
	// Another server claimed it long ago and was killed.
	past := time.Now().Add(-time.Hour).UTC()
	if _, err := r.db.Ask(t.Context(), repo.ID, mirror.ByHand, past); err != nil {
		t.Fatal(err)
	}
	claims, err := r.db.Claim(t.Context(), "dead", time.Now().UTC(), time.Millisecond, mirror.Room{People: 1})
	if err != nil || len(claims) != 1 {
		t.Fatalf("Claim = %v, %v", claims, err)
	}
	r.syncer.Lease = 2 * time.Second
	run(t, r.syncer)
	eventually(t, "the mirror is ready", func() bool { return r.repo(t, repo.ID).State.Status == mirror.Ready })
	if old, err := r.db.Run(t.Context(), claims[0].Run.ID); err != nil || old.Outcome != mirror.Interrupted {
		t.Errorf("the dead server's run = %+v, %v, want interrupted", old, err)
	}
}

// unheard is a database whose answer to the first claim is lost on the way.
type unheard struct {
	mirror.Store
	mu   sync.Mutex
	lost []mirror.Claim
}

func (u *unheard) Claim(ctx context.Context, owner string, now time.Time, lease time.Duration, room mirror.Room) ([]mirror.Claim, error) {
	claims, err := u.Store.Claim(ctx, owner, now, lease, room)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil && len(claims) > 0 && u.lost == nil {
		u.lost = claims
		return nil, errors.New("connection reset by peer")
	}
	return claims, err
}

func TestClaimWhoseAnswerIsLostIsTakenUp(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	repo := r.add(t, tool)
	db := &unheard{Store: r.db}
	r.syncer.Store, r.syncer.Lease = db, 2*time.Second
	run(t, r.syncer)
	eventually(t, "the mirror is ready", func() bool { return r.repo(t, repo.ID).State.Status == mirror.Ready })
	db.mu.Lock()
	defer db.mu.Unlock()
	if old, err := r.db.Run(t.Context(), db.lost[0].Run.ID); err != nil || old.Outcome != mirror.Interrupted {
		t.Errorf("the run of the lost claim = %+v, %v, want interrupted", old, err)
	}
}

func TestPausedMirrorIsLeftAlone(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	yes, no := true, false
	paused, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Paused: &yes})
	if err != nil || paused.State.Status != mirror.Paused || !paused.State.NextSync.IsZero() {
		t.Fatalf("Edit(paused) = %+v, %v", paused.State, err)
	}
	if _, err := r.syncer.Ask(t.Context(), repo.ID, mirror.ByHand); !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Ask of a paused mirror = %v, want ErrInvalid", err)
	}
	if _, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Paused: &no, Version: paused.Version - 1}); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Edit with an old version = %v, want ErrExists", err)
	}
	if _, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Paused: &no, Version: paused.Version}); err != nil {
		t.Fatal(err)
	}
	r.sync(t, repo.ID, mirror.Unchanged)
}

func TestRemoveDuringSync(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, map[string]string{"noise": gittest.Noise(1<<20, 2)})
	r.up.Break(gittest.Fault{Path: "git-upload-pack", After: 200_000, Stall: true})
	run(t, r.syncer)
	repo := r.add(t, tool)
	eventually(t, "the pack is coming in", func() bool {
		p, ok := r.syncer.Progress(repo.ID)
		return ok && p.Phase == mirror.Receiving
	})
	if err := r.catalog.Remove(t.Context(), repo.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sync has stopped", func() bool { return r.syncer.Busy() == 0 })
	if _, err := r.catalog.Find(t.Context(), tool); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Find after Remove = %v, want ErrNotFound", err)
	}
	if _, err := r.disk.Refs(t.Context(), repo.ID); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Refs after Remove = %v, want ErrNotFound", err)
	}
}

func TestWatchSeesEveryEnd(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, map[string]string{"noise": gittest.Noise(200_000, 3)})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	held := &slow{Disk: r.disk, gate: make(chan struct{}), begun: make(chan mirror.ID, 1)}
	r.syncer.Disk = held
	news := r.syncer.Watch(ctx, "")
	run(t, r.syncer)
	repo := r.add(t, tool)
	var phases []mirror.Phase
	for p := range news {
		if len(phases) == 0 {
			close(held.gate) // who reads slowly may miss what is over quickly
		}
		if p.Repo != repo.ID {
			t.Errorf("progress of %s, want only %s", p.Repo, repo.ID)
		}
		phases = append(phases, p.Phase)
		if p.Phase == mirror.Done {
			if p.Outcome != mirror.Updated {
				t.Errorf("outcome = %q (%v), want updated", p.Outcome, p.Problem)
			}
			break
		}
	}
	if len(phases) < 2 || phases[0] != mirror.Connecting {
		t.Errorf("phases = %v, want connect … done", phases)
	}
	cancel()
	for range news { // closed once ctx ends
	}
}
