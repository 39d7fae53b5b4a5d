package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/auth"
)

// auditRow is a row of audit: the entry as it was hashed, and what is searched.
type auditRow struct {
	Seq     int64 `gorm:"primaryKey;autoIncrement:false"`
	At      int64
	Actor   string
	Action  string
	Object  string
	Outcome string
	Entry   string
	Hash    string
}

// TableName is where gorm finds the rows.
func (auditRow) TableName() string { return "audit" }

func newAuditRow(d auth.Deed) (auditRow, error) {
	text, err := json.Marshal(d)
	return auditRow{
		At: d.At.UnixMicro(), Actor: clean(foldName(d.Actor)), Action: clean(d.Action), Object: clean(foldName(strings.Join(d.Objects, "\n"))),
		Outcome: string(d.Outcome), Entry: clean(string(text)),
	}, err
}

// record reads a row back. Columns that do not say what the entry says were
// changed by somebody: the hash is then shown to be wrong.
func (row auditRow) record() auth.AuditRecord {
	r := auth.AuditRecord{Seq: row.Seq, Hash: row.Hash, Entry: json.RawMessage(row.Entry)}
	err := json.Unmarshal(r.Entry, &r.Deed)
	same, failed := newAuditRow(r.Deed)
	if err != nil || failed != nil || same.At != row.At || same.Actor != row.Actor || same.Action != row.Action || same.Object != row.Object || same.Outcome != row.Outcome {
		r.Hash = "columns differ from the entry"
	}
	return r
}

// AddDeed implements auth.AuditStore. The head is written first: PostgreSQL
// locks its row until the end of the transaction, so that of two servers the
// second waits and goes on from what the first has written.
func (db *DB) AddDeed(ctx context.Context, d auth.Deed) error {
	row, err := newAuditRow(d)
	if err != nil {
		return err
	}
	// Not db.in: nothing that is remembered changes with the trail.
	return known(db.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		var head struct {
			Seq  int64
			Hash string
		}
		tx = tx.WithContext(ctx)
		if err := tx.Raw("UPDATE audit_head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash").Scan(&head).Error; err != nil {
			return err
		}
		if head.Seq == 0 {
			return fmt.Errorf("the head of the audit trail is missing")
		}
		row.Seq, row.Hash = head.Seq, auth.LinkHash(head.Hash, head.Seq, []byte(row.Entry))
		if err := tx.Exec("UPDATE audit_head SET hash = ? WHERE id = 1", row.Hash).Error; err != nil {
			return err
		}
		return table[auditRow](tx).Create(ctx, &row)
	}))
}

// Deeds implements auth.AuditStore.
func (db *DB) Deeds(ctx context.Context, q auth.AuditQuery) ([]auth.AuditRecord, error) {
	if !storable(q.Actor) || !storable(q.Action) || !storable(q.Object) {
		return nil, nil
	}
	order := "seq DESC"
	if q.Oldest {
		order = "seq"
	}
	rows := table[auditRow](db.read).Order(order).Limit(bounded(q.Limit))
	where := func(on bool, query string, args ...any) {
		if on {
			rows = rows.Where(query, args...)
		}
	}
	actor := foldName(q.Actor)
	if actor == "-" {
		actor = ""
	}
	where(q.Actor != "", "actor = ?", actor)
	where(q.Action != "", "action = ?", q.Action)
	where(q.Object != "", `object LIKE ? ESCAPE '\'`, "%"+strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(foldName(q.Object))+"%")
	where(q.Outcome != "", "outcome = ?", string(q.Outcome))
	where(!q.Since.IsZero(), "at >= ?", q.Since.UnixMicro())
	where(!q.Until.IsZero(), "at < ?", q.Until.UnixMicro())
	where(q.Before > 0, "seq < ?", q.Before)
	where(q.After > 0, "seq > ?", q.After)
	found, err := rows.Find(ctx)
	out := make([]auth.AuditRecord, len(found))
	for i, row := range found {
		out[i] = row.record()
	}
	return out, known(err)
}

// AuditHead implements auth.AuditStore.
func (db *DB) AuditHead(ctx context.Context) (seq int64, hash string, err error) {
	var head struct {
		Seq  int64
		Hash string
	}
	err = db.read.WithContext(ctx).Raw("SELECT seq, hash FROM audit_head WHERE id = 1").Scan(&head).Error
	return head.Seq, head.Hash, known(err)
}

var _ auth.AuditStore = (*DB)(nil)

// Duty implements mirror.AlertStore: it takes a piece of work for owner until the
// given time, or prolongs it, unless another has it.
func (db *DB) Duty(ctx context.Context, name, owner string, now, until time.Time) (mine bool, err error) {
	done := db.write.WithContext(ctx).Exec(`INSERT INTO duties (name, owner, until) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
		WHERE duties.owner = excluded.owner OR duties.until < ?`, name, clean(owner), until.UnixMicro(), now.UnixMicro())
	return done.RowsAffected > 0, known(done.Error)
}
