package cli

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// TestRewriteJSONPage keeps docs/rewrite-json.md and the documents "rewrite" emits
// at the same fields.
func TestRewriteJSONPage(t *testing.T) {
	text, err := os.ReadFile("../docs/rewrite-json.md")
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	row := regexp.MustCompile("^\\| (`[^|]*`) \\|")
	name := regexp.MustCompile("`([a-z_.\\[\\]]+)`")
	for line := range strings.Lines(string(text)) {
		if m := row.FindStringSubmatch(line); m != nil {
			for _, n := range name.FindAllStringSubmatch(m[1], -1) {
				described = append(described, n[1])
			}
		}
	}
	var emitted []string
	for _, doc := range []any{rewriteDoc{}, failure{}, rewrite.Reverted{}, mirror.Problem{}} {
		emitted = append(emitted, fieldsOf(reflect.TypeOf(doc), "")...)
	}
	slices.Sort(described)
	slices.Sort(emitted)
	described, emitted = slices.Compact(described), slices.Compact(emitted)
	for _, f := range emitted {
		if !slices.Contains(described, f) && !slices.ContainsFunc(described, func(d string) bool { return d == f[:max(0, strings.LastIndex(f, "["))] }) {
			t.Errorf("docs/rewrite-json.md does not describe %s", f)
		}
	}
	for _, f := range described {
		if !slices.Contains(emitted, f) && !slices.ContainsFunc(emitted, func(e string) bool { return strings.HasPrefix(e, f+"[]") }) {
			t.Errorf("docs/rewrite-json.md describes %s, which no document has", f)
		}
	}
}

// fieldsOf are the leaves of a type's JSON: "coverage.missing[].path".
func fieldsOf(typ reflect.Type, at string) []string {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case typ == reflect.TypeFor[mirror.Problem]() && at != "", typ == reflect.TypeFor[asked](), typ.PkgPath() == "time":
		return []string{at}
	case typ.Kind() == reflect.Slice:
		return fieldsOf(typ.Elem(), at+"[]")
	case typ.Kind() != reflect.Struct:
		return []string{at}
	}
	var names []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && tag == "":
			names = append(names, fieldsOf(f.Type, at)...)
		default:
			names = append(names, fieldsOf(f.Type, strings.TrimPrefix(at+"."+tag, "."))...)
		}
	}
	return names
}
