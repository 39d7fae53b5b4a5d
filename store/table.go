package store

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// table is the table of the rows T, with the clauses added to whatever is done. It is
// gorm.G as far as this package needs it: that one compiles some hundred methods
// for each of our forty kinds of rows, which took as long as everything else we have.
func table[T any](db *gorm.DB, clauses ...clause.Expression) query[T] {
	return query[T]{db.Session(&gorm.Session{NewDB: true}).Model(new(T)).Clauses(clauses...)}
}

// query is a statement about the rows T while it is put together. A part added
// to it changes the query it was added to.
type query[T any] struct{ tx *gorm.DB }

func (q query[T]) Where(condition string, values ...any) query[T] {
	return query[T]{q.tx.Where(condition, values...)}
}

func (q query[T]) Scopes(scope func(*gorm.Statement)) query[T] {
	scope(q.tx.Statement)
	return q
}

func (q query[T]) Select(columns string, more ...any) query[T] {
	return query[T]{q.tx.Select(columns, more...)}
}

func (q query[T]) Group(column string) query[T] { return query[T]{q.tx.Group(column)} }
func (q query[T]) Order(columns any) query[T]   { return query[T]{q.tx.Order(columns)} }
func (q query[T]) Limit(n int) query[T]         { return query[T]{q.tx.Limit(n)} }
func (q query[T]) Offset(n int) query[T]        { return query[T]{q.tx.Offset(n)} }

// Raw is a statement of our own, for Scan.
func (q query[T]) Raw(sql string, values ...any) query[T] {
	return query[T]{q.tx.Raw(sql, values...)}
}

func (q query[T]) Exec(ctx context.Context, sql string, values ...any) error {
	return q.tx.WithContext(ctx).Exec(sql, values...).Error
}

func (q query[T]) Find(ctx context.Context) ([]T, error) {
	var rows []T
	err := q.tx.WithContext(ctx).Find(&rows).Error
	return rows, err
}

// Take is one row, or gorm.ErrRecordNotFound.
func (q query[T]) Take(ctx context.Context) (T, error) {
	var row T
	err := q.tx.WithContext(ctx).Take(&row).Error
	return row, err
}

// Scan reads the rows into what dest points to, whose shape may be another.
func (q query[T]) Scan(ctx context.Context, dest any) error {
	return q.tx.WithContext(ctx).Scan(dest).Error
}

func (q query[T]) Count(ctx context.Context, column string) (int64, error) {
	var n int64
	err := q.tx.WithContext(ctx).Select(column).Count(&n).Error
	return n, err
}

func (q query[T]) Create(ctx context.Context, row *T) error {
	return q.tx.WithContext(ctx).Create(row).Error
}

func (q query[T]) CreateInBatches(ctx context.Context, rows *[]T, size int) error {
	return q.tx.WithContext(ctx).CreateInBatches(rows, size).Error
}

// Update, Updates and Delete return how many rows it was.
func (q query[T]) Update(ctx context.Context, column string, value any) (int, error) {
	tx := q.tx.WithContext(ctx).Update(column, value)
	return int(tx.RowsAffected), tx.Error
}

func (q query[T]) Updates(ctx context.Context, row T) (int, error) {
	tx := q.tx.WithContext(ctx).Updates(row)
	return int(tx.RowsAffected), tx.Error
}

func (q query[T]) Delete(ctx context.Context) (int, error) {
	tx := q.tx.WithContext(ctx).Delete(new(T))
	return int(tx.RowsAffected), tx.Error
}
