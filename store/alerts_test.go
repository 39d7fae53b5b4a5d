package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// inbox is a sender that keeps what it is given, or refuses.
type inbox struct {
	mu      sync.Mutex
	got     []mirror.AlertBody
	to      []mirror.AlertChannel
	refuses bool
}

func (i *inbox) Send(_ context.Context, c mirror.AlertChannel, _ int64, b mirror.AlertBody) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.refuses {
		return &mirror.Problem{Kind: mirror.ErrUpstream, What: "no"}
	}
	i.got, i.to = append(i.got, b), append(i.to, c)
	return nil
}

func (i *inbox) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.got)
}

func alerts(t *testing.T, db *store.DB, owner string, in *inbox) *mirror.Alerts {
	t.Helper()
	vault, err := auth.OpenVault(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return &mirror.Alerts{Store: db, Repos: db, Vault: vault, Sender: in, Owner: owner, Site: mirror.Site{URL: "https://mirror.example"}, Gap: time.Nanosecond}
}

// One message when something begins, one when it is over, none in between, for
// hundreds of mirrors at once; a server that starts anew tells nothing twice.
func TestAlertsAreToldOnce(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx, in := t.Context(), &inbox{}
		a := alerts(t, db, "one", in)
		if err := a.SaveChannel(ctx, mirror.AlertChannel{Name: "ops", Kind: mirror.ByWebhook, URL: "https://hooks.example/secret-path", Secret: "s3cret"}); err != nil {
			t.Fatal(err)
		}
		if err := a.SaveRule(ctx, mirror.AlertRule{Name: "broken", Kind: mirror.AlertFailing, Times: 3, Channels: []string{"ops"}}); err != nil {
			t.Fatal(err)
		}
		var repos []mirror.Repo
		now := time.Now().UTC()
		for i := range 50 {
			r := mirror.Repo{
				ID: mirror.NewID(), Path: mirror.Path(fmt.Sprintf("github.com/acme/r%02d", i)), Upstream: mirror.Upstream{Scheme: "https", Host: "github.com", Path: fmt.Sprintf("/acme/r%02d", i)},
				Tags: mirror.FreezeTags, Created: now, Updated: now, Version: 1, State: mirror.State{Status: mirror.Retrying, Failures: i % 5, NextSync: now.Add(time.Hour), LastAttempt: now},
			}
			if err := db.AddRepo(ctx, r); err != nil {
				t.Fatal(err)
			}
			repos = append(repos, r)
		}
		look := func(a *mirror.Alerts, want int) {
			t.Helper()
			if err := a.Look(ctx); err != nil {
				t.Fatal(err)
			}
			if got := in.count(); got != want {
				t.Fatalf("messages = %d, want %d", got, want)
			}
		}
		look(a, 1)
		if b := in.got[0]; b.BegunCount != 20 || len(b.Begun) != 20 || b.OverCount != 0 || in.to[0].URL.Reveal() != "https://hooks.example/secret-path" || in.to[0].Secret.Reveal() != "s3cret" {
			t.Errorf("message = %+v to %+v, want 20 that began", b, in.to[0])
		}
		for range 3 {
			look(a, 1)
		}
		// Another server on the same database does not do it too.
		other := alerts(t, db, "two", in)
		other.Vault = a.Vault
		look(other, 1)
		// The same one, started again, says nothing twice.
		again := alerts(t, db, "one", in)
		again.Vault = a.Vault
		look(again, 1)
		// All is well again, but for one that was removed and one that goes on.
		for _, r := range repos[2:] {
			if err := db.RemoveRepo(ctx, r.ID); err != nil {
				t.Fatal(err)
			}
		}
		look(again, 2)
		if b := in.got[1]; b.OverCount != 20 || b.BegunCount != 0 {
			t.Errorf("second message = %+v, want 20 that are over", b)
		}
		look(again, 2)
		left, err := db.Alerts(ctx, "")
		if err != nil || len(left) != 0 {
			t.Errorf("Alerts = %v, %v, want none", left, err)
		}
	})
}

