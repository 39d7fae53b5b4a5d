package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// endWith closes the run of a claim with what it found.
func endWith(t *testing.T, db *store.DB, c mirror.Claim, at time.Time, holds []mirror.Hold) mirror.Repo {
	t.Helper()
	run, state := c.Run, c.Repo.State
	run.Ended, run.Outcome = at, mirror.Unchanged
	state.Status, state.LastSuccess, state.NextSync, state.Digest = mirror.Ready, at, at.AddDate(0, 0, 1), "digest"
	for i := range holds {
		holds[i].Opened = at
	}
	if err := db.EndRun(t.Context(), c, mirror.Ending{Run: run, State: state, Holds: holds}); err != nil {
		t.Fatal(err)
	}
	r, err := db.RepoByID(t.Context(), c.Repo.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tagHold(name, to string) mirror.Hold {
	return mirror.Hold{Kind: mirror.HoldTag, Ref: "refs/tags/" + name, Old: "aa", New: to, Text: "moved"}
}

// states are the holds of a repository, oldest first: "v1:open".
func states(t *testing.T, db *store.DB, repo mirror.ID, state string) string {
	t.Helper()
	holds, err := db.Holds(t.Context(), mirror.HoldQuery{Repo: repo, State: state})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, h := range holds {
		live := ""
		if h.Settled.IsZero() {
			live = "*"
		}
		out = append([]string{strings.TrimPrefix(h.Ref, "refs/tags/") + "→" + h.New + ":" + h.State() + live}, out...)
	}
	return strings.Join(out, " ")
}

func TestHolds(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		r := newRepo(t, "github.com/o/held")
		if err := db.AddRepo(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		now := base()
		next := func() mirror.Claim {
			t.Helper()
			now = now.Add(time.Minute)
			if _, err := db.Ask(t.Context(), r.ID, mirror.ByHand, now); err != nil {
				t.Fatal(err)
			}
			claims := claim(t, db, "a", now, 1)
			if len(claims) != 1 {
				t.Fatalf("claims = %v, want one", claims)
			}
			return claims[0]
		}
		want := func(when, state, want string) {
			t.Helper()
			if got := states(t, db, r.ID, state); got != want {
				t.Errorf("%s: %s holds = %q, want %q", when, state, got, want)
			}
		}

		many := mirror.Hold{Kind: mirror.HoldDeletions, New: "names", Refs: []string{"refs/heads/a", "refs/heads/ü"}, Count: 2, Text: "two"}
		endWith(t, db, next(), now, []mirror.Hold{tagHold("v1", "bb"), many})
		live, err := db.LiveHolds(t.Context(), r.ID)
		if err != nil || len(live) != 2 {
			t.Fatalf("LiveHolds = %+v, %v, want two", live, err)
		}
		if got := live[1]; got.Count != 2 || len(got.Refs) != 2 || got.Refs[1] != "refs/heads/ü" || got.Repo != r.ID || !got.Opened.Equal(now) || !got.Open() {
			t.Errorf("hold = %+v, want what was found", got)
		}
		if n, err := db.CountHolds(t.Context(), ""); err != nil || n != 2 {
			t.Errorf("CountHolds = %d, %v, want 2", n, err)
		}
		first := live[0].ID

		// Found again is the same; what is gone is withdrawn; nil leaves all.
		endWith(t, db, next(), now, []mirror.Hold{tagHold("v1", "bb")})
		endWith(t, db, next(), now, nil)
		want("found again", "", "v1→bb:open* →names:withdrawn")
		want("found again", "open", "v1→bb:open*")

		// A decision that comes while a run goes on makes the next one look again.
		c := next()
		h, err := db.DecideHold(t.Context(), first, mirror.Accept, "ada", "it is ours", now)
		if err != nil || h.Decision != mirror.Accept || h.DecidedBy != "ada" || h.Reason != "it is ours" || !h.DecidedAt.Equal(now) {
			t.Errorf("DecideHold = %+v, %v", h, err)
		}
		after := endWith(t, db, c, now, []mirror.Hold{tagHold("v1", "bb")})
		if after.State.Digest != "" || !after.State.NextSync.Equal(now) {
			t.Errorf("after a run that did not know: digest %q, next %s, want none and at once", after.State.Digest, after.State.NextSync)
		}
		if _, err := db.DecideHold(t.Context(), first, mirror.Accept, "bob", "", now); err != nil {
			t.Errorf("the same decision again = %v", err)
		}
		if _, err := db.DecideHold(t.Context(), first, mirror.Keep, "bob", "", now); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("another decision = %v, want ErrExists", err)
		}
		want("decided", "decided", "v1→bb:accepted*")
		after = endWith(t, db, next(), now, []mirror.Hold{})
		if after.State.Digest != "digest" {
			t.Errorf("digest after it was carried out = %q, want one", after.State.Digest)
		}
		want("carried out", "", "v1→bb:accepted →names:withdrawn")

		// A decision clears the digest; the same change later is asked about again.
		endWith(t, db, next(), now, []mirror.Hold{tagHold("v1", "bb")})
		live, err = db.LiveHolds(t.Context(), r.ID)
		if err != nil || len(live) != 1 || !live[0].Open() {
			t.Fatalf("LiveHolds = %+v, %v, want an open one", live, err)
		}
		if _, err := db.DecideHold(t.Context(), live[0].ID, mirror.Keep, "ada", "", now); err != nil {
			t.Fatal(err)
		}
		if now, err := db.RepoByID(t.Context(), r.ID); err != nil || now.State.Digest != "" {
			t.Errorf("digest after a decision = %q, %v, want none", now.State.Digest, err)
		}
		kept := tagHold("v1", "bb")
		kept.Decision = mirror.Keep
		after = endWith(t, db, next(), now, []mirror.Hold{kept})
		if after.State.Digest != "digest" {
			t.Errorf("digest while ours is kept = %q, want one", after.State.Digest)
		}
		want("kept", "", "v1→bb:accepted →names:withdrawn v1→bb:kept*")

		// A move is found apart from refs, and is no news to itself.
		moved := mirror.Hold{Kind: mirror.HoldMove, Old: "https://a.example/x", New: "https://b.example/x", Text: "moved"}
		endWith(t, db, next(), now, []mirror.Hold{moved})
		live, err = db.LiveHolds(t.Context(), r.ID)
		if err != nil || len(live) != 2 {
			t.Fatalf("LiveHolds = %+v, %v, want the tag and the move", live, err)
		}
		if _, err := db.DecideHold(t.Context(), live[1].ID, mirror.Keep, "ada", "", now); err != nil {
			t.Fatal(err)
		}
		if after := endWith(t, db, next(), now, []mirror.Hold{moved}); after.State.NextSync.Equal(now) {
			t.Errorf("a kept move makes the mirror due at once for ever")
		}
		endWith(t, db, next(), now, []mirror.Hold{})
		if live, err := db.LiveHolds(t.Context(), r.ID); err != nil || len(live) != 0 {
			t.Errorf("LiveHolds = %+v, %v, want none", live, err)
		}

		// History is bounded, and goes with its repository.
		var lots []mirror.Hold
		for i := range 230 {
			lots = append(lots, tagHold(fmt.Sprint("n", i), "bb"))
		}
		endWith(t, db, next(), now, lots)
		endWith(t, db, next(), now, []mirror.Hold{})
		all, err := db.Holds(t.Context(), mirror.HoldQuery{Repo: r.ID, Limit: 1000})
		if err != nil || len(all) != 200 || all[0].Ref != "refs/tags/n229" {
			t.Errorf("Holds = %d, %v, want 200 with the newest first", len(all), err)
		}
		page, err := db.Holds(t.Context(), mirror.HoldQuery{Limit: 3, Before: all[10].ID})
		if err != nil || len(page) != 3 || page[0].ID != all[11].ID {
			t.Errorf("Holds behind %d = %+v, %v", all[10].ID, page, err)
		}
		if err := db.RemoveRepo(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Hold(t.Context(), first); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Hold of a removed repository = %v, want ErrNotFound", err)
		}
		if _, err := db.DecideHold(t.Context(), first, mirror.Keep, "ada", "", now); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("DecideHold of a removed repository = %v, want ErrNotFound", err)
		}
	})
}
