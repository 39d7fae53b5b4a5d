package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gitmirror/gitmirror/internal/oidctest"
)

// receiver takes what a webhook is sent, and keeps it.
type receiver struct {
	mu    sync.Mutex
	heard []string
}

// ServeHTTP keeps a message as it is signed, behind a line with its signature.
func (r *receiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, req.Header.Get("X-Gitmirror-Signature-256")+"\n"+req.Header.Get("X-Gitmirror-Timestamp")+"."+string(text))
}

// receiverCommand is "receiver start", whose URL is $RECEIVER then, and "receiver
// heard N FILE": the last of N messages as it is signed, with $HEARD_SIGNATURE.
func (w *world) receiverCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: receiver start | heard N FILE")
	}
	switch args[0] {
	case "start":
		w.receiver = &receiver{}
		server := httptest.NewServer(w.receiver)
		ts.Defer(server.Close)
		ts.Setenv("RECEIVER", server.URL)
	case "heard":
		if len(args) != 3 {
			ts.Fatalf("usage: receiver heard N FILE")
		}
		var n int
		if _, err := fmt.Sscan(args[1], &n); err != nil {
			ts.Fatalf("receiver heard %s: no number", args[1])
		}
		w.receiver.mu.Lock()
		defer w.receiver.mu.Unlock()
		if len(w.receiver.heard) != n {
			ts.Fatalf("the receiver heard %d messages, want %d: %q", len(w.receiver.heard), n, w.receiver.heard)
		}
		signature, text, _ := strings.Cut(w.receiver.heard[n-1], "\n")
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(text), 0o666))
		ts.Setenv("HEARD_SIGNATURE", signature)
	default:
		ts.Fatalf("receiver %s: unknown", args[0])
	}
}

// issuerCommand is "issuer start", a CI system's issuer of identity tokens at
// $ISSUER; "issuer token CLAIM=VALUE…", one of them as $GITMIRROR_ID_TOKEN; and
// "issuer actions CLAIM=VALUE…", which gives them to who asks as in GitHub Actions.
func (w *world) issuerCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: issuer start | token CLAIM=VALUE… | actions CLAIM=VALUE…")
	}
	claims := map[string]any{"sub": "job"}
	for _, c := range args[1:] {
		name, value, _ := strings.Cut(c, "=")
		claims[name] = value
	}
	switch args[0] {
	case "start":
		t, ok := w.tb.(*testing.T)
		if !ok {
			ts.Fatalf("issuer: only in tests")
		}
		w.issuer = oidctest.Start(t)
		ts.Setenv("ISSUER", w.issuer.URL)
	case "token":
		ts.Setenv("GITMIRROR_ID_TOKEN", w.issuer.Sign(claims))
	case "actions":
		const bearer = "of-this-run"
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+bearer {
				http.Error(rw, "no", http.StatusUnauthorized)
				return
			}
			claims["aud"] = r.URL.Query().Get("audience")
			rw.Header().Set("Content-Type", "application/json")
			json.NewEncoder(rw).Encode(map[string]string{"value": w.issuer.Sign(claims)})
		}))
		ts.Defer(server.Close)
		ts.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", server.URL+"/token?api-version=2")
		ts.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", bearer)
	default:
		ts.Fatalf("issuer %s: unknown", args[0])
	}
}
