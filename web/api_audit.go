package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// AuditEntry is an entry of the audit trail.
type AuditEntry struct {
	Seq        int64         `json:"seq" doc:"Place in the trail, from 1"`
	Hash       string        `json:"hash" doc:"SHA-256 that covers the entry and the hash before it"`
	At         time.Time     `json:"at"`
	Actor      string        `json:"actor,omitempty" doc:"Name of the user then; absent = nobody, or the server itself"`
	ActorID    string        `json:"actor_id,omitempty"`
	Via        auth.Via      `json:"via,omitempty" doc:"session, password, token, ssh-key, or server for what it does by itself"`
	Credential string        `json:"credential,omitempty" doc:"Id of the token"`
	Addr       string        `json:"addr,omitempty" doc:"Address of the peer"`
	Client     string        `json:"client,omitempty" doc:"What the program calls itself"`
	Action     string        `json:"action" example:"edit-mirror" doc:"Operation of this API that does it, whichever road was taken"`
	Objects    []string      `json:"objects" example:"mirror github.com/spf13/cobra"`
	Outcome    auth.Outcome  `json:"outcome" enum:"done,refused,failed"`
	Status     int           `json:"status,omitempty"`
	Code       string        `json:"code,omitempty" doc:"Entry of the error catalogue, when it did not succeed"`
	Request    string        `json:"request,omitempty" doc:"Request id, as in the log"`
	Changes    []AuditChange `json:"changes"`
}

