package telemetry

import (
	"io"
	"net/http"
	"time"
)

// Count counts the requests next answers as HTTPServed does. What route says
// is asked before next runs. Streams, full duplex and sendfile work as without it.
func (m *Metrics) Count(route func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		class, begin := route(r), time.Now()
		counted := &statusWriter{ResponseWriter: w}
		defer func() {
			if err := recover(); err != nil {
				if counted.status == 0 {
					counted.status = http.StatusInternalServerError
				}
				m.HTTPServed(class, counted.status, time.Since(begin))
				panic(err) // net/http ends the connection, as the handler wanted
			}
			if counted.status == 0 {
				counted.status = http.StatusOK
			}
			m.HTTPServed(class, counted.status, time.Since(begin))
		}()
		next.ServeHTTP(counted, r)
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int // zero until it is sent
}

// WriteHeader notes the final status; 1xx come before it.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write notes that the status is 200 when nothing else was said.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom keeps the way open for sendfile.
func (w *statusWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return io.Copy(w.ResponseWriter, r)
}

// Flush is for those who ask for an http.Flusher rather than a controller.
func (w *statusWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
