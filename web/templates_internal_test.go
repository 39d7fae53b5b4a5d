package web

import (
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// TestTemplates parses what a server parses when somebody first wants to see it.
func TestTemplates(t *testing.T) {
	s := &Server{}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		t.Fatal(err)
	}
	c, err := newConsole(s)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("templates/*.html")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d templates: %v", len(pages), err)
	}
	for _, w := range c.tongues {
		for _, page := range pages {
			if _, err := c.template(w, strings.TrimSuffix(path.Base(page), ".html")); err != nil {
				t.Errorf("%s in %s: %v", page, w.Tag, err)
			}
		}
	}
}
