package web

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

const (
	apiPrefix   = "/api/v1"
	maxAPIBody  = 1 << 20
	bodyTimeout = 20 * time.Second // for the whole body of a request; net/http lifts it at its end
)

// api is the JSON API: operations described once, in Go, from which the routes,
// the checks of what comes in and the OpenAPI document are made.
type api struct {
	*Server
	huma huma.API
}

// apiRoutes mounts /api.
func (s *Server) apiRoutes(r *gin.Engine) {
	setLibrary()
	group := r.Group(apiPrefix, s.byCredential, s.limitRate, s.idempotent)
	a := &api{Server: s, huma: humagin.NewWithGroup(r, group, s.apiConfig())}
	a.siteOperations()
	a.mirrorOperations()
	a.renameOperations()
	a.previewOperations()
	a.historyOperations()
	a.upkeepOperations()
	a.upstreamOperations()
	a.approvalOperations()
	a.keptOperations()
	a.importOperations()
	a.moduleOperations()
	a.modcacheOperations()
	a.modwarmOperations()
	a.servedOperations()
	a.modpolicyOperations()
	a.userOperations()
	a.peopleOperations()
	a.eventOperations()
	a.trafficOperations()
	a.auditOperations()
	a.alertOperations()
	a.describe(r)
}

func (s *Server) apiConfig() huma.Config {
	config := huma.DefaultConfig("gitmirror", s.Version)
	config.Info.Description = "Mirrors of git repositories, and what Go projects need to build from them. " +
		"Errors are application/problem+json with a code, what happened, why, and what to do."
	config.Info.License = nil
	config.Servers = []*huma.Server{{URL: strings.TrimSuffix(s.Site.URL, "/") + apiPrefix}}
	config.Tags = []*huma.Tag{
		{Name: "mirrors", Description: "Mirrors"}, {Name: "history", Description: "What happened, and what is happening"},
		{Name: "upstreams", Description: "Hosts mirrors come from, and the roads to them"},
		{Name: "approvals", Description: "Changes of upstream that wait for a person"}, {Name: "kept", Description: "What upstream took away, and we keep"},
		{Name: "modules", Description: "Go modules"}, {Name: "aliases", Description: "Import prefixes"},
		{Name: "rules", Description: "Rules"}, {Name: "credentials", Description: "Upstream credentials"},
		{Name: "users", Description: "Users"}, {Name: "groups", Description: "Groups, and who reads which private mirrors"}, {Name: "trusts", Description: "CI jobs that are trusted"}, {Name: "keys", Description: "SSH keys"}, {Name: "tokens", Description: "API tokens"},
		{Name: "alerts", Description: "What is wrong, and who is told"},
		{Name: "audit", Description: "Who did what"},
		{Name: "site", Description: "This server"},
	}
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", BearerFormat: "gmr_…", Description: "An API token"},
		"basic":   {Type: "http", Scheme: "basic", Description: "User name and password, or any user name and an API token"},
		"session": {Type: "apiKey", In: "cookie", Name: s.sessions.Cookie.Name, Description: "The console's session, from its own pages"},
	}
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: strictUnmarshal}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format} // "json": of …+json
	// The library's own pages load scripts from elsewhere, and its schema links
	// repeat the Host header; we serve the document ourselves.
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil
	config.RejectUnknownQueryParameters = true
	return config
}

