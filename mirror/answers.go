package mirror

import (
	"context"
	"time"
)

// AnswerStore remembers the answers to requests that may come twice.
type AnswerStore interface {
	// BeginAnswer remembers that a request with this key is being worked on. When
	// there was one before, fresh is false and before is what is known of it.
	BeginAnswer(ctx context.Context, a Answer) (before Answer, fresh bool, err error)
	// EndAnswer stores Status and Sealed.
	EndAnswer(ctx context.Context, a Answer) error
	// DropAnswer forgets a request that had no effect, so that it can come again.
	DropAnswer(ctx context.Context, caller, key string) error
	// ForgetAnswers drops what is older.
	ForgetAnswers(ctx context.Context, before time.Time) error
}

// Answer is what a request with an idempotency key got.
type Answer struct {
	Caller  string // user id
	Key     string
	Request []byte // hash of what was asked
	At      time.Time
	Status  int    // of HTTP; zero = it is worked on, or was when the server died
	Sealed  []byte // header and body: tokens are in some
}
