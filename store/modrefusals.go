package store

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

type refusalRow struct {
	ID       int64 `gorm:"primaryKey"`
	Day      int64
	Kind     string
	Module   string
	Version  string
	UserName string
	Address  string
	Source   string
	Text     string
	Times    int64
	FirstAt  int64
	LastAt   int64
	SeenBy   string
	Seen     *int64
}

// TableName is where gorm finds the rows.
func (refusalRow) TableName() string { return "module_refusals" }

func (row refusalRow) refusal() mirror.ModuleRefusal {
	return mirror.ModuleRefusal{
		ID: row.ID, First: moment(&row.FirstAt), Times: int(row.Times), SeenBy: row.SeenBy, Seen: moment(row.Seen),
		ModuleEvent: mirror.ModuleEvent{
			At: moment(&row.LastAt), Kind: mirror.ModuleEventKind(row.Kind), Module: row.Module, Version: row.Version,
			User: row.UserName, Address: row.Address, From: row.Source, Text: row.Text,
		},
	}
}

// refusalKey is what makes two refusals one row.
func refusalKey() []string {
	return []string{"day", "kind", "module", "version", "user_name", "address", "source"}
}

// AddModuleRefusals implements mirror.ModuleStore.
func (db *DB) AddModuleRefusals(ctx context.Context, list []mirror.ModuleRefusal) error {
	type key struct {
		day                                        int64
		kind, module, version, user, address, from string
	}
	joined := map[key]*refusalRow{}
	for _, r := range list {
		row := refusalRow{
			Day: r.At.UnixMicro() / dayUs, Kind: string(r.Kind), Module: clean(r.Module), Version: clean(r.Version), UserName: clean(r.User),
			Address: clean(r.Address), Source: clean(r.From), Text: clean(r.Text), Times: int64(max(1, r.Times)), LastAt: r.At.UnixMicro(), FirstAt: r.At.UnixMicro(),
		}
		if !r.First.IsZero() {
			row.FirstAt = r.First.UnixMicro()
		}
		k := key{row.Day, row.Kind, row.Module, row.Version, row.UserName, row.Address, row.Source}
		if have := joined[k]; have != nil {
			row.Times += have.Times
			row.FirstAt, row.LastAt = min(row.FirstAt, have.FirstAt), max(row.LastAt, have.LastAt)
		}
		joined[k] = &row
	}
	rows := values(joined, func(a, b refusalRow) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Day, b.Day),
			cmp.Compare(a.UserName, b.UserName), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Source, b.Source))
	})
	for part := range slices.Chunk(rows, usedAtOnce) {
		err := db.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			return upsert(ctx, tx, part, refusalKey(), map[string]string{
				"text": "excluded.text", "last_at": later("module_refusals", "last_at", "excluded.last_at > module_refusals.last_at"),
			}, "module_refusals", "times")
		})
		if err != nil {
			return known(err)
		}
	}
	return nil
}

// ModuleRefusals implements mirror.ModuleStore.
func (db *DB) ModuleRefusals(ctx context.Context, q mirror.RefusalQuery) ([]mirror.ModuleRefusal, error) {
	if !storable(string(q.Kind)) || !storable(q.Module) {
		return nil, nil
	}
	rows := table[refusalRow](db.read).Where("id > 0")
	if q.Kind != "" {
		rows = rows.Where("kind = ?", string(q.Kind))
	}
	if q.Module != "" {
		rows = rows.Where("module = ?", q.Module)
	}
	if q.Unseen {
		rows = rows.Where("kind = 'forged' AND seen IS NULL")
	}
	if q.After != nil {
		rows = rows.Where("(last_at, id) < (?, ?)", q.After.At.UnixMicro(), q.After.ID)
	}
	found, err := rows.Order("last_at DESC, id DESC").Limit(bounded(q.Limit)).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	list := make([]mirror.ModuleRefusal, len(found))
	for i, row := range found {
		list[i] = row.refusal()
	}
	return list, nil
}

// ModuleRefusal implements mirror.ModuleStore.
func (db *DB) ModuleRefusal(ctx context.Context, id int64) (mirror.ModuleRefusal, error) {
	row, err := table[refusalRow](db.read).Where("id = ?", id).Take(ctx)
	if err != nil {
		return mirror.ModuleRefusal{}, about("refusal", strconv.FormatInt(id, 10), err)
	}
	return row.refusal(), nil
}

// CountForged implements mirror.ModuleStore.
func (db *DB) CountForged(ctx context.Context) (int, error) {
	n, err := table[refusalRow](db.read).Where("kind = 'forged' AND seen IS NULL").Count(ctx, "*")
	return int(n), known(err)
}

// SeeModuleRefusal implements mirror.ModuleStore.
func (db *DB) SeeModuleRefusal(ctx context.Context, id int64, by string, now time.Time) error {
	n, err := table[refusalRow](db.write).Where("id = ? AND seen IS NULL", id).Select("seen_by", "seen").Updates(ctx, refusalRow{SeenBy: clean(by), Seen: micros(now)})
	if err == nil && n == 0 {
		_, err = db.ModuleRefusal(ctx, id)
		return err
	}
	return about("refusal", strconv.FormatInt(id, 10), err)
}
