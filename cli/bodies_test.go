package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// HOSTILE D07: a body that does not arrive costs its sender the connection, also
// where nobody reads it; one that arrived is answered, however long that takes.
func TestD07Bodies(t *testing.T) {
	const within = 300 * time.Millisecond
	mux := http.NewServeMux()
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "it did not arrive", http.StatusRequestTimeout)
			return
		}
		select {
		case <-time.After(2 * within):
			fmt.Fprintf(w, "read %s", body)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/ignore", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "not read") })
	srv := httptest.NewServer(bodies(within, mux))
	defer srv.Close()
	addr := strings.TrimPrefix(srv.URL, "http://")

	for _, path := range []string{"/read", "/ignore"} {
		for _, kind := range []string{"Content-Length: 9", "Transfer-Encoding: chunked"} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n5", path, kind)
			if _, err := io.ReadAll(conn); err != nil {
				t.Errorf("POST %s with %s: %v, want the connection closed", path, kind, err)
			}
			conn.Close()
		}
	}
	for range 3 { // over one connection
		resp, err := http.Post(srv.URL+"/read", "text/plain", strings.NewReader("whole"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "read whole" || err != nil {
			t.Errorf("POST /read = %q, %v, want what was sent", body, err)
		}
	}
}
