package store

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"gorm.io/gorm/logger"
)

// queryLog sends statements to the log at level debug, without their values:
// those may be secrets. Errors are returned by methods, so they are not logged.
type queryLog struct{ log *slog.Logger }

func (q queryLog) LogMode(logger.LogLevel) logger.Interface { return q }

func (q queryLog) Info(context.Context, string, ...any)  {}
func (q queryLog) Warn(context.Context, string, ...any)  {}
func (q queryLog) Error(context.Context, string, ...any) {}

// ParamsFilter keeps gorm from writing values into the statement.
func (q queryLog) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) {
	return sql, nil
}

func (q queryLog) Trace(ctx context.Context, begin time.Time, statement func() (string, int64), err error) {
	if !q.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	sql, rows := statement()
	args := []any{"sql", sql, "rows", rows, "dur", time.Since(begin)}
	if err != nil {
		args = append(args, "err", known(err))
	}
	q.log.DebugContext(ctx, "query", args...)
}

// hide cuts a secret out of a text.
func hide(text, secret string) string {
	if secret == "" {
		return text
	}
	return strings.ReplaceAll(text, secret, "[secret]")
}
