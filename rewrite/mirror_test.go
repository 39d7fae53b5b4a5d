package rewrite_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gitmirror/gitmirror/mirror"
)

const testHost = "git.corp.test"

var testSite = mirror.Site{URL: "https://" + testHost, SSH: "ssh://git@" + testHost + ":2222"}

// library answers as a mirror would that holds the modules it has a go.mod of:
// the real ones of testdata, with the hashes the go command computed, and those
// a test makes up.
type library struct {
	mapping map[string]string // import prefix → repository
	gomods  map[string]string // "path@version" → go.mod
	hashes  map[string]string // "path version[/go.mod]" → h1
	lie     func(*mirror.ModuleAnswer)
	asked   []mirror.ModuleQuery
}

// realLibrary holds the modules of testdata/gomods.txtar and the hashes of all cases.
func realLibrary(t testing.TB) *library {
	t.Helper()
	l := &library{mapping: map[string]string{}, gomods: map[string]string{}, hashes: map[string]string{}}
	mods, err := txtar.ParseFile("testdata/gomods.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range mods.Files {
		l.gomods[f.Name] = string(f.Data)
	}
	for _, name := range caseFiles(t) {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "sum-mismatch") {
			continue
		}
		for _, f := range a.Files {
			if !strings.HasSuffix(f.Name, "go.sum") {
				continue
			}
			for line := range strings.Lines(string(f.Data)) {
				if w := strings.Fields(line); len(w) == 3 {
					l.hashes[w[0]+" "+w[1]] = w[2]
				}
			}
		}
	}
	return l
}

func caseFiles(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("Glob(testdata/cases) = %v, %v", names, err)
	}
	return names
}

func (l *library) Resolve(_ context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	l.asked = append(l.asked, queries...)
	answers := make([]mirror.ModuleAnswer, len(queries))
	for i, q := range queries {
		answers[i] = l.answer(q)
		if l.lie != nil {
			l.lie(&answers[i])
		}
	}
	return answers, nil
}

func (l *library) answer(q mirror.ModuleQuery) mirror.ModuleAnswer {
	a := mirror.ModuleAnswer{Path: q.Path, Version: q.Version}
	prefix := ""
	for p := range l.mapping {
		if (q.Path == p || strings.HasPrefix(q.Path, p+"/")) && len(p) > len(prefix) {
			prefix = p
		}
	}
	if prefix == "" {
		a.Problem = &mirror.Problem{Code: mirror.CodeNotMirrored, Kind: mirror.ErrNotFound, What: q.Path + " is not mirrored"}
		return a
	}
	a.Repo = mirror.Path(l.mapping[prefix])
	mod, ok := l.gomods[q.Path+"@"+q.Version]
	if !ok {
		a.Problem = &mirror.Problem{Code: mirror.CodeNoVersion, Kind: mirror.ErrNotFound, What: q.Path + " has no version " + q.Version}
		return a
	}
	made := mod == "module "+q.Path+"\n"
	repo, version, rest := testHost+"/"+l.mapping[prefix], q.Version, strings.TrimPrefix(q.Path, prefix)
	if q.Form == mirror.DotGit {
		repo += ".git"
	}
	if strings.HasPrefix(q.Path, "gopkg.in/") {
		major := q.Path[strings.LastIndex(q.Path, ".v")+1:]
		switch {
		case major == "v1":
			version = strings.Replace(version, "v1.0.0-", "v0.0.0-", 1)
		case made:
			version += "+incompatible"
		default:
			rest = "/" + major
		}
	}
	a.Commit, a.GoMod = strings.Repeat("0", 40), mod
	a.Replacement = mirror.ModuleVersion{Path: repo + rest, Version: version}
	a.Original.Mod, a.Replaced.Mod = hashMod(mod), hashMod(mod)
	if h := l.hashes[a.Replacement.Path+" "+a.Replacement.Version+"/go.mod"]; h != "" {
		a.Replaced.Mod = h
	} else if made {
		a.Replaced.Mod = hashMod("module " + a.Replacement.Path + "\n")
	}
	if !q.ModOnly {
		a.Original.Zip = l.zip(q.Path + " " + q.Version)
		a.Replaced.Zip = l.zip(a.Replacement.Path + " " + a.Replacement.Version)
	}
	return a
}

// zip is the known hash, or a made-up one of a made-up module.
func (l *library) zip(key string) string {
	if h, ok := l.hashes[key]; ok {
		return h
	}
	sum := sha256.Sum256([]byte(key))
	return "h1:" + base64.StdEncoding.EncodeToString(sum[:])
}

func hashMod(text string) string {
	list := sha256.Sum256(fmt.Appendf(nil, "%x  go.mod\n", sha256.Sum256([]byte(text))))
	return "h1:" + base64.StdEncoding.EncodeToString(list[:])
}

// sumLines are go.sum lines of made-up modules, zip and go.mod each.
func (l *library) sumLines(modules ...string) string {
	var b strings.Builder
	for _, m := range modules {
		path, version, _ := strings.Cut(m, "@")
		fmt.Fprintf(&b, "%s %s %s\n%s %s/go.mod %s\n", path, version, l.zip(path+" "+version), path, version, hashMod(l.gomods[m]))
	}
	return b.String()
}

// write puts files under a directory; read is its inverse, without .gitmirror.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".gitmirror" {
				return filepath.SkipDir
			}
			return nil
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func openRoot(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}
