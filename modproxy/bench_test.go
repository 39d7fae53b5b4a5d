package modproxy_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkServe is what a request for a file that is here costs, without the
// connection: figures in docs/modules.md.
func BenchmarkServe(b *testing.B) {
	t := b
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	w.behind(t, p.url)
	files := map[string]string{"go.mod": "module github.com/Spf13/pflag\n", "a.go": "package pflag\n"}
	w.up.Commit(t, "github.com/Spf13/pflag", files, "v1.0.4")
	w.add(t, "github.com/Spf13/pflag")
	for _, path := range []string{
		"example.com/lib/@v/v1.0.0.mod", "example.com/lib/@v/v1.0.0.zip", "example.com/lib/@v/list",
		"github.com/!spf13/pflag/@v/v1.0.4.info", "github.com/!spf13/pflag/@v/v1.0.4.mod", "github.com/!spf13/pflag/@v/v1.0.4.zip", "github.com/!spf13/pflag/@v/list",
	} {
		b.Run(path, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/proxy/"+path, nil)
			for range 2 {
				if got := ask(w.handler, "GET", "/proxy/"+path); got.Code != http.StatusOK {
					b.Fatalf("GET %s = %d %s", path, got.Code, got.Body)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				w.handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
