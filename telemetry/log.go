package telemetry

import (
	"io"
	"log/slog"
)

// Log writes to w: format "json", or text for people; level "debug", "info",
// "warn" or "error" (anything else is info; package cli refuses it before).
// Text is safe on a terminal: its handler quotes whatever is not printable.
func Log(w io.Writer, format, level string) *slog.Logger {
	options := &slog.HandlerOptions{Level: levelOf(level)}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func levelOf(level string) slog.Level {
	switch level {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}
