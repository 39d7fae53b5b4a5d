package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// Problem is an error answer of the API, application/problem+json of RFC 9457
// with our extension members. It is an error of the kind that Kind names, so
// that a client can treat it as if it had happened in its own process.
type Problem struct {
	Type      string       `json:"type" doc:"Always about:blank; code tells problems apart"`
	Title     string       `json:"title" doc:"What happened"`
	Status    int          `json:"status" doc:"The HTTP status"`
	Detail    string       `json:"detail,omitempty" doc:"Why it happened"`
	Code      mirror.Code  `json:"code,omitempty" doc:"Entry of the error catalogue, stable" example:"E1105"`
	Kind      string       `json:"kind,omitempty" doc:"Kind of failure" enum:"not-found,invalid,exists,denied,sign-in,upstream,held,integrity,busy"`
	Action    string       `json:"action,omitempty" doc:"What to do next"`
	Raw       string       `json:"raw,omitempty" doc:"What the tool or the peer said, without secrets"`
	RequestID string       `json:"request_id,omitempty" doc:"Names this request in the server's log"`
	Errors    []FieldError `json:"errors,omitempty" doc:"Fields of the request that cannot be right"`
	// Differences and ETag come with 412: what the thing is now, and its version.
	Differences []Difference `json:"differences,omitempty" doc:"With 412: what is not as the edit would have it"`
	ETag        string       `json:"-"`
	// RetryAfter comes with 429 and 503; zero = 5 s.
	RetryAfter time.Duration `json:"-"`
}

// FieldError says what is wrong with one field. It never repeats the value,
// which may be a password.
type FieldError struct {
	Location string `json:"location" doc:"Where, for example body.role"`
	Message  string `json:"message"`
}

// statusOf is the HTTP status of a kind of failure; what has none is an
// internal error.
func statusOf(k mirror.Kind) int {
	switch k {
	case mirror.ErrNotFound:
		return http.StatusNotFound
	case mirror.ErrInvalid:
		return http.StatusUnprocessableEntity
	case mirror.ErrExists, mirror.ErrHeld:
		return http.StatusConflict
	case mirror.ErrDenied:
		return http.StatusForbidden
	case mirror.ErrSignIn:
		return http.StatusUnauthorized
	case mirror.ErrUpstream, mirror.ErrIntegrity:
		return http.StatusBadGateway
	case mirror.ErrBusy:
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

// Error is title and detail on one line, led by the code.
func (p *Problem) Error() string { return p.problem().Error() }

// Unwrap is the *mirror.Problem the server had.
func (p *Problem) Unwrap() error { return p.problem() }

func (p *Problem) problem() *mirror.Problem {
	return &mirror.Problem{Code: p.Code, Kind: mirror.Kind(p.Kind), What: p.Title, Why: p.Detail, Do: p.Action, Raw: p.Raw}
}

// GetStatus and GetHeaders and ContentType are what the OpenAPI library asks of an error.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are the header fields that belong to the status.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	switch p.Status {
	case http.StatusUnauthorized:
		// Not "Basic": a browser would put up its own dialogue for a script's request.
		h.Set("WWW-Authenticate", `Bearer realm="gitmirror"`)
	case http.StatusPreconditionFailed:
		if p.ETag != "" {
			h.Set("ETag", p.ETag)
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(int(cmp.Or(p.RetryAfter, 5*time.Second)/time.Second)))
	}
	return h
}

// ContentType is the media type of the body.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// newProblem makes an answer of an error. Of an error without a kind only the
// request id is shown; its text is for the log.
func newProblem(ctx context.Context, err error) *Problem {
	var ready *Problem
	if errors.As(err, &ready) {
		p := *ready
		p.RequestID = requestID(ctx)
		return &p
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &Problem{
			Type: "about:blank", Status: http.StatusRequestEntityTooLarge, Kind: "invalid", RequestID: requestID(ctx),
			Title: "the request is too large", Action: "send it in parts",
		}
	case errors.Is(err, context.DeadlineExceeded):
		return &Problem{
			Type: "about:blank", Status: http.StatusGatewayTimeout, Kind: "busy", RequestID: requestID(ctx),
			Title: "this took too long", Action: "try again in a minute",
		}
	}
	m := mirror.AsProblem(err)
	p := &Problem{
		Type: "about:blank", Status: http.StatusInternalServerError, Code: m.Code,
		Title: m.What, Detail: m.Why, Action: m.Do, Raw: m.Raw, RequestID: requestID(ctx),
	}
	if m.Kind != "" {
		p.Kind, p.Status = string(m.Kind), statusOf(m.Kind)
		return p
	}
	p.Title, p.Detail, p.Raw = "internal error", "", ""
	p.Action = "give the request id to whoever runs this server; its log has the cause"
	return p
}

// fail ends a request with err: problem+json for a program, a page for a
// person, the sign-in page for a person who has to sign in first. It is the one
// place where errors of handlers are logged.
func (s *Server) fail(c *gin.Context, err error) {
	s.logFailure(c.Request.Context(), err, c.FullPath())
	s.answer(c, err)
}

func (s *Server) logFailure(ctx context.Context, err error, route string) {
	if p := newProblem(ctx, err); p.Status == http.StatusInternalServerError && ctx.Err() == nil {
		s.Log.ErrorContext(ctx, "request failed", "err", err, "route", route, "request", p.RequestID)
	}
}

func (s *Server) answer(c *gin.Context, err error) {
	s.write(c, newProblem(c.Request.Context(), err))
}

func (s *Server) write(c *gin.Context, p *Problem) {
	c.Abort()
	if !wantsPage(c.Request) || s.errorPage == nil {
		writeProblem(c.Writer, p)
		return
	}
	if p.Status == http.StatusUnauthorized {
		s.toSignIn(c)
		return
	}
	for k, v := range p.GetHeaders() {
		c.Writer.Header()[k] = v
	}
	s.errorPage(c, p.Status, *p)
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	h := w.Header()
	for k, v := range p.GetHeaders() {
		h[k] = v
	}
	h.Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone; nobody is left to tell
}

// wantsPage tells whether a person is looking: a browser, outside of the API.
func wantsPage(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/api/") &&
		(strings.Contains(r.Header.Get("Accept"), "text/html") || r.Header.Get("HX-Request") == "true")
}

// toSignIn leads to the sign-in page and, after it, back to where a GET came from.
func (s *Server) toSignIn(c *gin.Context) {
	to := "/login"
	if r := c.Request; r.Method == http.MethodGet && r.Header.Get("HX-Request") == "" && r.URL.Path != "/" {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	if c.GetHeader("HX-Request") == "true" { // htmx would put the whole page into a corner of this one
		c.Header("HX-Redirect", to)
		c.Status(http.StatusUnauthorized)
		c.Writer.WriteHeaderNow()
		return
	}
	c.Redirect(http.StatusSeeOther, to)
}

// localPath returns next if it is a path on this server, else "/". It refuses
// what browsers read as another host: "//evil", "/\evil", "https:evil".
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsFunc(next, func(r rune) bool { return r == '\\' || r < 0x20 || r == 0x7f }) {
		return "/"
	}
	return next
}
