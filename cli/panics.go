package cli

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/gitmirror/gitmirror/mirror"
)

// survive logs what panics, and ends the connection: net/http would print the
// value, which may hold what somebody sent.
func survive(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				log.Error("handler panicked", "err", mirror.Panicked(v), "method", r.Method, "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler)
		}()
		next.ServeHTTP(w, r)
	})
}
