package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Answers remembers what requests with an Idempotency-Key got, so that the same
// one sent again has its effect once.
type Answers struct {
	Store mirror.AnswerStore
	Vault mirror.Vault // some answers hold a secret
}

const (
	answerKept = 24 * time.Hour
	answerWait = 30 * time.Second      // for another that is worked on
	answerLook = 50 * time.Millisecond // between two looks whether it is done
	maxKey     = 255
	replayed   = "Idempotency-Replayed"
	answerSeal = "answer "
	answerLost = 2 * time.Minute // a request that is worked on for longer is of a server that died
)

// storedAnswer is what Vault seals.
type storedAnswer struct {
	Header http.Header
	Body   []byte
}

// idempotent is the middleware of the API for POSTs that bring a key. The key
// belongs to the caller; the same key with another request is refused.
func (s *Server) idempotent(c *gin.Context) {
	key := c.GetHeader("Idempotency-Key")
	id := auth.From(c.Request.Context())
	if key == "" || c.Request.Method != http.MethodPost || s.Answers == nil || id.Anonymous() {
		return
	}
	if len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		s.fail(c, &mirror.Problem{Kind: mirror.ErrInvalid, What: "this Idempotency-Key cannot be used", Do: "send up to 255 letters, digits and punctuation, for example a UUID"})
		return
	}
	body, err := io.ReadAll(io.LimitReader(c.Request.Body, maxAPIBody+1))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Request.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), c.Request.Body))
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s\n%s\n", c.Request.Method, c.Request.URL.RequestURI(), c.GetHeader("Content-Type"))
	sum.Write(body)
	ctx := c.Request.Context()
	mine := mirror.Answer{Caller: id.User, Key: key, Request: sum.Sum(nil), At: time.Now().UTC()}
	for deadline := time.Now().Add(answerWait); ; {
		before, fresh, err := s.Answers.Store.BeginAnswer(ctx, mine)
		switch {
		case errors.Is(err, mirror.ErrNotFound): // forgotten between the two looks
			continue
		case err != nil:
			s.fail(c, err)
			return
		case fresh:
			s.answerOnce(c, mine)
			return
		case subtle.ConstantTimeCompare(before.Request, mine.Request) != 1:
			s.fail(c, &mirror.Problem{Kind: mirror.ErrExists, What: "this Idempotency-Key was used for another request", Do: "make a new key for each request"})
			return
		case before.Status != 0:
			if err := s.replay(c, before); err != nil {
				s.fail(c, err)
			}
			return
		case time.Since(before.At) > answerLost:
			s.fail(c, &mirror.Problem{Kind: mirror.ErrExists, What: "nobody knows whether the first request with this Idempotency-Key had its effect",
				Why: "the server stopped while it was worked on", Do: "look whether it had, and use a new key if not"})
			return
		case time.Now().After(deadline):
			s.fail(c, &mirror.Problem{Kind: mirror.ErrBusy, What: "the first request with this Idempotency-Key is still worked on", Do: "send it again in a minute"})
			return
		}
		select {
		case <-ctx.Done():
			s.fail(c, ctx.Err())
			return
		case <-time.After(answerLook):
		}
	}
}

// answerOnce lets the handler work, and stores what it says before the caller
// gets it. What had no effect is not stored.
func (s *Server) answerOnce(c *gin.Context, a mirror.Answer) {
	ctx := context.WithoutCancel(c.Request.Context())
	out := c.Writer
	held := &heldWriter{ResponseWriter: out}
	c.Writer = held
	ended := false
	defer func() {
		if !ended { // a panic: it may have had an effect, and the key stays
			c.Writer = out
		}
	}()
	c.Next()
	ended = true
	c.Writer = out
	a.Status = out.Status()
	if noEffect(a.Status) {
		if err := s.Answers.Store.DropAnswer(ctx, a.Caller, a.Key); err != nil {
			s.logFailure(ctx, err, c.FullPath())
		}
	} else if err := s.keepAnswer(ctx, a, held); err != nil {
		s.logFailure(ctx, err, c.FullPath())
	}
	out.WriteHeaderNow()
	_, _ = out.Write(held.body.Bytes()) // the client is gone; nobody is left to tell
}

func (s *Server) keepAnswer(ctx context.Context, a mirror.Answer, held *heldWriter) error {
	kept := storedAnswer{Header: http.Header{}, Body: held.body.Bytes()}
	for _, name := range []string{"Content-Type", "Location", "Etag", "Link"} {
		if v := held.Header().Values(name); len(v) > 0 {
			kept.Header[name] = v
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	sealed, err := s.Answers.Vault.Seal(answerSeal+a.Caller+" "+a.Key, string(text))
	if err != nil {
		return err
	}
	a.Sealed = sealed
	return errors.Join(s.Answers.Store.EndAnswer(ctx, a), s.Answers.Store.ForgetAnswers(ctx, time.Now().Add(-answerKept)))
}

// noEffect tells that a request with this answer may well succeed when it is
// sent again: it was refused before anything was done.
func noEffect(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		return true
	}
	return false
}

func (s *Server) replay(c *gin.Context, a mirror.Answer) error {
	text, err := s.Answers.Vault.Open(answerSeal+a.Caller+" "+a.Key, a.Sealed)
	if err != nil {
		return err
	}
	var kept storedAnswer
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		return err
	}
	for k, v := range kept.Header {
		c.Writer.Header()[k] = v
	}
	c.Header(replayed, "true")
	c.Abort()
	c.Writer.WriteHeader(a.Status)
	c.Writer.WriteHeaderNow()
	_, err = c.Writer.Write(kept.Body)
	return err
}

// heldWriter keeps an answer until it is stored.
type heldWriter struct {
	gin.ResponseWriter
	body bytes.Buffer
}

// Write keeps p.
func (w *heldWriter) Write(p []byte) (int, error) { return w.body.Write(p) }

// WriteString keeps s.
func (w *heldWriter) WriteString(s string) (int, error) { return w.body.WriteString(s) }

// WriteHeaderNow waits.
func (w *heldWriter) WriteHeaderNow() {}

// Flush waits.
func (w *heldWriter) Flush() {}

// Written tells whether there is an answer.
func (w *heldWriter) Written() bool { return w.body.Len() > 0 }

// Unwrap is for http.ResponseController.
func (w *heldWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
