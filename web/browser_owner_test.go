package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// hostRepo is a repository as the API of a host tells it.
type hostRepo struct {
	ID       int    `json:"id"`
	FullName string `json:"full_name"`
	CloneURL string `json:"clone_url"`
	Archived bool   `json:"archived"`
	Private  bool   `json:"private"`
}

// hostAPI is the API of the host that the site's upstreams are on. It tells what
// acme has, to those who have its token; the upstream has each of them.
type hostAPI struct {
	up    *gittest.Upstream
	repos atomic.Pointer[[]hostRepo]
}

const hostToken = "Basic YWNtZS1ib3Q6czNjcmV0" // acme-bot:s3cret

func (s *consoleSite) hostAPI(t testing.TB, names ...string) *hostAPI {
	t.Helper()
	a := &hostAPI{up: gittest.NewUpstream(t)}
	a.repos.Store(&[]hostRepo{})
	for _, name := range names {
		a.make(t, name)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		all := *a.repos.Load()
		var number int
		_, byNumber := fmt.Sscanf(r.URL.Path, "/repositories/%d", &number)
		switch {
		case byNumber == nil && number > 0 && number <= len(all):
			json.NewEncoder(w).Encode(all[number-1])
		case r.URL.Path == "/orgs/acme/repos" && r.Header.Get("Authorization") == hostToken:
			json.NewEncoder(w).Encode(all)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"Not Found"}`)
		}
	}))
	t.Cleanup(server.Close)
	s.api["127.0.0.1"] = server.URL
	return a
}

// make makes a repository of acme; its number is its place.
func (a *hostAPI) make(t testing.TB, name string) {
	t.Helper()
	a.up.Commit(t, "acme/"+name, map[string]string{"data.txt": "one"}, "v1.0.0")
	all := append([]hostRepo(nil), *a.repos.Load()...)
	all = append(all, hostRepo{ID: len(all) + 1, FullName: "acme/" + name, CloneURL: a.up.URL("acme/" + name), Archived: name == "attic", Private: name == "secret"})
	a.repos.Store(&all)
}

// owners has what owners have listed, as the program does, until the test ends.
func (s *consoleSite) owners(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.catalog.Owners.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Owners.Run() = %v, want nil", err)
		}
	})
}

// TestJourneyOfAnOrganisation: somebody names an organisation, is told what is
// missing, stores a credential, takes the mark off one repository, adds the rest
// and sees them arrive. What is made there later arrives by itself.
func TestJourneyOfAnOrganisation(t *testing.T) {
	site := newConsoleSite(t)
	host := site.hostAPI(t, "api", "attic", "playground", "secret", "tools")
	site.catalog.Owners.Every = 100 * time.Millisecond
	if _, _, err := site.catalog.Add(t.Context(), mirror.NewMirror{Text: "127.0.0.1/acme/tools", Upstream: host.up.URL("acme/tools")}); err != nil {
		t.Fatal(err)
	}
	site.run(t)
	site.owners(t)
	b := openBrowser(t, site)
	b.look("light", 1280)
	b.signIn("admin", adminPassword)
	b.open("/mirrors/new")
	b.press("An organisation")
	b.do(fill("#owner", "127.0.0.1/acme\r")) // Enter looks, and adds nothing
	b.sees("127.0.0.1 has no organisation or user")
	b.sees("give the rule a credential")
	b.shot("journey-owner-unknown-light-1280")

	b.press("Mapping rules")
	b.do(fill("#cred-name", "acme-read"), fill("#host", "127.0.0.1"), fill("#cred-user", "acme-bot"), fill("#secret", "s3cret"))
	b.press("Store")
	b.sees("Credential acme-read is stored")
	b.open("/mirrors/new/owner")
	b.do(fill("#owner", "127.0.0.1/acme"))
	b.choose("#credential", "acme-read")
	b.press("Show the list")
	b.sees("3 new · 1 already here · 1 left out")
	b.eventually(`document.querySelectorAll("input[name=take]:checked").length === 3`, "see three that are marked")
	b.shot("journey-owner-light-1280")
	b.look("dark", 390)
	b.shot("journey-owner-dark-390")
	newAccessibility(b).page("journey-owner-dark-390")
	b.look("light", 1280)
	b.click(`input[name=take][value=playground]`)
	b.press("Add what is marked")
	b.sees("2 mirrors added. Their first clones have begun.")
	b.sees("is added within the hour")
	ready := func(n int, what string) {
		t.Helper()
		b.eventually(`[...document.querySelectorAll("#list tbody .state")].filter(e => e.innerText === "Ready").length === `+itoa(int64(n)), what)
	}
	ready(3, "see them arrive")
	b.shot("journey-owner-added-light-1280")

	host.make(t, "brand-new")
	eventually(t, "the new one is added", func() bool { return len(site.repos(t)) == 4 })
	b.open("/mirrors?q=acme")
	ready(4, "see the new one")
	for _, r := range site.repos(t) {
		if name := r.Path.Base(); name == "playground" || name == "attic" {
			t.Errorf("%s was added, which was left out", name)
		}
	}

	b.open("/rules")
	b.press("Change")
	b.eventually(`document.querySelector("#exclude").value === "playground"`, "see what was left out")
	b.do(fill("#exclude", "nothing-such"))
	b.press("Show the list")
	b.sees("1 new · 4 already here · 1 left out")
	b.sees("takes the place of what was chosen then")
	b.press("Add what is marked")
	b.sees("Mirror added. Its first clone has begun.")
	ready(5, "see all of them")
}
