package cli

import (
	"net/http"
	"strings"
)

// below serves what a proxy in front of us passes on from a part of its host:
// a request keeps that part ("/git/github.com/…") or has lost it on the way,
// both are understood. The path of public_url is that part, "" when it has none.
func below(path string, next http.Handler) http.Handler {
	if path == "" {
		return next
	}
	stripped := http.StripPrefix(path, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, path+"/") {
			stripped.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
