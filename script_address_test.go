package main_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// frontCommand puts a reverse proxy with the story's certificate in front of the
// server that runs, on port 443: front HOST PATH [keep]. $SERVER is then
// https://HOST/PATH.
func (w *world) frontCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: front HOST PATH [keep]")
	}
	host, path := args[0], args[1]
	target := &url.URL{Scheme: "http", Host: w.http}
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if len(args) == 2 {
			r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, path)
			r.Out.URL.RawPath = ""
		}
		r.SetXForwarded()
	}}
	mux := http.NewServeMux()
	mux.Handle(path+"/", proxy)
	w.secure(ts, mux)
	ts.Setenv("SERVER", "https://"+host+path)
}

// answersCommand answers everything on port 443 with a page, over TLS or plain http:
// answers FILE [plain].
func (w *world) answersCommand(ts *testscript.TestScript, neg bool, args []string) {
	plain := len(args) == 2 && args[1] == "plain"
	if neg || len(args) != 1 && !plain {
		ts.Fatalf("usage: answers FILE [plain]")
	}
	page := ts.ReadFile(args[0])
	h := http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/html")
		io.WriteString(out, page)
	})
	if plain {
		w.plain(ts, h)
	} else {
		w.secure(ts, h)
	}
}

// secure serves on port 443 with the story's certificate until the story ends.
func (w *world) secure(ts *testscript.TestScript, h http.Handler) {
	cert, err := tls.LoadX509KeyPair(ts.MkAbs("cert.pem"), ts.MkAbs("key.pem"))
	ts.Check(err)
	w.on443(ts, &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}})
}

func (w *world) plain(ts *testscript.TestScript, h http.Handler) {
	w.on443(ts, &http.Server{Handler: h})
}

// on443 lets server take the place of the one before.
func (w *world) on443(ts *testscript.TestScript, server *http.Server) {
	if w.leave443 != nil {
		w.leave443()
	}
	l, err := net.Listen("tcp", "127.0.0.1:443")
	ts.Check(err)
	server.ErrorLog = log.New(io.Discard, "", 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if server.TLSConfig != nil {
			server.ServeTLS(l, "", "")
		} else {
			server.Serve(l)
		}
	}()
	w.leave443 = sync.OnceFunc(func() { server.Close(); <-done })
	ts.Defer(w.leave443)
}
