package gittest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// CaseHost is the mirror's name in all rewrite cases.
const CaseHost = "git.corp.test"

// RewriteCase is a project before and after "gitmirror rewrite", as the README
// of the cases describes their files.
type RewriteCase struct {
	Mode string
	// PublicProxy: a public module proxy can be reached beside the mirror.
	PublicProxy bool
	// Mapping leads from import prefixes to repositories of the mirror.
	Mapping map[string]string
	Args    []string
	// In is the project, Want what differs afterwards; both by file name.
	In, Want map[string]string
	// Env are settings: KEY=VALUE, and lines that begin with "git config".
	Env []string
	// Error is what a refusal says at least; empty = the rewrite goes through.
	Error    string
	Warnings []string
	// Verify are lines for a shell.
	Verify []string
}

// CaseFiles are the files of all rewrite cases: those of the folder that
// GITMIRROR_REWRITE_CASES names, by default "../shared/cases", where that is, or
// the copy of it that we keep; and those of our own, each of which was proven by
// running its commands. root leads to the root of the repository, relative names
// are seen from there.
func CaseFiles(tb testing.TB, root string) []string {
	tb.Helper()
	folders := []string{"../shared/cases", "rewrite/testdata/cases"}
	if dir := os.Getenv("GITMIRROR_REWRITE_CASES"); dir != "" {
		folders = []string{dir}
	}
	own, err := filepath.Glob(filepath.Join(root, "rewrite/testdata/own/*.txtar"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, dir := range folders {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(root, dir)
		}
		if names, err := filepath.Glob(filepath.Join(dir, "*.txtar")); err == nil && len(names) > 0 {
			if len(own) > 0 && filepath.Dir(names[0]) == filepath.Dir(own[0]) {
				own = nil
			}
			return append(names, own...)
		}
	}
	tb.Fatalf("no *.txtar in %s; set GITMIRROR_REWRITE_CASES to a folder of cases", strings.Join(folders, " or "))
	return nil
}

// ReadCase reads the file of a case.
func ReadCase(tb testing.TB, name string) RewriteCase {
	tb.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	c := RewriteCase{Mapping: map[string]string{}, In: map[string]string{}, Want: map[string]string{}}
	var cut []string
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "mode":
			c.Mode = value
		case "public-proxy":
			c.PublicProxy = value == "yes"
		case "note":
			if name, ok := strings.CutSuffix(value, " has no final newline"); ok {
				cut = append(cut, name)
			}
		}
	}
	for _, f := range a.Files {
		text := string(f.Data)
		switch {
		case f.Name == "mapping":
			for line := range strings.Lines(text) {
				if words := strings.Fields(line); len(words) == 2 {
					c.Mapping[words[0]] = words[1]
				}
			}
		case f.Name == "args":
			c.Args = strings.Fields(text)
		case f.Name == "verify":
			c.Verify = linesOf(text)
		case f.Name == "want/env":
			c.Env = linesOf(text)
		case f.Name == "want/error":
			c.Error = strings.TrimSpace(text)
		case f.Name == "want/warnings":
			c.Warnings = linesOf(text)
		case strings.HasPrefix(f.Name, "in/"):
			c.In[strings.TrimPrefix(f.Name, "in/")] = text
		case strings.HasPrefix(f.Name, "want/"):
			c.Want[strings.TrimPrefix(f.Name, "want/")] = text
		default:
			tb.Fatalf("%s: unknown section %s", name, f.Name)
		}
	}
	for _, name := range cut {
		for prefix, files := range map[string]map[string]string{"in/": c.In, "want/": c.Want} {
			if name, ok := strings.CutPrefix(name, prefix); ok {
				files[name] = strings.TrimSuffix(files[name], "\n")
			}
		}
	}
	return c
}

// Prefix is the longest import prefix of the mapping that a module path is
// under, and its repository; both empty when it is not mirrored.
func (c RewriteCase) Prefix(path string) (prefix, repo string) {
	for p, r := range c.Mapping {
		if len(p) > len(prefix) && within(path, p) {
			prefix, repo = p, r
		}
	}
	return prefix, repo
}

// Rewritten tells whether the project was rewritten before: such bytes do not
// come back by a revert.
func (c RewriteCase) Rewritten() bool {
	for _, text := range c.In {
		if strings.Contains(text, "// gitmirror: modules served by") {
			return true
		}
	}
	return false
}

func linesOf(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
