package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the OpenAPI document a server gives away. Every answer of the API
// that any test of this package gets is held against it.
type contract struct {
	t        *testing.T
	text     []byte
	paths    map[string]map[string]specOperation
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
	seen    map[string]map[int]bool // statuses, by "METHOD /path" of the document
}

// specOperation is what the tests read of an operation.
type specOperation struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security"`
	Parameters  []struct {
		Name, In string
	} `json:"parameters"`
	Responses map[string]struct {
		Content map[string]any `json:"content"`
		Headers map[string]any `json:"headers"`
	} `json:"responses"`
}

const specName = "https://mirror.example/openapi.json"

// newContract reads the document of the server at base.
func newContract(t *testing.T, text []byte) *contract {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]specOperation `json:"paths"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatalf("the OpenAPI document: %v", err)
	}
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("the OpenAPI document: %v", err)
	}
	c := &contract{
		t: t, text: text, paths: doc.Paths, compiler: jsonschema.NewCompiler(),
		schemas: map[string]*jsonschema.Schema{}, seen: map[string]map[int]bool{},
	}
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource(specName, whole); err != nil {
		t.Fatalf("the OpenAPI document: %v", err)
	}
	return c
}

// find is the path of the document that an address fits: that with the fewest
// parameters.
func (c *contract) find(method, path string) (string, specOperation, bool) {
	path = strings.TrimPrefix(path, "/api/v1")
	var best string
	asked := strings.Split(path, "/")
	for name, item := range c.paths {
		parts := strings.Split(name, "/")
		if _, has := item[strings.ToLower(method)]; !has || len(parts) != len(asked) {
			continue
		}
		fits := true
		for i, p := range parts {
			fits = fits && (p == asked[i] || strings.HasPrefix(p, "{") && asked[i] != "")
		}
		if fits && (best == "" || strings.Count(name, "{") < strings.Count(best, "{")) {
			best = name
		}
	}
	return best, c.paths[best][strings.ToLower(method)], best != ""
}

// check says how an answer is not as the document has it.
func (c *contract) check(method, address string, got reply) error {
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(u.EscapedPath(), "/api/v1/") || method == http.MethodHead || method == http.MethodOptions {
		return nil
	}
	media, _, _ := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if got.Status >= 400 && media != "application/problem+json" {
		return fmt.Errorf("Content-Type of an error = %q, want application/problem+json", media)
	}
	path, op, ok := c.find(method, u.EscapedPath())
	if !ok {
		if got.Status != http.StatusNotFound && got.Status != http.StatusMethodNotAllowed {
			return fmt.Errorf("answered with %d, and not in the OpenAPI document", got.Status)
		}
		return c.fits("/components/schemas/Problem", got.Body)
	}
	c.mu.Lock()
	if c.seen[method+" "+path] == nil {
		c.seen[method+" "+path] = map[int]bool{}
	}
	c.seen[method+" "+path][got.Status] = true
	c.mu.Unlock()
	status := strconv.Itoa(got.Status)
	response, declared := op.Responses[status]
	switch {
	case !declared && got.Status < 500:
		return fmt.Errorf("status %d is not in the OpenAPI document", got.Status)
	case !declared: // what every server may come to
		return c.fits("/components/schemas/Problem", got.Body)
	case len(response.Content) == 0:
		if got.Body != "" {
			return fmt.Errorf("the document has no body for status %d: %.200s", got.Status, got.Body)
		}
		return nil
	}
	if _, has := response.Content[media]; !has {
		return fmt.Errorf("Content-Type of status %d = %q, which the document does not have", got.Status, media)
	}
	if media != "application/json" && media != "application/problem+json" {
		return nil
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	return c.fits("/paths/"+escape.Replace(path)+"/"+strings.ToLower(method)+"/responses/"+status+"/content/"+escape.Replace(media)+"/schema", got.Body)
}

// fits holds JSON against the schema at a place of the document.
func (c *contract) fits(at, body string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	schema, known := c.schemas[at]
	if !known {
		var err error
		place := url.URL{Fragment: at}
		if schema, err = c.compiler.Compile(specName + place.String()); err != nil {
			return fmt.Errorf("schema at %s: %w", at, err)
		}
		c.schemas[at] = schema
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("the body is no JSON: %w", err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("the body is not as the OpenAPI document says: %w; body %.400s", err, body)
	}
	return nil
}

// routeOf is a path of the document as the router has it.
func routeOf(path string) string {
	return "/api/v1" + strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// TestOpenAPI: the document is a valid one, and it has the routes of the server,
// all of them and no others. Every operation says who may call it, what it does
// and how it fails.
func TestOpenAPI(t *testing.T) {
	r := newRig(t)
	got := r.want(200, "GET", "/api/openapi.json", nil)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(got.Body))
	if err != nil {
		t.Fatalf("the document does not load: %v", err)
	}
	if !doc.IsOpenAPI31OrLater() || doc.IsOpenAPI32OrLater() {
		t.Errorf("the document is of OpenAPI %s, want 3.1", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaDefaultsValidation(), openapi3.EnableSchemaPatternValidation()); err != nil {
		t.Errorf("the document is not valid: %v", err)
	}
	if len(doc.Servers) != 1 || doc.Servers[0].URL != "http://mirror.example:8080/api/v1" {
		t.Errorf("servers = %v, want that of the rig", doc.Servers)
	}
	if strings.Contains(got.Body, "$schema") {
		t.Error("the document has $schema links")
	}
	routes, err := r.server.Routes()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, route := range routes {
		if strings.Contains(route, " /api/v1/") {
			served[route] = true
		}
	}
	documented, ids := map[string]bool{}, map[string]bool{}
	for path, item := range r.contract().paths {
		for method, op := range item {
			name := strings.ToUpper(method) + " " + path
			documented[strings.ToUpper(method)+" "+routeOf(path)] = true
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) == 0 || op.Security == nil {
				t.Errorf("%s lacks an id of its own, a summary, a tag or its security: %+v", name, op)
			}
			ids[op.OperationID] = true
			if open := len(op.Security) == 0; open != (path == "/site" || path == "/auth/ci") {
				t.Errorf("%s: open to anybody = %v", name, open)
			}
			for status, response := range op.Responses {
				if _, ok := response.Content["application/problem+json"]; ok != (status >= "400") {
					t.Errorf("%s: %s is problem+json = %v", name, status, ok)
				}
			}
		}
	}
	for route := range served {
		if !documented[route] {
			t.Errorf("%s is served and not in the document", route)
		}
	}
	for route := range documented {
		if !served[route] {
			t.Errorf("%s is in the document and not served", route)
		}
	}
}
