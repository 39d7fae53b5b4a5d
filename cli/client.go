package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

const (
	// maxAnswer bounds what is read of an answer: a server that lies must not
	// fill the memory.
	maxAnswer = 64 << 20
	// answerWithin is the time a server has for an answer that is no stream.
	answerWithin = 60 * time.Second
)

// client speaks the JSON API of one server.
type client struct {
	login
	http  *http.Client
	agent string
	// For the one request that makes a token; empty otherwise.
	username, password string
	otp                string                           // a code of the second factor, for that request
	match              string                           // If-Match of the requests of this copy
	say                func(format string, args ...any) // to people, that it waits
}

// client of the chosen server. It does not connect yet.
func (p *program) client() (*client, error) {
	s, err := p.chosen()
	if err != nil {
		return nil, err
	}
	return p.clientOf(s), nil
}

func (p *program) clientOf(s login) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	return &client{login: s, agent: "gitmirror/" + p.version().Version, say: p.say, http: &http.Client{Transport: transport, CheckRedirect: sameServer}}
}

// sameServer refuses a redirect to another host or away from TLS: the request
// carries a token.
func sameServer(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	if next.URL.Host != first.Host || next.URL.Scheme != first.Scheme || len(before) > 5 {
		return &mirror.Problem{Code: mirror.CodeRedirect, Kind: mirror.ErrUpstream,
			What: fmt.Sprintf("%s redirects to %s, which is not followed", first.Host, next.URL.Redacted()),
			Why:  "the token of one server is not sent to another",
			Do:   "if that is where the server is now, sign in there: gitmirror login " + next.URL.Scheme + "://" + next.URL.Host}
	}
	return nil
}

// call sends in as JSON, if it is not nil, and reads the answer into out, if it
// is not nil. Errors are *mirror.Problem of the kind the server had.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	return c.patiently(ctx, method, path, func(key string) error {
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		defer cancel()
		return c.read(ctx, method, path, key, in, out)
	})
}

// exchange is call without a time limit of its own.
func (c *client) exchange(ctx context.Context, method, path string, in, out any) error {
	return c.patiently(ctx, method, path, func(key string) error { return c.read(ctx, method, path, key, in, out) })
}

// send returns the answer of a request that succeeded; the caller closes its body.
func (c *client) send(ctx context.Context, method, path string, in any, accept string) (resp *http.Response, err error) {
	err = c.patiently(ctx, method, path, func(key string) error {
		resp, err = c.ask(ctx, method, path, key, in, accept)
		return err
	})
	return resp, err
}

func (c *client) read(ctx context.Context, method, path, key string, in, out any) error {
	resp, err := c.ask(ctx, method, path, key, in, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	body := &io.LimitedReader{R: resp.Body, N: maxAnswer}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		if body.N <= 0 {
			err = fmt.Errorf("the answer is larger than %d MB", maxAnswer>>20)
		}
		return c.odd(path, err)
	}
	return nil
}

// ask sends one request. key is its Idempotency-Key; empty = none.
func (c *client) ask(ctx context.Context, method, path, key string, in any, accept string) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", c.agent)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if c.match != "" {
		req.Header.Set("If-Match", c.match)
	}
	switch {
	case c.username != "":
		req.SetBasicAuth(c.username, c.password)
		if c.otp != "" {
			req.Header.Set("Gitmirror-Otp", c.otp)
		}
	case c.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	err = c.refused(resp)
	if wait, ok := laterOf(resp); ok {
		err = &later{err, wait}
	}
	return nil, err
}

// refused makes a Problem of an answer that is not a success.
func (c *client) refused(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return c.unreachable(context.Background(), err)
	}
	said := &web.Problem{}
	if !strings.Contains(resp.Header.Get("Content-Type"), "json") || json.Unmarshal(text, said) != nil || said.Title == "" {
		if resp.StatusCode/100 == 3 || resp.StatusCode == http.StatusNotFound {
			return c.odd(resp.Request.URL.Path, fmt.Errorf("it says %s", resp.Status))
		}
		return &mirror.Problem{Code: codeReach, Kind: mirror.ErrUpstream, What: c.URL + " answers " + resp.Status,
			Do: "look into the log of the server, or of the proxy in front of it"}
	}
	var problem *mirror.Problem
	if !errors.As(error(said), &problem) {
		return said
	}
	for _, field := range said.Errors[min(1, len(said.Errors)):] { // the first is in the detail
		problem.Why = strings.TrimPrefix(problem.Why+"; "+strings.TrimPrefix(field.Location, "body.")+": "+field.Message, "; ")
	}
	switch {
	case errors.Is(problem, mirror.ErrSignIn):
		problem.Do = "run: gitmirror login " + c.URL
		if c.Token != "" {
			problem.What = "the server does not accept the token any more: " + problem.What
		}
	case said.RequestID != "" && problem.Kind == "":
		problem.Why = "request id " + said.RequestID
	}
	return problem
}

// unreachable says in words why there is no answer.
func (c *client) unreachable(ctx context.Context, err error) error {
	var problem *mirror.Problem
	if errors.As(err, &problem) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	why := err.Error()
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		why = wrapped.Err.Error()
	}
	do := "check the address and that the server runs (gitmirror serve)"
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(), ctx.Err() != nil:
		why = "it did not answer in time"
		do = "try again; check the network between here and the server"
	case strings.Contains(why, "x509:"):
		do = "let this machine trust the certificate's authority (SSL_CERT_FILE names one)"
	case strings.Contains(why, "server gave HTTP response to HTTPS client"):
		do = "write the address with http://"
	}
	return &mirror.Problem{Code: codeReach, Kind: mirror.ErrUpstream, What: "no answer from " + c.URL, Why: why, Do: do}
}

// odd is an answer that no gitmirror gives.
func (c *client) odd(path string, err error) error {
	return &mirror.Problem{Code: codeReach, Kind: mirror.ErrUpstream,
		What: "the answer of " + c.URL + path + " is not that of a gitmirror server", Why: err.Error(),
		Do: "check the address; if it is right, the versions of server and command line may differ too much (gitmirror version)"}
}

// segment escapes one element of an address: a repository path is one.
func segment(s string) string { return url.PathEscape(s) }
