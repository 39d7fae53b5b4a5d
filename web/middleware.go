package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// maxBody bounds every request body; operations of the API set lower limits.
const maxBody = 4 << 20

// contentPolicy lets a page load its own files and nothing else, talk to its
// own server only, and never be framed.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
	"connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

type requestIDKey struct{}

// requestID is the id of the request that ctx belongs to; it is in the answer's
// X-Request-Id, in problems and in the log.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// frame gives every request an id and every answer the security headers. An id
// the client sends is not taken over: it would let strangers write into our log.
func (s *Server) frame(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := xid.New().String()
		h := w.Header()
		h.Set("X-Request-Id", id)
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store") // files under /static say otherwise
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id))
		if r.Method == http.MethodHead {
			r.Method = http.MethodGet // of our copy: net/http knows to leave out the body
		}
		next.ServeHTTP(w, r)
	})
}

// logRequest writes one line per request: changes at info, reading at debug.
// The query is left out; people paste secrets into addresses.
func (s *Server) logRequest(c *gin.Context) {
	start := time.Now()
	c.Next()
	level := slog.LevelDebug
	if !safeMethod(c.Request.Method) {
		level = slog.LevelInfo
	}
	ctx := c.Request.Context()
	if !s.Log.Enabled(ctx, level) {
		return
	}
	route := c.FullPath()
	if route == "" {
		route = "(none)"
	}
	s.Log.LogAttrs(ctx, level, "served request",
		slog.String("method", c.Request.Method), slog.String("route", route), slog.Int("status", c.Writer.Status()),
		slog.String("user", auth.From(ctx).Name), slog.String("addr", c.RemoteIP()),
		slog.Duration("dur", time.Since(start)), slog.Int("bytes", max(0, c.Writer.Size())),
		slog.String("request", requestID(ctx)))
}

// recoverPanic turns a bug into an internal error with a request id.
func (s *Server) recoverPanic(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v) // net/http's own way to cut a connection
		}
		s.Log.Error("handler panicked", "err", mirror.Panicked(v), "route", c.FullPath(),
			"request", requestID(c.Request.Context()), "stack", string(debug.Stack()))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler) // half an answer must not look whole
		}
		s.answer(c, &mirror.Problem{What: "internal error"})
	}()
	c.Next()
}

// sameOrigin refuses requests that change something and come from a page of
// another site (Sec-Fetch-Site, else Origin).
func (s *Server) sameOrigin(c *gin.Context) {
	if err := s.origins.Check(c.Request); err != nil {
		s.fail(c, &mirror.Problem{
			Kind: mirror.ErrDenied, What: "this request comes from another site", Why: err.Error(),
			Do: "open the console at " + s.Site.URL + " and repeat it there",
		})
	}
}

func (s *Server) limitBody(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
}

// unescape undoes the percent-encoding of path parameters.
func unescape(c *gin.Context) {
	for i, p := range c.Params {
		if v, err := url.PathUnescape(p.Value); err == nil {
			c.Params[i].Value = v
		}
	}
}

func (s *Server) noMethod(c *gin.Context) {
	allow := c.Writer.Header().Get("Allow")
	p := newProblem(c.Request.Context(), &mirror.Problem{
		Kind: mirror.ErrInvalid, What: c.Request.Method + " is not possible at this address", Do: "use " + allow,
	})
	p.Status = http.StatusMethodNotAllowed
	s.write(c, p)
}

func safeMethod(m string) bool {
	return m == http.MethodGet || m == http.MethodHead || m == http.MethodOptions
}

// originOf is scheme://host[:port] of a URL, as the Origin header has it.
func originOf(site string) string {
	u, err := url.Parse(site)
	if err != nil {
		return site
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

// whileRoom refuses changes while the disk is nearly full, apart from those that
// make room.
func (s *Server) whileRoom(c *gin.Context) {
	if safeMethod(c.Request.Method) || c.Request.Method == http.MethodDelete || strings.HasSuffix(c.FullPath(), "/remove") {
		return
	}
	if p := s.Headroom.Shut(); p != nil {
		s.fail(c, p)
		c.Abort()
	}
}
