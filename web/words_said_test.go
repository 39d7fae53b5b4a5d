package web_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/gitmirror/gitmirror/web"
)

// told are the codes whose text is no literal of a mirror.Problem: events and
// approvals, which pages title with texts of their own, and causes that are put
// together where they arise. Each has a text here that must be said.
var told = map[string]string{
	"CodeTagMoved":    "upstream moved the tag; we go on serving the old one",
	"CodeRewound":     "upstream's default branch is gone and no other took its place; we go on serving it",
	"CodeDeletions":   "upstream deleted 25 of 32 branches and tags at once; we go on serving them",
	"CodeDeleted":     "upstream deleted the tag; we go on serving it",
	"CodeOffBranch":   "the commit of the tag is on no branch: make sure that it is a release",
	"CodeRefName":     "upstream lists a ref with a name that is not allowed: refs/heads/a",
	"CodeHeadMoved":   "the default branch was main",
	"CodeLeftOut":     "and 3 more in the same sync",
	"CodeInterrupted": "the sync was interrupted",
	"CodeBlocked":     "this server does not connect to 10.0.0.1",
	"CodeRedirect":    "https://a.example/b redirects elsewhere",
	"CodeThrottled":   "a.example limits our requests",
	"CodeAnonymous":   "a.example limits those who do not sign in",
	"CodeFactor":      "the password alone is not enough",
}

// elsewhere are codes that no page of the console shows, and who does.
var elsewhere = map[string]string{
	"CodeCommand":    "ssh",
	"CodePush":       "git",
	"CodeGitRequest": "git",
}

// TestSaid: every code of the catalogue of problems has its texts in Chinese:
// what happened, why and what to do, wherever a Problem with it is made of text.
func TestSaid(t *testing.T) {
	codes := codesOf(t)
	if len(codes) < 40 {
		t.Fatalf("found %d codes, want the whole catalogue", len(codes))
	}
	spoken, say := map[string]int{}, speaker(t, "zh")
	for _, dir := range []string{"mirror", "git", "auth", "modproxy"} {
		problemsIn(t, filepath.Join("..", dir), func(at, code string, texts []string) {
			if elsewhere[code] != "" {
				return
			}
			for _, text := range texts {
				if chinese(say(text)) {
					spoken[code]++
				} else {
					t.Errorf("%s: words/zh.json does not say %q of %s; add it under \"said\", with {1} for what differs", at, text, code)
				}
			}
		})
	}
	for _, code := range codes {
		if text := told[code]; text != "" && chinese(say(text)) {
			spoken[code]++
		}
		if spoken[code] == 0 && elsewhere[code] == "" {
			t.Errorf("no text of %s is said in Chinese", code)
		}
	}
}

// TestSaidWithin: what is inside of a text is said as well.
func TestSaidWithin(t *testing.T) {
	for text, want := range map[string]string{
		"failed 3 times in a row or more: E1105: github.com stopped answering: nothing came for too long": "连续失败 3 次或更多：E1105: github.com 停止应答：过久没有收到数据",
		"github.com/a/b is not mirrored here": "github.com/a/b 尚未在此镜像",
		"E1105: nobody has translated this":   "E1105: nobody has translated this",
		"one: two: three":                     "one: two: three",
	} {
		if got := speaker(t, "zh")(text); got != want {
			t.Errorf("Speaker(zh)(%q) = %q, want %q", text, got, want)
		}
		if got := speaker(t, "en")(text); got != text {
			t.Errorf("Speaker(en)(%q) = %q, want it as it is", text, got)
		}
	}
}

func speaker(t *testing.T, code string) func(string) string {
	t.Helper()
	say, err := web.Speaker(code)
	if err != nil {
		t.Fatal(err)
	}
	return say
}

func chinese(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }) >= 0
}

// codesOf lists the constants of the catalogue in mirror/errors.go.
func codesOf(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "mirror", "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == 1 && strings.HasPrefix(spec.Names[0].Name, "Code") {
			codes = append(codes, spec.Names[0].Name)
		}
		return true
	})
	return codes
}

// problemsIn visits the problems with a code in the files of a package, with
// something in the place of what is filled in. What is nothing but filled in is
// left out.
func problemsIn(t *testing.T, dir string, visit func(at, code string, texts []string)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", dir, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok { // of what makes a problem of its arguments
				made, ok := call.Fun.(*ast.Ident)
				for _, e := range call.Args {
					if text, literal := sampleOf(e); ok && literal && strings.HasPrefix(made.Name, "err") {
						visit(set.Position(call.Pos()).String(), made.Name, []string{text})
					}
				}
			}
			made, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			code, texts := "", []string(nil)
			for _, element := range made.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				switch key, _ := pair.Key.(*ast.Ident); {
				case key == nil:
				case key.Name == "Code":
					switch value := pair.Value.(type) {
					case *ast.Ident:
						code = value.Name
					case *ast.SelectorExpr:
						code = value.Sel.Name
					}
				case key.Name == "What" || key.Name == "Why" || key.Name == "Do":
					if sample, literal := sampleOf(pair.Value); literal {
						texts = append(texts, sample)
					}
				}
			}
			if strings.HasPrefix(code, "Code") && len(code) > len("Code") {
				visit(set.Position(made.Pos()).String(), code, texts)
			}
			return true
		})
	}
}

var formatted = regexp.MustCompile(`%[-+ #0.0-9]*[a-zA-Z]`)

// sampleOf is a text an expression might make; literal is false when none of its
// words stands in the program.
func sampleOf(e ast.Expr) (text string, literal bool) {
	const something = "something"
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && strings.Contains(text, " ")
	case *ast.BinaryExpr:
		x, a := sampleOf(e.X)
		y, b := sampleOf(e.Y)
		return x + y, a || b
	case *ast.CallExpr:
		if called, ok := e.Fun.(*ast.SelectorExpr); ok && called.Sel.Name == "Sprintf" {
			if format, ok := e.Args[0].(*ast.BasicLit); ok {
				text, err := strconv.Unquote(format.Value)
				return formatted.ReplaceAllString(text, something), err == nil
			}
		}
	}
	return something, false
}