// AuditChange is what became of one field; secrets are "(set)".
type AuditChange struct {
	Object string `json:"object,omitempty" doc:"When there are several"`
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Audit is a page of the trail, newest first.
type Audit struct {
	Items      []AuditEntry `json:"items"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

// AuditVerdict is what reading the whole trail showed.
type AuditVerdict struct {
	Intact  bool            `json:"intact"`
	Entries int64           `json:"entries" doc:"How many are there and follow from each other"`
	Hash    string          `json:"hash" doc:"Of the last of them. Note it with entries, and ask again with both later"`
	Problem *mirror.Problem `json:"problem,omitempty" doc:"Where it is broken"`
}

// AuditFilter selects entries.
type AuditFilter struct {
	Actor   string    `query:"actor" maxLength:"100" doc:"Name of a user; - = nobody, and the server"`
	Action  string    `query:"action" maxLength:"100" example:"edit-mirror"`
	Object  string    `query:"object" maxLength:"500" doc:"Part of its name, in any letter case"`
	Outcome string    `query:"outcome" enum:"done,refused,failed"`
	Since   time.Time `query:"since" doc:"Not before"`
	Until   time.Time `query:"until" doc:"Before"`
}

func (f AuditFilter) query() auth.AuditQuery {
	return auth.AuditQuery{Actor: f.Actor, Action: f.Action, Object: f.Object, Outcome: auth.Outcome(f.Outcome), Since: f.Since, Until: f.Until}
}

// values are the parameters, for links.
func (f AuditFilter) values() url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("actor", f.Actor)
	set("action", f.Action)
	set("object", f.Object)
	set("outcome", f.Outcome)
	if !f.Since.IsZero() {
		set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		set("until", f.Until.UTC().Format(time.RFC3339Nano))
	}
	return q
}

func (a *api) auditOperations() {
	tags := []string{"audit"}
	register(a, governors, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/audit", Tags: tags, Summary: "List who did what, newest first",
	}, a.listAudit)
	register(a, governors, huma.Operation{
		OperationID: "export-audit", Method: http.MethodGet, Path: "/audit/export", Tags: tags, Summary: "Export the trail, oldest first",
		Description: "JSON lines {seq, hash, entry}, in which hash is SHA-256 of \"gitmirror audit 1\\n\", the hash before, \"\\n\", seq, \"\\n\" and " +
			"entry, byte for byte; or CSV. What is exported without a filter can be verified without this server: `gitmirror audit verify FILE`.",
		Responses: map[string]*huma.Response{"200": {Description: "The trail", Content: map[string]*huma.MediaType{
			"application/jsonl": {Schema: &huma.Schema{Type: "string"}}, "text/csv": {Schema: &huma.Schema{Type: "string"}},
		}}},
	}, a.exportAudit)
	register(a, governors, huma.Operation{
		OperationID: "verify-audit", Method: http.MethodGet, Path: "/audit/verify", Tags: tags, Summary: "Read the whole trail and check that nothing was changed",
		Description: "An end that was noted earlier, given as entries and hash, must be on the way: so it is found when the trail was written anew.",
	}, a.verifyAudit)
}

func noAudit() error {
	return &mirror.Problem{Kind: mirror.ErrNotFound, What: "this server keeps no audit trail"}
}

type listAuditRequest struct {
	PageParams
	AuditFilter
}

type listAuditAnswer struct {
	Link string `header:"Link"`
	Body Audit
}

func (a *api) listAudit(ctx context.Context, in *listAuditRequest) (*listAuditAnswer, error) {
	if a.Trail == nil {
		return nil, noAudit()
	}
	q := in.query()
	var err error
	if q.Before, err = in.before(); err != nil {
		return nil, err
	}
	q.Limit = in.Limit
	list, err := a.Trail.Store.Deeds(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listAuditAnswer{Body: Audit{Items: each(list, auditJSON)}}
	if len(list) == in.Limit {
		out.Body.NextCursor = strconv.FormatInt(list[len(list)-1].Seq, 10)
	}
	out.Link = in.next("/audit", out.Body.NextCursor, in.values())
	return out, nil
}

func auditJSON(r auth.AuditRecord) AuditEntry {
	d := r.Deed
	out := AuditEntry{
		Seq: r.Seq, Hash: r.Hash, At: d.At.UTC(), Actor: d.Actor, ActorID: d.ActorID, Via: d.Via, Credential: d.Credential, Addr: d.Addr, Client: d.Client,
		Action: d.Action, Objects: d.Objects, Outcome: d.Outcome, Status: d.Status, Code: d.Code, Request: d.Request,
		Changes: each(d.Changes, func(c auth.Change) AuditChange { return AuditChange(c) }),
	}
	if out.Objects == nil {
		out.Objects = []string{}
	}
	return out
}

type exportAuditRequest struct {
	AuditFilter
	Format string `query:"format" enum:"jsonl,csv" default:"jsonl"`
}

func (a *api) exportAudit(_ context.Context, in *exportAuditRequest) (*huma.StreamResponse, error) {
	if a.Trail == nil {
		return nil, noAudit()
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		c := humagin.Unwrap(hc)
		if err := a.writeAudit(hc.Context(), c.Writer, in.query(), in.Format); err != nil {
			a.logFailure(hc.Context(), err, "audit export")
			panic(http.ErrAbortHandler) // half an export must not look whole
		}
	}}, nil
}

// writeAudit sends what q selects, oldest first. An error after the first bytes
// is for the caller to cut the connection with.
func (s *Server) writeAudit(ctx context.Context, w http.ResponseWriter, q auth.AuditQuery, format string) error {
	w.Header().Set("Content-Disposition", `attachment; filename="audit.`+format+`"`)
	var line func(auth.AuditRecord) error
	done := func() error { return nil }
	if format == "csv" {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		line, done = auditCSV(w)
	} else {
		w.Header().Set("Content-Type", "application/jsonl")
		line = func(r auth.AuditRecord) error { return writeAuditLine(w, r) }
	}
	q.Oldest, q.Limit = true, 1000
	for {
		// A slow reader has its time for each page, not for the whole.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
		list, err := s.Trail.Store.Deeds(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range list {
			if err := line(r); err != nil {
				return err
			}
			q.After = r.Seq
		}
		if len(list) < q.Limit {
			return done()
		}
	}
}

// AuditLine is a line of the export as JSON.
type AuditLine struct {
	Seq   int64           `json:"seq"`
	Hash  string          `json:"hash"`
	Entry json.RawMessage `json:"entry"`
}

func writeAuditLine(w http.ResponseWriter, r auth.AuditRecord) error {
	text, err := json.Marshal(AuditLine{r.Seq, r.Hash, r.Entry})
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

type verifyAuditRequest struct {
	Entries int64  `query:"entries" minimum:"0" doc:"Noted earlier"`
	Hash    string `query:"hash" maxLength:"64" doc:"Noted with it"`
}

func (a *api) verifyAudit(ctx context.Context, in *verifyAuditRequest) (*answer[AuditVerdict], error) {
	if a.Trail == nil {
		return nil, noAudit()
	}
	end, err := auth.VerifyAudit(ctx, a.Trail.Store, auth.Chain{Seq: in.Entries, Hash: in.Hash})
	if err != nil && !errors.Is(err, mirror.ErrIntegrity) {
		return nil, err
	}
	out := AuditVerdict{Intact: err == nil, Entries: end.Seq, Hash: end.Hash}
	if err != nil {
		out.Problem = mirror.AsProblem(err)
	}
	return &answer[AuditVerdict]{out}, nil
}
