package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// Two servers write at the same time; the chain is one and whole.
func TestAuditChain(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx := t.Context()
		other := open(t, location)
		var g errgroup.Group
		for n, node := range []*store.DB{db, other} {
			for worker := range 3 {
				g.Go(func() error {
					for i := range 10 {
						d := auth.Deed{
							At: time.Now().UTC().Truncate(time.Microsecond), Actor: fmt.Sprintf("User%d", n), Action: "edit-mirror",
							Objects: []string{fmt.Sprintf("mirror github.com/acme/w%d_%d", worker, i)}, Outcome: auth.Succeeded,
							Changes: []auth.Change{{Field: "interval", Before: "1h", After: "<2h> & \u2028"}},
						}
						if err := node.AddDeed(ctx, d); err != nil {
							return err
						}
					}
					return nil
				})
			}
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		end, err := auth.VerifyAudit(ctx, db, auth.Chain{})
		if err != nil || end.Seq != 60 {
			t.Fatalf("VerifyAudit = %+v, %v, want 60 entries", end, err)
		}
		for _, q := range []struct {
			query auth.AuditQuery
			want  int
		}{
			{auth.AuditQuery{}, 60}, {auth.AuditQuery{Limit: 7}, 7}, {auth.AuditQuery{Actor: "USER1"}, 30}, {auth.AuditQuery{Actor: "-"}, 0},
			{auth.AuditQuery{Object: "ACME/W2_"}, 20}, {auth.AuditQuery{Object: "w%"}, 0}, {auth.AuditQuery{Object: "' OR 1=1 --"}, 0},
			{auth.AuditQuery{Action: "edit-mirror", Outcome: auth.Succeeded}, 60}, {auth.AuditQuery{Before: 11}, 10},
			{auth.AuditQuery{Since: time.Now().Add(time.Hour)}, 0}, {auth.AuditQuery{Until: time.Now().Add(time.Hour)}, 60},
		} {
			got, err := db.Deeds(ctx, q.query)
			if err != nil || len(got) != q.want {
				t.Errorf("Deeds(%+v) = %d entries, %v, want %d", q.query, len(got), err, q.want)
			}
		}

		// What was noted earlier must still be there.
		kept := auth.Chain{}
		list, err := db.Deeds(ctx, auth.AuditQuery{Oldest: true, Limit: 30})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if err := kept.Next(r); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := auth.VerifyAudit(ctx, db, kept); err != nil {
			t.Errorf("VerifyAudit with what was noted at %d = %v", kept.Seq, err)
		}
		if _, err := auth.VerifyAudit(ctx, db, auth.Chain{Seq: 30, Hash: "another"}); !errors.Is(err, mirror.ErrIntegrity) {
			t.Errorf("VerifyAudit with another hash at 30 = %v, want ErrIntegrity", err)
		}
		if _, err := auth.VerifyAudit(ctx, db, auth.Chain{Seq: 99, Hash: "x"}); !errors.Is(err, mirror.ErrIntegrity) {
			t.Errorf("VerifyAudit with an entry that is gone = %v, want ErrIntegrity", err)
		}

		// Whoever has the database still cannot change it unnoticed.
		direct := raw(t, location)
		for _, statement := range []string{"UPDATE audit SET actor = 'nobody'", "DELETE FROM audit WHERE seq = 60"} {
			if _, err := direct.ExecContext(ctx, statement); err == nil || !strings.Contains(err.Error(), "only added to") {
				t.Errorf("%s = %v, want a refusal", statement, err)
			}
		}
		drop := []string{"DROP TRIGGER audit_keeps_rows", "DROP TRIGGER audit_keeps_words"}
		if strings.HasPrefix(location, "postgres") {
			drop = []string{"DROP TRIGGER audit_keeps_rows ON audit", "DROP TRIGGER audit_keeps_words ON audit"}
		}
		for _, statement := range append(drop, "DELETE FROM audit WHERE seq = 60") {
			if _, err := direct.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := auth.VerifyAudit(ctx, db, auth.Chain{}); !errors.Is(err, mirror.ErrIntegrity) {
			t.Errorf("VerifyAudit without the last entry = %v, want ErrIntegrity", err)
		}
		if _, err := direct.ExecContext(ctx, "UPDATE audit SET actor = 'somebody else' WHERE seq = 20"); err != nil {
			t.Fatal(err)
		}
		if got, err := auth.VerifyAudit(ctx, db, auth.Chain{}); !errors.Is(err, mirror.ErrIntegrity) || got.Seq != 19 {
			t.Errorf("VerifyAudit with entry 20 changed = %d, %v, want broken behind 19", got.Seq, err)
		}
	})
}