// A receiver that is away gets the message later; the log says how it went.
func TestAlertsAreTriedAgain(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx, in := t.Context(), &inbox{refuses: true}
		a := alerts(t, db, "one", in)
		a.Disk = func() (mirror.Space, mirror.SpaceLevel) {
			return mirror.Space{Free: 1, Total: 100 << 30}, mirror.NoSyncs
		}
		if err := a.SaveChannel(ctx, mirror.AlertChannel{Name: "ops", Kind: mirror.BySlack, URL: "https://hooks.example/x"}); err != nil {
			t.Fatal(err)
		}
		if err := a.SaveRule(ctx, mirror.AlertRule{Name: "disk", Kind: mirror.AlertDisk, Channels: []string{"ops"}}); err != nil {
			t.Fatal(err)
		}
		if err := a.Look(ctx); err != nil {
			t.Fatal(err)
		}
		log, err := db.Messages(ctx, 0, 10)
		if err != nil || len(log) != 1 || log[0].Attempts != 1 || log[0].Due.IsZero() || log[0].Problem == "" || !log[0].Sent.IsZero() {
			t.Fatalf("Messages = %+v, %v, want one that is tried again", log, err)
		}
		in.refuses = false
		m := log[0]
		m.Due = time.Now().Add(-time.Second) // its time comes
		if err := db.MessageTried(ctx, m); err != nil {
			t.Fatal(err)
		}
		if err := a.Look(ctx); err != nil {
			t.Fatal(err)
		}
		if log, err = db.Messages(ctx, 0, 10); err != nil || len(log) != 1 || log[0].Sent.IsZero() || log[0].Problem != "" || in.count() != 1 {
			t.Errorf("Messages = %+v, %v, want one that was sent", log, err)
		}
		// Somebody edits with an old version; somebody removes what is in use.
		if err := a.SaveRule(ctx, mirror.AlertRule{Name: "disk", Kind: mirror.AlertDisk, Version: 9}); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("SaveRule with an old version = %v, want ErrExists", err)
		}
		if err := a.RemoveChannel(ctx, "ops"); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("RemoveChannel of one in use = %v, want ErrExists", err)
		}
		// A secret stays with the host it was entered for.
		if err := a.SaveChannel(ctx, mirror.AlertChannel{Name: "hook", Kind: mirror.ByWebhook, URL: "https://a.example/x", Secret: "s3cret"}); err != nil {
			t.Fatal(err)
		}
		if err := a.SaveChannel(ctx, mirror.AlertChannel{Name: "hook", Kind: mirror.ByWebhook, URL: "https://evil.example/x", Version: 1}); err != nil {
			t.Fatal(err)
		}
		if err := a.Trial(ctx, "hook"); err != nil {
			t.Fatal(err)
		}
		if c := in.to[len(in.to)-1]; c.Secret != "" || c.URL.Reveal() != "https://evil.example/x" {
			t.Errorf("the secret of another host went to %s", c.URL.Reveal())
		}
	})
}

// What comes and goes between two messages makes none; a rule speaks once in a Gap.
func TestAlertsDoNotFlood(t *testing.T) {
	db, in := open(t, filepath.Join(t.TempDir(), "x.db")), &inbox{}
	ctx := t.Context()
	a := alerts(t, db, "one", in)
	full := true
	a.Gap = time.Hour
	a.Disk = func() (mirror.Space, mirror.SpaceLevel) {
		if full {
			return mirror.Space{Free: 1, Total: 100 << 30}, mirror.NoSyncs
		}
		return mirror.Space{Free: 1, Total: 1}, mirror.Roomy
	}
	if err := a.SaveChannel(ctx, mirror.AlertChannel{Name: "ops", Kind: mirror.BySlack, URL: "https://hooks.example/x"}); err != nil {
		t.Fatal(err)
	}
	if err := a.SaveRule(ctx, mirror.AlertRule{Name: "disk", Kind: mirror.AlertDisk, Channels: []string{"ops"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		full = i%2 == 0
		if err := a.Look(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if in.count() != 1 {
		t.Errorf("messages about a disk that is full and not, in turns = %d, want 1", in.count())
	}
	a.Gap = time.Nanosecond
	if err := a.Look(ctx); err != nil {
		t.Fatal(err)
	}
	if in.count() != 2 || in.got[1].OverCount != 1 {
		t.Errorf("messages = %+v, want a second one, that it is over", in.got)
	}
}
