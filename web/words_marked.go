package web

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"time"
)

// marks are what a text may hold besides words: `code`, **strong** and
// [a link](/address). Nothing else of it is HTML.
var marks = regexp.MustCompile("`([^`]+)`|\\*\\*([^*]+)\\*\\*|\\[([^\\]]+)\\]\\(([^)\\s]+)\\)")

// x is t with marks made to elements. Texts and args are escaped; only elements
// that a function of the templates made (code, ago) stay what they are.
func (w *words) x(text string, args ...any) template.HTML {
	if known, ok := w.Pages[text]; ok {
		text = known.Other
	}
	return marked(text, args)
}

// nx is n with marks made to elements.
func (w *words) nx(text string, n any, args ...any) template.HTML {
	if known, ok := w.Pages[text]; ok {
		text = known.Other
		if known.One != "" && w.singular(n) {
			text = known.One
		}
	}
	return marked(text, append([]any{n}, args...))
}

func marked(text string, args []any) template.HTML {
	var b strings.Builder
	from := 0
	put := func(s string) { b.WriteString(fill(template.HTMLEscapeString(s), args, element)) }
	for _, m := range marks.FindAllStringSubmatchIndex(text, -1) {
		put(text[from:m[0]])
		part := func(i int) string { return text[m[2*i]:m[2*i+1]] }
		switch {
		case m[2] >= 0:
			b.WriteString("<code>")
			put(part(1))
			b.WriteString("</code>")
		case m[4] >= 0:
			b.WriteString("<strong>")
			put(part(2))
			b.WriteString("</strong>")
		default:
			to := fill(part(4), args, written)
			if localPath(to) != to && !strings.HasPrefix(to, "#") {
				to = "/"
			}
			fmt.Fprintf(&b, `<a href="%s">`, template.HTMLEscapeString(to))
			put(part(3))
			b.WriteString("</a>")
		}
		from = m[1]
	}
	put(text[from:])
	return template.HTML(b.String()) //nolint:gosec // every part was escaped above
}

// element is an arg as HTML.
func element(a any) string {
	if made, ok := a.(template.HTML); ok {
		return string(made)
	}
	return template.HTMLEscapeString(written(a))
}

// code is a word of a program inside a text.
func code(s any) template.HTML {
	return template.HTML("<code>" + template.HTMLEscapeString(fmt.Sprint(s)) + "</code>") //nolint:gosec // escaped
}

// ago is a moment inside a text, kept true by app.js.
func (w *words) ago(t time.Time) template.HTML {
	v := w.when(t, time.Now())
	if v.Never {
		return template.HTML(template.HTMLEscapeString(w.t("never"))) //nolint:gosec // escaped
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s" data-ago>%s</time>`, //nolint:gosec // escaped
		v.ISO, template.HTMLEscapeString(v.Exact), template.HTMLEscapeString(v.Words)))
}
