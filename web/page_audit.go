package web

import (
	"encoding/csv"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
)

type auditPage struct {
	page
	Entries []auditView
	// What was asked for, for the form.
	Actor, Action, Object, Outcome, From, To string
	Outcomes                                 []outcomeChoice
	More                                     string // URL of what is older
	Exports                                  []link
}

type auditView struct {
	AuditEntry
	ByServer          bool
	Look, OutcomeWord string
	Way               string // how the person was known, in words
}

type outcomeChoice struct {
	Outcome auth.Outcome
	Words   string
	Here    bool
}

// outcome is how a deed ended, in a word, and as which state it looks.
func (w *words) outcome(o auth.Outcome) (word, look string) {
	switch o {
	case auth.Refused:
		return w.t("refused"), "warn"
	case auth.Failed:
		return w.t("failed"), "bad"
	}
	return w.t("done"), "good"
}

// via is how somebody was known; empty for the server and for nobody.
func (w *words) via(v auth.Via) string {
	switch v {
	case auth.BySession:
		return w.t("signed in here")
	case auth.ByPassword:
		return w.t("by password")
	case auth.ByToken:
		return w.t("by token")
	case auth.ByKey:
		return w.t("by SSH key")
	}
	return ""
}

const auditPageSize = 50

// auditFilter reads the form; days are whole ones, of UTC.
func auditFilter(g *gin.Context) AuditFilter {
	f := AuditFilter{Actor: strings.TrimSpace(g.Query("actor")), Action: strings.TrimSpace(g.Query("action")), Object: strings.TrimSpace(g.Query("object"))}
	switch o := auth.Outcome(g.Query("outcome")); o {
	case auth.Succeeded, auth.Refused, auth.Failed:
		f.Outcome = string(o)
	}
	if day, err := time.Parse(time.DateOnly, g.Query("from")); err == nil {
		f.Since = day
	}
	if day, err := time.Parse(time.DateOnly, g.Query("to")); err == nil {
		f.Until = day.AddDate(0, 0, 1)
	}
	return f
}

func (c *console) audit(g *gin.Context) error {
	if c.Trail == nil {
		return noAudit()
	}
	p, err := c.page(g, "Audit", "/audit")
	if err != nil {
		return err
	}
	f := auditFilter(g)
	data := auditPage{
		page: p, Actor: f.Actor, Action: f.Action, Object: f.Object, Outcome: f.Outcome, From: g.Query("from"), To: g.Query("to"),
	}
	w := c.words(g)
	for _, o := range []auth.Outcome{auth.Succeeded, auth.Refused, auth.Failed} {
		word, _ := w.outcome(o)
		data.Outcomes = append(data.Outcomes, outcomeChoice{o, word, string(o) == f.Outcome})
	}
	q := f.query()
	q.Limit = auditPageSize
	if before, err := strconv.ParseInt(g.Query("cursor"), 10, 64); err == nil && before > 0 {
		q.Before = before
	}
	list, err := c.Trail.Store.Deeds(g.Request.Context(), q)
	if err != nil {
		return err
	}
	for _, r := range list {
		v := auditView{AuditEntry: auditJSON(r), ByServer: r.Deed.Via == auth.ByServer}
		v.OutcomeWord, v.Look = w.outcome(r.Deed.Outcome)
		v.Way = w.via(r.Deed.Via)
		data.Entries = append(data.Entries, v)
	}
	params := g.Request.URL.Query()
	params.Del("cursor")
	for _, format := range []string{"jsonl", "csv"} {
		params.Set("format", format)
		data.Exports = append(data.Exports, link{Name: format, URL: "/audit/export?" + params.Encode()})
	}
	if len(list) == auditPageSize {
		params.Del("format")
		params.Set("cursor", strconv.FormatInt(list[len(list)-1].Seq, 10))
		data.More = "/audit?" + params.Encode()
	}
	return c.render(g, http.StatusOK, "audit", data)
}

func (c *console) exportAudit(g *gin.Context) error {
	if c.Trail == nil {
		return noAudit()
	}
	format := g.Query("format")
	if format != "csv" {
		format = "jsonl"
	}
	if err := c.writeAudit(g.Request.Context(), g.Writer, auditFilter(g).query(), format); err != nil {
		if !g.Writer.Written() {
			return err
		}
		c.logFailure(g.Request.Context(), err, g.FullPath())
		panic(http.ErrAbortHandler)
	}
	return nil
}

// auditCSV writes entries as CSV. A cell that a spreadsheet would take for a
// formula gets an apostrophe in front.
func auditCSV(w io.Writer) (line func(auth.AuditRecord) error, done func() error) {
	out := csv.NewWriter(w)
	row := func(cells ...string) error {
		for i, cell := range cells {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				cells[i] = "'" + cell
			}
		}
		return out.Write(cells)
	}
	head := row("seq", "at", "actor", "via", "credential", "addr", "client", "action", "objects", "outcome", "status", "code", "request", "changes", "hash")
	line = func(r auth.AuditRecord) error {
		if head != nil {
			return head
		}
		d := r.Deed
		changes := make([]string, len(d.Changes))
		for i, c := range d.Changes {
			changes[i] = strings.TrimSpace(c.Object+" "+c.Field) + ": " + c.Before + " → " + c.After
		}
		return row(strconv.FormatInt(r.Seq, 10), d.At.UTC().Format(time.RFC3339Nano), d.Actor, string(d.Via), d.Credential, d.Addr, d.Client, d.Action,
			strings.Join(d.Objects, "\n"), string(d.Outcome), strconv.Itoa(d.Status), d.Code, d.Request, strings.Join(changes, "\n"), r.Hash)
	}
	return line, func() error { out.Flush(); return out.Error() }
}
