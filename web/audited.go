package web

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
)

// audited writes the audit trail: an entry for every request that may change
// something, whichever way it ends. What was changed is noted by the stores
// (auth.RecordMirrors, auth.RecordAccounts) and by whoever calls auth.Note.
func (s *Server) audited(c *gin.Context) {
	route := c.FullPath()
	action := s.action(c.Request.Method, route)
	if safeMethod(c.Request.Method) || route == "" || onlyLooks(action) || s.Trail == nil {
		c.Next()
		return
	}
	ctx, notes := auth.WithNotes(c.Request.Context())
	c.Request = c.Request.WithContext(ctx)
	// The entry is written before the first byte of the answer goes out: whoever
	// has the answer can find the entry.
	w := &auditedWriter{ResponseWriter: c.Writer}
	w.before = func() {
		status := c.Writer.Status()
		d := auth.Deed{
			Action: action, Addr: c.RemoteIP(), Client: c.Request.UserAgent(), Status: status, Request: requestID(ctx), Outcome: auth.Succeeded,
		}
		switch {
		case status >= http.StatusInternalServerError:
			d.Outcome = auth.Failed
		case status >= http.StatusBadRequest:
			d.Outcome = auth.Refused
		}
		if id := auth.From(c.Request.Context()); !id.Anonymous() {
			d.By(id)
		}
		notes.Fill(&d)
		if len(d.Objects) == 0 && d.Outcome == auth.Succeeded { // what was typed where nothing was found may be anything
			d.Objects = addressed(c)
		}
		s.Trail.Add(ctx, d)
	}
	c.Writer = w
	ended := false
	defer func() { // a connection that a panic cuts has its entry too
		if !ended && !w.Written() {
			w.ResponseWriter.WriteHeader(http.StatusInternalServerError)
		}
		w.tell()
	}()
	c.Next()
	ended = true
}

// auditedWriter calls before once, when the answer begins.
type auditedWriter struct {
	gin.ResponseWriter
	before func()
}

func (w *auditedWriter) tell() {
	if w.before != nil {
		f := w.before
		w.before = nil
		f()
	}
}

// Write, WriteString, WriteHeaderNow and Flush begin the answer.
func (w *auditedWriter) Write(p []byte) (int, error) { w.tell(); return w.ResponseWriter.Write(p) }

// WriteString is Write.
func (w *auditedWriter) WriteString(s string) (int, error) {
	w.tell()
	return w.ResponseWriter.WriteString(s)
}

// WriteHeaderNow sends the header.
func (w *auditedWriter) WriteHeaderNow() { w.tell(); w.ResponseWriter.WriteHeaderNow() }

// Flush sends what there is.
func (w *auditedWriter) Flush() { w.tell(); w.ResponseWriter.Flush() }

