package main_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

const module = "github.com/gitmirror/gitmirror/"

// mayImport is the import law of docs/architecture.md: which of our packages a
// package may know. Only cli sees all; tests of a package may use the helpers
// under internal/ and, from outside, whatever makes them real.
var mayImport = map[string][]string{
	"mirror":     {},
	"migrations": {},
	"telemetry":  {},
	"auth":       {"mirror"},
	"git":        {"mirror"},
	"store":      {"mirror", "auth", "migrations"},
	"gitserver":  {"mirror", "auth"},
	"modproxy":   {"mirror", "auth"},
	"notify":     {"mirror"},
	"rewrite":    {"mirror"},
	"web":        {"mirror", "auth"},
	"cli":        {"mirror", "auth", "git", "store", "migrations", "gitserver", "modproxy", "rewrite", "web", "telemetry", "notify"},
	".":          {"cli"},
}

// onePlace says in which package alone a library's types may appear.
var onePlace = map[string][]string{
	"github.com/go-git/":                  {"git"},
	"os/exec":                             {"git"},
	"gorm.io/":                            {"store"},
	"modernc.org/sqlite":                  {"store"},
	"github.com/pressly/goose/":           {"store"},
	"github.com/gin-gonic/gin":            {"web"},
	"github.com/danielgtaylor/huma/":      {"web"},
	"github.com/gliderlabs/ssh":           {"gitserver"},
	"github.com/spf13/cobra":              {"cli"},
	"github.com/knadh/koanf/":             {"cli"},
	"github.com/prometheus/client_golang": {"telemetry"},
	"golang.org/x/mod/zip":                {"modproxy"},
	"golang.org/x/mod/modfile":            {"modproxy", "rewrite", "cli"},
	"filippo.io/age":                      {"auth"},
	"github.com/wneessen/go-mail":         {"notify"},
	"golang.org/x/crypto/argon2":          {"auth"},
	"github.com/coreos/go-oidc":           {"auth"},
	"golang.org/x/oauth2":                 {"auth"},
	"github.com/pquerna/otp":              {"auth"},
}

func TestImportLaw(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && file != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "gitmirror-data") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir := path.Dir(filepath.ToSlash(file))
		if strings.HasPrefix(dir, "internal/") || strings.HasPrefix(dir, "bench") {
			return nil // for tests and benchmarks; production code may not import it, see below
		}
		allowed, known := mayImport[dir]
		if !known {
			t.Errorf("%s: a new package needs a line in mayImport and in docs/architecture.md", dir)
			return nil
		}
		seen[dir] = true
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if ours, ok := strings.CutPrefix(imported, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s; package %s may import only %v", file, ours, dir, allowed)
			}
			for library, places := range onePlace {
				if strings.HasPrefix(imported, library) && !slices.Contains(places, dir) {
					t.Errorf("%s imports %s, which belongs to %v alone", file, imported, places)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range mayImport {
		if !seen[dir] {
			t.Errorf("package %s of the import law has no Go file", dir)
		}
	}
}

// minimum holds the oldest versions without a known hole that matters here. A
// careless "go get" of something else can silently bring an older one.
var minimum = map[string]string{
	"golang.org/x/crypto":           "v0.52.0",
	"github.com/go-git/go-git/v5":   "v5.19.3",
	"github.com/go-git/go-billy/v5": "v5.9.0",
	"golang.org/x/mod":              "v0.40.0",
	"github.com/jackc/pgx/v5":       "v5.9.2",
	"github.com/quic-go/quic-go":    "v0.60.0",
}

func TestMinimumVersions(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, r := range f.Require {
		have[r.Mod.Path] = r.Mod.Version
	}
	for mod, want := range minimum {
		if got, ok := have[mod]; ok && semver.Compare(got, want) < 0 {
			t.Errorf("go.mod has %s %s, want at least %s", mod, got, want)
		}
	}
	if got := "v" + f.Go.Version; semver.Compare(got, "v1.26.6") < 0 {
		t.Errorf("go.mod says go %s, want at least 1.26.6: older ones accept forged checksum database tiles", f.Go.Version)
	}
}
