package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	_ "embed"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
)

//go:embed api_docs.html
var docsTemplate string

// docsPage is what /api/docs shows.
type docsPage struct {
	Version, Base string
	Groups        []docsGroup
}

// docsGroup is the operations of one tag, as /api/docs lists them.
type docsGroup struct {
	Name, Title string
	Ops         []docsOperation
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

// describe serves the OpenAPI document and a page made of it; nothing in them
// depends on the request.
func (a *api) describe(r *gin.Engine) {
	a.whenAsked(r, "/api/openapi.json", "application/json", func() ([]byte, error) {
		return json.MarshalIndent(a.huma.OpenAPI(), "", " ")
	})
	a.whenAsked(r, "/api/docs", "text/html; charset=utf-8", func() ([]byte, error) {
		page, err := template.New("api").Funcs(template.FuncMap{"asset": a.assets.url}).Parse(docsTemplate)
		if err != nil {
			return nil, err
		}
		var docs bytes.Buffer
		err = page.Execute(&docs, docsPage{
			Version: a.Version, Base: a.huma.OpenAPI().Servers[0].URL, Groups: docsOf(a.huma.OpenAPI()),
		})
		return docs.Bytes(), err
	})
}

// whenAsked serves what is made for the first who asks, and stays as it is.
func (a *api) whenAsked(r *gin.Engine, path, kind string, write func() ([]byte, error)) {
	written := sync.OnceValues(write)
	r.GET(path, func(c *gin.Context) {
		text, err := written()
		if err != nil {
			a.fail(c, err)
			return
		}
		c.Data(http.StatusOK, kind, text)
	})
}

func docsOf(spec *huma.OpenAPI) []docsGroup {
	var groups []docsGroup
	for _, tag := range spec.Tags {
		groups = append(groups, docsGroup{Name: tag.Name, Title: tag.Description})
	}
	for _, path := range slices.Sorted(maps.Keys(spec.Paths)) {
		item := spec.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			i := slices.IndexFunc(groups, func(g docsGroup) bool { return g.Name == op.Tags[0] })
			if i < 0 {
				groups, i = append(groups, docsGroup{Name: op.Tags[0], Title: op.Tags[0]}), len(groups)
			}
			groups[i].Ops = append(groups[i].Ops, docsOperationOf(spec, op))
		}
	}
	return groups
}

func docsOperationOf(spec *huma.OpenAPI, op *huma.Operation) docsOperation {
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
