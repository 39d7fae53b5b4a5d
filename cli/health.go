package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// health answers /healthz, /readyz and guards /metrics.
type health struct {
	Database interface{ Ping(context.Context) error }
	Data     *dataDir
	Syncer   *mirror.Syncer
	Workers  int
	Accounts *auth.Accounts
	Policy   auth.Policy
}

// tickWithin is how old the last look at the queue may be while a worker is free.
const tickWithin = time.Minute

// live says that the process answers.
func (*health) live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// readiness is the JSON of /readyz. It says what is wrong, not why: anybody may ask.
type readiness struct {
	Status string            `json:"status"` // "ready" or "not ready"
	Checks map[string]string `json:"checks"`
}

// ready says whether the server can do its work: 200 or 503.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	answer := readiness{Status: "ready", Checks: map[string]string{}}
	for name, err := range map[string]error{
		"database":  h.Database.Ping(ctx),
		"disk":      h.Data.writable(),
		"scheduler": h.ticking(),
	} {
		answer.Checks[name] = "ok"
		if err != nil {
			answer.Checks[name], answer.Status = "failing", "not ready"
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if answer.Status != "ready" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // the client is gone; nobody is left to tell
}

func (h *health) ticking() error {
	if time.Since(h.Syncer.LastTick()) > tickWithin && h.Syncer.Busy() < h.Workers {
		return errors.New("the queue has not been looked at")
	}
	return nil
}

// metrics lets callers on this machine and administrators read next.
func (h *health) metrics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromHere(r) {
			if err := h.administrator(r); err != nil {
				status := http.StatusForbidden
				switch {
				case errors.Is(err, mirror.ErrSignIn):
					status = http.StatusUnauthorized
					w.Header().Set("WWW-Authenticate", `Bearer realm="gitmirror"`)
				case !errors.Is(err, mirror.ErrDenied):
					status = http.StatusServiceUnavailable
				}
				http.Error(w, "metrics are for administrators: send an admin's token as \"Authorization: Bearer …\"", status)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// fromHere tells whether the peer is on this machine. What a proxy on this
// machine passes on is not from here.
func fromHere(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

func (h *health) administrator(r *http.Request) error {
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id := auth.Identity{}
	if ok {
		var err error
		if id, err = h.Accounts.Token(r.Context(), secret); err != nil {
			return err
		}
	}
	return h.Policy.May(id, auth.Administer, false)
}
