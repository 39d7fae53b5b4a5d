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
	s = saidText{begin: text[:at[0][0]], end: text[at[len(at)-1][1]:], said: said}
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

// say puts a text of the program into this language: as it is where nobody has
// translated it.
func (w *words) say(text string) string {
	if said, ok := w.Said[text]; ok {
		return said
	}
	best := 0
	out := text
	for _, s := range w.said {
		literal := len(s.begin) + len(s.end)
		if literal < best || !strings.HasPrefix(text, s.begin) || !strings.HasSuffix(text, s.end) {
			continue
		}
		found := s.match.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		pairs := make([]string, 0, 2*len(s.order))
		for i, name := range s.order {
			pairs = append(pairs, name, found[i+1])
		}
		best, out = literal+1, strings.NewReplacer(pairs...).Replace(s.said)
	}
	return out
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
