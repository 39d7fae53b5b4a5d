package web

import (
	"bytes"
	"html/template"
	"sync"

	"github.com/gin-gonic/gin"
)

// templateKey is templates/<page>.html in one language, in the frame; the page ""
// is the frame and the parts that pages share.
type templateKey struct {
	words *words
	page  string
}

// template is parsed when somebody first wants to see it: all pages in all
// languages are ten megabytes, and a server may have nobody who looks.
func (c *console) template(w *words, page string) (*template.Template, error) {
	parse, _ := c.templates.LoadOrStore(templateKey{w, page}, sync.OnceValues(func() (*template.Template, error) {
		if page == "" {
			return template.New("").Funcs(c.functions(w)).ParseFS(embedded, "templates/parts/*.html")
		}
		frame, err := c.template(w, "")
		if err != nil {
			return nil, err
		}
		if frame, err = frame.Clone(); err != nil {
			return nil, err
		}
		return frame.ParseFS(embedded, "templates/"+page+".html")
	}))
	return parse.(func() (*template.Template, error))()
}

// execute runs one of the templates of a page into memory: it is whole or an error.
func (c *console) execute(w *words, page, name string, data any) ([]byte, error) {
	t, err := c.template(w, page)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.ExecuteTemplate(&out, name, data)
	return out.Bytes(), err
}

// render sends a page.
func (c *console) render(g *gin.Context, status int, page string, data any) error {
	out, err := c.execute(c.words(g), page, "layout", data)
	if err != nil {
		return err
	}
	return c.send(g, status, "text/html; charset=utf-8", out)
}

// fragment is a part of a page, for the event streams.
func (c *console) fragment(w *words, name string, data any) (string, error) {
	out, err := c.execute(w, "mirrors", name, data)
	return string(out), err
}
