package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/web"
)

// answering is a server that answers as one of a test's making does. What it
// does not know is 404 in plain text, as of no gitmirror.
func answering(t *testing.T, routes map[string]http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		mux.HandleFunc(pattern, handler)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func says(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
}

// signedIn is the environment of somebody who signed in to url.
func signedIn(url string) []string {
	return []string{"GITMIRROR_SERVER=" + url, "GITMIRROR_TOKEN=gmr_secret"}
}

func TestRedirectToAnotherHostIsNotFollowed(t *testing.T) {
	var seen []string
	evil := answering(t, map[string]http.HandlerFunc{"/": func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
	}})
	url := answering(t, map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, evil+r.URL.Path, http.StatusTemporaryRedirect)
	}})
	got := run(t, signedIn(url), "mirror", "list")
	if got.code != 6 || !strings.Contains(got.stderr, "E1107") || len(seen) != 0 {
		t.Errorf("mirror list = %+v and %q at the other host, want exit 6, E1107 and no request there", got, seen)
	}
}

func TestAnswersOfNoGitmirror(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"items":[`)
		chunk := strings.Repeat(`{"path":"github.com/a/b"},`, 1000)
		for {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}
	rows := []struct {
		name   string
		answer http.HandlerFunc
		code   int
		want   string
	}{
		{"a page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>Sign in to Wi-Fi</html>") }, 6, "not that of a gitmirror server"},
		{"nothing there", http.NotFound, 6, "not that of a gitmirror server"},
		{"a proxy in trouble", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", http.StatusBadGateway) }, 6, "502"},
		{"too much", endless, 6, "larger than 64 MB"},
		{"a hang-up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 6, "no answer from"},
		{"control characters", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			json.NewEncoder(w).Encode(web.Problem{Title: "no \x1b[2J\u009b entry", Kind: "denied", Status: 403})
		}, 4, "no ?[2J? entry"},
		{"internal error", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusInternalServerError)
			json.NewEncoder(w).Encode(web.Problem{Title: "internal error", RequestID: "r42", Status: 500})
		}, 1, "request id r42"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			url := answering(t, map[string]http.HandlerFunc{"/": r.answer})
			got := run(t, signedIn(url), "mirror", "list")
			if got.code != r.code || got.out != "" || !strings.Contains(got.stderr, r.want) || strings.ContainsAny(got.stderr, "\x1b\u009b") {
				t.Errorf("mirror list = %+v, want exit %d and %q", got, r.code, r.want)
			}
		})
	}
}

// Every page of a list is read.
func TestListReadsAllPages(t *testing.T) {
	url := answering(t, map[string]http.HandlerFunc{"GET /api/v1/mirrors": func(w http.ResponseWriter, r *http.Request) {
		page := web.Mirrors{Items: []web.Mirror{{Path: "github.com/a/one"}}, NextCursor: "x"}
		if r.URL.Query().Get("cursor") == "x" {
			page = web.Mirrors{Items: []web.Mirror{{Path: "github.com/a/two"}}}
		}
		says(page)(w, r)
	}})
	if got := decode[[]web.Mirror](t, run(t, signedIn(url), "mirror", "list", "--json").out); len(got) != 2 {
		t.Errorf("mirror list = %d mirrors, want those of both pages", len(got))
	}
}

func TestAddFrom(t *testing.T) {
	goMod := "module example.com/x\n\nrequire (\n\tgithub.com/russross/blackfriday/v2 v2.1.0\n\tgithub.com/googleapis/gax-go/v2 v2.0.5\n" +
		"\tgopkg.in/yaml.v3 v3.0.1\n\tgolang.org/x/mod v0.1.0\n\tgithub.com/acme/local v0.0.0\n)\n\nreplace github.com/acme/local => ../local\n"
	goSum := "github.com/a/b v1.0.0 h1:x=\ngithub.com/a/b v1.0.0/go.mod h1:y=\ngithub.com/a/b/sub v1.0.0 h1:z=\ngopkg.in/yaml.v3 v3.0.1 h1:z=\n"
	list := "# ours\nhttps://github.com/a/b # the one\n\ngit@github.com:c/d.git\n"
	rows := []struct {
		name, file, text, want string
	}{
		{"go.mod", "go.mod", goMod, "github.com/googleapis/gax-go/v2 github.com/russross/blackfriday/v2 golang.org/x/mod gopkg.in/yaml.v3"},
		{"go.sum", "go.sum", goSum, "github.com/a/b github.com/a/b/sub gopkg.in/yaml.v3"},
		{"list", "repos.txt", list, "git@github.com:c/d.git https://github.com/a/b"},
		{"go.mod on stdin", "-", goMod, "github.com/googleapis/gax-go/v2 github.com/russross/blackfriday/v2 golang.org/x/mod gopkg.in/yaml.v3"},
		{"go.sum on stdin", "-", goSum, "github.com/a/b github.com/a/b/sub gopkg.in/yaml.v3"},
		{"empty", "go.sum", "", ""},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			var asked []string
			url := answering(t, map[string]http.HandlerFunc{"POST /api/v1/mirrors": func(w http.ResponseWriter, req *http.Request) {
				var in web.AddMirrors
				json.NewDecoder(req.Body).Decode(&in)
				out := web.AddedMirrors{}
				for _, m := range in.Mirrors {
					asked = append(asked, m.PathOrURL)
					out.Items = append(out.Items, web.AddedMirror{Mirror: &web.Mirror{State: "queued"}})
				}
				says(out)(w, req)
			}})
			name, stdin := r.file, r.text
			if name != "-" {
				name, stdin = write(t, r.file, r.text), ""
			}
			got := runIn(t, signedIn(url), stdin, "mirror", "add", "--from", name)
			if got.code != 0 || strings.Join(asked, " ") != r.want {
				t.Errorf("mirror add --from %s asked for %q (%+v), want %q", r.file, asked, got, r.want)
			}
		})
	}
}

// netrcServer answers what "login --netrc" asks.
func netrcServer(t *testing.T) string {
	return answering(t, map[string]http.HandlerFunc{
		"GET /api/v1/site":   says(web.Site{}),
		"GET /api/v1/whoami": says(web.Identity{Name: "ada"}),
	})
}

func TestLoginWritesOnlyItsBlockOfNetrc(t *testing.T) {
	const foreign = "machine other.test login me password theirs"
	rows := []struct{ name, before string }{
		{"no file", ""},
		{"foreign entries without newline", foreign},
		{"a default entry", foreign + "\ndefault login anonymous password x\n"},
		{"a macro", "macdef init\ncd /pub\n\n" + foreign + "\n"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			url := netrcServer(t)
			home := t.TempDir()
			path := filepath.Join(home, ".netrc")
			if r.before != "" {
				if err := os.WriteFile(path, []byte(r.before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			environ := []string{"HOME=" + home}
			for range 2 { // signing in again replaces the block
				if got := runIn(t, environ, "gmr_x\n", "login", url, "--token-stdin", "--netrc"); got.code != 0 {
					t.Fatalf("login --netrc = %+v, want exit 0", got)
				}
			}
			host := strings.TrimPrefix(url, "http://")
			name, _, _ := strings.Cut(host, ":")
			want := fmt.Sprintf("# gitmirror begin %s\nmachine %s login ada password gmr_x\nmachine %s login ada password gmr_x\n# gitmirror end %s\n%s",
				host, name, host, host, r.before)
			if text, err := os.ReadFile(path); err != nil || string(text) != want {
				t.Errorf(".netrc = %q (%v), want %q", text, err, want)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode of .netrc = %v (%v), want 0600", info.Mode(), err)
			}
			if got := run(t, environ, "logout"); got.code != 0 {
				t.Errorf("logout = %+v, want exit 0", got)
			}
			if text, err := os.ReadFile(path); err != nil || string(text) != r.before {
				t.Errorf(".netrc after logout = %q (%v), want %q", text, err, r.before)
			}
		})
	}
}

func TestLoginEditsTheFileBehindALink(t *testing.T) {
	url := netrcServer(t)
	home := t.TempDir()
	target, link := filepath.Join(home, "dotfiles"), filepath.Join(home, ".netrc")
	if err := os.WriteFile(target, []byte("machine a login b password c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	got := runIn(t, []string{"HOME=" + home}, "gmr_x\n", "login", url, "--token-stdin", "--netrc")
	info, err := os.Lstat(link)
	if got.code != 0 || err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("login --netrc = %+v, .netrc = %v (%v), want the link kept", got, info.Mode(), err)
	}
	if text, _ := os.ReadFile(target); !strings.Contains(string(text), "gmr_x") || !strings.Contains(string(text), "machine a") {
		t.Errorf("the file behind the link = %q, want both entries", text)
	}
	if backup, _ := os.ReadFile(target + ".before-gitmirror"); string(backup) != "machine a login b password c\n" {
		t.Errorf("the copy from before = %q, want the file as it was", backup)
	}
}
