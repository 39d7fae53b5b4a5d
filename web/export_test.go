package web

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/gitmirror/gitmirror/mirror"
)

// LocalPath is localPath, for its table of hostile addresses.
func LocalPath(next string) string { return localPath(next) }

// Marked is what words.x makes of a text that is in no catalogue.
func Marked(text string, args ...any) string { return string((&words{}).x(text, args...)) }

// Speaker puts texts of the program into a language.
func Speaker(code string) (func(text string) string, error) {
	all, err := loadWords()
	if err != nil {
		return nil, err
	}
	for _, w := range all {
		if w.Code == code {
			return w.say, nil
		}
	}
	return nil, fmt.Errorf("language %s: %w", code, mirror.ErrNotFound)
}

// Routes lists "METHOD /path" of everything the server serves.
func (s *Server) Routes() ([]string, error) {
	var routes []string
	h := *s
	h.sessions = h.newSessions()
	h.origins = http.NewCrossOriginProtection()
	engine, err := h.engine()
	if err != nil {
		return nil, err
	}
	for _, r := range engine.Routes() {
		routes = append(routes, r.Method+" "+r.Path)
	}
	return routes, nil
}

// Operations lists the ids of the API's operations.
func (s *Server) Operations() ([]string, error) {
	h := *s
	h.sessions = h.newSessions()
	h.origins = http.NewCrossOriginProtection()
	if _, err := h.engine(); err != nil {
		return nil, err
	}
	return slices.Collect(maps.Values(h.operations)), nil
}

// ConsoleTwins is consoleTwins.
func ConsoleTwins() map[string]string { return consoleTwins() }
