package store

import (
	"context"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

type answerRow struct {
	Caller  string `gorm:"primaryKey"`
	Key     string `gorm:"primaryKey"`
	Request []byte
	At      int64
	Status  int64
	Answer  []byte
}

// TableName is where gorm finds the rows.
func (answerRow) TableName() string { return "answers" }

// BeginAnswer implements mirror.AnswerStore.
func (db *DB) BeginAnswer(ctx context.Context, a mirror.Answer) (before mirror.Answer, fresh bool, err error) {
	caller, key := clean(a.Caller), clean(a.Key)
	done := db.write.WithContext(ctx).Exec("INSERT INTO answers (caller, key, request, at, status) VALUES (?, ?, ?, ?, 0) ON CONFLICT DO NOTHING",
		caller, key, a.Request, a.At.UnixMicro())
	if done.Error != nil || done.RowsAffected > 0 {
		return mirror.Answer{}, done.Error == nil, known(done.Error)
	}
	row, err := table[answerRow](db.write).Where("caller = ? AND key = ?", caller, key).Take(ctx)
	return mirror.Answer{Caller: row.Caller, Key: row.Key, Request: row.Request, At: moment(&row.At), Status: int(row.Status), Sealed: row.Answer}, false, known(err)
}

// EndAnswer implements mirror.AnswerStore.
func (db *DB) EndAnswer(ctx context.Context, a mirror.Answer) error {
	_, err := table[answerRow](db.write).Where("caller = ? AND key = ?", clean(a.Caller), clean(a.Key)).
		Select("status", "answer").Updates(ctx, answerRow{Status: int64(a.Status), Answer: a.Sealed})
	return known(err)
}

// DropAnswer implements mirror.AnswerStore.
func (db *DB) DropAnswer(ctx context.Context, caller, key string) error {
	_, err := table[answerRow](db.write).Where("caller = ? AND key = ?", clean(caller), clean(key)).Delete(ctx)
	return known(err)
}

// ForgetAnswers implements mirror.AnswerStore.
func (db *DB) ForgetAnswers(ctx context.Context, before time.Time) error {
	_, err := table[answerRow](db.write).Where("at < ?", before.UnixMicro()).Delete(ctx)
	return known(err)
}

var _ mirror.AnswerStore = (*DB)(nil)
