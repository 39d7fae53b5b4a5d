package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// catalogue is read-only: a file of texts per language.
//
//go:embed words/*.json
var catalogue embed.FS

// languageCookie remembers the choice of language, "en" or "zh"; without it the
// browser's own list decides.
const languageCookie = "gitmirror-language"

// words are all texts of the console in one language. A text is named by its
// English wording, so that pages can be read where they are written. {1}, {2}, …
// stand for what differs from case to case.
type words struct {
	Code string // "en", "zh": of the cookie and the file
	Name string // of the language, in itself
	Tag  language.Tag
	// Pages are texts of templates and page handlers.
	Pages map[string]wording `json:"pages"`
	// Said are texts of the rest of the program that pages repeat: problems,
	// reasons, events. They arrive in English with their particulars filled in.
	Said map[string]string `json:"said"`

	said []saidText // of Said, those with particulars
}

// wording is a text; a language whose nouns have a plural may have several.
type wording struct {
	One   string // only where it differs from Other
	Other string
}

// UnmarshalJSON reads "text" or {"one": …, "other": …}.
func (w *wording) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &w.Other); err == nil {
		return nil
	}
	var forms struct{ One, Other string }
	err := json.Unmarshal(data, &forms)
	*w = wording{forms.One, forms.Other}
	return err
}

// languages are what the console speaks, the first where nothing else fits.
func languages() []*words {
	return []*words{
		{Code: "en", Name: "English", Tag: language.English},
		{Code: "zh", Name: "简体中文", Tag: language.SimplifiedChinese},
	}
}

// loadWords reads the catalogue.
func loadWords() ([]*words, error) {
	all := languages()
	for _, w := range all {
		data, err := fs.ReadFile(catalogue, "words/"+w.Code+".json")
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, w); err != nil {
			return nil, fmt.Errorf("words/%s.json: %w", w.Code, err)
		}
		for text, said := range w.Said {
			if s, ok := newSaid(text, said); ok {
				w.said = append(w.said, s)
			}
		}
	}
	return all, nil
}

// words are those of the language this request is answered in.
func (c *console) words(g *gin.Context) *words { return c.wordsOf(g.Request) }

func (c *console) wordsOf(r *http.Request) *words {
	if cookie, err := r.Cookie(languageCookie); err == nil {
		for _, w := range c.tongues {
			if w.Code == cookie.Value {
				return w
			}
		}
	}
	wanted, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(wanted) == 0 {
		return c.tongues[0]
	}
	_, i, confidence := c.matcher.Match(wanted...)
	if confidence == language.No {
		return c.tongues[0]
	}
	return c.tongues[i]
}

// t is a text of a page. A whole number in args is written with its digits
// grouped.
func (w *words) t(text string, args ...any) string {
	if known, ok := w.Pages[text]; ok {
		text = known.Other
	}
	return fill(text, args, written)
}

// n is t where the form of the text depends on the number n, which is {1}.
func (w *words) n(text string, n any, args ...any) string {
	if known, ok := w.Pages[text]; ok {
		text = known.Other
		if known.One != "" && w.singular(n) {
			text = known.One
		}
	}
	return fill(text, append([]any{n}, args...), written)
}

func (w *words) singular(n any) bool {
	i, err := strconv.Atoi(fmt.Sprintf("%d", n))
	return err == nil && i >= 0 && plural.Cardinal.MatchPlural(w.Tag, min(i, math.MaxInt32), 0, 0, 0, 0) == plural.One
}

// fill puts args in the place of {1}, {2}, …
func fill(text string, args []any, write func(any) string) string {
	if len(args) == 0 {
		return text
	}
	pairs := make([]string, 0, 2*len(args))
	for i, a := range args {
		pairs = append(pairs, "{"+strconv.Itoa(i+1)+"}", write(a))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// script is what app.js says, as JSON.
func (w *words) script() (string, error) {
	out, err := json.Marshal(map[string]string{
		"s": w.t("{1} s"), "min": w.t("{1} min"), "h": w.t("{1} h"), "days": w.t("{1} days"),
		"now": w.t("just now"), "ago": w.t("{1} ago"), "in": w.t("in {1}"),
		"copy": w.t("Copy"), "copied": w.t("Copied"), "press": w.t("Press Ctrl+C"),
		"private": w.t("This is a private key. Nothing was sent. Paste the file that ends in .pub."),
	})
	return string(out), err
}

func written(a any) string {
	switch a := a.(type) {
	case string:
		return a
	case int, int64:
		return countText(a)
	}
	return fmt.Sprint(a)
}
