package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	_ "embed"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

func (a *api) siteOperations() {
	tags := []string{"site"}
	register(a, anybody, huma.Operation{
		OperationID: "site", Method: http.MethodGet, Path: "/site", Tags: tags, Summary: "Where this mirror is",
	}, a.site)
	register(a, readers, huma.Operation{
		OperationID: "status", Method: http.MethodGet, Path: "/status", Tags: tags, Summary: "How the mirrors are doing, in numbers",
	}, a.status)
}

func (a *api) site(context.Context, *struct{}) (*answer[Site], error) {
	return &answer[Site]{Site{
		URL: a.Site.URL, SSH: a.Site.SSH, Host: a.Site.Host(), Form: a.Site.Form(), Version: a.Version,
	}}, nil
}

func (a *api) status(ctx context.Context, _ *struct{}) (*answer[Status], error) {
	counts, err := a.Store.CountRepos(ctx, mirror.RepoQuery{})
	if err != nil {
		return nil, err
	}
	out := Status{Version: a.Version, ByState: counts, Running: a.Syncer.Busy()}
	for _, n := range counts {
		out.Mirrors += n
	}
	if tick := a.Syncer.LastTick(); tick.Unix() > 0 {
		out.QueueSeen = tick.UTC()
	}
	return &answer[Status]{out}, nil
}

//go:embed api_docs.html
var docsTemplate string

// docsGroup is the operations of one tag, as /api/docs lists them.
type docsGroup struct {
	Name string
	Ops  []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Description string
	Public                                 bool
	Params                                 []docsField
	Body                                   []docsField
	Answers                                []docsField
}

type docsField struct {
	Name, In, Type, Text string
	Required             bool
}

// describe serves the OpenAPI document and a page made of it. Both are made
// once; nothing in them depends on the request.
func (a *api) describe(r *gin.Engine) error {
	spec, err := json.MarshalIndent(a.huma.OpenAPI(), "", " ")
	if err != nil {
		return err
	}
	page, err := template.New("api").Parse(docsTemplate)
	if err != nil {
		return err
	}
	var docs bytes.Buffer
	if err := page.Execute(&docs, struct {
		Version string
		Base    string
		Groups  []docsGroup
	}{a.Version, a.huma.OpenAPI().Servers[0].URL, docsOf(a.huma.OpenAPI())}); err != nil {
		return err
	}
	r.GET("/api/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/json", spec) })
	r.GET("/api/docs", func(c *gin.Context) { c.Data(http.StatusOK, "text/html; charset=utf-8", docs.Bytes()) })
	return nil
}

func docsOf(spec *huma.OpenAPI) []docsGroup {
	var groups []docsGroup
	for _, path := range slices.Sorted(maps.Keys(spec.Paths)) {
		item := spec.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			i := slices.IndexFunc(groups, func(g docsGroup) bool { return g.Name == op.Tags[0] })
			if i < 0 {
				groups, i = append(groups, docsGroup{Name: op.Tags[0]}), len(groups)
			}
			groups[i].Ops = append(groups[i].Ops, docsOf1(spec, op))
		}
	}
	return groups
}

func docsOf1(spec *huma.OpenAPI, op *huma.Operation) docsOperation {
	out := docsOperation{
		ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, Description: op.Description,
		Public: len(op.Security) == 0,
	}
	for _, p := range op.Parameters {
		out.Params = append(out.Params, docsField{Name: p.Name, In: p.In, Type: typeName(p.Schema), Text: p.Description, Required: p.Required})
	}
	if op.RequestBody != nil {
		out.Body = fieldsOf(spec, op.RequestBody.Content["application/json"])
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[status]
		f := docsField{Name: status, Text: r.Description}
		for _, media := range r.Content {
			f.Type = typeName(media.Schema)
		}
		out.Answers = append(out.Answers, f)
	}
	return out
}

func fieldsOf(spec *huma.OpenAPI, media *huma.MediaType) []docsField {
	if media == nil || media.Schema == nil {
		return nil
	}
	s := media.Schema
	if s.Ref != "" {
		s = spec.Components.Schemas.SchemaFromRef(s.Ref)
	}
	var out []docsField
	for name, field := range s.Properties {
		if field.ReadOnly {
			continue
		}
		out = append(out, docsField{Name: name, Type: typeName(field), Text: field.Description, Required: slices.Contains(s.Required, name)})
	}
	slices.SortFunc(out, func(a, b docsField) int {
		if a.Required != b.Required {
			if a.Required {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return out
}

func typeName(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Type == "array":
		return typeName(s.Items) + "[]"
	case s.Format == "date-time":
		return "time"
	}
	return s.Type
}
