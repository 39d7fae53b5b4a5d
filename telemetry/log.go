// Package telemetry makes the log and the metrics. It knows nothing of mirrors:
// whoever wires the program plugs its methods into the hooks of the others.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// Log returns a logger to w. Format is "text" or "json"; level is "debug",
// "info", "warn" or "error". Text is safe on a terminal: control characters and
// other unprintable ones are escaped, wherever they come from.
func Log(w io.Writer, format, level string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{}
	switch level {
	case "debug":
		options.Level = slog.LevelDebug
	case "info":
		options.Level = slog.LevelInfo
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	default:
		return nil, fmt.Errorf("log.level %q is not known: use debug, info, warn or error", level)
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil // it quotes what is not printable
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log.format %q is not known: use text or json", format)
}
