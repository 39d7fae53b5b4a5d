package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// panickyReader has a bug that knows a password.
type panickyReader struct{ mirror.Reader }

func (panickyReader) Refs(ctx context.Context, _ mirror.ID) (mirror.Listing, error) {
	panic("bearer cAnArY of " + auth.From(ctx).Name)
}

// TestHostileE19PanicOfAPage: a bug in an operation and in a page is an internal
// error to whoever asked; the log has the stack, and nothing of the request.
func TestHostileE19PanicOfAPage(t *testing.T) {
	r := newRig(t, func(s *web.Server) { s.Reader = panickyReader{s.Reader} })
	now := time.Now().UTC()
	repo := mirror.Repo{ID: mirror.NewID(), Path: "github.com/acme/tool", Upstream: mirror.Upstream{Scheme: "https", Host: "github.com", Path: "/acme/tool"},
		Created: now, Updated: now, Version: 1, State: mirror.State{Status: mirror.Ready, LastSuccess: now}}
	if err := r.db.AddRepo(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	b, admin, secret := r.browser("admin", apiAdminPassword), r.admin(), header("X-Token", "cAnArY")
	for name, got := range map[string]reply{
		"operation": r.call("GET", "/api/v1/mirrors/"+string(repo.ID)+"/refs", nil, admin, secret),
		"page":      r.callWith(b, "GET", "/mirrors/"+string(repo.ID)+"?token=cAnArY-too", nil, header("Accept", "text/html"), secret),
	} {
		if got.Status != http.StatusInternalServerError || strings.Contains(strings.ReplaceAll(got.Body, "token=cAnArY-too", ""), "cAnArY") { // links of a page may lead back to its own address
			t.Errorf("%s = %d %.300s", name, got.Status, got.Body)
		}
	}
	if log := r.log.String(); strings.Contains(log, "cAnArY") || strings.Count(log, "handler panicked") != 2 || !strings.Contains(log, "panickyReader") {
		t.Errorf("the log has a secret, or not what happened:\n%.3000s", log)
	}
}
