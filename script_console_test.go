package main_test

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// consoleCommand is a browser without scripts in which the admin is signed in:
//
//	console open PATH                 the page, into the file "page"
//	console post PATH [NAME=VALUE…]   a form; VALUE @FILE is the content of a file
//	console refused PATH [NAME=…]     a form that comes back with what is wrong
//	console text ID FILE              what stands in the page under an id, as a person copies it
func (w *world) consoleCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: console open PATH | post|refused PATH [NAME=VALUE…] | text ID FILE")
	}
	if args[0] == "text" {
		pattern := regexp.MustCompile(`<pre id="` + regexp.QuoteMeta(args[1]) + `">([^<]*)</pre>`)
		found := pattern.FindStringSubmatch(ts.ReadFile("page"))
		if found == nil || len(args) != 3 {
			ts.Fatalf("console text: the page has no %s", args[1])
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(html.UnescapeString(found[1])+"\n"), 0o600))
		return
	}
	form := url.Values{}
	for _, arg := range args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		if file, ok := strings.CutPrefix(value, "@"); ok {
			value = ts.ReadFile(file)
		}
		form.Set(name, value)
	}
	if w.visitor == nil {
		jar, err := cookiejar.New(nil)
		ts.Check(err)
		w.visitor = &http.Client{Jar: jar, Timeout: 2 * time.Minute, Transport: transportOf(ts)}
		w.visit(ts, http.MethodPost, "/login", url.Values{"name": {"admin"}, "password": {ts.Getenv("PASSWORD")}}, false)
	}
	method := http.MethodGet
	if args[0] != "open" {
		method = http.MethodPost
	}
	ts.Check(os.WriteFile(ts.MkAbs("page"), []byte(w.visit(ts, method, args[1], form, args[0] == "refused")), 0o600))
}

// visit opens a page or sends a form, and wants an answer that is no error, or one
// that the person can mend.
func (w *world) visit(ts *testscript.TestScript, method, path string, form url.Values, refused bool) string {
	req, err := http.NewRequest(method, ts.Getenv("SERVER")+path, strings.NewReader(form.Encode()))
	ts.Check(err)
	req.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", ts.Getenv("SERVER"))
	}
	resp, err := w.visitor.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if refused != (resp.StatusCode == http.StatusUnprocessableEntity) || !refused && resp.StatusCode >= 400 {
		ts.Fatalf("%s %s = %s\n%s", method, path, resp.Status, body)
	}
	return string(body)
}
