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

// answersCommand answers everything on port 443 with a page: answers FILE.
func (w *world) answersCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: answers FILE")
	}
	page := ts.ReadFile(args[0])
	w.secure(ts, http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/html")
		io.WriteString(out, page)
	}))
}

// secure serves on port 443 with the story's certificate until the story ends.
func (w *world) secure(ts *testscript.TestScript, h http.Handler) {
	cert, err := tls.LoadX509KeyPair(ts.MkAbs("cert.pem"), ts.MkAbs("key.pem"))
	ts.Check(err)
	l, err := net.Listen("tcp", "127.0.0.1:443")
	ts.Check(err)
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	done := make(chan struct{})
	go func() { defer close(done); server.ServeTLS(l, "", "") }()
	ts.Defer(func() { server.Close(); <-done })
}
