package gitserver_test

import (
	"net/http"
	"strings"
	"testing"
)

// I7: every request is authorised for itself, GET and POST alike. That the one
// before was allowed, over the same connection, allows nothing.
func TestI7_EveryRequestIsAuthorised(t *testing.T) {
	r := newRig(t)
	do := func(method, path, body, token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, r.url+"/"+secret+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		}
		req.Header.Set("Git-Protocol", "version=2")
		if token != "" {
			req.SetBasicAuth("anybody", token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	const refs, pack, lsRefs = "/info/refs?service=git-upload-pack", "/git-upload-pack", "0014command=ls-refs\n0000"
	for _, step := range []struct {
		what, method, path, body, token string
		want                            int
	}{
		{"GET with a token", http.MethodGet, refs, "", r.token, http.StatusOK},
		{"POST without one", http.MethodPost, pack, lsRefs, "", http.StatusUnauthorized},
		{"POST with it", http.MethodPost, pack, lsRefs, r.token, http.StatusOK},
		{"POST with another", http.MethodPost, pack, lsRefs, "gmr_nothing", http.StatusUnauthorized},
		{"GET without one", http.MethodGet, refs, "", "", http.StatusUnauthorized},
	} {
		if got := do(step.method, step.path, step.body, step.token); got != step.want {
			t.Errorf("%s = %d, want %d", step.what, got, step.want)
		}
	}
	tokens, err := r.accounts.Tokens(t.Context(), r.dev.ID)
	if err != nil || len(tokens) == 0 {
		t.Fatalf("Tokens = %v, %v", tokens, err)
	}
	for _, token := range tokens {
		if err := r.accounts.RemoveToken(t.Context(), r.dev.ID, token.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got := do(http.MethodPost, pack, lsRefs, r.token); got != http.StatusUnauthorized {
		t.Errorf("POST with a token that was revoked in between = %d, want %d", got, http.StatusUnauthorized)
	}
}
