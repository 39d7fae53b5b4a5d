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
	w := c.words(g)
	title := map[int]string{
		http.StatusNotFound:              w.t("Not found"),
		http.StatusForbidden:             w.t("Not allowed"),
		http.StatusMethodNotAllowed:      w.t("Not possible here"),
		http.StatusConflict:              w.t("Somebody was faster"),
		http.StatusUnprocessableEntity:   w.t("This cannot be done"),
		http.StatusBadRequest:            w.t("This cannot be done"),
		http.StatusRequestEntityTooLarge: w.t("This is too large"),
		http.StatusTooManyRequests:       w.t("Not now"),
		http.StatusGatewayTimeout:        w.t("This took too long"),
		http.StatusBadGateway:            w.t("The upstream is in trouble"),
		http.StatusInternalServerError:   w.t("Something broke on the server"),
	}[status]
	if title == "" {
		title = http.StatusText(status)
	}
	frame, err := c.page(g, title, "")
	if err != nil { // the database, most likely: a frame without a menu still tells the story
		frame = page{Title: title, Version: c.Version, Theme: theme(g.Request), Address: "/"}
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
