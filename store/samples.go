package store

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

type sampleRow struct {
	Host      string `gorm:"primaryKey"`
	Endpoint  string `gorm:"primaryKey"`
	Span      int64  `gorm:"primaryKey;autoIncrement:false"` // seconds
	At        int64  `gorm:"primaryKey;autoIncrement:false"`
	N         int64
	Failed    int64
	Fresh     int64
	DNS       int64
	Connect   int64
	TLS       int64
	FirstByte int64
	Moved     int64
	Moving    int64
	Spread    string
	Problem   string
}

// TableName is where gorm finds the rows.
func (sampleRow) TableName() string { return "samples" }

func newSampleRow(m mirror.Measured) sampleRow {
	span := max(1, int64(m.Span/time.Second))
	at := m.At.UnixMicro()
	return sampleRow{
		Host: clean(m.Host), Endpoint: clean(m.Endpoint), Span: span, At: at - at%(span*1e6),
		N: m.N, Failed: m.Failed, Fresh: m.Fresh, DNS: m.DNS.Microseconds(), Connect: m.Connect.Microseconds(),
		TLS: m.TLS.Microseconds(), FirstByte: m.FirstByte.Microseconds(),
		Moved: m.Moved, Moving: m.Moving.Microseconds(), Spread: m.Spread.String(), Problem: string(m.Problem),
	}
}

func (row sampleRow) measured() mirror.Measured {
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	return mirror.Measured{
		Host: row.Host, Endpoint: row.Endpoint, At: moment(&row.At), Span: time.Duration(row.Span) * time.Second,
		N: row.N, Failed: row.Failed, Fresh: row.Fresh, DNS: us(row.DNS), Connect: us(row.Connect), TLS: us(row.TLS),
		FirstByte: us(row.FirstByte), Moved: row.Moved, Moving: us(row.Moving),
		Spread: mirror.ParseSpread(row.Spread), Problem: mirror.Code(row.Problem),
	}
}

// sums are the columns that are added up.
func sums() []string {
	return []string{"n", "failed", "fresh", "dns", "connect", "tls", "first_byte", "moved", "moving"}
}

// AddMeasured implements mirror.HostStore.
func (db *DB) AddMeasured(ctx context.Context, list []mirror.Measured) error {
	if len(list) == 0 {
		return nil
	}
	return db.in(ctx, func(tx *gorm.DB) error { return addMeasured(ctx, tx, list) })
}

// addMeasured adds to rows that are there. It takes them in one order, so that
// two servers on one database do not wait for each other for ever.
func addMeasured(ctx context.Context, tx *gorm.DB, list []mirror.Measured) error {
	type key struct {
		host, endpoint string
		span, at       int64
	}
	joined := map[key]mirror.Measured{}
	for _, m := range list {
		row := newSampleRow(m)
		k := key{row.Host, row.Endpoint, row.Span, row.At}
		sum := row.measured()
		if have, ok := joined[k]; ok {
			have.Join(sum)
			sum = have
		}
		joined[k] = sum
	}
	rows := make([]sampleRow, 0, len(joined))
	for _, m := range joined {
		rows = append(rows, newSampleRow(m))
	}
	slices.SortFunc(rows, func(a, b sampleRow) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Span, b.Span), cmp.Compare(a.At, b.At))
	})
	set := map[string]any{
		"spread":  gorm.Expr("samples.spread || excluded.spread"),
		"problem": gorm.Expr("CASE WHEN excluded.problem = '' THEN samples.problem ELSE excluded.problem END"),
	}
	for _, sum := range sums() {
		set[sum] = gorm.Expr("samples." + sum + " + excluded." + sum)
	}
	return table[sampleRow](tx, clause.OnConflict{
		Columns:   []clause.Column{{Name: "host"}, {Name: "endpoint"}, {Name: "span"}, {Name: "at"}},
		DoUpdates: clause.Assignments(set),
	}).CreateInBatches(ctx, &rows, 200)
}

