package web

import (
	"regexp"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// saidText recognises a text of the program with its particulars filled in, and
// says the same in another language.
type saidText struct {
	begin, end string // literally
	literal    int    // bytes of it that are no particulars
	match      *regexp.Regexp
	order      []string // the names of the particulars: "{1}", …
	said       string
}

// newSaid makes one of a text such as "{1} is not mirrored here"; ok is false for
// a text without particulars.
func newSaid(text, said string) (s saidText, ok bool) {
	hole := regexp.MustCompile(`\{[0-9]\}`)
	at := hole.FindAllStringIndex(text, -1)
	if at == nil {
		return s, false
	}
	s = saidText{begin: text[:at[0][0]], end: text[at[len(at)-1][1]:], said: said, literal: len(hole.ReplaceAllString(text, ""))}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	from := 0
	for _, a := range at {
		b.WriteString(regexp.QuoteMeta(text[from:a[0]]) + `(.+?)`)
		s.order = append(s.order, text[a[0]:a[1]])
		from = a[1]
	}
	b.WriteString(regexp.QuoteMeta(text[from:]) + `\z`)
	s.match = regexp.MustCompile(b.String())
	return s, true
}

// sayDepth bounds how deep texts within texts are looked into: an alert repeats
// a problem, whose cause is another text.
const sayDepth = 3

// say puts a text of the program into this language: as it is where nobody has
// translated it.
func (w *words) say(text string) string { return w.sayWithin(text, sayDepth) }

func (w *words) sayWithin(text string, depth int) string {
	if said, ok := w.Said[text]; ok {
		return said
	}
	if len(w.said) == 0 || depth == 0 {
		return text
	}
	best := 0
	out := text
	for _, s := range w.said {
		if s.literal < best || !strings.HasPrefix(text, s.begin) || !strings.HasSuffix(text, s.end) {
			continue
		}
		found := s.match.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		pairs := make([]string, 0, 2*len(s.order))
		for i, name := range s.order {
			pairs = append(pairs, name, w.sayWithin(found[i+1], depth-1))
		}
		best, out = s.literal+1, strings.NewReplacer(pairs...).Replace(s.said)
	}
	if best == 0 {
		return w.sayChain(text, depth)
	}
	return out
}

// chainCode is the code that Problem.Error begins with.
var chainCode = regexp.MustCompile(`^E[0-9]{4}: `)

// sayChain puts "E1105: what: why" into this language, part by part.
func (w *words) sayChain(text string, depth int) string {
	code := chainCode.FindString(text)
	rest := text[len(code):]
	if code != "" {
		if said := w.sayWithin(rest, depth-1); said != rest {
			return code + said
		}
	}
	for at := 0; ; at += 2 {
		next := strings.Index(rest[at:], ": ")
		if next < 0 {
			return text
		}
		at += next
		if what := w.sayWithin(rest[:at], depth-1); what != rest[:at] {
			return code + what + w.t(": ") + w.sayWithin(rest[at+2:], depth-1)
		}
	}
}

// problem puts a problem into this language. What the other side said stays.
func (w *words) problem(p *mirror.Problem) *mirror.Problem {
	if p == nil || len(w.Said) == 0 {
		return p
	}
	out := *p
	out.What, out.Why, out.Do = w.say(p.What), w.say(p.Why), w.say(p.Do)
	return &out
}
