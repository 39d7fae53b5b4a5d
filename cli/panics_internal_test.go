package cli

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHostileE19PanicOfAHandler: a bug ends the connection; what it knew of the
// request is not in the log, where it came from is.
func TestHostileE19PanicOfAHandler(t *testing.T) {
	var log, spoken bytes.Buffer
	server := httptest.NewUnstartedServer(survive(slog.New(slog.NewTextHandler(&log, nil)), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cut" {
			panic(http.ErrAbortHandler)
		}
		panic(r.Header.Get("Authorization"))
	})))
	server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(&spoken, nil), slog.LevelInfo)
	server.Start()
	for _, path := range []string{"/", "/cut"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path+"?token=cAnArY", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("user", "cAnArY")
		req.Header.Set("Authorization", "Bearer cAnArY")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			t.Errorf("%s = %s, want the connection ended", path, resp.Status)
		}
	}
	server.Close()
	text := log.String()
	if strings.Contains(text+spoken.String(), "cAnArY") || strings.Count(text, "handler panicked") != 1 || !strings.Contains(text, "TestHostileE19PanicOfAHandler") || spoken.Len() > 0 {
		t.Errorf("log = %s\nnet/http says %s", text, spoken.String())
	}
}
