package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"

	"golang.org/x/net/html"
)

// A text of the catalogue is found by where it stands: the first argument of one
// of these functions of templates and of their methods in Go.
var (
	texts   = []string{"t", "tx"}
	plurals = []string{"tn", "tnx"}
)

// goTexts says which argument of a method in Go is a text, counted from 0.
var goTexts = map[string]int{"t": 0, "x": 0, "n": 0, "nx": 0, "date": 1, "page": 1, "then": 2, "orTell": 2, "accountAgain": 2, "rulesAgain": 2, "setPaused": 2, "startJob": 2}

// used is where every text of the catalogue stands, and whether it is counted.
type used struct {
	at      map[string]string
	counted map[string]bool
}

func (u used) add(text, at string, counted bool) {
	if text != "" {
		u.at[text], u.counted[text] = at, u.counted[text] || counted
	}
}

// TestWords compares the catalogue with the pages: every text is there in every
// language, and nothing else. UPDATE_WORDS=1 puts the files in order and lists
// what they lack.
func TestWords(t *testing.T) {
	u := used{map[string]string{}, map[string]bool{}}
	for _, file := range templateFiles(t) {
		readTemplate(t, file, u)
	}
	for _, file := range goFiles(t) {
		readGo(t, file, u)
	}
	for _, code := range []string{"en", "zh"} {
		path := filepath.Join("words", code+".json")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var have struct {
			Pages map[string]any    `json:"pages"`
			Said  map[string]string `json:"said"`
		}
		if err := json.Unmarshal(data, &have); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for text := range have.Pages {
			if _, ok := u.at[text]; !ok {
				t.Errorf("%s has a text that no page uses: %q", path, text)
			}
		}
		for text, at := range u.at {
			entry, ok := have.Pages[text]
			if forms, isForms := entry.(map[string]any); u.counted[text] && code == "en" && (!isForms || forms["one"] == "" || forms["other"] != text) {
				t.Errorf("%s: %q of %s is counted; en.json needs its forms \"one\" and \"other\"", path, text, at)
			}
			if code != "en" && (!ok || entry == "") {
				t.Errorf("%s lacks a text of %s:\n\t%s: \"\",", path, at, quoted(text))
				if os.Getenv("UPDATE_WORDS") != "" {
					have.Pages[text] = ""
				}
			}
			for _, said := range forms(entry) {
				if holes(said) != holes(text) {
					t.Errorf("%s: %q says %s, want the particulars %s as %q has", path, said, holes(said), holes(text), text)
				}
			}
		}
		for text, said := range have.Said {
			if said == "" || holes(said) != holes(text) {
				t.Errorf("%s: %q is said as %q, want the particulars %s", path, text, said, holes(text))
			}
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(have); err != nil {
			t.Fatal(err)
		}
		if os.Getenv("UPDATE_WORDS") != "" {
			if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if !bytes.Equal(data, want.Bytes()) {
			t.Errorf("%s is not in order, or says something twice; UPDATE_WORDS=1 go test ./web -run TestWords$ puts it in order", path)
		}
	}
}

func quoted(text string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text)
	return strings.TrimSpace(b.String())
}

func forms(entry any) []string {
	switch entry := entry.(type) {
	case string:
		if entry != "" {
			return []string{entry}
		}
	case map[string]any:
		return []string{fmt.Sprint(entry["other"])}
	}
	return nil
}

var hole = regexp.MustCompile(`\{[0-9]\}`)

func holes(text string) string {
	all := hole.FindAllString(text, -1)
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "")
}

func templateFiles(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("templates/*.html")
	if err != nil || len(pages) == 0 {
		t.Fatalf("templates: %v", err)
	}
	parts, err := filepath.Glob("templates/parts/*.html")
	if err != nil || len(parts) == 0 {
		t.Fatalf("parts: %v", err)
	}
	return append(pages, parts...)
}

// goFiles are those that make pages: all but the API, whose language is English.
func goFiles(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(f string) bool {
		return strings.HasSuffix(f, "_test.go") || strings.HasPrefix(f, "api")
	})
}

// readTemplate collects the texts of a template, and fails for what a person
// would read that is none: text between elements and in attributes.
func readTemplate(t *testing.T, file string, u used) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	trees := map[string]*parse.Tree{}
	tree := parse.New(file)
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(string(data), "{{", "}}", trees); err != nil {
		t.Fatal(err)
	}
	for _, tree := range trees {
		var markup strings.Builder
		walkTemplate(tree.Root, func(n parse.Node) {
			switch n := n.(type) {
			case *parse.TextNode:
				markup.Write(n.Text)
			case *parse.ActionNode, *parse.TemplateNode:
				markup.WriteString("\u25a1") // something that is filled in
			case *parse.CommandNode:
				name, ok := n.Args[0].(*parse.IdentifierNode)
				if !ok || len(n.Args) < 2 || !slices.Contains(append(texts, append(plurals, "date")...), name.Ident) {
					return
				}
				at := 1
				if name.Ident == "date" {
					at = 2
				}
				if len(n.Args) <= at {
					return
				}
				text, ok := n.Args[at].(*parse.StringNode)
				if !ok {
					t.Errorf("%s: %s has a text that is made up: %s", file, name.Ident, n)
					return
				}
				u.add(text.Text, file, slices.Contains(plurals, name.Ident))
			}
		})
		for _, text := range readable(markup.String()) {
			t.Errorf("%s: %q is not a text of the catalogue; write {{t %q}}", file, text, text)
		}
	}
}

