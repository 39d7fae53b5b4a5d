package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestRunPage(t *testing.T) {
	site := newConsoleSite(t)
	main := site.seed(t)
	v := site.signedIn(t, "admin", adminPassword)
	runs, err := site.db.Runs(t.Context(), main.ID, 0, 100)
	if err != nil || len(runs) != 15 {
		t.Fatalf("Runs() = %d, %v, want 15", len(runs), err)
	}
	at := func(r mirror.Run) string { return fmt.Sprintf("/mirrors/%s/runs/%d", main.ID, r.ID) }
	v.get("/mirrors/"+string(main.ID)).wants(t, http.StatusOK, `href="`+at(runs[0])+`"`)
	v.get(at(runs[0])).wants(t, http.StatusOK, "Failed", "E1105", "no bytes for 60 s", "curl 28", `href="`+at(runs[1])+`"`)
	v.get(at(runs[7])).wants(t, http.StatusOK, "Updated", "Tag moved by the original", "v1.8.1", "New refs")
	if got := v.get(at(runs[14])); got.status != http.StatusOK || strings.Contains(got.body, "The sync before") {
		t.Errorf("the page of the first run has status %d, or names one before it", got.status)
	}
	other, err := site.db.Repo(t.Context(), "github.com/rs/xid")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fmt.Sprintf("/mirrors/%s/runs/%d", other.ID, runs[0].ID), "/mirrors/" + string(main.ID) + "/runs/999999", "/mirrors/" + string(main.ID) + "/runs/x"} {
		v.get(path).wants(t, http.StatusNotFound)
		v.get(path+"/live").wants(t, http.StatusNotFound)
	}
}

func TestUpstreamIsLeftAloneAndReordered(t *testing.T) {
	site := newConsoleSite(t)
	site.seed(t)
	site.seedUpstreams(t)
	v := site.signedIn(t, "admin", adminPassword)
	if err := site.db.SaveCooldown(t.Context(), mirror.Cooldown{What: "host github.com with acme-read", Until: time.Now().Add(time.Hour), Why: "github.com limits how often it is asked"}); err != nil {
		t.Fatal(err)
	}
	page := v.get("/upstreams/github.com")
	page.wants(t, http.StatusOK, "Requests to github.com with the credential acme-read", "github.com limits how often", "Where the time goes", `class="p4"`)
	h, err := site.db.Host(t.Context(), "github.com")
	if err != nil || len(h.Endpoints) < 2 {
		t.Fatalf("Host(github.com) = %+v, %v, want several endpoints", h, err)
	}
	second := h.Endpoints[1].Name
	v.post("/upstreams/github.com/up", "endpoint", h.Endpoints[0].Name, "version", fmt.Sprint(h.Version)).wants(t, http.StatusOK, "cannot be placed higher")
	v.post("/upstreams/github.com/up", "endpoint", second, "version", fmt.Sprint(h.Version)).wants(t, http.StatusOK, second+" is now number 1.")
	if now, err := site.db.Host(t.Context(), "github.com"); err != nil || now.Endpoints[0].Name != second || len(now.Endpoints) != len(h.Endpoints) {
		t.Errorf("after that the endpoints are %+v, %v, want %s first", now.Endpoints, err, second)
	}
	v.post("/upstreams/github.com/up", "endpoint", h.Endpoints[0].Name, "version", fmt.Sprint(h.Version))
	if now, err := site.db.Host(t.Context(), "github.com"); err != nil || now.Endpoints[0].Name != second {
		t.Errorf("an edit of what has changed meanwhile made the endpoints %+v, %v, want %s first", now.Endpoints, err, second)
	}
}
