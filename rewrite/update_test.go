package rewrite_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// updateCase writes what came out into a case of our own, when UPDATE_CASES is
// set: that the go command accepts it is then for TestSealedCases to say.
func updateCase(t *testing.T, name string, before, after map[string]string, settings, warnings []string) (updated bool) {
	t.Helper()
	if os.Getenv("UPDATE_CASES") == "" || !strings.Contains(name, "testdata/own/") {
		return false
	}
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var verify []txtar.File
	a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool {
		if f.Name == "verify" {
			verify = append(verify, f)
		}
		return f.Name == "verify" || strings.HasPrefix(f.Name, "want/")
	})
	add := func(name, text string) {
		if text != "" {
			a.Files = append(a.Files, txtar.File{Name: "want/" + name, Data: []byte(text)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if after[name] != before[name] {
			add(name, after[name])
		}
	}
	add("env", lines(settings))
	add("warnings", lines(warnings))
	a.Files = append(a.Files, verify...)
	if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
	return true
}

func lines(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, "\n") + "\n"
}