// walkTemplate visits every node of every branch.
func walkTemplate(n parse.Node, visit func(parse.Node)) {
	list := func(l *parse.ListNode) {
		if l != nil {
			for _, n := range l.Nodes {
				walkTemplate(n, visit)
			}
		}
	}
	pipe := func(p *parse.PipeNode) {
		if p != nil {
			walkTemplate(p, visit)
		}
	}
	branch := func(b *parse.BranchNode) {
		pipe(b.Pipe)
		list(b.List)
		list(b.ElseList)
	}
	visit(n)
	switch n := n.(type) {
	case *parse.ListNode:
		list(n)
	case *parse.ActionNode:
		pipe(n.Pipe)
	case *parse.TemplateNode:
		pipe(n.Pipe)
	case *parse.PipeNode:
		for _, cmd := range n.Cmds {
			walkTemplate(cmd, visit)
		}
	case *parse.CommandNode:
		for _, arg := range n.Args {
			if p, ok := arg.(*parse.PipeNode); ok {
				walkTemplate(p, visit)
			}
		}
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
}

// sameEverywhere are words that are no words: names and units.
var sameEverywhere = regexp.MustCompile(`^(gitmirror|HTTP|SSH|DNS|TCP|TLS|API|p50( / p95)?|p95|[kMGT]?B?/s( ·)?|(/s|ms)–|ms|[□\s\d.:/·–—→()%,“”]*)$`)

var letters = regexp.MustCompile(`\pL`)

// readable lists what a person would read in markup.
func readable(markup string) []string {
	var out []string
	z := html.NewTokenizer(strings.NewReader(markup))
	depth := 0 // inside of what is typed, not said
	check := func(text string) {
		for part := range strings.SplitSeq(text, "□") {
			part = strings.TrimSpace(part)
			if depth == 0 && letters.MatchString(part) && !sameEverywhere.MatchString(part) {
				out = append(out, part)
			}
		}
	}
	for {
		switch z.Next() {
		case html.ErrorToken:
			return out
		case html.TextToken:
			check(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			tag := z.Token()
			if tag.Data == "code" || tag.Data == "pre" {
				depth++
			}
			for _, a := range tag.Attr {
				switch {
				case a.Key == "aria-label", a.Key == "title", a.Key == "data-label", a.Key == "alt",
					a.Key == "placeholder" && strings.Contains(a.Val, " ") && !strings.ContainsAny(a.Val, "*/@"):
					check(a.Val)
				}
			}
		case html.EndTagToken:
			if tag := z.Token(); tag.Data == "code" || tag.Data == "pre" {
				depth--
			}
		}
	}
}

// readGo collects the texts of a file, and fails for a string that looks like a
// sentence or a label and is none.
func readGo(t *testing.T, file string, u used) {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	known := map[*ast.BasicLit]bool{}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			known[n.Path] = true
		case *ast.Field:
			if n.Tag != nil {
				known[n.Tag] = true
			}
		case *ast.AssignStmt: // message := "…", which then, orTell and …Again take
			for i, left := range n.Lhs {
				name, ok := left.(*ast.Ident)
				if !ok || name.Name != "message" || len(n.Rhs) != len(n.Lhs) {
					continue
				}
				if lit, ok := n.Rhs[i].(*ast.BasicLit); ok {
					known[lit] = true
					u.add(unquoted(lit), file, false)
				}
			}
		case *ast.CallExpr:
			method, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if at, ok := goTexts[method.Sel.Name]; ok && len(n.Args) > at {
				if lit, ok := n.Args[at].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					known[lit] = true
					u.add(unquoted(lit), file, method.Sel.Name == "n" || method.Sel.Name == "nx")
				}
			}
		}
		return true
	})
	if !strings.HasPrefix(file, "page") && !strings.HasPrefix(file, "chart") {
		return // no pages: errors and logs
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr: // what is logged, and errors without a kind, which only the log has
			if method, ok := n.Fun.(*ast.SelectorExpr); ok {
				if from, ok := method.X.(*ast.SelectorExpr); ok && from.Sel.Name == "Log" {
					return false
				}
				if from, ok := method.X.(*ast.Ident); ok && (from.Name == "errors" || from.Name == "fmt" && method.Sel.Name == "Errorf") {
					return false
				}
			}
		case *ast.KeyValueExpr: // of a mirror.Problem; TestSaid looks at these
			if key, ok := n.Key.(*ast.Ident); ok && (key.Name == "What" || key.Name == "Why" || key.Name == "Do") {
				return false
			}
		case *ast.BasicLit:
			if text := unquoted(n); n.Kind == token.STRING && !known[n] && sentenceLike.MatchString(text) && !typed.MatchString(text) {
				t.Errorf("%s: %q is not a text of the catalogue; write w.t(%q)", set.Position(n.Pos()), text, text)
			}
		}
		return true
	})
}

var (
	// sentenceLike are words with a space between, or one with a capital.
	sentenceLike = regexp.MustCompile(`\pL{2,} \pL{2,}|^[A-Z][a-z]+( |$)`)
	// typed are commands and headers.
	typed = regexp.MustCompile(`^(git|gitmirror|go|ssh|sed|chmod|eval|machine|retry|event|text/|application/)|-[A-Z]|^: |^(Location|Refresh|Vary)$|^2 Jan`)
)

func unquoted(lit *ast.BasicLit) string {
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}
