package git_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

func apiRepo(id int, name string) string {
	return fmt.Sprintf(`{"id": %d, "full_name": %q, "clone_url": "https://git.example.com/%s.git"}`, id, name, name)
}

func TestOwnerRepos(t *testing.T) {
	var seen []string
	disk, from := apiHost(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Path+" "+r.URL.Query().Get("page")+" "+r.Header.Get("If-None-Match"))
		switch path := r.URL.Path; {
		case path == "/api/v3/orgs/acme/repos" && r.URL.Query().Get("page") == "1":
			w.Header().Set("Link", `</api/v3/orgs/acme/repos?page=2>; rel="next", </api/v3/orgs/acme/repos?page=2>; rel="last"`)
			w.Header().Set("ETag", `"first of two"`)
			answerJSON(w, 200, "["+apiRepo(1, "acme/one")+`,{"id":7},`+apiRepo(2, "acme/two")+"]")
		case path == "/api/v3/orgs/acme/repos":
			answerJSON(w, 200, "["+apiRepo(2, "acme/two")+","+apiRepo(3, "acme/three")+"]") // the pages shifted
		case path == "/api/v3/users/ada/repos" && r.Header.Get("If-None-Match") == `"whole"`:
			w.WriteHeader(http.StatusNotModified)
		case path == "/api/v3/users/ada/repos":
			w.Header().Set("ETag", `"whole"`)
			answerJSON(w, 200, "["+apiRepo(4, "ada/four")+"]")
		case path == "/api/v3/orgs/limited/repos":
			w.Header().Set("Retry-After", "60")
			answerJSON(w, 429, `{"message":"slow down"}`)
		case path == "/api/v3/orgs/odd/repos":
			answerJSON(w, 200, `{"not":"a list"}`)
		case path == "/api/v3/orgs/invalid/repos":
			answerJSON(w, 200, "[{\"id\": 1, \"full_name\": \"invalid/\xff\xfe\", \"clone_url\": \"https://git.example.com/a/b\"}]")
		case path == "/api/v3/orgs/deep/repos":
			answerJSON(w, 200, strings.Repeat("[", 200_000))
		case path == "/api/v3/orgs/huge/repos":
			answerJSON(w, 200, "["+strings.Repeat(" ", 2<<20)+"]")
		case path == "/api/v3/orgs/elsewhere/repos":
			w.Header().Set("Link", `<https://evil.example/repos?page=2>; rel="next"`)
			answerJSON(w, 200, "["+apiRepo(5, "elsewhere/five")+"]")
		default:
			answerJSON(w, 404, `{"message":"Not Found"}`)
		}
	})
	names := func(owner, etag string) string {
		t.Helper()
		got, err := disk.OwnerRepos(t.Context(), from, owner, etag)
		if err != nil {
			return mirror.AsProblem(err).Error()
		}
		var all []string
		for _, r := range got.Repos {
			all = append(all, r.FullName)
		}
		return fmt.Sprintf("%s etag=%s unchanged=%v cut=%v", strings.Join(all, " "), got.ETag, got.Unchanged, got.Cut)
	}
	for _, row := range []struct{ owner, etag, want string }{
		{"acme", "", "acme/one acme/two acme/three etag= unchanged=false cut=false"},
		{"ada", "", `ada/four etag="whole" unchanged=false cut=false`},
		{"ada", `"whole"`, ` etag="whole" unchanged=true cut=false`},
		{"elsewhere", "", "elsewhere/five etag= unchanged=false cut=false"},
		{"invalid", "", "invalid/\ufffd\ufffd etag= unchanged=false cut=false"}, // no path can hold it,
	} {
		if got := names(row.owner, row.etag); got != row.want {
			t.Errorf("OwnerRepos(%s, %s) = %s, want %s", row.owner, row.etag, got, row.want)
		}
	}
	for owner, code := range map[string]mirror.Code{
		"nobody": mirror.CodeGone, "limited": mirror.CodeThrottled, "odd": mirror.CodeNotGit, "deep": mirror.CodeNotGit, "huge": mirror.CodeNotGit,
	} {
		if _, err := disk.OwnerRepos(t.Context(), from, owner, ""); mirror.AsProblem(err).Code != code {
			t.Errorf("OwnerRepos(%s) = %v, want %s", owner, err, code)
		}
	}
	if want := "/api/v3/users/ada/repos 1 \"whole\""; !strings.Contains(strings.Join(seen, "\n"), want) {
		t.Errorf("asked for:\n%s\nwant %s", strings.Join(seen, "\n"), want)
	}
}

// An API that never ends is left after so many pages (HOSTILE A21).
func TestOwnerReposWithoutEnd(t *testing.T) {
	asked := 0
	disk, from := apiHost(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, asked+1))
		answerJSON(w, 200, "["+apiRepo(asked, fmt.Sprintf("acme/r%d", asked))+"]")
	})
	got, err := disk.OwnerRepos(t.Context(), from, "acme", "")
	if err != nil || !got.Cut || len(got.Repos) != 200 || asked != 200 {
		t.Errorf("OwnerRepos = %d repositories of %d pages, cut %v, %v, want 200 and cut", len(got.Repos), asked, got.Cut, err)
	}
}
