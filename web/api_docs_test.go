package web_test

import (
	"strings"
	"testing"
)

// TestDocsPage is made here: it loads nothing from elsewhere.
func TestDocsPage(t *testing.T) {
	r := newRig(t)
	got := r.want(200, "GET", "/api/docs", nil)
	if !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		t.Errorf("Content-Type = %q", got.Header.Get("Content-Type"))
	}
	for _, want := range []string{"POST /mirrors/{mirror}/sync", "PUT /upstreams/{host}", "path_or_url", "If-Match"} {
		if !strings.Contains(got.Body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "src=\"http", "href=\"http", "style="} {
		if strings.Contains(got.Body, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}