// Unwrap is for http.ResponseController.
func (w *auditedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// addressed is what the address of a request names.
func addressed(c *gin.Context) []string {
	var out []string
	for _, p := range c.Params {
		kind := p.Key
		if kind == "id" {
			kind = "mirror"
		}
		out = append(out, kind+" "+cut(p.Value))
	}
	return out
}

// action is the operation of the API that a route is, or that does the same.
func (s *Server) action(method, route string) string {
	key := method + " " + route
	if id, ok := s.operations[key]; ok {
		return id
	}
	switch key { // sessions are the console's alone
	case "POST /login":
		return "sign-in"
	case "POST /logout":
		return "sign-out"
	}
	if id, ok := consoleTwins()[key]; ok {
		return id
	}
	return key
}

// consoleTwins names, for every form of the console, the operation of the API
// that does the same. A test finds forms that are missing here.
func consoleTwins() map[string]string {
	return map[string]string{
		"POST /login":                        "sign-in",
		"POST /logout":                       "remove-token",
		"POST /account/password":             "edit-user",
		"POST /account/keys":                 "add-key",
		"POST /account/keys/:key/remove":     "remove-key",
		"POST /account/tokens":               "create-token",
		"POST /account/tokens/:token/remove": "remove-token",
		"POST /start/token":                  "create-token",
		"POST /start/key":                    "add-key",
		"POST /mirrors/:id/sync":             "sync-mirror",
		"POST /mirrors/bulk/sync":            "sync-mirror",
		"POST /mirrors/bulk":                 "edit-mirror",
		"POST /mirrors/bulk/remove":          "remove-mirror",
		"POST /mirrors/new":                  "add-mirrors",
		"POST /mirrors/new/owner":            "add-rule",
		"POST /mirrors/:id/edit":             "edit-mirror",
		"POST /mirrors/:id/rename":           "rename-mirror",
		"POST /mirrors/:id/pause":            "edit-mirror",
		"POST /mirrors/:id/cancel":           "cancel-sync",
		"POST /mirrors/:id/resume":           "edit-mirror",
		"POST /mirrors/:id/archive":          "edit-mirror",
		"POST /mirrors/:id/check":            "start-upkeep",
		"POST /mirrors/:id/repair":           "start-upkeep",
		"POST /mirrors/:id/remove":           "remove-mirror",
		"POST /mirrors/:id/restore":          "restore-kept",
		"POST /approvals/:approval":          "decide-approval",
		"POST /upstreams/:host/probe":        "probe-upstream",
		"POST /upstreams/:host/use":          "use-upstream",
		"POST /upstreams/:host/edit":         "put-upstream",
		"POST /upstreams/:host/up":           "put-upstream",
		"POST /rules":                        "add-rule",
		"POST /rules/remove":                 "remove-rule",
		"POST /rules/aliases":                "add-alias",
		"POST /rules/aliases/remove":         "remove-alias",
		"POST /rules/credentials":            "add-credential",
		"POST /rules/credentials/remove":     "remove-credential",
		"POST /users":                        "add-user",
		"POST /users/:user/role":             "edit-user",
		"POST /users/:user/password":         "edit-user",
		"POST /users/:user/tokens":           "create-token",
		"POST /users/:user/disable":          "edit-user",
		"POST /users/:user/enable":           "edit-user",
		"POST /alerts/rules":                 "put-alert-rule",
		"POST /alerts/rules/remove":          "remove-alert-rule",
		"POST /alerts/channels":              "put-alert-channel",
		"POST /alerts/channels/remove":       "remove-alert-channel",
		"POST /alerts/channels/test":         "test-alert-channel",
		"POST /users/:user/remove":           "remove-user",

		"POST /login/code":                          "sign-in",
		"POST /account/second-factor":               "begin-second-factor",
		"POST /account/second-factor/confirm":       "confirm-second-factor",
		"POST /account/second-factor/remove":        "remove-second-factor",
		"POST /users/:user/second-factor/remove":    "remove-second-factor",
		"POST /account/sessions/remove":             "remove-sessions",
		"POST /account/sessions/:session/remove":    "remove-session",
		"POST /access/groups":                       "add-group",
		"POST /access/groups/:group/remove":         "remove-group",
		"POST /access/groups/:group/members":        "add-member",
		"POST /access/groups/:group/members/remove": "remove-member",
		"POST /access/groups/:group/grants":         "add-grant",
		"POST /access/groups/:group/grants/remove":  "remove-grant",
		"POST /access/trusts":                       "add-trust",
		"POST /access/trusts/:trust/remove":         "remove-trust",

		"POST /modules/rules":                  "add-module-rule",
		"POST /modules/rules/remove":           "remove-module-rule",
		"POST /modules/pin":                    "pin-module",
		"POST /modules/unpin":                  "unpin-module",
		"POST /modules/trim":                   "trim-module-cache",
		"POST /modules/warm":                   "start-warming",
		"POST /modules/warm/cancel":            "cancel-warming",
		"POST /modules/refusals/:refusal/seen": "see-module-refusal",
	}
}

// onlyLooks tells whether an operation that is POSTed, because its question is
// long, changes nothing.
func onlyLooks(operation string) bool {
	switch operation {
	case "preview-mirrors", "preview-rule", "preview-trim", "resolve-modules", "locate-modules",
		"POST /look": // a cookie
		return true
	}
	return false
}

// ginRoute is a path of the API as the router has it: {mirror} → :mirror.
func ginRoute(path string) string {
	return apiPrefix + strings.NewReplacer("{", ":", "}", "").Replace(path)
}
