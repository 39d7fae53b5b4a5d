package git_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
)

// apiHost is a host with a REST API on loopback, and a mirror's remote there.
func apiHost(t *testing.T, handle http.HandlerFunc) (*git.Disk, mirror.Remote) {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return open(t, t.TempDir()), remote(t, server.URL+"/team/project.git")
}

func answerJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

const apiProject = `{"id": 4711, "full_name": "team/Project", "clone_url": "https://git.example.com/team/Project.git",
	"default_branch": "trunk", "private": true, "archived": true, "fork": true, "pushed_at": "2026-03-01T12:00:00+02:00", "extra": [[[{}]]]}`

func TestAsk(t *testing.T) {
	var seen []string
	disk, from := apiHost(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		seen = append(seen, r.URL.Path+" "+user+" "+password)
		switch r.URL.Path {
		case "/api/v3/repos/team/project": // renamed: answered by id, as the host does
			w.Header().Set("Location", "/api/v3/repositories/4711")
			answerJSON(w, 301, `{"message":"Moved Permanently"}`)
		case "/api/v3/repositories/4711":
			answerJSON(w, 200, apiProject)
		default:
			answerJSON(w, 404, `{"message":"Not Found"}`)
		}
	})
	from.Credential = &mirror.Credential{Name: "ci", Host: "127.0.0.1", User: "reader", Secret: password}
	got, err := disk.Ask(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	want := mirror.HostRepo{ID: 4711, FullName: "team/Project", DefaultBranch: "trunk", Private: true, Archived: true, Fork: true,
		Upstream: mirror.Upstream{Scheme: "https", Host: "git.example.com", Path: "/team/Project"}, Pushed: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}
	if got != want {
		t.Errorf("Ask = %+v, want %+v", got, want)
	}
	if got, err := disk.AskByID(t.Context(), from, 4711); err != nil || got != want {
		t.Errorf("AskByID = %+v, %v, want %+v", got, err, want)
	}
	if want := "/api/v3/repos/team/project reader " + password; seen[0] != want {
		t.Errorf("asked for %q, want %q", seen[0], want)
	}
	_, err = disk.AskByID(t.Context(), from, 1)
	problem(t, "AskByID", err, mirror.ErrNotFound, mirror.CodeGone)
}

func TestAskOddAPIs(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked for %s", r.URL)
	}))
	t.Cleanup(elsewhere.Close)
	in := func(name, value string, status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(name, value)
			answerJSON(w, status, body)
		}
	}
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		kind   error
		code   mirror.Code
	}{
		"no API":              {http.NotFound, mirror.ErrUpstream, mirror.CodeNotGit},
		"gone":                {in("X", "", 404, `{"message":"Not Found"}`), mirror.ErrNotFound, mirror.CodeGone},
		"sign-in":             {in("X", "", 401, `{}`), mirror.ErrSignIn, mirror.CodeAuth},
		"limit":               {in("X-RateLimit-Remaining", "0", 403, `{}`), mirror.ErrUpstream, mirror.CodeThrottled},
		"secondary limit":     {in("Retry-After", "60", 403, `{}`), mirror.ErrUpstream, mirror.CodeThrottled},
		"trouble":             {in("X", "", 502, ``), mirror.ErrUpstream, mirror.CodeServer},
		"web page":            {in("X", "", 200, `<html>`), mirror.ErrUpstream, mirror.CodeNotGit},
		"nothing":             {in("X", "", 200, `{}`), mirror.ErrUpstream, mirror.CodeNotGit},
		"odd clone URL":       {in("X", "", 200, `{"id":1,"full_name":"a/b","clone_url":"ext::sh -c id"}`), mirror.ErrUpstream, mirror.CodeNotGit},
		"deep":                {in("X", "", 200, `{"id":1,"x":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+`}`), mirror.ErrUpstream, mirror.CodeNotGit},
		"long":                {in("X", "", 200, `{"id":1,"x":"`+strings.Repeat("x", 2<<20)+`"}`), mirror.ErrUpstream, mirror.CodeNotGit},
		"circle":              {in("Location", "/api/v3/repos/team/project", 302, ``), mirror.ErrUpstream, mirror.CodeNotGit},
		"another host":        {in("Location", elsewhere.URL+"/api/v3/repos/a/b", 302, ``), mirror.ErrUpstream, mirror.CodeNotGit},
		"outside of the API":  {in("Location", "/api/v3/../../admin", 302, ``), mirror.ErrUpstream, mirror.CodeNotGit},
		"redirect to nowhere": {in("X", "", 302, ``), mirror.ErrUpstream, mirror.CodeNotGit},
	} {
		t.Run(name, func(t *testing.T) {
			disk, from := apiHost(t, c.handle)
			_, err := disk.Ask(t.Context(), from)
			p := problem(t, "Ask", err, c.kind, c.code)
			if (c.code == mirror.CodeThrottled && name == "secondary limit") != !p.RetryAfter.IsZero() {
				t.Errorf("RetryAfter = %v", p.RetryAfter)
			}
		})
	}
}

func TestAPIElsewhere(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, secret, _ := r.BasicAuth(); r.URL.Path != "/rest/repos/team/project" || secret != password {
			t.Errorf("asked for %s with %q", r.URL.Path, secret)
		}
		answerJSON(w, 200, apiProject)
	}))
	t.Cleanup(api.Close)
	disk := open(t, t.TempDir(), func(d *git.Disk) { d.API = map[string]string{"git.example.com": api.URL + "/rest"} })
	from := remote(t, "https://git.example.com/team/project")
	from.Credential = &mirror.Credential{Name: "ci", Host: "git.example.com", User: "reader", Secret: password}
	if got, err := disk.Ask(t.Context(), from); err != nil || got.ID != 4711 {
		t.Errorf("Ask = %+v, %v, want 4711", got, err)
	}
	from.Credential.Host = "other.example.com"
	_, err := disk.Ask(t.Context(), from)
	problem(t, "Ask with another host's credential", err, mirror.ErrDenied, mirror.CodeAuth)
}