// maxMeasured bounds one answer.
const maxMeasured = 50_000

// Measured implements mirror.HostStore.
func (db *DB) Measured(ctx context.Context, q mirror.MeasuredQuery) ([]mirror.Measured, error) {
	if !storable(q.Host) || !storable(q.Endpoint) {
		return nil, nil
	}
	step := q.Step.Microseconds()
	start, group := "min(at)", "host, endpoint"
	if step > 0 {
		start = "at - at % " + strconv.FormatInt(step, 10)
		group += ", " + start
	}
	text := "group_concat(spread, '')"
	if db.rowLocks {
		text = "string_agg(spread, '')"
	}
	sql := "SELECT host, endpoint, " + start + " AS at, " + text + " AS spread, max(problem) AS problem"
	for _, sum := range sums() {
		sql += ", CAST(sum(" + sum + ") AS bigint) AS " + sum
	}
	sql += " FROM samples WHERE at >= ?"
	values := []any{int64(0)}
	if !q.Since.IsZero() {
		values[0] = q.Since.UnixMicro()
	}
	for column, value := range map[string]string{"host": q.Host, "endpoint": q.Endpoint} {
		if value != "" {
			sql += " AND " + column + " = ?"
			values = append(values, value)
		}
	}
	var rows []sampleRow
	err := db.read.WithContext(ctx).Raw(sql+" GROUP BY "+group+" ORDER BY 3, host, endpoint LIMIT "+strconv.Itoa(maxMeasured), values...).Scan(&rows).Error
	if err != nil {
		return nil, known(err)
	}
	list := make([]mirror.Measured, len(rows))
	for i, row := range rows {
		list[i] = row.measured()
		list[i].Span = q.Step
	}
	return list, nil
}

// thinAtOnce is how long a stretch one transaction joins.
const thinAtOnce = 6 * time.Hour

// ThinMeasured implements mirror.HostStore.
func (db *DB) ThinMeasured(ctx context.Context, now time.Time) (more bool, err error) {
	for _, step := range []struct{ from, to, age time.Duration }{
		{mirror.SpanFine, mirror.SpanMiddle, mirror.FineFor},
		{mirror.SpanMiddle, mirror.SpanCoarse, mirror.MiddleFor},
	} {
		left, err := db.thin(ctx, step.from, step.to, now.Add(-step.age))
		if err != nil {
			return false, err
		}
		more = more || left
	}
	_, err = table[sampleRow](db.write).Where("at < ?", now.Add(-mirror.CoarseFor).UnixMicro()).Delete(ctx)
	return more, known(err)
}

// thin joins rows of one span, older than before, to rows of a longer one. What
// it deletes it has read in the same statement, so two servers join nothing twice.
func (db *DB) thin(ctx context.Context, from, to time.Duration, before time.Time) (more bool, err error) {
	seconds := int64(from / time.Second)
	wide := to.Microseconds()
	last := before.UnixMicro()
	last -= last % wide
	err = db.in(ctx, func(tx *gorm.DB) error {
		var oldest *int64
		if err := tx.Raw("SELECT min(at) FROM samples WHERE span = ? AND at < ?", seconds, last).Scan(&oldest).Error; err != nil || oldest == nil {
			return err
		}
		end := min(last, *oldest-*oldest%wide+thinAtOnce.Microseconds())
		more = end < last
		var rows []sampleRow
		if err := tx.Raw("DELETE FROM samples WHERE span = ? AND at < ? RETURNING *", seconds, end).Scan(&rows).Error; err != nil {
			return err
		}
		list := make([]mirror.Measured, len(rows))
		for i, row := range rows {
			list[i] = row.measured()
			list[i].Span = to
		}
		if len(list) == 0 {
			return nil
		}
		return addMeasured(ctx, tx, list)
	})
	return more, err
}