// schemaName keeps the problem inside an answer apart from the one that is the
// answer: they are mirror.Problem and Problem.
func schemaName(t reflect.Type, hint string) string {
	if t == reflect.TypeFor[mirror.Problem]() || t == reflect.TypeFor[*mirror.Problem]() {
		return "Cause"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// access says who may call an operation. The zero value lets nobody.
type access int

const (
	_ access = iota
	anybody
	signedIn   // whoever has a good credential; the handler narrows it to what is theirs
	readers    // auth.Read
	syncers    // auth.Sync
	managers   // auth.Manage
	governors  // auth.Administer
	accessEnds // keep last
)

// check decides before the body is read. Everything here is behind a sign-in,
// so private and public mirrors are alike: asked for as private.
func (s *Server) check(ctx context.Context, need access) error {
	id := auth.From(ctx)
	switch need {
	case anybody:
		return nil
	case signedIn:
		if id.Anonymous() {
			return s.Policy.May(id, auth.Sync, true)
		}
		if id.Enrol {
			return s.Policy.May(id, auth.Read, true)
		}
		return nil
	case readers:
		return s.Policy.May(id, auth.Read, true)
	case syncers:
		return s.Policy.May(id, auth.Sync, true)
	case managers:
		return s.Policy.May(id, auth.Manage, true)
	case governors:
		return s.Policy.May(id, auth.Administer, true)
	}
	return mirror.ErrDenied
}

// register mounts an operation: authorise, read and check the request, do,
// answer. op.Errors holds the statuses that are particular to it.
func register[I, O any](a *api, need access, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	a.operations[op.Method+" "+ginRoute(op.Path)] = op.OperationID
	op.Security = []map[string][]string{}
	// 401 also where no credential is needed: one that is not good is refused everywhere.
	op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError)
	if need != anybody {
		op.Security = []map[string][]string{{"token": {}}, {"basic": {}}, {"session": {}}}
		op.Errors = append(op.Errors, http.StatusForbidden)
	}
	if !safeMethod(op.Method) {
		op.Errors = append(op.Errors, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if slices.Contains([]string{"modules", "audit", "trusts"}, op.Tags[0]) {
		op.Errors = append(op.Errors, http.StatusNotFound) // where the server has none of it
	}
	if op.Method == http.MethodPost && need != anybody {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: "string", MaxLength: ptr(maxKey)},
			Description: "Any text that is new for each request, such as a UUID. The same request with the same key within 24 hours has its effect once, and is answered as the first was; another one is refused with 409.",
		})
		op.Errors = append(op.Errors, http.StatusConflict)
	}
	slices.Sort(op.Errors)
	op.Errors = slices.Compact(op.Errors)
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = maxAPIBody
	}
	op.BodyReadTimeout = bodyTimeout
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{} // the library adds to it
	}
	op.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		if err := a.check(ctx.Context(), need); err != nil {
			a.fail(humagin.Unwrap(ctx), err)
			return
		}
		if need == managers || need == governors {
			if a.whileRoom(humagin.Unwrap(ctx)); humagin.Unwrap(ctx).IsAborted() {
				return
			}
		}
		next(ctx)
	}}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			a.logFailure(ctx, err, op.Path)
			return nil, newProblem(ctx, err)
		}
		return out, nil
	})
	for _, status := range alsoOf(op) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Headers: op.Responses[strconv.Itoa(op.DefaultStatus)].Headers, Content: op.Responses[strconv.Itoa(op.DefaultStatus)].Content,
		}
	}
}

// also says that an operation answers in the same form with another status, too.
func also(op huma.Operation, status ...int) huma.Operation {
	op.Metadata = map[string]any{"also": status}
	return op
}

func alsoOf(op huma.Operation) []int {
	also, _ := op.Metadata["also"].([]int)
	return also
}

// setLibrary sets what the OpenAPI library keeps in variables of its package:
// it shall build our Problem for what it refuses itself, and take names in
// bodies as they are written: "Role" is not "role".
var setLibrary = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return refusal(context.Background(), status, msg, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return refusal(ctx.Context(), status, msg, errs)
	}
})

// refusal is the Problem of a request that does not fit its description. The
// library would repeat what was sent, passwords included; only places and
// reasons are taken over.
func refusal(ctx context.Context, status int, msg string, errs []error) *Problem {
	p := &Problem{Type: "about:blank", Status: status, Kind: "invalid", Title: msg, RequestID: requestID(ctx)}
	switch {
	case status >= 500:
		p.Kind, p.Title = "", "internal error"
		return p
	case status == http.StatusUnprocessableEntity || status == http.StatusBadRequest:
		p.Status = http.StatusUnprocessableEntity
		p.Title = "the request does not fit what this operation takes"
		p.Action = "compare it with /api/docs"
	case status == http.StatusRequestEntityTooLarge:
		p.Title, p.Action = "the request is too large", "send it in parts"
	}
	for _, err := range errs {
		if len(p.Errors) == 20 {
			break
		}
		if d, ok := err.(huma.ErrorDetailer); ok {
			detail := d.ErrorDetail()
			p.Errors = append(p.Errors, FieldError{Location: cut(detail.Location), Message: cut(detail.Message)})
		}
	}
	if len(p.Errors) > 0 {
		p.Detail = p.Errors[0].Location + ": " + p.Errors[0].Message
	}
	return p
}

// cut bounds text that may hold names a stranger chose.
func cut(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

func ptr[T any](v T) *T { return &v }
