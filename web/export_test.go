package web

import (
	"net/http"
)

// LocalPath is localPath, for its table of hostile addresses.
func LocalPath(next string) string { return localPath(next) }

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
