package web_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// operation is what the tests read of an operation of the OpenAPI document.
type operation struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security"`
	Responses   map[string]struct {
		Content map[string]any `json:"content"`
	} `json:"responses"`
}

// TestOpenAPI: every operation says who may call it, what it does and how it fails.
func TestOpenAPI(t *testing.T) {
	r := newRig(t)
	got := r.want(200, "GET", "/api/openapi.json", nil)
	var doc struct {
		OpenAPI string                          `json:"openapi"`
		Servers []struct{ URL string }          `json:"servers"`
		Paths   map[string]map[string]operation `json:"paths"`
	}
	if err := json.Unmarshal([]byte(got.Body), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Servers) != 1 || doc.Servers[0].URL != "http://mirror.example:8080/api/v1" {
		t.Errorf("document = %s at %v", doc.OpenAPI, doc.Servers)
	}
	documented, ids := map[string]bool{}, map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			name := strings.ToUpper(method) + " " + path
			documented[strings.ToUpper(method)+" /api/v1"+strings.NewReplacer("{", ":", "}", "").Replace(path)] = true
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) == 0 || op.Security == nil {
				t.Errorf("%s lacks an id of its own, a summary, a tag or its security: %+v", name, op)
			}
			ids[op.OperationID] = true
			if open := len(op.Security) == 0; open != (path == "/site" || path == "/auth/ci") {
				t.Errorf("%s: open to anybody = %v", name, open)
			}
			for status, response := range op.Responses {
				if status < "400" {
					continue
				}
				if _, ok := response.Content["application/problem+json"]; !ok {
					t.Errorf("%s: %s is no problem+json", name, status)
				}
			}
		}
	}
	for route := range access {
		if strings.Contains(route, "/api/v1/") && !documented[route] {
			t.Errorf("%s is not in the document", route)
		}
	}
	if strings.Contains(got.Body, "$schema") {
		t.Error("the document has $schema links")
	}
}

// TestDocsPage is made here: it loads nothing from elsewhere.
func TestDocsPage(t *testing.T) {
	r := newRig(t)
	got := r.want(200, "GET", "/api/docs", nil)
	if !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		t.Errorf("Content-Type = %q", got.Header.Get("Content-Type"))
	}
	for _, want := range []string{"POST /mirrors/{mirror}/sync", "path_or_url", "If-Match"} {
		if !strings.Contains(got.Body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "src=\"http", "href=\"http", "style="} {
		if strings.Contains(got.Body, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}
