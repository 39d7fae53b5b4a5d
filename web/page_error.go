package web

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type errorPage struct {
	page
	Status    int
	Problem   *mirror.Problem
	RequestID string
	Back      string // where to go from here
}

// errorPage renders a problem in the frame of the console. It is the last
// resort, so whatever fails in here falls back to plain text.
func (c *console) errorPage(g *gin.Context, status int, p Problem) {
	if c.identity(g).Anonymous() { // bySession has not run for addresses that do not exist
		if who, err := c.sessionIdentity(g.Request.Context()); err == nil {
			g.Request = g.Request.WithContext(auth.With(g.Request.Context(), who))
		}
	}
	title := map[int]string{
		http.StatusNotFound:            "Not found",
		http.StatusForbidden:           "Not allowed",
		http.StatusMethodNotAllowed:    "Not possible here",
		http.StatusConflict:            "Somebody was faster",
		http.StatusInternalServerError: "Something broke on the server",
	}[status]
	if title == "" {
		title = http.StatusText(status)
	}
	frame, err := c.page(g, title, "")
	if err != nil { // the database, most likely: a frame without a menu still tells the story
		frame = page{Title: title, Version: c.Version}
	}
	frame.Narrow = true
	data := errorPage{page: frame, Status: status, RequestID: p.RequestID, Problem: p.problem(), Back: "/mirrors"}
	if !frame.SignedIn {
		data.Back = "/login"
	}
	if err := c.render(g, status, "error", data); err != nil {
		c.Log.Error("render error page", "err", err, "request", p.RequestID)
		g.String(status, "%s\n", p.Title)
	}
}
