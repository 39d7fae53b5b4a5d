package web

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gitmirror/gitmirror/mirror"
)

// Hooks receives webhooks: POST /hooks/github. Anybody may send one, so nothing is
// believed, and little is done, before the signature is right.
type Hooks struct {
	Catalog *mirror.Catalog
	// Secret is what GitHub signs with; empty = webhooks are off.
	Secret mirror.Secret
	Log    *slog.Logger // nil = slog.Default()

	once  sync.Once
	rate  *rate.Limiter
	heard chan struct{} // one place per delivery that is read or worked on
}

const (
	maxHook      = 5 << 20 // the largest body; a push of 1,000 commits is a tenth of that
	hooksPerSec  = 100
	hooksAtOnce  = 500 // a burst: an organisation that renames a branch everywhere
	hookReaders  = 16
	hookReadTime = 10 * time.Second
)

// hookEvents are those that can mean news for a mirror. The others are accepted
// and ignored: which ones are sent is chosen with a tick of a box.
var hookEvents = map[string]bool{"push": true, "create": true, "delete": true, "repository": true, "release": true}

// ServeHTTP answers in one line of text, which GitHub shows beside the delivery.
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.once.Do(func() {
		h.rate, h.heard = rate.NewLimiter(hooksPerSec, hooksAtOnce), make(chan struct{}, hookReaders)
		if h.Log == nil {
			h.Log = slog.Default()
		}
	})
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	status, words := h.answer(w, r)
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "10")
	}
	w.WriteHeader(status)
	fmt.Fprintln(w, words)
}

func (h *Hooks) answer(w http.ResponseWriter, r *http.Request) (status int, words string) {
	switch {
	case r.URL.Path != "/hooks/github":
		return http.StatusNotFound, "there is nothing at this address: webhooks go to /hooks/github"
	case h.Secret == "":
		return http.StatusNotFound, "webhooks are off: set hooks.github_secret to the secret they are signed with"
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, "webhooks are POSTed"
	case !strings.HasPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="):
		return http.StatusUnauthorized, "it has no X-Hub-Signature-256: set the same secret on both sides"
	case r.ContentLength > maxHook:
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("it is larger than %d MB", maxHook>>20)
	case !h.rate.Allow():
		return http.StatusTooManyRequests, "too many webhooks at a time: send it again later"
	}
	select {
	case h.heard <- struct{}{}:
		defer func() { <-h.heard }()
	default:
		return http.StatusTooManyRequests, "too many webhooks at a time: send it again later"
	}
	// A sender that dawdles must not keep a place.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(hookReadTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHook))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("it is larger than %d MB", maxHook>>20)
	}
	if err != nil {
		return http.StatusBadRequest, "its body did not arrive"
	}
	if !h.signed(body, r.Header.Get("X-Hub-Signature-256")) {
		return http.StatusUnauthorized, "its signature is wrong: set the same secret on both sides"
	}
	return h.hear(r, body)
}

func (h *Hooks) signed(body []byte, header string) bool {
	got, err := hex.DecodeString(strings.TrimPrefix(header, "sha256="))
	mac := hmac.New(sha256.New, []byte(h.Secret.Reveal()))
	mac.Write(body)
	return hmac.Equal(got, mac.Sum(nil)) && err == nil
}

// accepted is said of every signed delivery that is about a repository, whether
// it is mirrored here or not.
const accepted = "heard: what is mirrored of it is synced within seconds"

// hear acts on a body whose signature is right.
func (h *Hooks) hear(r *http.Request, body []byte) (status int, words string) {
	event, delivery := r.Header.Get("X-GitHub-Event"), r.Header.Get("X-GitHub-Delivery")
	if event == "ping" {
		return http.StatusAccepted, "pong: webhooks of this sender are heard"
	}
	if !hookEvents[event] {
		return http.StatusAccepted, "ignored: this event never means that there is something new to mirror"
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return http.StatusBadRequest, "its form does not parse"
		}
		body = []byte(form.Get("payload"))
	}
	var doc struct {
		Repository struct {
			ID       int64  `json:"id"`
			FullName string `json:"full_name"`
			HTMLURL  string `json:"html_url"`
		} `json:"repository"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return http.StatusBadRequest, "its body is not the JSON of a GitHub webhook"
	}
	at, err := url.Parse(doc.Repository.HTMLURL)
	if err != nil || at.Hostname() == "" || doc.Repository.FullName == "" || len(delivery) > 200 {
		return http.StatusBadRequest, "it names no repository"
	}
	if delivery == "" { // a body that comes again says nothing new
		sum := sha256.Sum256(body)
		delivery = "sha256:" + hex.EncodeToString(sum[:])
	}
	// The sender does not wait for what it leads to, nor can it call that off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), hookReadTime)
	defer cancel()
	fresh, err := h.Catalog.Heard(ctx, mirror.Push{
		Delivery: delivery, Host: strings.ToLower(at.Hostname()), HostID: doc.Repository.ID, FullName: doc.Repository.FullName,
	})
	if err != nil {
		h.Log.Error("hear a webhook", "event", event, "err", err)
		return http.StatusServiceUnavailable, "it could not be noted: send it again later"
	}
	if !fresh {
		return http.StatusAccepted, "ignored: this delivery was heard before"
	}
	return http.StatusAccepted, accepted
}
